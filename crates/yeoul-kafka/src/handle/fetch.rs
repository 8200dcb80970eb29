//! Fetch: whole batches as they lie in the log, beginning with the one that holds the asked
//! offset. A fetch that finds too little waits on the store's own wake-ups, not on a timer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use yeoul_base::{Isolation, PartEnds, PartId, Read, Store, StoreError, WatchGuard, Watched};
use yeoul_kafka_wire::api::fetch::{
    AbortedTransaction, FetchRequest, FetchResponse, FetchResponsePartition, FetchResponseTopic,
};
use yeoul_kafka_wire::{ErrorCode, Records};
use yeoul_log::batch::{self, Codec};

use crate::broker::{self, Context};
use crate::errors;
use crate::memory::Share;

/// One answer's records, whatever the client allows; a batch is at most 16 MiB.
const RESPONSE_BYTES_MAX: usize = 32 << 20;
/// What an answer may have at any rate, for it would be of no use otherwise.
const RESPONSE_BYTES_LEAST: usize = 64 << 10;
/// The longest poll, whatever the client allows.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// The first version whose clients know zstd.
const ZSTD_FROM: i16 = 10;

/// One asked partition, resolved.
#[derive(Debug, Clone)]
struct Target {
    topic: usize,
    number: i32,
    part: Result<PartId, ErrorCode>,
    offset: i64,
    max_bytes: usize,
}

/// What all partitions of a request share.
#[derive(Debug, Clone, Copy)]
struct Terms {
    isolation: Isolation,
    max_bytes: usize,
    zstd: bool,
}

/// What one pass over the partitions found.
struct Pass {
    partitions: Vec<(usize, FetchResponsePartition)>,
    bytes: usize,
    failed: bool,
}

/// The answer, and its share of the memory for answers.
pub(crate) async fn fetch(context: Context, request: FetchRequest) -> (FetchResponse, Share) {
    let mut deadline = Instant::now() + wait(request.max_wait_ms);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let terms = Terms {
        isolation: isolation(request.isolation_level),
        max_bytes: usize::try_from(request.max_bytes).unwrap_or(0).min(RESPONSE_BYTES_MAX),
        zstd: context.version >= ZSTD_FROM,
    };
    let targets: Arc<[Target]> = resolve(&context, &request).into();
    let notify = Arc::new(Notify::new());
    let mut watches: Vec<WatchGuard> = Vec::new();
    let (pass, memory) = loop {
        let (pass, memory) = one_pass(&context, &targets, terms).await;
        let enough = pass.bytes >= min_bytes || pass.failed || targets.is_empty();
        if enough || Instant::now() >= deadline {
            break (pass, memory);
        }
        if watches.is_empty() {
            // Watching begins before the next look, so nothing can come unseen between the two.
            watches = watch(context.store(), &targets, &notify);
            continue;
        }
        drop((pass, memory));
        tokio::select! {
            // Running out of time is not an error: the last pass answers with what there is.
            _ = timeout_at(deadline, notify.notified()) => {}
            // Others wait for the memory of requests, and a large one of them waits here.
            () = context.broker.request_memory.pressed(), if context.counted => {
                deadline = Instant::now();
            }
        }
    };
    let mut topics: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| FetchResponseTopic { name: topic.name, partitions: Vec::new() })
        .collect();
    for (topic, partition) in pass.partitions {
        if let Some(topic) = topics.get_mut(topic) {
            topic.partitions.push(partition);
        }
    }
    (FetchResponse { topics, ..FetchResponse::default() }, memory)
}

fn wait(max_wait_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(max_wait_ms).unwrap_or(0)).min(WAIT_MAX)
}

pub(crate) fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::Committed } else { Isolation::Uncommitted }
}

fn resolve(context: &Context, request: &FetchRequest) -> Vec<Target> {
    let topics = context.store().topics();
    let current = context.store().leader_epoch();
    let mut targets = Vec::new();
    for (at, topic) in request.topics.iter().enumerate() {
        let info = topics.get(&topic.name);
        for asked in &topic.partitions {
            let part = info
                .and_then(|info| broker::partition(info, asked.partition))
                .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                .and_then(|part| check_epoch(asked.current_leader_epoch, current).map(|()| part));
            targets.push(Target {
                topic: at,
                number: asked.partition,
                part,
                offset: asked.fetch_offset,
                max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
            });
        }
    }
    targets
}

/// A client's belief about the leader epoch: an old one makes it refresh its metadata.
pub(crate) fn check_epoch(believed: i32, current: i32) -> Result<(), ErrorCode> {
    match believed {
        _ if believed < 0 || believed == current => Ok(()),
        _ if believed < current => Err(ErrorCode::FENCED_LEADER_EPOCH),
        _ => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
    }
}

fn watch(store: &dyn Store, targets: &[Target], notify: &Arc<Notify>) -> Vec<WatchGuard> {
    let parts = targets.iter().filter_map(|target| target.part.ok());
    parts
        .map(|part| {
            let notify = Arc::clone(notify);
            store.watch(Watched::Part(part), Arc::new(move || notify.notify_one()))
        })
        .collect()
}

/// Reads off the async threads when there is anything to read, within a share of the memory for
/// answers; when little of that is left, the answer is small.
async fn one_pass(context: &Context, targets: &Arc<[Target]>, mut terms: Terms) -> (Pass, Share) {
    let store = context.store();
    let ready = targets.iter().filter(|target| {
        let ends = target.part.ok().and_then(|part| store.ends(part));
        ends.is_some_and(|ends| target.offset < visible(&ends, terms.isolation))
    });
    let wanted = ready.fold(None, |sum: Option<usize>, target| {
        Some(sum.unwrap_or(0).saturating_add(target.max_bytes))
    });
    let Some(wanted) = wanted else {
        return (read_all(store, targets, terms), Share::default());
    };
    let memory = &context.broker.answer_memory;
    let mut share = memory.up_to(wanted.min(terms.max_bytes), RESPONSE_BYTES_LEAST).await;
    terms.max_bytes = terms.max_bytes.min(share.bytes().max(RESPONSE_BYTES_LEAST));
    let targets = Arc::clone(targets);
    let read = context.broker.blocking(move |store| Ok(read_all(store, &targets, terms)));
    // Only a node that stops drops its work; its client asks again elsewhere or later.
    let pass = read.await.unwrap_or(Pass { partitions: Vec::new(), bytes: 0, failed: true });
    share.shrink(pass.bytes);
    // One batch above the limits.
    memory.grow(&mut share, pass.bytes).await;
    (pass, share)
}

fn visible(ends: &PartEnds, isolation: Isolation) -> i64 {
    match isolation {
        Isolation::Uncommitted => ends.high,
        Isolation::Committed => ends.stable,
    }
}

fn read_all(store: &dyn Store, targets: &[Target], terms: Terms) -> Pass {
    let mut pass = Pass { partitions: Vec::new(), bytes: 0, failed: false };
    for target in targets {
        let room = terms.max_bytes.saturating_sub(pass.bytes);
        let mut answer = FetchResponsePartition {
            partition_index: target.number,
            aborted_transactions: (terms.isolation == Isolation::Committed).then(Vec::new),
            ..FetchResponsePartition::default()
        };
        match read_one(store, target, terms, room, pass.bytes == 0) {
            Ok(read) => fill(&mut answer, read, &mut pass.bytes),
            Err(code) => {
                answer.error_code = code;
                pass.failed = true;
            }
        }
        pass.partitions.push((target.topic, answer));
    }
    pass
}

/// Reads one partition. Only the first one with records may exceed its limit, by its first
/// batch: otherwise a batch above the limits could never be read.
fn read_one(
    store: &dyn Store,
    target: &Target,
    terms: Terms,
    room: usize,
    first: bool,
) -> Result<Read, ErrorCode> {
    let part = target.part?;
    let ends = store.ends(part).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if target.offset < ends.start || target.offset > ends.high {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let limit = target.max_bytes.min(room);
    if target.offset >= visible(&ends, terms.isolation) || (limit == 0 && !first) {
        return Ok(Read { ends, ..Read::default() });
    }
    let mut read = store.read(part, target.offset, limit, terms.isolation).map_err(|error| {
        if !matches!(error, StoreError::OffsetOutOfRange { .. } | StoreError::UnknownPartition(_)) {
            tracing::warn!(%part, offset = target.offset, %error, "a fetch could not be read");
        }
        errors::of_store(&error)
    })?;
    let bytes: usize = read.batches.iter().map(bytes::Bytes::len).sum();
    if bytes > limit && !first {
        read.batches.clear();
        read.aborted.clear();
    }
    if !terms.zstd && read.batches.iter().any(holds_zstd) {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    }
    Ok(read)
}

fn holds_zstd(batches: &bytes::Bytes) -> bool {
    let mut headers = batch::split(batches.clone()).flatten();
    headers.any(|one| {
        batch::BatchHeader::parse(&one).is_ok_and(|header| header.codec() == Codec::Zstd)
    })
}

fn fill(answer: &mut FetchResponsePartition, read: Read, bytes: &mut usize) {
    answer.high_watermark = read.ends.high;
    answer.last_stable_offset = read.ends.stable;
    answer.log_start_offset = read.ends.start;
    answer.records = Records(read.batches);
    *bytes += answer.records.len_bytes();
    if let Some(aborted) = &mut answer.aborted_transactions {
        aborted.extend(read.aborted.iter().map(|aborted| AbortedTransaction {
            producer_id: aborted.producer_id,
            first_offset: aborted.first_offset,
        }));
    }
}
