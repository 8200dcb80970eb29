//! DescribeTopicPartitions: topics by name, in pieces; a cursor says where the next one begins.

use std::collections::BTreeSet;

use yeoul_base::TopicInfo;
use yeoul_base::store::check_topic_name;
use yeoul_kafka_wire::api::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribedPartition,
    DescribedTopicPartitions, PartitionCursor,
};
use yeoul_kafka_wire::{ErrorCode, Nullable};

use crate::broker::{Context, NODE_ID};

/// Kafka's `max.request.partition.size.limit`.
const LIMIT: usize = 2_000;

pub(crate) async fn describe_topic_partitions(
    context: Context,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let all = context.store().topics();
    let cursor = request.cursor.0.unwrap_or_default();
    let asked: BTreeSet<String> = if request.topics.is_empty() {
        all.by_name.keys().map(|name| name.to_string()).collect()
    } else {
        request.topics.into_iter().map(|topic| topic.name).collect()
    };
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, LIMIT);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in asked.into_iter().filter(|name| *name >= cursor.topic_name) {
        if left == 0 {
            let next = PartitionCursor { topic_name: name, partition_index: 0 };
            response.next_cursor = Nullable(Some(next));
            break;
        }
        let Some(info) = all.get(&name) else {
            let error_code = match check_topic_name(&name) {
                Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            };
            let topic =
                DescribedTopicPartitions { error_code, name: Some(name), ..Default::default() };
            response.topics.push(topic);
            continue;
        };
        let first = if name == cursor.topic_name { cursor.partition_index } else { 0 };
        let first = usize::try_from(first).unwrap_or(0);
        let end = info.partitions.len().min(first.saturating_add(left));
        left = left.saturating_sub(end.saturating_sub(first));
        response.topics.push(described(&context, info, first, end));
        if end < info.partitions.len() {
            let partition_index = i32::try_from(end).unwrap_or(i32::MAX);
            response.next_cursor =
                Nullable(Some(PartitionCursor { topic_name: name, partition_index }));
            break;
        }
    }
    response
}

fn described(
    context: &Context,
    info: &TopicInfo,
    first: usize,
    end: usize,
) -> DescribedTopicPartitions {
    let leader_epoch = context.store().leader_epoch();
    let numbers = (first..end).filter_map(|number| i32::try_from(number).ok());
    let partitions = numbers
        .map(|partition_index| DescribedPartition {
            partition_index,
            leader_id: NODE_ID,
            leader_epoch,
            replica_nodes: vec![NODE_ID],
            isr_nodes: vec![NODE_ID],
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..DescribedPartition::default()
        })
        .collect();
    DescribedTopicPartitions {
        name: Some(info.name.to_string()),
        topic_id: info.id.0,
        is_internal: info.is_internal(),
        partitions,
        ..DescribedTopicPartitions::default()
    }
}
