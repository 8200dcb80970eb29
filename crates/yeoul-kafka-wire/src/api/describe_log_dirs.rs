//! DescribeLogDirs: how much disk each partition takes.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DescribeLogDirsRequest {
        /// `None`: all topics.
        [0..] topics: Option<Vec<DescribableLogDirTopic>>,
    }

    pub struct DescribableLogDirTopic {
        [0..] topic: String,
        [0..] partitions: Vec<i32>,
    }

    pub struct DescribeLogDirsResponse {
        [0..] throttle_time_ms: i32,
        [3..] error_code: ErrorCode,
        [0..] results: Vec<DescribedLogDir>,
    }

    pub struct DescribedLogDir {
        [0..] error_code: ErrorCode,
        [0..] log_dir: String,
        [0..] topics: Vec<LogDirTopic>,
        /// Of the volume; −1: not known.
        [4..] total_bytes: i64 = -1,
        [4..] usable_bytes: i64 = -1,
    }

    pub struct LogDirTopic {
        [0..] name: String,
        [0..] partitions: Vec<LogDirPartition>,
    }

    pub struct LogDirPartition {
        [0..] partition_index: i32,
        /// Bytes.
        [0..] partition_size: i64,
        [0..] offset_lag: i64,
        [0..] is_future_key: bool,
    }
}

impl Request for DescribeLogDirsRequest {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    type Response = DescribeLogDirsResponse;
}
