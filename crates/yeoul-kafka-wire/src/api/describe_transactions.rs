//! DescribeTransactions: what the coordinator knows of transactional ids.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DescribeTransactionsRequest {
        [0..] transactional_ids: Vec<String>,
    }

    pub struct DescribeTransactionsResponse {
        [0..] throttle_time_ms: i32,
        [0..] transaction_states: Vec<DescribedTransaction>,
    }

    pub struct DescribedTransaction {
        [0..] error_code: ErrorCode,
        [0..] transactional_id: String,
        [0..] transaction_state: String,
        [0..] transaction_timeout_ms: i32,
        /// Milliseconds since 1970; −1: none is open.
        [0..] transaction_start_time_ms: i64,
        [0..] producer_id: i64,
        [0..] producer_epoch: i16,
        [0..] topics: Vec<TransactionTopic>,
    }

    pub struct TransactionTopic {
        [0..] topic: String,
        [0..] partitions: Vec<i32>,
    }
}

impl Request for DescribeTransactionsRequest {
    const KEY: ApiKey = ApiKey::DescribeTransactions;
    type Response = DescribeTransactionsResponse;
}
