//! AlterConfigs: replaces everything that is set on a topic; what it does not name becomes the
//! default again. [`super::incremental_alter_configs`] is its successor.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct AlterConfigsRequest {
        [0..] resources: Vec<ReplacedResource>,
        [0..] validate_only: bool,
    }

    pub struct ReplacedResource {
        [0..] resource_type: i8,
        [0..] resource_name: String,
        [0..] configs: Vec<ReplacedConfig>,
    }

    pub struct ReplacedConfig {
        [0..] name: String,
        [0..] value: Option<String>,
    }

    pub struct AlterConfigsResponse {
        [0..] throttle_time_ms: i32,
        [0..] responses: Vec<ReplacedResourceResult>,
    }

    pub struct ReplacedResourceResult {
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] resource_type: i8,
        [0..] resource_name: String,
    }
}

impl Request for AlterConfigsRequest {
    const KEY: ApiKey = ApiKey::AlterConfigs;
    type Response = AlterConfigsResponse;
}
