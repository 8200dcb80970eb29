//! LeaveGroup: members go, without waiting for their sessions to end.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct LeaveGroupRequest {
        [0..] group_id: String,
        [0..=2] member_id: String,
        [3..] members: Vec<LeavingMember>,
    }

    pub struct LeavingMember {
        [3..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [5..] reason: Option<String>,
    }

    pub struct LeaveGroupResponse {
        [1..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [3..] members: Vec<LeftMember>,
    }

    pub struct LeftMember {
        [3..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [3..] error_code: ErrorCode,
    }
}

impl Request for LeaveGroupRequest {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    type Response = LeaveGroupResponse;
}
