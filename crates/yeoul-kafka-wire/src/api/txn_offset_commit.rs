//! TxnOffsetCommit: offsets of a group that count once the transaction is committed.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct TxnOffsetCommitRequest {
        [0..] transactional_id: String,
        [0..] group_id: String,
        [0..] producer_id: i64,
        [0..] producer_epoch: i16,
        /// −1 from clients that do not say who they are in the group.
        [3..] generation_id: i32 = -1,
        [3..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [0..] topics: Vec<TxnOffsetCommitTopic>,
    }

    pub struct TxnOffsetCommitTopic {
        [0..] name: String,
        [0..] partitions: Vec<TxnOffsetCommitPartition>,
    }

    pub struct TxnOffsetCommitPartition {
        [0..] partition_index: i32,
        [0..] committed_offset: i64,
        [2..] committed_leader_epoch: i32 = -1,
        [0..] committed_metadata: Option<String>,
    }

    pub struct TxnOffsetCommitResponse {
        [0..] throttle_time_ms: i32,
        [0..] topics: Vec<TxnOffsetCommitResponseTopic>,
    }

    pub struct TxnOffsetCommitResponseTopic {
        [0..] name: String,
        [0..] partitions: Vec<TxnOffsetCommitResponsePartition>,
    }

    pub struct TxnOffsetCommitResponsePartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for TxnOffsetCommitRequest {
    const KEY: ApiKey = ApiKey::TxnOffsetCommit;
    type Response = TxnOffsetCommitResponse;
}
