//! OffsetDelete: forgets what a group committed for single partitions.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct OffsetDeleteRequest {
        [0..] group_id: String,
        [0..] topics: Vec<OffsetDeleteTopic>,
    }

    pub struct OffsetDeleteTopic {
        [0..] name: String,
        [0..] partitions: Vec<OffsetDeletePartition>,
    }

    pub struct OffsetDeletePartition {
        [0..] partition_index: i32,
    }

    pub struct OffsetDeleteResponse {
        [0..] error_code: ErrorCode,
        [0..] throttle_time_ms: i32,
        [0..] topics: Vec<OffsetDeleteResponseTopic>,
    }

    pub struct OffsetDeleteResponseTopic {
        [0..] name: String,
        [0..] partitions: Vec<OffsetDeleteResponsePartition>,
    }

    pub struct OffsetDeleteResponsePartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for OffsetDeleteRequest {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    type Response = OffsetDeleteResponse;
}
