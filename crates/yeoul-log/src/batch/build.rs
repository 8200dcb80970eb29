//! Makes batches out of records: for sources, streams, dead letters and the command line.

use bytes::Bytes;

use super::{CRC_FROM, Codec, HEADER_BYTES, Header, PREFIX_BYTES};

/// Gathers records into one batch with base offset 0 and no producer id.
///
/// ```
/// use yeoul_log::batch::{BatchBuilder, Codec, decode};
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"), &[]);
/// let batch = builder.finish().expect("one record");
/// assert_eq!(decode(&batch).expect("just built").len(), 1);
/// assert!(builder.finish().is_none());
/// ```
#[derive(Debug, Default)]
pub struct BatchBuilder {
    codec: Codec,
    records: Vec<u8>,
    count: i32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    producer: Option<(i64, i16, i32)>,
    extra_attributes: i16,
}

impl BatchBuilder {
    pub fn new(codec: Codec) -> Self {
        Self { codec, ..Self::default() }
    }

    /// Marks the next batch as an idempotent producer's: its id, its epoch, and the sequence of
    /// the first record. Forgotten by [`BatchBuilder::finish`].
    pub fn producer(&mut self, id: i64, epoch: i16, base_sequence: i32) -> &mut Self {
        self.producer = Some((id, epoch, base_sequence));
        self
    }

    /// Marks the next batch as part of its producer's transaction. Forgotten by
    /// [`BatchBuilder::finish`].
    pub fn transactional(&mut self) -> &mut Self {
        self.attributes(super::ATTRIBUTE_TRANSACTIONAL)
    }

    /// Adds a record. `None` is null, which differs from empty.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        if self.count == 0 {
            self.base_timestamp_ms = timestamp_ms;
            self.max_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        let mut len = 1 + size(timestamp_delta) + size(i64::from(self.count));
        len += run_size(key) + run_size(value) + size(headers.len() as i64);
        for header in headers {
            len += run_size(Some(&header.name)) + run_size(header.value.as_deref());
        }
        let out = &mut self.records;
        out.reserve(len + 5);
        signed(out, len as i64);
        out.push(0);
        signed(out, timestamp_delta);
        signed(out, i64::from(self.count));
        run(out, key);
        run(out, value);
        signed(out, headers.len() as i64);
        for header in headers {
            run(out, Some(&header.name));
            run(out, header.value.as_deref());
        }
        self.count += 1;
    }

    /// Bytes of the batch as it stands, before packing.
    pub fn len_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Records so far.
    pub fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch, and the builder is empty again; `None` when nothing was pushed.
    pub fn finish(&mut self) -> Option<Bytes> {
        let count = std::mem::take(&mut self.count);
        let plain = std::mem::take(&mut self.records);
        let producer = self.producer.take();
        let extra_attributes = std::mem::take(&mut self.extra_attributes);
        if count == 0 {
            return None;
        }
        // A codec that fails (or does not help) leaves the records as they are: still a batch.
        let packed = match self.codec {
            Codec::None => None,
            codec => codec.pack(&plain).filter(|packed| packed.len() < plain.len()),
        };
        let codec = if packed.is_some() { self.codec } else { Codec::None };
        let records = packed.unwrap_or(plain);
        let (producer_id, epoch, sequence) = producer.unwrap_or((-1, -1, -1));
        let attributes = codec as i16 | extra_attributes;

        let mut out = Vec::with_capacity(HEADER_BYTES + records.len());
        let length = (HEADER_BYTES - PREFIX_BYTES + records.len()) as i32;
        out.extend_from_slice(&0i64.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&(-1i32).to_be_bytes());
        out.push(2);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&attributes.to_be_bytes());
        out.extend_from_slice(&(count - 1).to_be_bytes());
        out.extend_from_slice(&self.base_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&producer_id.to_be_bytes());
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        debug_assert_eq!(out.len(), HEADER_BYTES);
        out.extend_from_slice(&records);
        let crc = crc32c::crc32c(out.get(CRC_FROM..).unwrap_or_default());
        super::put(&mut out, 17, crc.to_be_bytes());
        Some(Bytes::from(out))
    }

    pub(crate) fn attributes(&mut self, attributes: i16) -> &mut Self {
        self.extra_attributes = attributes;
        self
    }
}

fn fold(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn size(value: i64) -> usize {
    // Seven bits a byte, at least one byte.
    (64 - (fold(value) | 1).leading_zeros() as usize).div_ceil(7)
}

fn run_size(value: Option<&[u8]>) -> usize {
    value.map_or(size(-1), |value| size(value.len() as i64) + value.len())
}

pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    let mut folded = fold(value);
    while folded >= 0x80 {
        out.push((folded as u8 & 0x7f) | 0x80);
        folded >>= 7;
    }
    out.push(folded as u8);
}

pub(super) fn run(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => signed(out, -1),
        Some(value) => {
            signed(out, value.len() as i64);
            out.extend_from_slice(value);
        }
    }
}
