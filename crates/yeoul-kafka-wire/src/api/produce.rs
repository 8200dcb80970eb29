//! Produce: record batches for partitions. `acks` 0 gets no answer at all.

use bytes::Bytes;

use super::{ApiKey, Request};
use crate::codec::{Field, message};
use crate::codes::ErrorCode;
use crate::error::WireError;
use crate::frame::RequestHeader;
use crate::reader::{Budget, Reader};

message! {
    pub struct ProduceRequest {
        [3..] transactional_id: Option<String>,
        /// 0, 1 or −1 (all).
        [0..] acks: i16,
        [0..] timeout_ms: i32,
        [0..] topics: Vec<ProduceTopic>,
    }

    pub struct ProduceTopic {
        [0..] name: String,
        [0..] partitions: Vec<ProducePartition>,
    }

    pub struct ProducePartition {
        [0..] index: i32,
        [0..] records: Option<Bytes>,
    }

    pub struct ProduceResponse {
        [0..] topics: Vec<ProduceResponseTopic>,
        [1..] throttle_time_ms: i32,
    }

    pub struct ProduceResponseTopic {
        [0..] name: String,
        [0..] partitions: Vec<ProduceResponsePartition>,
    }

    pub struct ProduceResponsePartition {
        [0..] index: i32,
        [0..] error_code: ErrorCode,
        [0..] base_offset: i64 = -1,
        [2..] log_append_time_ms: i64 = -1,
        [5..] log_start_offset: i64 = -1,
        [8..] record_errors: Vec<RecordError>,
        [8..] error_message: Option<String>,
    }

    pub struct RecordError {
        [0..] batch_index: i32,
        [0..] message: Option<String>,
    }
}

impl Request for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
}

/// The topic that a produce request names first, from the beginning of its frame: enough to
/// judge a long one before the rest of it is there.
pub fn first_topic(begun: Bytes) -> Result<String, WireError> {
    let (header, rest) = RequestHeader::decode(begun)?;
    let flexible = header.api.flexible(header.version);
    let mut reader = Reader::new(rest, header.version, flexible, Budget::PRODUCE);
    let (mut transactional_id, mut acks, mut timeout_ms) = (None::<String>, 0i16, 0i32);
    transactional_id.walk(&mut reader)?;
    acks.walk(&mut reader)?;
    timeout_ms.walk(&mut reader)?;
    let mut name = String::new();
    if reader.array_len()? > 0 {
        name.walk(&mut reader)?;
    }
    Ok(name)
}
