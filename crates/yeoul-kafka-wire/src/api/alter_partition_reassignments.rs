//! AlterPartitionReassignments: moves partitions to other brokers (here: there is one).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct AlterPartitionReassignmentsRequest {
        [0..] timeout_ms: i32 = 60_000,
        [0..] topics: Vec<ReassignableTopic>,
    }

    pub struct ReassignableTopic {
        [0..] name: String,
        [0..] partitions: Vec<ReassignablePartition>,
    }

    pub struct ReassignablePartition {
        [0..] partition_index: i32,
        /// `None` cancels what is under way.
        [0..] replicas: Option<Vec<i32>>,
    }

    pub struct AlterPartitionReassignmentsResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] responses: Vec<ReassignedTopic>,
    }

    pub struct ReassignedTopic {
        [0..] name: String,
        [0..] partitions: Vec<ReassignedPartition>,
    }

    pub struct ReassignedPartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
    }
}

impl Request for AlterPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
    type Response = AlterPartitionReassignmentsResponse;
}
