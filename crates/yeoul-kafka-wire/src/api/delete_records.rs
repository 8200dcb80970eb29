//! DeleteRecords: moves a partition's first offset up.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

/// `offset`: everything up to the high watermark.
pub const UP_TO_HIGH_WATERMARK: i64 = -1;

message! {
    pub struct DeleteRecordsRequest {
        [0..] topics: Vec<DeleteRecordsTopic>,
        [0..] timeout_ms: i32,
    }

    pub struct DeleteRecordsTopic {
        [0..] name: String,
        [0..] partitions: Vec<DeleteRecordsPartition>,
    }

    pub struct DeleteRecordsPartition {
        [0..] partition_index: i32,
        /// The first offset to stay, or [`UP_TO_HIGH_WATERMARK`].
        [0..] offset: i64,
    }

    pub struct DeleteRecordsResponse {
        [0..] throttle_time_ms: i32,
        [0..] topics: Vec<DeleteRecordsTopicResult>,
    }

    pub struct DeleteRecordsTopicResult {
        [0..] name: String,
        [0..] partitions: Vec<DeleteRecordsPartitionResult>,
    }

    pub struct DeleteRecordsPartitionResult {
        [0..] partition_index: i32,
        /// The first offset now; −1 with an error.
        [0..] low_watermark: i64 = -1,
        [0..] error_code: ErrorCode,
    }
}

impl Request for DeleteRecordsRequest {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    type Response = DeleteRecordsResponse;
}
