//! ListPartitionReassignments: which partitions are being moved (here: none, ever).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct ListPartitionReassignmentsRequest {
        [0..] timeout_ms: i32 = 60_000,
        /// `None`: all topics.
        [0..] topics: Option<Vec<ListReassignmentsTopic>>,
    }

    pub struct ListReassignmentsTopic {
        [0..] name: String,
        [0..] partition_indexes: Vec<i32>,
    }

    pub struct ListPartitionReassignmentsResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] topics: Vec<OngoingTopicReassignment>,
    }

    pub struct OngoingTopicReassignment {
        [0..] name: String,
        [0..] partitions: Vec<OngoingPartitionReassignment>,
    }

    pub struct OngoingPartitionReassignment {
        [0..] partition_index: i32,
        [0..] replicas: Vec<i32>,
        [0..] adding_replicas: Vec<i32>,
        [0..] removing_replicas: Vec<i32>,
    }
}

impl Request for ListPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    type Response = ListPartitionReassignmentsResponse;
}
