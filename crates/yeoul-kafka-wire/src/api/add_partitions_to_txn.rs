//! AddPartitionsToTxn: a producer says which partitions its transaction will write to.
//!
//! Versions 4 and up are for brokers among themselves and are never offered.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct AddPartitionsToTxnRequest {
        [0..] transactional_id: String,
        [0..] producer_id: i64,
        [0..] producer_epoch: i16,
        [0..] topics: Vec<AddPartitionsToTxnTopic>,
    }

    pub struct AddPartitionsToTxnTopic {
        [0..] name: String,
        [0..] partitions: Vec<i32>,
    }

    pub struct AddPartitionsToTxnResponse {
        [0..] throttle_time_ms: i32,
        [0..] results: Vec<AddPartitionsToTxnTopicResult>,
    }

    pub struct AddPartitionsToTxnTopicResult {
        [0..] name: String,
        [0..] partitions: Vec<AddPartitionsToTxnPartitionResult>,
    }

    pub struct AddPartitionsToTxnPartitionResult {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for AddPartitionsToTxnRequest {
    const KEY: ApiKey = ApiKey::AddPartitionsToTxn;
    type Response = AddPartitionsToTxnResponse;
}
