//! DescribeGroups: a group's state and members.

use bytes::Bytes;

use super::metadata::NO_OPERATIONS;
use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DescribeGroupsRequest {
        [0..] groups: Vec<String>,
        [3..] include_authorized_operations: bool,
    }

    pub struct DescribeGroupsResponse {
        [1..] throttle_time_ms: i32,
        [0..] groups: Vec<DescribedGroup>,
    }

    pub struct DescribedGroup {
        [0..] error_code: ErrorCode,
        [0..] group_id: String,
        [0..] group_state: String,
        [0..] protocol_type: String,
        [0..] protocol_data: String,
        [0..] members: Vec<DescribedMember>,
        [3..] authorized_operations: i32 = NO_OPERATIONS,
    }

    pub struct DescribedMember {
        [0..] member_id: String,
        [4..] group_instance_id: Option<String>,
        [0..] client_id: String,
        [0..] client_host: String,
        [0..] member_metadata: Bytes,
        [0..] member_assignment: Bytes,
    }
}

impl Request for DescribeGroupsRequest {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    type Response = DescribeGroupsResponse;
}
