//! Small helpers the tests share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{
    Append, Commit, Isolation, ManualClock, NewTopic, PartId, RealDisk, SeededRand, Store,
    StoreError,
};
use yeoul_log::{BatchBuilder, Codec, Log, LogError, LogOptions, PartitionReader, Recovered};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// Sizes so small that a few commits reach every corner.
pub(crate) fn tiny() -> LogOptions {
    LogOptions {
        slot_bytes: [16 << 10; 3],
        group_bytes: 16 << 10,
        checkpoint_bytes: 1 << 30,
        hot_bytes: 0,
        reserve_bytes: 0,
        split_bytes: 0,
        unsplit_bytes: 64 << 10,
        segment_bytes: 4 << 10,
        inline: true,
        ..LogOptions::default()
    }
}

pub(crate) fn open_real(root: &Path, options: LogOptions) -> Result<(Log, Recovered), LogError> {
    let disk = RealDisk::new(root).expect("a folder");
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    Log::open(Arc::new(disk), clock, Arc::new(SeededRand::new(7)), options)
}

pub(crate) fn topic(
    store: &dyn Store,
    name: &str,
    config: &[(&str, &str)],
) -> Result<PartId, StoreError> {
    let config: BTreeMap<_, _> =
        config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let made = store.create_topic(NewTopic { name: name.into(), partitions: 1, config })?;
    Ok(made.partitions[0])
}

pub(crate) fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for value in values {
        builder.push(NOW_MS, None, Some(value.as_bytes()), &[]);
    }
    builder.finish().expect("values")
}

pub(crate) fn append(part: PartId, values: &[&str]) -> Commit {
    Commit { appends: vec![Append { part, batch: batch(values) }], ..Commit::default() }
}

/// Offsets that cannot be read.
pub(crate) type LostRanges = Vec<(i64, i64)>;

/// All values of a partition with their offsets, and the ranges between them that are lost.
pub(crate) fn values_and_lost(
    store: Arc<dyn Store>,
    part: PartId,
) -> Result<(Vec<(i64, String)>, LostRanges), StoreError> {
    let from = store.ends(part).ok_or(StoreError::UnknownPartition(part))?.start;
    let mut reader = PartitionReader::new(store, part, from, Isolation::Committed);
    let (mut out, mut lost) = (Vec::new(), Vec::new());
    loop {
        match reader.next(1 << 16) {
            Ok(records) if records.is_empty() => return Ok((out, lost)),
            Ok(records) => out.extend(records.into_iter().map(|record| {
                let value = record.value.unwrap_or_default();
                (record.offset, String::from_utf8_lossy(&value).into_owned())
            })),
            Err(StoreError::Quarantined { .. }) => lost.extend(reader.skip_lost()),
            Err(error) => return Err(error),
        }
    }
}

/// All values of a partition from its start.
pub(crate) fn values(store: Arc<dyn Store>, part: PartId) -> Result<Vec<String>, StoreError> {
    let from = store.ends(part).ok_or(StoreError::UnknownPartition(part))?.start;
    let records = records_from(store, part, from, 1 << 16, Isolation::Committed)?;
    Ok(records.into_iter().map(|(_, value)| value).collect())
}

/// All values from an offset on with their offsets, read in pieces of about so many bytes.
pub(crate) fn records_from(
    store: Arc<dyn Store>,
    part: PartId,
    from: i64,
    max_bytes: usize,
    isolation: Isolation,
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut reader = PartitionReader::new(store, part, from, isolation);
    let mut out = Vec::new();
    loop {
        let records = reader.next(max_bytes)?;
        if records.is_empty() {
            return Ok(out);
        }
        for record in records {
            let value = record.value.unwrap_or_default();
            out.push((record.offset, String::from_utf8_lossy(&value).into_owned()));
        }
    }
}
