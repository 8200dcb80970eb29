//! Values as DataSketches hashes them: MurmurHash3 (x64, 128 bits) with its default seed.
//!
//! Numbers and times are hashed as 8 bytes, text as UTF-8, so a sketch of ours and one of the
//! C++, Java or Python library over the same values are merged rightly. Two departures: the empty
//! text counts as a value (the libraries skip it), and what has no type there (lists, decimals)
//! is hashed as its text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::aggregate::Kind;
use crate::error::AggError;
use crate::value::normal;

/// DataSketches' default seed.
pub(crate) const SEED: u64 = 9001;

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// Both halves of the hash of some bytes.
pub(crate) fn hash(bytes: &[u8], seed: u64) -> (u64, u64) {
    let (mut h1, mut h2) = (seed, seed);
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        let block = u128::from_le_bytes(*block);
        h1 ^= mix1(block as u64);
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix2((block >> 64) as u64);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut tail = [0; 16];
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    let tail = u128::from_le_bytes(tail);
    // A half of zeros mixes to zero: no need to know how long the rest is.
    h2 ^= mix2((tail >> 64) as u64);
    h1 ^= mix1(tail as u64);
    let len = bytes.len() as u64;
    h1 ^= len;
    h2 ^= len;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = finish(h1);
    h2 = finish(h2);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2)
}

fn mix1(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix2(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn finish(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

fn long(value: i64) -> (u64, u64) {
    hash(&value.to_le_bytes(), SEED)
}

fn double(value: f64) -> (u64, u64) {
    let bits = if value == 0.0 {
        0
    } else if value.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        value.to_bits()
    };
    hash(&bits.to_le_bytes(), SEED)
}

/// Calls `each` with the row and the hash of every value that is not null.
pub(crate) fn each(
    values: &ArrayRef,
    mut each: impl FnMut(usize, (u64, u64)),
) -> Result<(), AggError> {
    let nulls = values.logical_nulls();
    let rows =
        (0..values.len()).filter(|row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row)));
    if values.data_type() == &DataType::Null {
        return Ok(());
    }
    let decimal = matches!(
        values.data_type(),
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    );
    match Kind::of(values.data_type()).filter(|_| !decimal) {
        Some(Kind::Text) => {
            let array = normal(values, Kind::Text)?;
            let texts = array.as_string::<i32>();
            rows.for_each(|row| each(row, hash(texts.value(row).as_bytes(), SEED)));
        }
        Some(Kind::Double) => {
            let array = normal(values, Kind::Double)?;
            let doubles = array.as_primitive::<Float64Type>();
            rows.for_each(|row| each(row, double(doubles.value(row))));
        }
        Some(Kind::Bool) => {
            let array = normal(values, Kind::Bool)?;
            let bools = array.as_boolean();
            rows.for_each(|row| each(row, long(i64::from(bools.value(row)))));
        }
        Some(kind @ (Kind::Long | Kind::Time)) => {
            let array = cast(&normal(values, kind)?, &DataType::Int64)?;
            let longs = array.as_primitive::<Int64Type>();
            rows.for_each(|row| each(row, long(longs.value(row))));
        }
        None => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(values.as_ref(), &options)?;
            for row in rows {
                let text = formatter.value(row).try_to_string()?;
                each(row, hash(text.as_bytes(), SEED));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        // Of the reference implementation, seed 0.
        assert_eq!(hash(b"", 0), (0, 0));
        let text = b"The quick brown fox jumps over the lazy dog";
        assert_eq!(hash(text, 0), (0xe34b_bc7b_bc07_1b6c, 0x7a43_3ca9_c49a_9347));
        assert_eq!(hash(b"hello", 0), (0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19));
    }
}
