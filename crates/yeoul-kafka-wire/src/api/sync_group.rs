//! SyncGroup: the leader hands in the assignment, every member gets its part.

use bytes::Bytes;

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct SyncGroupRequest {
        [0..] group_id: String,
        [0..] generation_id: i32,
        [0..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [5..] protocol_type: Option<String>,
        [5..] protocol_name: Option<String>,
        [0..] assignments: Vec<SyncGroupAssignment>,
    }

    pub struct SyncGroupAssignment {
        [0..] member_id: String,
        [0..] assignment: Bytes,
    }

    pub struct SyncGroupResponse {
        [1..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [5..] protocol_type: Option<String>,
        [5..] protocol_name: Option<String>,
        [0..] assignment: Bytes,
    }
}

impl Request for SyncGroupRequest {
    const KEY: ApiKey = ApiKey::SyncGroup;
    type Response = SyncGroupResponse;
}
