//! InitProducerId: an idempotent producer asks for its identity.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct InitProducerIdRequest {
        [0..] transactional_id: Option<String>,
        [0..] transaction_timeout_ms: i32,
        /// −1, or the id the producer has and wants a new epoch for.
        [3..] producer_id: i64 = -1,
        [3..] producer_epoch: i16 = -1,
    }

    pub struct InitProducerIdResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] producer_id: i64 = -1,
        [0..] producer_epoch: i16 = -1,
    }
}

impl Request for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Response = InitProducerIdResponse;
}
