//! Heartbeat: a member is alive; the answer tells it when to join again.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct HeartbeatRequest {
        [0..] group_id: String,
        [0..] generation_id: i32,
        [0..] member_id: String,
        [3..] group_instance_id: Option<String>,
    }

    pub struct HeartbeatResponse {
        [1..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    type Response = HeartbeatResponse;
}
