//! ListTransactions: the transactional ids the coordinator knows, filtered.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct ListTransactionsRequest {
        /// Empty: all states.
        [0..] state_filters: Vec<String>,
        /// Empty: all producers.
        [0..] producer_id_filters: Vec<i64>,
        /// Only those open for longer than so many milliseconds; negative: all.
        [1..] duration_filter: i64 = -1,
        /// A regular expression in RE2's words; empty or `None`: all.
        [2..] transactional_id_pattern: Option<String>,
    }

    pub struct ListTransactionsResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] unknown_state_filters: Vec<String>,
        [0..] transaction_states: Vec<ListedTransaction>,
    }

    pub struct ListedTransaction {
        [0..] transactional_id: String,
        [0..] producer_id: i64,
        [0..] transaction_state: String,
    }
}

impl Request for ListTransactionsRequest {
    const KEY: ApiKey = ApiKey::ListTransactions;
    type Response = ListTransactionsResponse;
}
