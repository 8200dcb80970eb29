//! Fetch: record batches from partitions, waiting for them when there are none.
//!
//! Sessions (version 7 on) are declined by answering session id 0: a client then names all its
//! partitions in every request.

use super::{ApiKey, Request};
use crate::codec::{Records, message};
use crate::codes::ErrorCode;

message! {
    pub struct FetchRequest {
        /// −1 for consumers.
        [0..] replica_id: i32 = -1,
        [0..] max_wait_ms: i32,
        [0..] min_bytes: i32,
        [3..] max_bytes: i32 = i32::MAX,
        /// 0 reads uncommitted, 1 committed.
        [4..] isolation_level: i8,
        [7..] session_id: i32,
        [7..] session_epoch: i32 = -1,
        [0..] topics: Vec<FetchTopic>,
        [7..] forgotten_topics: Vec<ForgottenTopic>,
        [11..] rack_id: String,
    }

    pub struct FetchTopic {
        [0..] name: String,
        [0..] partitions: Vec<FetchPartition>,
    }

    pub struct FetchPartition {
        [0..] partition: i32,
        [9..] current_leader_epoch: i32 = -1,
        [0..] fetch_offset: i64,
        [12..] last_fetched_epoch: i32 = -1,
        [5..] log_start_offset: i64 = -1,
        [0..] partition_max_bytes: i32,
    }

    pub struct ForgottenTopic {
        [0..] name: String,
        [0..] partitions: Vec<i32>,
    }

    pub struct FetchResponse {
        [1..] throttle_time_ms: i32,
        [7..] error_code: ErrorCode,
        [7..] session_id: i32,
        [0..] topics: Vec<FetchResponseTopic>,
    }

    pub struct FetchResponseTopic {
        [0..] name: String,
        [0..] partitions: Vec<FetchResponsePartition>,
    }

    pub struct FetchResponsePartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
        [0..] high_watermark: i64 = -1,
        [4..] last_stable_offset: i64 = -1,
        [5..] log_start_offset: i64 = -1,
        /// `None` unless committed reading was asked for.
        [4..] aborted_transactions: Option<Vec<AbortedTransaction>>,
        [11..] preferred_read_replica: i32 = -1,
        [0..] records: Records,
    }

    pub struct AbortedTransaction {
        [0..] producer_id: i64,
        [0..] first_offset: i64,
    }
}

impl Request for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    type Response = FetchResponse;
}
