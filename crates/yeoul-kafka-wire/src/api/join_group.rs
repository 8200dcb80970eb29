//! JoinGroup: a member enters a generation of its group; the answer waits for the others.

use bytes::Bytes;

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct JoinGroupRequest {
        [0..] group_id: String,
        [0..] session_timeout_ms: i32,
        /// Version 0 has none: the session timeout serves as both.
        [1..] rebalance_timeout_ms: i32 = -1,
        [0..] member_id: String,
        [5..] group_instance_id: Option<String>,
        [0..] protocol_type: String,
        [0..] protocols: Vec<JoinGroupProtocol>,
        [8..] reason: Option<String>,
    }

    pub struct JoinGroupProtocol {
        [0..] name: String,
        [0..] metadata: Bytes,
    }

    pub struct JoinGroupResponse {
        [2..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] generation_id: i32 = -1,
        [7..] protocol_type: Option<String>,
        /// Null only from version 7 on.
        [0..] protocol_name: Option<String> = Some(String::new()),
        [0..] leader: String,
        [9..] skip_assignment: bool,
        [0..] member_id: String,
        [0..] members: Vec<JoinGroupMember>,
    }

    pub struct JoinGroupMember {
        [0..] member_id: String,
        [5..] group_instance_id: Option<String>,
        [0..] metadata: Bytes,
    }
}

impl Request for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    type Response = JoinGroupResponse;
}
