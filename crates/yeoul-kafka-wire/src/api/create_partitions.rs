//! CreatePartitions: more partitions for a topic that exists.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct CreatePartitionsRequest {
        [0..] topics: Vec<CreatePartitionsTopic>,
        [0..] timeout_ms: i32,
        [0..] validate_only: bool,
    }

    pub struct CreatePartitionsTopic {
        [0..] name: String,
        /// The total afterwards.
        [0..] count: i32,
        [0..] assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    pub struct CreatePartitionsAssignment {
        [0..] broker_ids: Vec<i32>,
    }

    pub struct CreatePartitionsResponse {
        [0..] throttle_time_ms: i32,
        [0..] results: Vec<CreatePartitionsResult>,
    }

    pub struct CreatePartitionsResult {
        [0..] name: String,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
    }
}

impl Request for CreatePartitionsRequest {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    type Response = CreatePartitionsResponse;
}
