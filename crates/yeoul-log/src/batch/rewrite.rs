//! A batch with fewer records than it came with: what compaction leaves. Its offsets, producer and
//! sequence stay, so that a reader and a producer see the same batch with gaps.
//!
//! Where something in it is to be dropped later (a key's deletion, a transaction's marker), the
//! batch says from when on: attribute bit 6 is set and its base timestamp is that time, as in
//! Kafka. Records' times count from the base timestamp either way.

use bytes::Bytes;

use super::build::{run, signed};
use super::{BatchHeader, CRC_FROM, Codec, HEADER_BYTES, PREFIX_BYTES, Record, put};

/// The base timestamp says when deletions and markers may go.
const ATTRIBUTE_DELETE_HORIZON: i16 = 1 << 6;

impl BatchHeader {
    /// When deletions and markers in this batch may go, in milliseconds since 1970. Only to be
    /// believed of a batch that compaction wrote.
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & ATTRIBUTE_DELETE_HORIZON != 0).then_some(self.base_timestamp_ms)
    }
}

/// The batch of that header with these of its records, perhaps none.
pub(crate) fn rewrite(header: &BatchHeader, kept: &[Record], horizon_ms: Option<i64>) -> Bytes {
    let stamped = header.is_log_append_time();
    let first_ms = kept.first().filter(|_| !stamped).map(|record| record.timestamp_ms);
    let base_ms = horizon_ms.or(first_ms).unwrap_or(header.base_timestamp_ms);
    let newest_ms = kept.iter().map(|record| record.timestamp_ms).max();
    let newest_ms = newest_ms.filter(|_| !stamped).unwrap_or(header.max_timestamp_ms);

    let mut plain = Vec::new();
    let mut body = Vec::new();
    for record in kept {
        // All records of a stamped batch have the header's time, whatever they say themselves.
        let delta_ms = if stamped { 0 } else { record.timestamp_ms.wrapping_sub(base_ms) };
        body.clear();
        body.push(0);
        signed(&mut body, delta_ms);
        signed(&mut body, record.offset - header.base_offset);
        run(&mut body, record.key.as_deref());
        run(&mut body, record.value.as_deref());
        signed(&mut body, record.headers.len() as i64);
        for header in &record.headers {
            run(&mut body, Some(&header.name));
            run(&mut body, header.value.as_deref());
        }
        signed(&mut plain, body.len() as i64);
        plain.extend_from_slice(&body);
    }
    let packed = match header.codec() {
        _ if kept.is_empty() => None,
        Codec::None => None,
        codec => codec.pack(&plain).filter(|packed| packed.len() < plain.len()),
    };
    let codec = if packed.is_some() { header.codec() } else { Codec::None };
    let records = packed.unwrap_or(plain);

    let mut attributes = header.attributes & !super::ATTRIBUTE_CODEC & !ATTRIBUTE_DELETE_HORIZON;
    attributes |= codec as i16;
    if horizon_ms.is_some() {
        attributes |= ATTRIBUTE_DELETE_HORIZON;
    }
    let length = i32::try_from(HEADER_BYTES - PREFIX_BYTES + records.len()).unwrap_or(i32::MAX);
    let count = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    let mut out = Vec::with_capacity(HEADER_BYTES + records.len());
    out.extend_from_slice(&header.base_offset.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&header.leader_epoch.to_be_bytes());
    out.push(2);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&attributes.to_be_bytes());
    out.extend_from_slice(&header.last_offset_delta.to_be_bytes());
    out.extend_from_slice(&base_ms.to_be_bytes());
    out.extend_from_slice(&newest_ms.to_be_bytes());
    out.extend_from_slice(&header.producer_id.to_be_bytes());
    out.extend_from_slice(&header.producer_epoch.to_be_bytes());
    out.extend_from_slice(&header.base_sequence.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    debug_assert_eq!(out.len(), HEADER_BYTES);
    out.extend_from_slice(&records);
    let crc = crc32c::crc32c(out.get(CRC_FROM..).unwrap_or_default());
    put(&mut out, 17, crc.to_be_bytes());
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{self, BatchBuilder, BatchError, Header};

    fn sample(codec: Codec) -> Bytes {
        let mut builder = BatchBuilder::new(codec);
        builder.producer(9, 3, 40);
        for n in 0..6i64 {
            let headers = [Header { name: Bytes::from_static(b"h"), value: None }];
            let value = vec![b'v'; 50];
            builder.push(1_000 - n * 7, Some(b"key"), (n != 2).then_some(&value), &headers);
        }
        let mut batch = builder.finish().expect("records").to_vec();
        batch::place(&mut batch, 100, 7);
        Bytes::from(batch)
    }

    #[test]
    fn what_is_kept_reads_as_before() -> Result<(), BatchError> {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            for horizon_ms in [None, Some(5_000_000_000)] {
                let batch = sample(codec);
                let header = BatchHeader::parse(&batch)?;
                let kept: Vec<_> = batch::decode(&batch)?.into_iter().skip(1).step_by(2).collect();
                let less = rewrite(&header, &kept, horizon_ms);
                let after = batch::check_stored(&less)?;
                assert_eq!(batch::decode(&less)?, kept);
                assert_eq!((after.base_offset, after.last_offset()), (100, 105));
                assert_eq!((after.producer_id, after.base_sequence), (9, 40));
                assert_eq!((after.leader_epoch, after.record_count), (7, 3));
                assert_eq!(after.max_timestamp_ms, 993);
                assert_eq!(after.delete_horizon_ms(), horizon_ms);
                // Once more: the horizon goes with what it was for.
                let last = rewrite(&after, &kept[..1], None);
                assert_eq!(batch::decode(&last)?, kept[..1]);
                assert_eq!(batch::check_stored(&last)?.delete_horizon_ms(), None);
            }
        }
        Ok(())
    }

    #[test]
    fn a_batch_may_be_left_with_its_offsets_only() -> Result<(), BatchError> {
        let header = BatchHeader::parse(&sample(Codec::Zstd))?;
        let empty = rewrite(&header, &[], None);
        assert_eq!(empty.len(), HEADER_BYTES);
        let after = batch::check_stored(&empty)?;
        assert_eq!((after.last_offset(), after.record_count), (105, 0));
        assert_eq!(batch::decode(&empty)?, []);
        Ok(())
    }

    #[test]
    fn stamped_batches_keep_the_nodes_time() -> Result<(), BatchError> {
        let mut batch = sample(Codec::None).to_vec();
        let header = BatchHeader::parse(&batch)?;
        batch::stamp(&mut batch, &header, 77_000);
        let batch = Bytes::from(batch);
        let kept = batch::decode(&batch)?;
        let less = rewrite(&BatchHeader::parse(&batch)?, &kept[2..3], Some(90_000));
        let records = batch::decode(&less)?;
        assert_eq!(records[0].timestamp_ms, 77_000);
        Ok(())
    }
}
