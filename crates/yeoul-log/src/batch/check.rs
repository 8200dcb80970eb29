//! Whether the records of a batch can be read: what its checksum does not say, for a producer may
//! have sealed garbage. The same rules as [`super::records`], without making anything of them.

use yeoul_base::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use super::records::ITEMS_MAX;
use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, RECORD_BYTES_MIN};

/// Checks that a whole batch unpacks within its budget, that its records fill it exactly, and that
/// their offsets follow one another from the first one on.
///
/// # Errors
/// The first that is wrong.
pub fn check_records(batch: &[u8]) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    let packed = batch.get(HEADER_BYTES..).unwrap_or_default();
    let unpacked;
    let plain = match header.codec() {
        Codec::None => packed,
        codec => {
            unpacked = codec.unpack(packed, BATCH_UNCOMPRESSED_BYTES_MAX)?;
            unpacked.as_slice()
        }
    };
    let count = usize::try_from(header.record_count).unwrap_or(0);
    if count > plain.len() / RECORD_BYTES_MIN {
        return Err(header.bad_count());
    }
    let mut items = 0;
    let mut rest = Input(plain);
    for index in 0..count {
        let bad = |what| BatchError::Record { index, what };
        items += record(&mut rest, index).map_err(bad)?;
        if items > ITEMS_MAX {
            return Err(BatchError::Items { limit: ITEMS_MAX });
        }
    }
    if rest.0.is_empty() {
        return Ok(());
    }
    let what = "is the last, but bytes follow";
    Err(BatchError::Record { index: count.saturating_sub(1), what })
}

/// Passes one record; how many items it is: itself and its headers.
fn record(rest: &mut Input<'_>, index: usize) -> Result<usize, &'static str> {
    let len = rest.number().ok_or("length is cut short")?;
    let len = usize::try_from(len).map_err(|_| "length is negative")?;
    let mut body = Input(rest.take(len).ok_or("ends beyond the batch")?);
    // Attributes: unused in version 2.
    body.take(1).ok_or("is empty")?;
    body.long().ok_or("timestamp is cut short")?;
    let offset_delta = body.number().ok_or("offset is cut short")?;
    if usize::try_from(offset_delta) != Ok(index) {
        return Err("offset does not follow the one before");
    }
    body.nullable()?;
    body.nullable()?;
    let headers = body.number().ok_or("header count is cut short")?;
    let headers = usize::try_from(headers).map_err(|_| "header count is negative")?;
    if headers > body.0.len() / 2 {
        return Err("has more headers than bytes");
    }
    for _ in 0..headers {
        if !body.nullable()? {
            return Err("header name is null");
        }
        body.nullable()?;
    }
    if body.0.is_empty() { Ok(1 + headers) } else { Err("has bytes after its last header") }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Passes a run of bytes behind its length; false: it is null.
    fn nullable(&mut self) -> Result<bool, &'static str> {
        let len = self.number().ok_or("a length is cut short")?;
        if len == -1 {
            return Ok(false);
        }
        let len = usize::try_from(len).map_err(|_| "a length is negative")?;
        self.take(len).ok_or("a length reaches beyond the record")?;
        Ok(true)
    }

    fn number(&mut self) -> Option<i32> {
        let folded = u32::try_from(self.unsigned(5)?).ok()?;
        Some(((folded >> 1) as i32) ^ -((folded & 1) as i32))
    }

    fn long(&mut self) -> Option<i64> {
        let folded = self.unsigned(10)?;
        Some(((folded >> 1) as i64) ^ -((folded & 1) as i64))
    }

    fn unsigned(&mut self, bytes_max: usize) -> Option<u64> {
        let mut value = 0u64;
        for (index, byte) in self.0.iter().take(bytes_max).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.take(index + 1)?;
                return Some(value);
            }
        }
        None
    }
}
