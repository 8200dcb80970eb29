//! The records inside a batch. Keys, values and headers are slices of the batch (or of what it
//! unpacked to), never copies; headers keep their order and their doubles.

use bytes::{Buf, Bytes};
use yeoul_base::Offset;
use yeoul_base::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, PREFIX_BYTES, RECORD_BYTES_MIN};

/// Records and headers one decoded batch may hold: what each takes in memory is many times the
/// few bytes it may take in the batch.
pub(super) const ITEMS_MAX: usize = 1 << 20;

const _: () = assert!(ITEMS_MAX * 128 <= 2 * BATCH_UNCOMPRESSED_BYTES_MAX);

/// One record as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Absolute: the batch's base offset is added.
    pub offset: Offset,
    /// The producer's time, or the broker's where the topic says so.
    pub timestamp_ms: i64,
    /// `None` is Kafka's null, which is not the empty key.
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// A record's header. Names may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// UTF-8 by Kafka's rules; not checked.
    pub name: Bytes,
    pub value: Option<Bytes>,
}

/// All records of one batch, in order.
///
/// # Errors
/// A batch that does not unpack within its budget, or whose records do not fill it exactly. The
/// checksum is not looked at: [`super::verify`] does.
pub fn decode(batch: &Bytes) -> Result<Vec<Record>, BatchError> {
    let records = records(batch)?;
    let mut out = Vec::with_capacity(records.left.min(ITEMS_MAX));
    for record in records {
        out.push(record?);
    }
    Ok(out)
}

/// Like [`decode`], one record at a time.
pub fn records(batch: &Bytes) -> Result<Records, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let size = header.size_bytes();
    if size > batch.len() {
        let declared = i64::from(header.length) + PREFIX_BYTES as i64;
        return Err(BatchError::Length { declared, have: batch.len() });
    }
    let packed = batch.slice(HEADER_BYTES..size);
    let rest = match header.codec() {
        Codec::None => packed,
        codec => Bytes::from(codec.unpack(&packed, BATCH_UNCOMPRESSED_BYTES_MAX)?),
    };
    let left = usize::try_from(header.record_count).unwrap_or(0);
    if left > rest.len() / RECORD_BYTES_MIN {
        return Err(header.bad_count());
    }
    if left > ITEMS_MAX {
        return Err(BatchError::Items { limit: ITEMS_MAX });
    }
    Ok(Records { header, rest, left, index: 0, items: 0 })
}

/// Iterates over a batch's records; ends after the first error.
#[derive(Debug)]
pub struct Records {
    header: BatchHeader,
    rest: Bytes,
    left: usize,
    index: usize,
    items: usize,
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let record = self.take_record();
        self.index += 1;
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl Records {
    fn take_record(&mut self) -> Result<Record, BatchError> {
        let index = self.index;
        let bad = |what| BatchError::Record { index, what };
        let len = varint(&mut self.rest).ok_or(bad("length is cut short"))?;
        let len = usize::try_from(len).map_err(|_| bad("length is negative"))?;
        if len > self.rest.len() {
            return Err(bad("ends beyond the batch"));
        }
        let mut body = self.rest.split_to(len);
        let record = self.parse_body(&mut body)?;
        if !body.is_empty() {
            return Err(bad("has bytes after its last header"));
        }
        if self.left == 0 && !self.rest.is_empty() {
            return Err(bad("is the last, but bytes follow"));
        }
        Ok(record)
    }

    fn parse_body(&mut self, body: &mut Bytes) -> Result<Record, BatchError> {
        let index = self.index;
        let bad = |what| BatchError::Record { index, what };
        if body.is_empty() {
            return Err(bad("is empty"));
        }
        body.advance(1); // attributes: unused in version 2
        let timestamp_delta = varlong(body).ok_or(bad("timestamp is cut short"))?;
        let offset_delta = varint(body).ok_or(bad("offset is cut short"))?;
        if offset_delta < 0 || offset_delta > self.header.last_offset_delta {
            return Err(bad("offset is outside the batch"));
        }
        let key = nullable(body).map_err(bad)?;
        let value = nullable(body).map_err(bad)?;
        let count = varint(body).ok_or(bad("header count is cut short"))?;
        let count = usize::try_from(count).map_err(|_| bad("header count is negative"))?;
        // A header takes two bytes at least: one for each length.
        if count > body.len() / 2 {
            return Err(bad("has more headers than bytes"));
        }
        self.items += 1 + count;
        if self.items > ITEMS_MAX {
            return Err(BatchError::Items { limit: ITEMS_MAX });
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let name = nullable(body).map_err(bad)?.ok_or(bad("header name is null"))?;
            headers.push(Header { name, value: nullable(body).map_err(bad)? });
        }
        let timestamp_ms = if self.header.is_log_append_time() {
            self.header.max_timestamp_ms
        } else {
            // Wraps as the builder's (and Java's) subtraction does.
            self.header.base_timestamp_ms.wrapping_add(timestamp_delta)
        };
        let offset = self.header.base_offset.saturating_add(i64::from(offset_delta));
        Ok(Record { offset, timestamp_ms, key, value, headers })
    }
}

/// A run of bytes behind its length; −1 is null.
fn nullable(body: &mut Bytes) -> Result<Option<Bytes>, &'static str> {
    let len = varint(body).ok_or("a length is cut short")?;
    if len == -1 {
        return Ok(None);
    }
    let len = usize::try_from(len).map_err(|_| "a length is negative")?;
    if len > body.len() {
        return Err("a length reaches beyond the record");
    }
    Ok(Some(body.split_to(len)))
}

fn varint(input: &mut Bytes) -> Option<i32> {
    let folded = u32::try_from(unsigned(input, 5)?).ok()?;
    Some(((folded >> 1) as i32) ^ -((folded & 1) as i32))
}

fn varlong(input: &mut Bytes) -> Option<i64> {
    let folded = unsigned(input, 10)?;
    Some(((folded >> 1) as i64) ^ -((folded & 1) as i64))
}

fn unsigned(input: &mut Bytes, bytes_max: usize) -> Option<u64> {
    let mut value = 0u64;
    for (index, byte) in input.iter().take(bytes_max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            input.advance(index + 1);
            return Some(value);
        }
    }
    None
}
