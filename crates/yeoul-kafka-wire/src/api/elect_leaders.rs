//! ElectLeaders: asks for other leaders (here: there is one candidate, and it leads).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct ElectLeadersRequest {
        /// 0 the preferred leader, 1 any that is alive.
        [1..] election_type: i8,
        /// `None`: all partitions.
        [0..] topic_partitions: Option<Vec<ElectLeadersTopic>>,
        [0..] timeout_ms: i32 = 60_000,
    }

    pub struct ElectLeadersTopic {
        [0..] topic: String,
        [0..] partitions: Vec<i32>,
    }

    pub struct ElectLeadersResponse {
        [0..] throttle_time_ms: i32,
        [1..] error_code: ErrorCode,
        [0..] results: Vec<ElectionResult>,
    }

    pub struct ElectionResult {
        [0..] topic: String,
        [0..] partitions: Vec<ElectionPartitionResult>,
    }

    pub struct ElectionPartitionResult {
        [0..] partition_id: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
    }
}

impl Request for ElectLeadersRequest {
    const KEY: ApiKey = ApiKey::ElectLeaders;
    type Response = ElectLeadersResponse;
}
