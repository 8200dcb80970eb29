//! HLL sketches with the bytes of Apache DataSketches: all three widths are read, eight-bit
//! registers are written.
//!
//! A sketch keeps its distinct coupons (26 bits of address, 6 of value) until there are so many
//! that 2^lg_k registers are smaller. Which form it has follows from the coupons alone and the
//! estimate is always the one that needs no history, so merges in any order give the same bytes
//! and the same number. Registers of foreign bytes are unpacked and checked here; the library
//! only ever sees images made by this file, and is asked for the estimate.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use datasketches::common::NumStdDev;
use datasketches::hll::HllSketch;

use crate::distinct::Distinct;
use crate::error::AggError;
use crate::hash;
use crate::read::Bytes;
use crate::sketch::Sketch;

const SERIAL_VERSION: u8 = 1;
const FAMILY_HLL: u8 = 7;
const EMPTY: u8 = 4;
const COMPACT: u8 = 8;
const OUT_OF_ORDER: u8 = 16;
const MODE_LIST: u8 = 0;
const MODE_SET: u8 = 1;
const MODE_HLL: u8 = 2;
const HLL_4: u8 = 0;
const HLL_6: u8 = 1;
const HLL_8: u8 = 2;
const ADDRESS_BITS: u32 = 26;
const ADDRESS_MASK: u32 = (1 << ADDRESS_BITS) - 1;
/// Coupons of a list; more are a set.
const LIST_MAX: usize = 8;
const LG_SET_MIN: u8 = 5;

#[derive(Debug, Clone)]
enum Body {
    Coupons(Distinct<u32>),
    Registers(Box<[u8]>),
}

#[derive(Debug, Clone)]
pub(crate) struct Hll {
    lg_k: u8,
    body: Body,
}

fn raise(registers: &mut [u8], coupon: u32) {
    let slot = (coupon & ADDRESS_MASK) as usize & (registers.len() - 1);
    let value = (coupon >> ADDRESS_BITS) as u8;
    if let Some(register) = registers.get_mut(slot) {
        *register = (*register).max(value);
    }
}

/// The registers of a smaller sketch, each the largest of those that fall on it.
fn fold(registers: &[u8], lg_k: u8) -> Box<[u8]> {
    let mut folded = vec![0; 1 << lg_k].into_boxed_slice();
    for part in registers.chunks(1 << lg_k) {
        for (to, from) in folded.iter_mut().zip(part) {
            *to = (*to).max(*from);
        }
    }
    folded
}

impl Hll {
    pub(crate) fn new(lg_k: u8) -> Self {
        Self { lg_k, body: Body::Coupons(Distinct::default()) }
    }

    fn settle(&mut self) {
        if let Body::Coupons(coupons) = &mut self.body {
            coupons.settle();
            let count = coupons.items().len();
            let dense = match self.lg_k {
                ..8 => count >= LIST_MAX,
                lg_k => 4 * count > 3 << (lg_k - 3),
            };
            if dense {
                let mut registers = vec![0; 1 << self.lg_k].into_boxed_slice();
                coupons.items().iter().for_each(|coupon| raise(&mut registers, *coupon));
                self.body = Body::Registers(registers);
            }
        }
    }

    fn add(&mut self, coupon: u32) {
        match &mut self.body {
            Body::Registers(registers) => raise(registers, coupon),
            Body::Coupons(coupons) => {
                if coupons.push(coupon) {
                    self.settle();
                }
            }
        }
    }

    /// Reads bytes of any width and form.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, AggError> {
        let mut input = Bytes::new("an HLL sketch", bytes);
        let _preamble = input.u8()?;
        let version = input.u8()?;
        let family = input.u8()?;
        let lg_k = input.u8()?;
        let lg_array = input.u8()?;
        let flags = input.u8()?;
        let state = input.u8()?;
        let mode = input.u8()?;
        if version != SERIAL_VERSION || family != FAMILY_HLL || !(4..=21).contains(&lg_k) {
            return Err(input.refuse(format!("version {version}, family {family}, lg_k {lg_k}")));
        }
        let compact = flags & COMPACT != 0;
        let coupons = match mode & 3 {
            MODE_LIST if flags & EMPTY != 0 => Vec::new(),
            MODE_LIST => {
                let count = if compact { usize::from(state) } else { LIST_MAX };
                if count > LIST_MAX {
                    return Err(input.refuse(format!("a list of {count}")));
                }
                input.u32s(count)?
            }
            MODE_SET => {
                let count = input.u32()? as usize;
                if !(LG_SET_MIN..=21).contains(&lg_array) || count > 1 << lg_array {
                    return Err(input.refuse(format!("a set of {count} of 2^{lg_array}")));
                }
                input.u32s(if compact { count } else { 1 << lg_array })?
            }
            MODE_HLL => {
                let body = Body::Registers(read_registers(
                    &mut input, mode, lg_k, lg_array, flags, state,
                )?);
                return Ok(Self { lg_k, body });
            }
            other => return Err(input.refuse(format!("mode {other}"))),
        };
        let used = coupons.into_iter().filter(|coupon| *coupon != 0).collect();
        let mut read = Self { lg_k, body: Body::Coupons(Distinct::from_items(used)) };
        read.settle();
        Ok(read)
    }

    pub(crate) fn union(&mut self, other: Self) {
        match other.body {
            Body::Coupons(coupons) => coupons.items().iter().for_each(|coupon| self.add(*coupon)),
            Body::Registers(theirs) => {
                // The smaller number of registers is all that both can tell.
                let lg_k = self.lg_k.min(other.lg_k);
                let mut registers = fold(&theirs, lg_k);
                match &self.body {
                    Body::Coupons(coupons) => {
                        coupons.items().iter().for_each(|coupon| raise(&mut registers, *coupon));
                    }
                    Body::Registers(ours) => {
                        for (to, from) in registers.iter_mut().zip(fold(ours, lg_k)) {
                            *to = (*to).max(from);
                        }
                    }
                }
                *self = Self { lg_k, body: Body::Registers(registers) };
            }
        }
    }

    /// How many distinct values came, about.
    pub(crate) fn estimate(&mut self) -> Result<f64, AggError> {
        Ok(self.image()?.composite_estimate())
    }

    /// Lower bound, estimate, upper bound at one to three standard deviations.
    pub(crate) fn bounds(&mut self, deviations: NumStdDev) -> Result<[f64; 3], AggError> {
        let image = self.image()?;
        let estimate = image.composite_estimate();
        Ok([image.lower_bound(deviations), estimate, image.upper_bound(deviations)])
    }

    fn image(&mut self) -> Result<HllSketch, AggError> {
        HllSketch::deserialize(&self.to_bytes())
            .map_err(|error| AggError::Sketch { sketch: "an HLL sketch", what: error.to_string() })
    }

    fn coupon_bytes(lg_k: u8, coupons: &[u32]) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + 4 * coupons.len());
        let count = coupons.len();
        if count < LIST_MAX {
            let empty = if count == 0 { EMPTY } else { 0 };
            let mode = (HLL_8 << 2) | MODE_LIST;
            out.extend([2, SERIAL_VERSION, FAMILY_HLL, lg_k, 3, COMPACT | empty]);
            out.extend([count as u8, mode]);
        } else {
            // The smallest table that is at most three quarters full.
            let mut lg_array = LG_SET_MIN;
            while 4 * count > 3 << lg_array {
                lg_array += 1;
            }
            let mode = (HLL_8 << 2) | MODE_SET;
            out.extend([3, SERIAL_VERSION, FAMILY_HLL, lg_k, lg_array, COMPACT, 0, mode]);
            out.extend((count as u32).to_le_bytes());
        }
        coupons.iter().for_each(|coupon| out.extend(coupon.to_le_bytes()));
        out
    }

    fn register_bytes(lg_k: u8, registers: &[u8]) -> Vec<u8> {
        // Sums of powers of two that fit a double's digits: the same in any order.
        let (mut low, mut high, mut zeros) = (0.0, 0.0, 0_u32);
        for register in registers {
            let weight = f64::exp2(-f64::from(*register));
            let sum = if *register < 32 { &mut low } else { &mut high };
            *sum += weight;
            zeros += u32::from(*register == 0);
        }
        let mode = (HLL_8 << 2) | MODE_HLL;
        let mut out = Vec::with_capacity(40 + registers.len());
        out.extend([10, SERIAL_VERSION, FAMILY_HLL, lg_k, 0, COMPACT | OUT_OF_ORDER, 0, mode]);
        for number in [0.0_f64, low, high] {
            out.extend(number.to_le_bytes());
        }
        out.extend(zeros.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        out.extend(registers);
        out
    }
}

/// The registers of an image, one byte each, whatever their width there.
fn read_registers(
    input: &mut Bytes<'_>,
    mode: u8,
    lg_k: u8,
    lg_array: u8,
    flags: u8,
    smallest: u8,
) -> Result<Box<[u8]>, AggError> {
    // Sums and the number of zeros: computed again from the registers.
    input.take(28)?;
    let exceptions = input.u32()? as usize;
    let count = 1_usize << lg_k;
    let registers: Box<[u8]> = match (mode >> 2) & 3 {
        HLL_8 => input.take(count)?.into(),
        HLL_6 => {
            let bytes = input.take(count / 4 * 3)?;
            let word = |at: usize| u16::from(bytes.get(at).copied().unwrap_or(0));
            (0..count)
                .map(|slot| {
                    let (at, shift) = (slot * 6 / 8, slot * 6 % 8);
                    (((word(at) | (word(at + 1) << 8)) >> shift) & 0x3f) as u8
                })
                .collect()
        }
        HLL_4 => {
            let halves = input.take(count / 2)?.iter().flat_map(|byte| [byte & 15, byte >> 4]);
            let mut registers: Box<[u8]> =
                halves.map(|half| half.saturating_add(smallest)).collect();
            if flags & COMPACT == 0 && lg_array > 21 {
                return Err(input.refuse("too many exceptions"));
            }
            let exceptions =
                if flags & COMPACT != 0 || exceptions == 0 { exceptions } else { 1 << lg_array };
            for coupon in input.u32s(exceptions)?.into_iter().filter(|coupon| *coupon != 0) {
                if let Some(register) =
                    registers.get_mut((coupon & ADDRESS_MASK) as usize & (count - 1))
                {
                    *register = (coupon >> ADDRESS_BITS) as u8;
                }
            }
            registers
        }
        other => return Err(input.refuse(format!("width {other}"))),
    };
    if registers.iter().any(|register| *register > 63) {
        return Err(input.refuse("a register above 63"));
    }
    Ok(registers)
}

impl Sketch for Hll {
    const NAME: &'static str = "hll";
    type Item = u32;

    fn items(values: &ArrayRef, mut each: impl FnMut(usize, u32)) -> Result<(), AggError> {
        hash::each(values, |row, (address, zeros)| {
            let value = zeros.leading_zeros().min(62) + 1;
            each(row, (value << ADDRESS_BITS) | (address as u32 & ADDRESS_MASK));
        })
    }

    fn offer(&mut self, coupon: u32) {
        self.add(coupon);
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), AggError> {
        self.union(Self::read(bytes)?);
        Ok(())
    }

    fn to_bytes(&mut self) -> Vec<u8> {
        self.settle();
        match &self.body {
            Body::Coupons(coupons) => Self::coupon_bytes(self.lg_k, coupons.items()),
            Body::Registers(registers) => Self::register_bytes(self.lg_k, registers),
        }
    }

    fn finish(sketches: &mut [Self]) -> Result<ArrayRef, AggError> {
        let counts = sketches
            .iter_mut()
            .map(|sketch| Ok(Some(sketch.estimate()?.round() as i64)))
            .collect::<Result<Int64Array, AggError>>()?;
        Ok(Arc::new(counts))
    }

    fn heap(&self) -> usize {
        match &self.body {
            Body::Coupons(coupons) => coupons.heap(),
            Body::Registers(registers) => registers.len(),
        }
    }
}
