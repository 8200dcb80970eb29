//! FindCoordinator: which broker looks after a group (here: this one).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

/// `key_type` of a consumer group.
pub const GROUP: i8 = 0;
/// `key_type` of a transactional id.
pub const TRANSACTION: i8 = 1;

message! {
    pub struct FindCoordinatorRequest {
        [0..=3] key: String,
        [1..] key_type: i8,
        [4..] coordinator_keys: Vec<String>,
    }

    pub struct FindCoordinatorResponse {
        [1..] throttle_time_ms: i32,
        [0..=3] error_code: ErrorCode,
        [1..=3] error_message: Option<String>,
        [0..=3] node_id: i32 = -1,
        [0..=3] host: String,
        [0..=3] port: i32 = -1,
        [4..] coordinators: Vec<Coordinator>,
    }

    pub struct Coordinator {
        [4..] key: String,
        [4..] node_id: i32 = -1,
        [4..] host: String,
        [4..] port: i32 = -1,
        [4..] error_code: ErrorCode,
        [4..] error_message: Option<String>,
    }
}

impl Request for FindCoordinatorRequest {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    type Response = FindCoordinatorResponse;
}
