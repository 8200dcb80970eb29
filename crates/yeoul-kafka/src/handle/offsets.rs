//! OffsetCommit and OffsetFetch. A commit is answered when it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use yeoul_base::{TopicInfo, Topics};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use yeoul_kafka_wire::api::offset_fetch::{
    OffsetFetchGroup, OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponseTopic, OffsetFetchTopic,
};

use crate::broker::{self, Context};
use crate::group::{Claim, Committed, GroupOffset, OffsetKey};

/// The text beside an offset, as Kafka's `offset.metadata.max.bytes`.
pub(crate) const METADATA_BYTES_MAX: usize = 4096;
/// The first version that asks for several groups.
const GROUPS_FROM: i16 = 8;

pub(crate) async fn offset_commit(
    context: Context,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let topics = context.store().topics();
    let now_ms = context.broker.clock.now_ms();
    // −1: not chosen.
    let kept_ms = Some(request.retention_time_ms).filter(|kept| *kept >= 0);
    let expires_ms = kept_ms.map(|kept| now_ms.saturating_add(kept));
    let mut entries = Vec::new();
    let mut response = OffsetCommitResponse::default();
    for topic in request.topics {
        let info = topics.get(&topic.name);
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            let partition_index = asked.partition_index;
            let entry = entry(info, asked, (now_ms, expires_ms));
            let error_code = entry.as_ref().err().copied().unwrap_or_default();
            entries.extend(entry);
            partitions.push(OffsetCommitResponsePartition { partition_index, error_code });
        }
        response.topics.push(OffsetCommitResponseTopic { name: topic.name, partitions });
    }
    let claim = Claim {
        group: request.group_id,
        member_id: request.member_id,
        instance: request.group_instance_id,
        generation: request.generation_id,
        transactional: false,
    };
    if entries.is_empty() {
        return response;
    }
    if let Err(refused) = context.broker.groups.commit_offsets(&claim, entries).await {
        tracing::debug!(group = %claim.group, ?refused, "offsets were not committed");
        let code = refused.code();
        let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.filter(|answer| answer.error_code.is_ok()).for_each(|answer| {
            answer.error_code = code;
        });
    }
    response
}

/// One partition's offset as it is kept, or why it cannot be.
pub(crate) fn entry(
    topic: Option<&Arc<TopicInfo>>,
    asked: OffsetCommitPartition,
    (now_ms, expires_ms): (i64, Option<i64>),
) -> Result<(OffsetKey, Committed), ErrorCode> {
    let topic = topic
        .filter(|topic| broker::partition(topic, asked.partition_index).is_some())
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let metadata = asked.committed_metadata.unwrap_or_default();
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    let key = OffsetKey { topic: topic.id, partition: asked.partition_index };
    let value = Committed {
        offset: asked.committed_offset,
        leader_epoch: asked.committed_leader_epoch,
        metadata,
        committed_ms: now_ms,
        expires_ms,
    };
    Ok((key, value))
}

pub(crate) async fn offset_fetch(
    context: Context,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let topics = context.store().topics();
    if context.version < GROUPS_FROM {
        let asked = request.topics.as_deref();
        return OffsetFetchResponse {
            topics: committed(&context, &topics, &request.group_id, asked, request.require_stable),
            ..OffsetFetchResponse::default()
        };
    }
    let groups = super::once(request.groups, |group| group.group_id.clone());
    let groups = groups.into_iter().map(|group: OffsetFetchGroup| {
        let (asked, stable) = (group.topics.as_deref(), request.require_stable);
        let answer = committed(&context, &topics, &group.group_id, asked, stable);
        OffsetFetchResponseGroup {
            group_id: group.group_id,
            topics: answer,
            error_code: ErrorCode::NONE,
        }
    });
    OffsetFetchResponse { groups: groups.collect(), ..OffsetFetchResponse::default() }
}

/// What a group committed, for the asked partitions or for all. `stable`: not where an open
/// transaction is about to commit another.
fn committed(
    context: &Context,
    topics: &Arc<Topics>,
    group: &str,
    asked: Option<&[OffsetFetchTopic]>,
    stable: bool,
) -> Vec<OffsetFetchResponseTopic> {
    if let Some(offsets) = context.broker.groups.component_offsets(group) {
        return read_by_component(offsets, asked);
    }
    // Asked for before the offsets: what ends in between is among these.
    let pending =
        if stable { context.broker.transactions.unstable(group) } else { BTreeSet::new() };
    let known = context.broker.groups.offsets(group);
    let answer =
        |partition_index: i32, key: Option<OffsetKey>| match key.and_then(|key| known.get(&key)) {
            _ if key.is_some_and(|key| pending.contains(&key)) => OffsetFetchResponsePartition {
                partition_index,
                error_code: ErrorCode::UNSTABLE_OFFSET_COMMIT,
                ..OffsetFetchResponsePartition::default()
            },
            None => OffsetFetchResponsePartition { partition_index, ..Default::default() },
            Some(found) => OffsetFetchResponsePartition {
                partition_index,
                committed_offset: found.offset,
                committed_leader_epoch: found.leader_epoch,
                metadata: Some(found.metadata.clone()),
                error_code: ErrorCode::NONE,
            },
        };
    if let Some(asked) = asked {
        let topics = asked.iter().map(|topic| {
            let id = topics.get(&topic.name).map(|info| info.id);
            let partitions = topic.partition_indexes.iter().map(|index| {
                let key = id.map(|topic| OffsetKey { topic, partition: *index });
                answer(*index, key)
            });
            OffsetFetchResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
        });
        return topics.collect();
    }
    let mut all: Vec<OffsetFetchResponseTopic> = Vec::new();
    // Keys are ordered by topic, so a topic's partitions follow one another.
    for key in known.keys() {
        let Some(info) = topics.by_id(key.topic) else { continue };
        let partition = answer(key.partition, Some(*key));
        match all.last_mut().filter(|topic| *topic.name == *info.name) {
            Some(topic) => topic.partitions.push(partition),
            None => all.push(OffsetFetchResponseTopic {
                name: info.name.to_string(),
                partitions: vec![partition],
            }),
        }
    }
    all
}

/// A component's places, in the same shape.
fn read_by_component(
    offsets: Vec<GroupOffset>,
    asked: Option<&[OffsetFetchTopic]>,
) -> Vec<OffsetFetchResponseTopic> {
    let answer = |partition_index: i32, committed_offset: i64| OffsetFetchResponsePartition {
        partition_index,
        committed_offset,
        ..OffsetFetchResponsePartition::default()
    };
    if let Some(asked) = asked {
        let topics = asked.iter().map(|topic| {
            let at = |index: i32| {
                let mut of_topic = offsets.iter().filter(|offset| offset.topic == topic.name);
                of_topic.find(|offset| offset.partition == index).map_or(-1, |at| at.committed)
            };
            let partitions = topic.partition_indexes.iter().map(|index| answer(*index, at(*index)));
            OffsetFetchResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
        });
        return topics.collect();
    }
    let mut all: BTreeMap<String, Vec<OffsetFetchResponsePartition>> = BTreeMap::new();
    for offset in offsets {
        let partition = answer(offset.partition, offset.committed);
        all.entry(offset.topic).or_default().push(partition);
    }
    let topic = |(name, partitions)| OffsetFetchResponseTopic { name, partitions };
    all.into_iter().map(topic).collect()
}
