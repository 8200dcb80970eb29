//! OffsetFetch: what a group committed; from version 8 on for several groups at once.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct OffsetFetchRequest {
        [0..=7] group_id: String,
        /// `None` (from version 2) asks for all partitions with a committed offset.
        [0..=7] topics: Option<Vec<OffsetFetchTopic>>,
        [8..] groups: Vec<OffsetFetchGroup>,
        [7..] require_stable: bool,
    }

    pub struct OffsetFetchGroup {
        [8..] group_id: String,
        [9..] member_id: Option<String>,
        [9..] member_epoch: i32 = -1,
        [8..] topics: Option<Vec<OffsetFetchTopic>>,
    }

    pub struct OffsetFetchTopic {
        [0..] name: String,
        [0..] partition_indexes: Vec<i32>,
    }

    pub struct OffsetFetchResponse {
        [3..] throttle_time_ms: i32,
        [0..=7] topics: Vec<OffsetFetchResponseTopic>,
        [2..=7] error_code: ErrorCode,
        [8..] groups: Vec<OffsetFetchResponseGroup>,
    }

    pub struct OffsetFetchResponseGroup {
        [8..] group_id: String,
        [8..] topics: Vec<OffsetFetchResponseTopic>,
        [8..] error_code: ErrorCode,
    }

    pub struct OffsetFetchResponseTopic {
        [0..] name: String,
        [0..] partitions: Vec<OffsetFetchResponsePartition>,
    }

    pub struct OffsetFetchResponsePartition {
        [0..] partition_index: i32,
        /// −1: nothing committed.
        [0..] committed_offset: i64 = -1,
        [5..] committed_leader_epoch: i32 = -1,
        [0..] metadata: Option<String> = Some(String::new()),
        [0..] error_code: ErrorCode,
    }
}

impl Request for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    type Response = OffsetFetchResponse;
}
