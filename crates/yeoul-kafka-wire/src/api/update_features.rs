//! UpdateFeatures: sets versions of cluster features (here: there is none to set).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct UpdateFeaturesRequest {
        [0..] timeout_ms: i32 = 60_000,
        [0..] feature_updates: Vec<FeatureUpdate>,
        [1..] validate_only: bool,
    }

    pub struct FeatureUpdate {
        [0..] feature: String,
        [0..] max_version_level: i16,
        [0..=0] allow_downgrade: bool,
        [1..] upgrade_type: i8 = 1,
    }

    pub struct UpdateFeaturesResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..=1] results: Vec<UpdatedFeature>,
    }

    pub struct UpdatedFeature {
        [0..] feature: String,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
    }
}

impl Request for UpdateFeaturesRequest {
    const KEY: ApiKey = ApiKey::UpdateFeatures;
    type Response = UpdateFeaturesResponse;
}
