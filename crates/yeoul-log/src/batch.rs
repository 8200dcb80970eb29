//! Kafka's record batch, version 2 (`LogBatch`): the one form records have on the wire, in the
//! commit log and in log segments.
//!
//! A producer's batch is appended as it came: base offset and leader epoch lie outside its
//! checksum, so giving it offsets changes twelve bytes and nothing has to be decoded. Everything
//! here takes hostile input: lengths are compared with the bytes at hand before anything is
//! allocated, and decompression stops at a budget.

mod build;
mod check;
mod codec;
mod control;
mod records;
mod rewrite;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use thiserror::Error;
use yeoul_base::{Offset, StoreError};

pub use build::BatchBuilder;
pub use check::check_records;
pub use codec::Codec;
pub(crate) use control::commits;
pub use control::marker;
pub use records::{Header, Record, Records, decode, records};
pub(crate) use rewrite::rewrite;

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// Base offset and batch length, which the batch length does not count.
pub const PREFIX_BYTES: usize = 12;
/// The checksum covers everything from here to the end.
pub(crate) const CRC_FROM: usize = 21;
/// A record of nothing: length, attributes, two deltas, key, value, headers.
const RECORD_BYTES_MIN: usize = 7;

const ATTRIBUTE_CODEC: i16 = 0b111;
const ATTRIBUTE_LOG_APPEND_TIME: i16 = 1 << 3;
const ATTRIBUTE_TRANSACTIONAL: i16 = 1 << 4;
const ATTRIBUTE_CONTROL: i16 = 1 << 5;

/// Why bytes are not a usable batch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    #[error("{have} bytes, at least {need} are needed")]
    Short { have: usize, need: usize },
    #[error("says it has {declared} bytes, {have} are there")]
    Length { declared: i64, have: usize },
    #[error("format version {0}; only 2 is taken (Kafka 0.11 and newer)")]
    Magic(i8),
    #[error("checksum is {stored:#010x}, the bytes give {computed:#010x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("{count} records do not fit last offset delta {last_offset_delta}")]
    Count { count: i32, last_offset_delta: i32 },
    #[error("{bytes} bytes, at most {limit} are allowed")]
    TooLarge { bytes: usize, limit: usize },
    #[error("compression codec {0} is unknown")]
    Codec(u8),
    #[error("{codec:?} does not unpack: {what}")]
    Unpack { codec: Codec, what: String },
    #[error("unpacks to more than {limit} bytes")]
    Bomb { limit: usize },
    #[error("holds more than {limit} records and headers")]
    Items { limit: usize },
    #[error("record {index}: {what}")]
    Record { index: usize, what: &'static str },
    /// Kafka's clients never send it: sequences are what duplicates are known by.
    #[error("producer {producer_id} and sequence {sequence} do not go together{}",
        if *.transactional { " in a transaction" } else { "" })]
    Producer { producer_id: i64, sequence: i32, transactional: bool },
}

impl From<BatchError> for StoreError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::TooLarge { bytes, limit } => {
                Self::TooLarge { what: "a record batch", bytes, limit }
            }
            other => Self::BadBatch(other.to_string()),
        }
    }
}

/// The fields before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes of the batch after the length field; see [`BatchHeader::size_bytes`].
    pub length: i32,
    pub leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    /// −1: not from an idempotent producer.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the fields and checks those that can be wrong by themselves: version, length, codec
    /// and the relation of counts. The batch may go on after (or end before) its length.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let short = BatchError::Short { have: bytes.len(), need: HEADER_BYTES };
        let head = bytes.first_chunk::<HEADER_BYTES>().ok_or(short)?;
        let magic = i8::from_be_bytes(at(head, 16));
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let header = Self {
            base_offset: i64::from_be_bytes(at(head, 0)),
            length: i32::from_be_bytes(at(head, 8)),
            leader_epoch: i32::from_be_bytes(at(head, 12)),
            crc: u32::from_be_bytes(at(head, 17)),
            attributes: i16::from_be_bytes(at(head, 21)),
            last_offset_delta: i32::from_be_bytes(at(head, 23)),
            base_timestamp_ms: i64::from_be_bytes(at(head, 27)),
            max_timestamp_ms: i64::from_be_bytes(at(head, 35)),
            producer_id: i64::from_be_bytes(at(head, 43)),
            producer_epoch: i16::from_be_bytes(at(head, 51)),
            base_sequence: i32::from_be_bytes(at(head, 53)),
            record_count: i32::from_be_bytes(at(head, 57)),
        };
        if header.length < (HEADER_BYTES - PREFIX_BYTES) as i32 {
            let declared = i64::from(header.length) + PREFIX_BYTES as i64;
            return Err(BatchError::Length { declared, have: bytes.len() });
        }
        // Compaction (never a producer) leaves fewer records than offsets.
        if header.last_offset_delta < 0
            || header.record_count < 0
            || i64::from(header.record_count) > i64::from(header.last_offset_delta) + 1
        {
            return Err(header.bad_count());
        }
        Codec::from_attributes(header.attributes)?;
        Ok(header)
    }

    fn bad_count(&self) -> BatchError {
        BatchError::Count { count: self.record_count, last_offset_delta: self.last_offset_delta }
    }

    /// Bytes of the whole batch.
    pub fn size_bytes(&self) -> usize {
        // Not negative: `parse` refuses a length below the header's rest.
        usize::try_from(self.length).unwrap_or(0) + PREFIX_BYTES
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    pub fn codec(&self) -> Codec {
        // `parse` refuses unknown ones.
        Codec::from_attributes(self.attributes).unwrap_or(Codec::None)
    }

    /// Holds transaction markers, not records.
    pub fn is_control(&self) -> bool {
        self.attributes & ATTRIBUTE_CONTROL != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & ATTRIBUTE_TRANSACTIONAL != 0
    }

    /// All records carry the broker's time: the header's largest timestamp.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & ATTRIBUTE_LOG_APPEND_TIME != 0
    }

    /// From an idempotent or transactional producer.
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}

fn at<const N: usize>(head: &[u8; HEADER_BYTES], from: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(field) = head.get(from..from + N) {
        out.copy_from_slice(field);
    }
    out
}

/// Checks one whole batch as a producer may send it: exact length, version 2, CRC32C, and as many
/// records as offsets. Records are not looked at.
pub fn verify(batch: &[u8], limit_bytes: usize) -> Result<BatchHeader, BatchError> {
    if batch.len() > limit_bytes {
        return Err(BatchError::TooLarge { bytes: batch.len(), limit: limit_bytes });
    }
    let header = BatchHeader::parse(batch)?;
    if header.size_bytes() != batch.len() {
        let declared = i64::from(header.length) + PREFIX_BYTES as i64;
        return Err(BatchError::Length { declared, have: batch.len() });
    }
    check_crc(&header, batch)?;
    let count = usize::try_from(header.record_count).unwrap_or(0);
    let room = (batch.len() - HEADER_BYTES) / RECORD_BYTES_MIN;
    let too_many = header.codec() == Codec::None && count > room;
    if header.record_count != header.last_offset_delta.saturating_add(1) || too_many {
        return Err(header.bad_count());
    }
    check_producer(&header)?;
    Ok(header)
}

/// A producer's id needs a sequence where records follow, and a transaction a producer.
fn check_producer(header: &BatchHeader) -> Result<(), BatchError> {
    let BatchHeader { producer_id, base_sequence: sequence, .. } = *header;
    let transactional = header.is_transactional();
    let sound =
        if producer_id >= 0 { (sequence >= 0) != header.is_control() } else { !transactional };
    if sound { Ok(()) } else { Err(BatchError::Producer { producer_id, sequence, transactional }) }
}

/// Checks length and CRC32C only: what a batch that was stored once must still pass.
pub(crate) fn check_stored(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    if header.size_bytes() != batch.len() {
        let declared = i64::from(header.length) + PREFIX_BYTES as i64;
        return Err(BatchError::Length { declared, have: batch.len() });
    }
    check_crc(&header, batch)?;
    Ok(header)
}

fn check_crc(header: &BatchHeader, batch: &[u8]) -> Result<(), BatchError> {
    let computed = crc32c::crc32c(batch.get(CRC_FROM..).unwrap_or_default());
    if computed == header.crc {
        Ok(())
    } else {
        Err(BatchError::Checksum { stored: header.crc, computed })
    }
}

pub(crate) fn put<const N: usize>(batch: &mut [u8], from: usize, value: [u8; N]) {
    debug_assert!(batch.len() >= HEADER_BYTES, "not a batch");
    if let Some(field) = batch.get_mut(from..from + N) {
        field.copy_from_slice(&value);
    }
}

/// Gives a batch its place. Both fields lie outside the checksum.
pub(crate) fn place(batch: &mut [u8], base_offset: Offset, leader_epoch: i32) {
    put(batch, 0, base_offset.to_be_bytes());
    put(batch, 12, leader_epoch.to_be_bytes());
}

/// Gives all records of a batch the broker's time, as `message.timestamp.type=LogAppendTime` asks.
pub(crate) fn stamp(batch: &mut [u8], header: &BatchHeader, now_ms: i64) {
    put(batch, 21, (header.attributes | ATTRIBUTE_LOG_APPEND_TIME).to_be_bytes());
    put(batch, 35, now_ms.to_be_bytes());
    let crc = crc32c::crc32c(batch.get(CRC_FROM..).unwrap_or_default());
    put(batch, 17, crc.to_be_bytes());
}

/// The last offset of the last batch; `None` when there is none.
pub(crate) fn last_offset(pieces: &[Bytes]) -> Result<Option<Offset>, BatchError> {
    let mut last = None;
    for batch in pieces.iter().cloned().flat_map(split) {
        last = Some(BatchHeader::parse(&batch?)?.last_offset());
    }
    Ok(last)
}

/// Takes concatenated batches apart; ends after the first error.
pub fn split(bytes: Bytes) -> impl Iterator<Item = Result<Bytes, BatchError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = BatchHeader::parse(&rest).and_then(|header| {
            let size = header.size_bytes();
            if size > rest.len() {
                let declared = i64::from(header.length) + PREFIX_BYTES as i64;
                return Err(BatchError::Length { declared, have: rest.len() });
            }
            Ok(rest.split_to(size))
        });
        if cut.is_err() {
            rest.clear();
        }
        Some(cut)
    })
}
