//! What a topic asks of the records in a batch, not only of the batch: keys where it is
//! compacted, and times within its bounds. Runs on the caller's thread, and only for topics that
//! ask, because it has to unpack.

use bytes::Bytes;
use yeoul_base::StoreError;

use crate::batch::{self, BatchHeader};
use crate::topics::PartConfig;

/// # Errors
/// [`StoreError::InvalidRecord`], [`StoreError::InvalidTimestamp`], or
/// [`StoreError::BadBatch`] when the records do not decode.
pub(crate) fn check(
    batch: &Bytes,
    header: &BatchHeader,
    config: &PartConfig,
    now_ms: i64,
) -> Result<(), StoreError> {
    let limit = |ms: Option<u64>| ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let before = limit(config.timestamp_before_max_ms).map(|ms| now_ms.saturating_sub(ms));
    let after = limit(config.timestamp_after_max_ms).map(|ms| now_ms.saturating_add(ms));
    let timed = !config.log_append_time && (before.is_some() || after.is_some());
    if header.is_control() || !(config.compact || timed) {
        return Ok(());
    }
    for (index, record) in batch::records(batch)?.enumerate() {
        let record = record?;
        if config.compact && record.key.is_none() {
            let what = format!("record {index} has no key; its topic is compacted by key");
            return Err(StoreError::InvalidRecord(what));
        }
        let time_ms = record.timestamp_ms;
        let early = before.is_some_and(|least| time_ms < least);
        let late = after.is_some_and(|most| time_ms > most);
        if timed && (early || late) {
            let bound = if early {
                "message.timestamp.before.max.ms"
            } else {
                "message.timestamp.after.max.ms"
            };
            return Err(StoreError::InvalidTimestamp(format!(
                "record {index} is dated {time_ms} ms since 1970, outside the topic's {bound}"
            )));
        }
    }
    Ok(())
}
