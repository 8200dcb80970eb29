//! CreateTopics. From version 5 on the answer lists the topic's configuration, which must not be
//! null: Java's admin client fails on it.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct CreateTopicsRequest {
        [0..] topics: Vec<CreatableTopic>,
        [0..] timeout_ms: i32,
        [1..] validate_only: bool,
    }

    pub struct CreatableTopic {
        [0..] name: String,
        /// −1: the broker's default, or as many as `assignments` has.
        [0..] num_partitions: i32,
        [0..] replication_factor: i16,
        [0..] assignments: Vec<CreatableAssignment>,
        [0..] configs: Vec<CreatableConfig>,
    }

    pub struct CreatableAssignment {
        [0..] partition_index: i32,
        [0..] broker_ids: Vec<i32>,
    }

    pub struct CreatableConfig {
        [0..] name: String,
        [0..] value: Option<String>,
    }

    pub struct CreateTopicsResponse {
        [2..] throttle_time_ms: i32,
        [0..] topics: Vec<CreatedTopic>,
    }

    pub struct CreatedTopic {
        [0..] name: String,
        [7..] topic_id: [u8; 16],
        [0..] error_code: ErrorCode,
        [1..] error_message: Option<String>,
        [5..] num_partitions: i32 = -1,
        [5..] replication_factor: i16 = -1,
        [5..] configs: Option<Vec<CreatedConfig>> = Some(Vec::new()),
    }

    pub struct CreatedConfig {
        [5..] name: String,
        [5..] value: Option<String>,
        [5..] read_only: bool,
        [5..] config_source: i8,
        [5..] is_sensitive: bool,
    }
}

impl Request for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Response = CreateTopicsResponse;
}
