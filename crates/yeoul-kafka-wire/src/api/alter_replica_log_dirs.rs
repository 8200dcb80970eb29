//! AlterReplicaLogDirs: moves partitions to another folder (here: there is one).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct AlterReplicaLogDirsRequest {
        [0..] dirs: Vec<AlterReplicaLogDir>,
    }

    pub struct AlterReplicaLogDir {
        [0..] path: String,
        [0..] topics: Vec<AlterReplicaLogDirTopic>,
    }

    pub struct AlterReplicaLogDirTopic {
        [0..] name: String,
        [0..] partitions: Vec<i32>,
    }

    pub struct AlterReplicaLogDirsResponse {
        [0..] throttle_time_ms: i32,
        [0..] results: Vec<AlterReplicaLogDirTopicResult>,
    }

    pub struct AlterReplicaLogDirTopicResult {
        [0..] topic_name: String,
        [0..] partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    pub struct AlterReplicaLogDirPartitionResult {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for AlterReplicaLogDirsRequest {
    const KEY: ApiKey = ApiKey::AlterReplicaLogDirs;
    type Response = AlterReplicaLogDirsResponse;
}
