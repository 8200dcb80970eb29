//! ApiVersions. A version from the future gets error 35 in the oldest shape and the list, upon
//! which the client asks again in a version both know.

use bytes::Bytes;
use yeoul_kafka_wire::api::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use yeoul_kafka_wire::frame::{decode_request, encode_response_as};
use yeoul_kafka_wire::{Api, ErrorCode, Frame, RequestHeader, WireError};

pub(crate) fn answer(header: &RequestHeader, body: Bytes) -> Result<Frame, WireError> {
    let api_keys = Api::ALL
        .iter()
        .map(|api| ApiVersion {
            api_key: api.key as i16,
            min_version: api.advertised_min,
            max_version: api.max,
        })
        .collect();
    let known = header.api.accepts(header.version);
    if known {
        decode_request::<ApiVersionsRequest>(header, body)?;
    }
    let (version, error_code) = match known {
        true => (header.version, ErrorCode::NONE),
        false => (0, ErrorCode::UNSUPPORTED_VERSION),
    };
    let response = ApiVersionsResponse { error_code, api_keys, throttle_time_ms: 0 };
    encode_response_as(header.api, version, header.correlation_id, response)
}
