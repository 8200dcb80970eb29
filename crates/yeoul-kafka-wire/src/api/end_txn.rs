//! EndTxn: a producer commits or aborts its transaction.
//!
//! Version 5 bumps the epoch with every transaction, which needs `transaction.version` 2: it is
//! not offered.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct EndTxnRequest {
        [0..] transactional_id: String,
        [0..] producer_id: i64,
        [0..] producer_epoch: i16,
        /// True commits, false aborts.
        [0..] committed: bool,
    }

    pub struct EndTxnResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for EndTxnRequest {
    const KEY: ApiKey = ApiKey::EndTxn;
    type Response = EndTxnResponse;
}
