//! DeleteTopics, by name or (from version 6) by id.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DeleteTopicsRequest {
        [6..] topics: Vec<DeletableTopic>,
        [0..=5] topic_names: Vec<String>,
        [0..] timeout_ms: i32,
    }

    pub struct DeletableTopic {
        [6..] name: Option<String>,
        [6..] topic_id: [u8; 16],
    }

    pub struct DeleteTopicsResponse {
        [1..] throttle_time_ms: i32,
        [0..] responses: Vec<DeletedTopic>,
    }

    pub struct DeletedTopic {
        /// Null only from version 6 on.
        [0..] name: Option<String>,
        [6..] topic_id: [u8; 16],
        [0..] error_code: ErrorCode,
        [5..] error_message: Option<String>,
    }
}

impl Request for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Response = DeleteTopicsResponse;
}
