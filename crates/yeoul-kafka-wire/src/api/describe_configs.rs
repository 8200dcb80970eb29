//! DescribeConfigs: what is set on a topic or the broker, and where each value comes from.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

/// `resource_type` of a topic.
pub const TOPIC: i8 = 2;
/// `resource_type` of a broker.
pub const BROKER: i8 = 4;

/// `config_source`: set on the topic.
pub const SOURCE_TOPIC: i8 = 1;
/// `config_source`: set when the broker was started.
pub const SOURCE_STATIC_BROKER: i8 = 4;
/// `config_source`: nobody set it.
pub const SOURCE_DEFAULT: i8 = 5;

message! {
    pub struct DescribeConfigsRequest {
        [0..] resources: Vec<DescribeConfigsResource>,
        [1..] include_synonyms: bool,
        [3..] include_documentation: bool,
    }

    pub struct DescribeConfigsResource {
        [0..] resource_type: i8,
        [0..] resource_name: String,
        /// `None`: all keys.
        [0..] configuration_keys: Option<Vec<String>>,
    }

    pub struct DescribeConfigsResponse {
        [0..] throttle_time_ms: i32,
        [0..] results: Vec<DescribedResource>,
    }

    pub struct DescribedResource {
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] resource_type: i8,
        [0..] resource_name: String,
        [0..] configs: Vec<DescribedConfig>,
    }

    pub struct DescribedConfig {
        [0..] name: String,
        [0..] value: Option<String>,
        [0..] read_only: bool,
        [1..] config_source: i8 = -1,
        [0..] is_sensitive: bool,
        [1..] synonyms: Vec<ConfigSynonym>,
        /// 1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list.
        [3..] config_type: i8,
        [3..] documentation: Option<String>,
    }

    pub struct ConfigSynonym {
        [1..] name: String,
        [1..] value: Option<String>,
        [1..] source: i8,
    }
}

impl Request for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Response = DescribeConfigsResponse;
}
