//! DeleteRecords: a partition's first offset moves up, at most to its end.

use yeoul_base::{PartId, StoreError, TopicInfo};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult, UP_TO_HIGH_WATERMARK,
};

use crate::broker::{self, Context};
use crate::errors;

pub(crate) async fn delete_records(
    context: Context,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = context.store().topics();
    let mut response = DeleteRecordsResponse::default();
    for topic in request.topics {
        let info = topics.get(&topic.name);
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            let answer = DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                ..DeleteRecordsPartitionResult::default()
            };
            let part = match info {
                Some(info) => check(info, asked.partition_index),
                None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            };
            let moved = match part {
                Ok(part) => delete_one(&context, part, asked.offset).await,
                Err(code) => Err(code),
            };
            partitions.push(match moved {
                Ok(low_watermark) => DeleteRecordsPartitionResult { low_watermark, ..answer },
                Err(error_code) => DeleteRecordsPartitionResult { error_code, ..answer },
            });
        }
        response.topics.push(DeleteRecordsTopicResult { name: topic.name, partitions });
    }
    response
}

fn check(topic: &TopicInfo, index: i32) -> Result<PartId, ErrorCode> {
    let part = broker::partition(topic, index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    // A topic that is only compacted keeps the last record of every key for ever, and a
    // stream's state is its own.
    let policy = topic.config.get("cleanup.policy").map_or("delete", String::as_str);
    if topic.is_internal() {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let deletes = policy.split(',').any(|policy| policy.trim() == "delete");
    if deletes { Ok(part) } else { Err(ErrorCode::POLICY_VIOLATION) }
}

/// Returns the first offset after it.
async fn delete_one(context: &Context, part: PartId, offset: i64) -> Result<i64, ErrorCode> {
    let ends = context.store().ends(part).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let before = match offset {
        UP_TO_HIGH_WATERMARK => ends.high,
        offset if (0..=ends.high).contains(&offset) => offset,
        _ => return Err(ErrorCode::OFFSET_OUT_OF_RANGE),
    };
    if before <= ends.start {
        return Ok(ends.start);
    }
    let moved = context.broker.blocking(move |store| store.delete_records(part, before)).await;
    moved.map(|ends| ends.start).map_err(|error| {
        if !matches!(error, StoreError::UnknownPartition(_)) {
            tracing::warn!(%part, before, %error, "records could not be deleted");
        }
        errors::of_store(&error)
    })
}
