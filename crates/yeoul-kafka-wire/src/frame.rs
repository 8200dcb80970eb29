//! Frames: a length, a header, a message. The header's shape depends on the API and version.

use bytes::Bytes;

use crate::api::{Api, ApiKey, Message, Request};
use crate::codec::{Codec, Field};
use crate::error::WireError;
use crate::reader::{Budget, Reader};
use crate::writer::{Frame, Writer};

/// What a request's body may take in memory at most for each of its bytes, beside them and
/// beside [`UNFOLDS_LEAST`](crate::reader::UNFOLDS_LEAST).
pub const UNFOLDS_BY: usize = Budget::REQUEST.unfolds_by;

/// What precedes every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub api: Api,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header of a frame (without its length) and returns what follows it. An unknown
    /// version of ApiVersions is let through: its answer is defined (see [`Api::check`]).
    pub fn decode(frame: Bytes) -> Result<(Self, Bytes), WireError> {
        let mut reader = Reader::new(frame, 0, false, Budget::HEADER);
        let (mut key, mut version, mut correlation_id) = (0i16, 0i16, 0i32);
        key.walk(&mut reader)?;
        version.walk(&mut reader)?;
        correlation_id.walk(&mut reader)?;
        let api = Api::by_number(key).ok_or(WireError::UnknownApi(key))?;
        api.check(version)?;
        let mut client_id = None;
        // Never compact, also in flexible headers, which only add tagged fields behind it.
        reader.text(&mut client_id)?;
        let flexible = api.accepts(version) && api.flexible(version);
        let mut reader = Reader::new(reader.into_rest(), 0, flexible, Budget::HEADER);
        reader.tags()?;
        Ok((Self { api, version, correlation_id, client_id }, reader.into_rest()))
    }
}

/// Reads a message. Bytes after its last field are let be, as Kafka does: librdkafka 2.15 asks
/// for all topics (Metadata version 12) with three bytes too many.
pub fn decode_body<M: Message>(
    body: Bytes,
    version: i16,
    flexible: bool,
    budget: Budget,
) -> Result<M, WireError> {
    let mut reader = Reader::new(body, version, flexible, budget);
    let mut message = M::default();
    message.walk(&mut reader)?;
    Ok(message)
}

/// Reads the body of a request whose header was read before.
pub fn decode_request<R: Request>(header: &RequestHeader, body: Bytes) -> Result<R, WireError> {
    let flexible = header.api.flexible(header.version);
    let budget = match header.api.key {
        ApiKey::Produce => Budget::PRODUCE,
        _ => Budget::REQUEST,
    };
    decode_body(body, header.version, flexible, budget)
}

/// A whole frame with an answer. ApiVersions answers with the oldest header always, so that a
/// client can read it before it knows anything.
pub fn encode_response<M: Message>(header: &RequestHeader, message: M) -> Result<Frame, WireError> {
    encode_response_as(header.api, header.version, header.correlation_id, message)
}

/// Like [`encode_response`], with the version to answer in.
pub fn encode_response_as<M: Message>(
    api: Api,
    version: i16,
    mut correlation_id: i32,
    mut message: M,
) -> Result<Frame, WireError> {
    let flexible = api.flexible(version);
    let mut writer = Writer::new(version, flexible && api.key != ApiKey::ApiVersions);
    correlation_id.walk(&mut writer)?;
    writer.tags()?;
    writer.set_flexible(flexible);
    message.walk(&mut writer)?;
    Ok(writer.finish())
}

/// A whole frame with a request, for a client.
pub fn encode_request<R: Request>(
    version: i16,
    mut correlation_id: i32,
    client_id: &str,
    mut message: R,
) -> Result<Frame, WireError> {
    let api = R::api();
    let mut writer = Writer::new(version, false);
    (api.key as i16).walk(&mut writer)?;
    let mut of_header = version;
    of_header.walk(&mut writer)?;
    correlation_id.walk(&mut writer)?;
    writer.text(&mut Some(client_id.to_owned()))?;
    writer.set_flexible(api.flexible(version));
    writer.tags()?;
    message.walk(&mut writer)?;
    Ok(writer.finish())
}

/// Reads the answer to a request of `R` (without its length prefix), for a client.
pub fn decode_response<R: Request>(
    frame: Bytes,
    version: i16,
    correlation_id: i32,
) -> Result<R::Response, WireError> {
    let api = R::api();
    let flexible = api.flexible(version);
    let of_header = flexible && api.key != ApiKey::ApiVersions;
    let mut reader = Reader::new(frame, 0, of_header, Budget::HEADER);
    let mut got = 0i32;
    got.walk(&mut reader)?;
    if got != correlation_id {
        return Err(WireError::Correlation { expected: correlation_id, got });
    }
    reader.tags()?;
    decode_body(reader.into_rest(), version, flexible, Budget::RESPONSE)
}
