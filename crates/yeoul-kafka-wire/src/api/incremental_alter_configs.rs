//! IncrementalAlterConfigs: sets and unsets single entries of a topic's configuration.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

/// `operation`: the value becomes this.
pub const SET: i8 = 0;
/// `operation`: the default holds again.
pub const DELETE: i8 = 1;
/// `operation`: the value's words are added to a list.
pub const APPEND: i8 = 2;
/// `operation`: the value's words are taken from a list.
pub const SUBTRACT: i8 = 3;

message! {
    pub struct IncrementalAlterConfigsRequest {
        [0..] resources: Vec<AlterConfigsResource>,
        [0..] validate_only: bool,
    }

    pub struct AlterConfigsResource {
        [0..] resource_type: i8,
        [0..] resource_name: String,
        [0..] configs: Vec<AlterConfig>,
    }

    pub struct AlterConfig {
        [0..] name: String,
        /// [`SET`], [`DELETE`], [`APPEND`] or [`SUBTRACT`].
        [0..] operation: i8,
        [0..] value: Option<String>,
    }

    pub struct IncrementalAlterConfigsResponse {
        [0..] throttle_time_ms: i32,
        [0..] responses: Vec<AlteredResource>,
    }

    pub struct AlteredResource {
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] resource_type: i8,
        [0..] resource_name: String,
    }
}

impl Request for IncrementalAlterConfigsRequest {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    type Response = IncrementalAlterConfigsResponse;
}
