//! Control batches: the markers that end a transaction in a partition. One record each, not
//! compressed, written by the coordinator only; a producer's control batch is refused where it
//! arrives, and every marker is read before it is appended, so the log holds no other kind.

use bytes::Bytes;

use super::{
    ATTRIBUTE_CONTROL, ATTRIBUTE_TRANSACTIONAL, BatchBuilder, BatchError, BatchHeader, Codec,
    records,
};

/// Of a marker's key and of its value.
const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// The marker that ends a producer's transaction in one partition: all its records there become
/// visible to committed readers, or none.
#[must_use]
pub fn marker(
    producer_id: i64,
    producer_epoch: i16,
    commit: bool,
    coordinator_epoch: i32,
    timestamp_ms: i64,
) -> Bytes {
    let kind = if commit { COMMIT } else { ABORT };
    let key = [VERSION.to_be_bytes(), kind.to_be_bytes()].concat();
    let mut value = VERSION.to_be_bytes().to_vec();
    value.extend_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder = BatchBuilder::new(Codec::None);
    builder.attributes(ATTRIBUTE_TRANSACTIONAL | ATTRIBUTE_CONTROL);
    builder.producer(producer_id, producer_epoch, -1);
    builder.push(timestamp_ms, Some(&key), Some(&value), &[]);
    // A record was pushed, so there is a batch.
    builder.finish().unwrap_or_default()
}

/// Whether a control batch commits.
///
/// # Errors
/// One that is not a transaction's marker as [`marker`] makes it.
pub(crate) fn commits(batch: &Bytes) -> Result<bool, BatchError> {
    let bad = |what| BatchError::Record { index: 0, what };
    let header = BatchHeader::parse(batch)?;
    let plain = header.record_count == 1 && header.codec() == Codec::None;
    if !plain || !header.is_transactional() || !header.has_producer() || header.producer_epoch < 0 {
        return Err(bad("a control batch that does not end a transaction"));
    }
    let record = records(batch)?.next().ok_or(bad("is missing"))??;
    let key = record.key.unwrap_or_default();
    let field = |at: usize| key.get(at..at + 2)?.first_chunk::<2>().map(|b| i16::from_be_bytes(*b));
    match (field(0), field(2)) {
        (Some(0..), Some(ABORT)) => Ok(false),
        (Some(0..), Some(COMMIT)) => Ok(true),
        _ => Err(bad("a control record of an unknown kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::verify;

    /// Field by field as Kafka lays out an end transaction marker.
    #[test]
    fn golden_bytes_of_markers() -> Result<(), BatchError> {
        let bytes = marker(0x0102, 3, true, 5, 1_700_000_000_000);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "0000000000000000", // base offset
            "00000042",         // length: 49 + 17
            "ffffffff",         // leader epoch, not yet known
            "02",               // magic
            "CRC_____",
            "0030",             // transactional and control
            "00000000",         // last offset delta
            "0000018bcfe56800", // base timestamp
            "0000018bcfe56800", // largest timestamp
            "0000000000000102", // producer
            "0003",             // its epoch
            "ffffffff",         // no sequence
            "00000001",         // one record
            "20",               // 16 bytes
            "000000",           // attributes, two deltas
            "08",
            "00000001", // version 0, commit
            "0c",
            "000000000005", // version 0, coordinator epoch
            "00",           // no headers
        );
        let crc = format!("{:08x}", crc32c::crc32c(&bytes[21..]));
        assert_eq!(hex, golden.replace("CRC_____", &crc));
        assert_eq!(bytes.len(), 78);
        verify(&bytes, 78)?;
        assert!(commits(&bytes)?);
        let abort = marker(7, 0, false, -1, 0);
        verify(&abort, 78)?;
        assert!(!commits(&abort)?);
        Ok(())
    }

    #[test]
    fn what_is_no_marker_is_refused() {
        let with = |attributes: i16, key: &[u8], producer: i64, records: usize| {
            let mut builder = BatchBuilder::new(Codec::None);
            builder.attributes(attributes).producer(producer, 0, -1);
            (0..records).for_each(|_| builder.push(1, Some(key), Some(&[0; 6]), &[]));
            commits(&builder.finish().expect("a record"))
        };
        const BOTH: i16 = ATTRIBUTE_CONTROL | ATTRIBUTE_TRANSACTIONAL;
        assert_eq!(with(BOTH, &[0, 0, 0, 1], 1, 1), Ok(true));
        for (attributes, key, producer, records) in [
            (BOTH, &[0, 0, 0, 1][..], 1, 2),
            (BOTH, &[0, 0, 0, 1], -1, 1),
            (ATTRIBUTE_CONTROL, &[0, 0, 0, 1], 1, 1),
            (BOTH, &[0, 0, 0, 2], 1, 1),
            (BOTH, &[0x80, 0, 0, 1], 1, 1),
            (BOTH, &[0, 0, 0], 1, 1),
            (BOTH, &[], 1, 1),
        ] {
            assert!(with(attributes, key, producer, records).is_err(), "{key:?}");
        }
    }
}
