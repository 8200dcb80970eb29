//! OffsetForLeaderEpoch: how far the log of an epoch reaches; clients check for truncation.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct OffsetForLeaderEpochRequest {
        [3..] replica_id: i32 = -2,
        [0..] topics: Vec<EpochTopic>,
    }

    pub struct EpochTopic {
        [0..] name: String,
        [0..] partitions: Vec<EpochPartition>,
    }

    pub struct EpochPartition {
        [0..] partition: i32,
        [2..] current_leader_epoch: i32 = -1,
        [0..] leader_epoch: i32,
    }

    pub struct OffsetForLeaderEpochResponse {
        [2..] throttle_time_ms: i32,
        [0..] topics: Vec<EpochEndTopic>,
    }

    pub struct EpochEndTopic {
        [0..] name: String,
        [0..] partitions: Vec<EpochEnd>,
    }

    pub struct EpochEnd {
        [0..] error_code: ErrorCode,
        [0..] partition: i32,
        [1..] leader_epoch: i32 = -1,
        [0..] end_offset: i64 = -1,
    }
}

impl Request for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Response = OffsetForLeaderEpochResponse;
}
