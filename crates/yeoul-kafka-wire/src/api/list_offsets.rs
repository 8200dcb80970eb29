//! ListOffsets: a partition's ends, or the first offset at or after a time.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

/// The end: high watermark, or last stable offset for committed readers.
pub const LATEST: i64 = -1;
/// The first offset that can be read.
pub const EARLIEST: i64 = -2;
/// The record with the largest timestamp (version 7 on).
pub const MAX_TIMESTAMP: i64 = -3;
/// The first offset on local disk (version 8 on); here the same as the earliest.
pub const EARLIEST_LOCAL: i64 = -4;

message! {
    pub struct ListOffsetsRequest {
        [0..] replica_id: i32 = -1,
        [2..] isolation_level: i8,
        [0..] topics: Vec<ListOffsetsTopic>,
    }

    pub struct ListOffsetsTopic {
        [0..] name: String,
        [0..] partitions: Vec<ListOffsetsPartition>,
    }

    pub struct ListOffsetsPartition {
        [0..] partition_index: i32,
        [4..] current_leader_epoch: i32 = -1,
        /// Milliseconds, or one of the constants above.
        [0..] timestamp: i64,
    }

    pub struct ListOffsetsResponse {
        [2..] throttle_time_ms: i32,
        [0..] topics: Vec<ListOffsetsResponseTopic>,
    }

    pub struct ListOffsetsResponseTopic {
        [0..] name: String,
        [0..] partitions: Vec<ListOffsetsResponsePartition>,
    }

    pub struct ListOffsetsResponsePartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
        [1..] timestamp: i64 = -1,
        [1..] offset: i64 = -1,
        [4..] leader_epoch: i32 = -1,
    }
}

impl Request for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response = ListOffsetsResponse;
}
