//! ListGroups: every group with members or committed offsets.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct ListGroupsRequest {
        /// Empty: all states.
        [4..] states_filter: Vec<String>,
        [5..] types_filter: Vec<String>,
    }

    pub struct ListGroupsResponse {
        [1..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] groups: Vec<ListedGroup>,
    }

    pub struct ListedGroup {
        [0..] group_id: String,
        [0..] protocol_type: String,
        [4..] group_state: String,
        [5..] group_type: String,
    }
}

impl Request for ListGroupsRequest {
    const KEY: ApiKey = ApiKey::ListGroups;
    type Response = ListGroupsResponse;
}
