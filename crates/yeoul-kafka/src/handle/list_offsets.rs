//! ListOffsets and OffsetForLeaderEpoch: where a partition begins, ends, and was at a time.

use yeoul_base::{Isolation, PartId, Store, StoreError};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::list_offsets::{
    EARLIEST, EARLIEST_LOCAL, LATEST, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsResponsePartition, ListOffsetsResponseTopic, MAX_TIMESTAMP,
};
use yeoul_kafka_wire::api::offset_for_leader_epoch::{
    EpochEnd, EpochEndTopic, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::fetch::{check_epoch, isolation};
use crate::broker::{self, Context};
use crate::errors;

pub(crate) async fn list_offsets(
    context: Context,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    let topics = context.store().topics();
    let leader_epoch = context.store().leader_epoch();
    let mut response = ListOffsetsResponse::default();
    for topic in request.topics {
        let info = topics.get(&topic.name);
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            let part = info
                .and_then(|info| broker::partition(info, asked.partition_index))
                .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                .and_then(|part| {
                    check_epoch(asked.current_leader_epoch, leader_epoch).map(|()| part)
                });
            let found = match part {
                Ok(part) => find(&context, part, asked.timestamp, isolation).await,
                Err(code) => Err(code),
            };
            let mut answer = ListOffsetsResponsePartition {
                partition_index: asked.partition_index,
                ..ListOffsetsResponsePartition::default()
            };
            match found {
                Ok((offset, timestamp)) => {
                    answer.offset = offset;
                    answer.timestamp = timestamp;
                    answer.leader_epoch = if offset < 0 { -1 } else { leader_epoch };
                }
                Err(code) => answer.error_code = code,
            }
            partitions.push(answer);
        }
        response.topics.push(ListOffsetsResponseTopic { name: topic.name, partitions });
    }
    response
}

/// Offset and timestamp; −1 and −1 when nothing is as late as asked.
async fn find(
    context: &Context,
    part: PartId,
    timestamp: i64,
    isolation: Isolation,
) -> Result<(i64, i64), ErrorCode> {
    let ends = context.store().ends(part).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let end = match isolation {
        Isolation::Uncommitted => ends.high,
        Isolation::Committed => ends.stable,
    };
    let by_time = !matches!(timestamp, LATEST | EARLIEST | EARLIEST_LOCAL);
    // Never closed.
    let _searching = if by_time { context.broker.searches.acquire().await.ok() } else { None };
    let found = match timestamp {
        LATEST => return Ok((end, -1)),
        EARLIEST | EARLIEST_LOCAL => return Ok((ends.start, -1)),
        MAX_TIMESTAMP => context.broker.blocking(move |store| latest_time(store, part)).await,
        time if time >= 0 => {
            context.broker.blocking(move |store| store.offset_at(part, time)).await
        }
        _ => return Err(ErrorCode::INVALID_REQUEST),
    };
    let found = found.map_err(|error| errors::of_store(&error))?;
    Ok(found.filter(|(offset, _)| *offset < end).unwrap_or((-1, -1)))
}

/// The record with the largest timestamp, by halving the range of times: the store only knows
/// "the first at or after", and that has an answer exactly up to the largest.
fn latest_time(store: &dyn Store, part: PartId) -> Result<Option<(i64, i64)>, StoreError> {
    let Some(mut best) = store.offset_at(part, 0)? else { return Ok(None) };
    let (mut low, mut high) = (0i64, i64::MAX);
    while low < high {
        let middle = low + (high - low) / 2 + 1;
        match store.offset_at(part, middle)? {
            Some(found) => {
                best = found;
                low = middle.max(found.1);
            }
            None => high = middle - 1,
        }
    }
    Ok(Some(best))
}

/// There is one copy of the log and it never diverges: the end of any epoch a client may have
/// seen is the end of the log.
pub(crate) async fn offset_for_leader_epoch(
    context: Context,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = context.store().topics();
    let current = context.store().leader_epoch();
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in request.topics {
        let info = topics.get(&topic.name);
        let answer = |asked: &yeoul_kafka_wire::api::offset_for_leader_epoch::EpochPartition| {
            let end = info
                .and_then(|info| broker::partition(info, asked.partition))
                .and_then(|part| context.store().ends(part))
                .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                .and_then(|ends| {
                    check_epoch(asked.current_leader_epoch, current).map(|()| ends.high)
                });
            let mut answer = EpochEnd { partition: asked.partition, ..EpochEnd::default() };
            match end {
                // An epoch of the future has no end.
                Ok(_) if asked.leader_epoch > current => {}
                Ok(end) => {
                    answer.leader_epoch = asked.leader_epoch;
                    answer.end_offset = end;
                }
                Err(code) => answer.error_code = code,
            }
            answer
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        response.topics.push(EpochEndTopic { name: topic.name, partitions });
    }
    response
}
