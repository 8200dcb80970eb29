//! AddOffsetsToTxn: a producer says that its transaction will commit offsets of a group.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct AddOffsetsToTxnRequest {
        [0..] transactional_id: String,
        [0..] producer_id: i64,
        [0..] producer_epoch: i16,
        [0..] group_id: String,
    }

    pub struct AddOffsetsToTxnResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for AddOffsetsToTxnRequest {
    const KEY: ApiKey = ApiKey::AddOffsetsToTxn;
    type Response = AddOffsetsToTxnResponse;
}
