//! ApiVersions: which APIs and versions the server speaks. The first request of most clients.
//!
//! Its answer has the oldest response header in every version, and a version the server does not
//! know is answered with error 35 in the shape of version 0, upon which clients ask again.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct ApiVersionsRequest {
        [3..] client_software_name: String,
        [3..] client_software_version: String,
    }

    pub struct ApiVersionsResponse {
        [0..] error_code: ErrorCode,
        [0..] api_keys: Vec<ApiVersion>,
        [1..] throttle_time_ms: i32,
    }

    pub struct ApiVersion {
        [0..] api_key: i16,
        [0..] min_version: i16,
        [0..] max_version: i16,
    }
}

impl Request for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Response = ApiVersionsResponse;
}
