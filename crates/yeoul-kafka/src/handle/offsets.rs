//! OffsetCommit and OffsetFetch. A commit is answered when it is durable.

use std::sync::Arc;

use yeoul_base::Topics;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use yeoul_kafka_wire::api::offset_fetch::{
    OffsetFetchGroup, OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponseTopic, OffsetFetchTopic,
};

use crate::broker::{self, Context};
use crate::errors;
use crate::group::{Committed, OffsetKey};

/// The text beside an offset, as Kafka's `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;
/// The first version that asks for several groups.
const GROUPS_FROM: i16 = 8;

pub(crate) async fn offset_commit(
    context: Context,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let topics = context.store().topics();
    let allowed = context.broker.groups.check_commit(&request);
    let now_ms = context.broker.clock.now_ms();
    let mut entries = Vec::new();
    let mut response = OffsetCommitResponse::default();
    for topic in request.topics {
        let info = topics.get(&topic.name);
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            let metadata = asked.committed_metadata.unwrap_or_default();
            let error_code = match (allowed, info) {
                (Err(code), _) => code,
                (_, Some(info)) if broker::partition(info, asked.partition_index).is_some() => {
                    if metadata.len() > METADATA_BYTES_MAX {
                        ErrorCode::OFFSET_METADATA_TOO_LARGE
                    } else {
                        let key = OffsetKey { topic: info.id, partition: asked.partition_index };
                        let value = Committed {
                            offset: asked.committed_offset,
                            leader_epoch: asked.committed_leader_epoch,
                            metadata,
                            committed_ms: now_ms,
                        };
                        entries.push((key, value));
                        ErrorCode::NONE
                    }
                }
                _ => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            };
            let partition_index = asked.partition_index;
            partitions.push(OffsetCommitResponsePartition { partition_index, error_code });
        }
        response.topics.push(OffsetCommitResponseTopic { name: topic.name, partitions });
    }
    if entries.is_empty() {
        return response;
    }
    if let Err(error) = context.broker.groups.commit_offsets(&request.group_id, entries).await {
        tracing::warn!(group = %request.group_id, %error, "offsets could not be committed");
        let code = errors::of_store(&error);
        let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.filter(|answer| answer.error_code.is_ok()).for_each(|answer| {
            answer.error_code = code;
        });
    }
    response
}

pub(crate) async fn offset_fetch(
    context: Context,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let topics = context.store().topics();
    if context.version < GROUPS_FROM {
        let asked = request.topics.as_deref();
        return OffsetFetchResponse {
            topics: committed(&context, &topics, &request.group_id, asked),
            ..OffsetFetchResponse::default()
        };
    }
    let groups = request.groups.into_iter().map(|group: OffsetFetchGroup| {
        let answer = committed(&context, &topics, &group.group_id, group.topics.as_deref());
        OffsetFetchResponseGroup {
            group_id: group.group_id,
            topics: answer,
            error_code: ErrorCode::NONE,
        }
    });
    OffsetFetchResponse { groups: groups.collect(), ..OffsetFetchResponse::default() }
}

/// What a group committed, for the asked partitions or for all.
fn committed(
    context: &Context,
    topics: &Arc<Topics>,
    group: &str,
    asked: Option<&[OffsetFetchTopic]>,
) -> Vec<OffsetFetchResponseTopic> {
    let known = context.broker.groups.offsets(group);
    let answer = |partition_index: i32, found: Option<&Committed>| match found {
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
                answer(*index, key.and_then(|key| known.get(&key)))
            });
            OffsetFetchResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
        });
        return topics.collect();
    }
    let mut all: Vec<OffsetFetchResponseTopic> = Vec::new();
    // Keys are ordered by topic, so a topic's partitions follow one another.
    for (key, value) in &known {
        let Some(info) = topics.by_id(key.topic) else { continue };
        let partition = answer(key.partition, Some(value));
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
