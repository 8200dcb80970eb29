//! ListConfigResources: what has a configuration. Version 0 is ListClientMetricsResources, which
//! asks for subscriptions to client metrics only (here: there are none).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

/// `resource_type` of a subscription to client metrics.
pub const CLIENT_METRICS: i8 = 16;

message! {
    pub struct ListConfigResourcesRequest {
        /// Empty: all types that are known.
        [1..] resource_types: Vec<i8>,
    }

    pub struct ListConfigResourcesResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] config_resources: Vec<ConfigResource>,
    }

    pub struct ConfigResource {
        [0..] resource_name: String,
        [1..] resource_type: i8 = CLIENT_METRICS,
    }
}

impl Request for ListConfigResourcesRequest {
    const KEY: ApiKey = ApiKey::ListConfigResources;
    type Response = ListConfigResourcesResponse;
}
