//! OffsetCommit: a group's next offsets, with a text of the client's own beside each.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct OffsetCommitRequest {
        [0..] group_id: String,
        /// −1 from clients that assign partitions themselves.
        [1..] generation_id: i32 = -1,
        [1..] member_id: String,
        [7..] group_instance_id: Option<String>,
        [2..=4] retention_time_ms: i64 = -1,
        [0..] topics: Vec<OffsetCommitTopic>,
    }

    pub struct OffsetCommitTopic {
        [0..] name: String,
        [0..] partitions: Vec<OffsetCommitPartition>,
    }

    pub struct OffsetCommitPartition {
        [0..] partition_index: i32,
        [0..] committed_offset: i64,
        [6..] committed_leader_epoch: i32 = -1,
        [0..] committed_metadata: Option<String>,
    }

    pub struct OffsetCommitResponse {
        [3..] throttle_time_ms: i32,
        [0..] topics: Vec<OffsetCommitResponseTopic>,
    }

    pub struct OffsetCommitResponseTopic {
        [0..] name: String,
        [0..] partitions: Vec<OffsetCommitResponsePartition>,
    }

    pub struct OffsetCommitResponsePartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    type Response = OffsetCommitResponse;
}
