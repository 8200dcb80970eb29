//! OffsetDelete: forgets what a group committed for partitions that its members do not read.

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use crate::broker::{self, Context};
use crate::group::OffsetKey;

/// The protocol type of groups whose members say which topics they read.
const CONSUMER: &str = "consumer";

pub(crate) async fn offset_delete(
    context: Context,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let groups = &context.broker.groups;
    let refuse = |error_code| OffsetDeleteResponse { error_code, ..Default::default() };
    if let Err(code) = groups.check_name(&request.group_id) {
        return refuse(code);
    }
    let Some(group) = groups.describe(&request.group_id) else {
        return refuse(ErrorCode::GROUP_ID_NOT_FOUND);
    };
    let has_members = !group.members.is_empty();
    if has_members && group.protocol_type != CONSUMER {
        return refuse(ErrorCode::NON_EMPTY_GROUP);
    }
    let subscribed = groups.subscribed(&request.group_id);
    let is_read = |topic: &str| {
        // While members come and go nobody can say what they read: nothing is deleted then.
        has_members && subscribed.as_ref().is_none_or(|topics| topics.contains(topic))
    };
    let known = context.store().topics();
    let mut keys = Vec::new();
    let mut topics = Vec::new();
    for topic in request.topics {
        let info = known.get(&topic.name);
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            let partition_index = asked.partition_index;
            let info = info.filter(|info| broker::partition(info, partition_index).is_some());
            let error_code = match info {
                None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Some(_) if is_read(&topic.name) => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
                Some(info) => {
                    keys.push(OffsetKey { topic: info.id, partition: partition_index });
                    ErrorCode::NONE
                }
            };
            partitions.push(OffsetDeleteResponsePartition { partition_index, error_code });
        }
        topics.push(OffsetDeleteResponseTopic { name: topic.name, partitions });
    }
    match groups.delete_offsets(&request.group_id, &keys).await {
        Ok(()) => OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() },
        Err(code) => refuse(code),
    }
}
