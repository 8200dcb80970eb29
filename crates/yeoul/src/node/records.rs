//! Records of a topic as people read them: a page of them, or those that keep coming.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use tokio::sync::mpsc;
use yeoul_base::store::Watched;
use yeoul_base::{Isolation, Offset, PartId, Store, StoreError, TopicInfo};
use yeoul_log::batch::Record;
use yeoul_log::reader::PartitionReader;
use yeoul_web::dto::{Encoding, From, RecordDto, Records, RecordsQuery};
use yeoul_web::{ApiError, RECORDS_LIMIT_MAX, TAIL_BATCHES_MAX, Tail, TailBatch};

/// What one read takes from a partition.
const READ_BYTES_MAX: usize = 1 << 20;
/// A page that is looked at gets new records at most this often …
const TAIL_EVERY: Duration = Duration::from_millis(100);
/// … and at most this many at a time.
const TAIL_RECORDS_MAX: usize = 500;

fn refused(error: StoreError) -> ApiError {
    ApiError::internal(error.to_string())
}

pub(crate) fn find(store: &dyn Store, topic: &str) -> Result<Arc<TopicInfo>, ApiError> {
    store
        .topics()
        .get(topic)
        .cloned()
        .ok_or_else(|| ApiError::not_found(format!("there is no topic `{topic}`")))
}

/// Reads one page. Records of several partitions are put in the order of their time.
pub(crate) fn page(
    store: &Arc<dyn Store>,
    topic: &str,
    query: &RecordsQuery,
) -> Result<Records, ApiError> {
    let topic = find(store.as_ref(), topic)?;
    let limit = query.limit.clamp(1, RECORDS_LIMIT_MAX);
    let mut records = Vec::new();
    for (number, part) in topic.partitions.iter().enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        if query.partition.is_some_and(|wanted| wanted != number) {
            continue;
        }
        let Some(ends) = store.ends(*part) else { continue };
        let from = match query.from {
            From::Earliest => ends.start,
            // Beyond the stable end are records that may yet be aborted.
            From::Latest => (ends.stable - to_offset(limit)).max(ends.start),
            From::Offset(offset) => offset.clamp(ends.start, ends.stable.max(ends.start)),
        };
        let read = read_from(store, *part, from, limit).map_err(refused)?;
        records.extend(read.into_iter().map(|record| show(number, record)));
    }
    records.sort_by_key(|record| (record.timestamp_ms, record.partition, record.offset));
    if records.len() > limit {
        match query.from {
            From::Latest => records.drain(..records.len() - limit).for_each(drop),
            From::Earliest | From::Offset(_) => records.truncate(limit),
        }
    }
    Ok(Records { records })
}

fn to_offset(count: usize) -> Offset {
    Offset::try_from(count).unwrap_or(Offset::MAX)
}

pub(crate) fn read_from(
    store: &Arc<dyn Store>,
    part: PartId,
    from: Offset,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut reader = PartitionReader::new(Arc::clone(store), part, from, Isolation::Committed);
    let mut records = Vec::new();
    while records.len() < limit {
        let more = reader.next(READ_BYTES_MAX)?;
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    records.truncate(limit);
    Ok(records)
}

pub(crate) fn show(partition: u32, record: Record) -> RecordDto {
    let is_text = |bytes: &Option<Bytes>| {
        bytes.as_ref().is_none_or(|bytes| std::str::from_utf8(bytes).is_ok())
    };
    let text = is_text(&record.key) && is_text(&record.value);
    let render = |bytes: Option<Bytes>| {
        bytes.map(|bytes| match String::from_utf8(bytes.to_vec()) {
            Ok(utf8) if text => utf8,
            _ => BASE64.encode(bytes),
        })
    };
    let headers = record
        .headers
        .into_iter()
        .map(|header| {
            let name = String::from_utf8_lossy(&header.name).into_owned();
            let value = header.value.map(|value| String::from_utf8_lossy(&value).into_owned());
            (name, value)
        })
        .collect();
    RecordDto {
        partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: render(record.key),
        value: render(record.value),
        encoding: if text { Encoding::Utf8 } else { Encoding::Base64 },
        headers,
    }
}

/// The last `limit` records, then new ones as they become durable, until the receiver is gone.
pub(crate) fn tail(store: Arc<dyn Store>, topic: &str, limit: usize) -> Result<Tail, ApiError> {
    let topic = find(store.as_ref(), topic)?;
    let query = RecordsQuery { from: From::Latest, partition: None, limit };
    let mut places: Vec<_> = topic
        .partitions
        .iter()
        .map(|part| (*part, store.ends(*part).unwrap_or_default().stable))
        .collect();
    let first = page(&store, &topic.name, &query)?;
    let (send, receive) = mpsc::channel(TAIL_BATCHES_MAX);
    let first = TailBatch { records: first.records, skipped: 0 };
    send.try_send(first).map_err(|_| ApiError::internal("the tail closed at once"))?;
    tokio::spawn(async move {
        let moved = Arc::new(tokio::sync::Notify::new());
        let woken = Arc::clone(&moved);
        let watch = store.watch(Watched::Everything, Arc::new(move || woken.notify_one()));
        let mut missed = 0;
        loop {
            tokio::select! {
                () = moved.notified() => {}
                () = send.closed() => break,
            }
            let Some(batch) = gather(&store, &mut places, limit) else { continue };
            let count = batch.records.len() as u64;
            let batch = TailBatch { skipped: batch.skipped + missed, ..batch };
            // A page that does not keep up is told how many it missed, and gets the next ones.
            missed = match send.try_send(batch) {
                Ok(()) => 0,
                Err(mpsc::error::TrySendError::Full(batch)) => batch.skipped + count,
                Err(mpsc::error::TrySendError::Closed(_)) => break,
            };
            tokio::time::sleep(TAIL_EVERY).await;
        }
        drop(watch);
    });
    Ok(receive)
}

/// What came since the places; only the newest when it is more than a page shows.
fn gather(
    store: &Arc<dyn Store>,
    places: &mut [(PartId, Offset)],
    limit: usize,
) -> Option<TailBatch> {
    let most = limit.clamp(1, TAIL_RECORDS_MAX);
    let mut batch = TailBatch::default();
    for (number, (part, next)) in places.iter_mut().enumerate() {
        let Some(ends) = store.ends(*part) else { continue };
        let from = (*next).max(ends.stable - to_offset(most)).max(ends.start);
        if ends.stable <= *next {
            continue;
        }
        batch.skipped += u64::try_from(from - *next).unwrap_or(0);
        let read = read_from(store, *part, from, most).ok()?;
        *next = ends.stable;
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        batch.records.extend(read.into_iter().map(|record| show(number, record)));
    }
    (!batch.records.is_empty()).then_some(batch)
}
