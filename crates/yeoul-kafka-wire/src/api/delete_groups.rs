//! DeleteGroups: forgets the committed offsets of groups without members.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DeleteGroupsRequest {
        [0..] group_names: Vec<String>,
    }

    pub struct DeleteGroupsResponse {
        [0..] throttle_time_ms: i32,
        [0..] results: Vec<DeletedGroup>,
    }

    pub struct DeletedGroup {
        [0..] group_id: String,
        [0..] error_code: ErrorCode,
    }
}

impl Request for DeleteGroupsRequest {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    type Response = DeleteGroupsResponse;
}
