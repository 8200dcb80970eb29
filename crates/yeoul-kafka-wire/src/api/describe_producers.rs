//! DescribeProducers: who has written to a partition lately, and whose transaction is open there.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DescribeProducersRequest {
        [0..] topics: Vec<DescribeProducersTopic>,
    }

    pub struct DescribeProducersTopic {
        [0..] name: String,
        [0..] partition_indexes: Vec<i32>,
    }

    pub struct DescribeProducersResponse {
        [0..] throttle_time_ms: i32,
        [0..] topics: Vec<DescribedProducersTopic>,
    }

    pub struct DescribedProducersTopic {
        [0..] name: String,
        [0..] partitions: Vec<DescribedProducersPartition>,
    }

    pub struct DescribedProducersPartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] active_producers: Vec<ActiveProducer>,
    }

    pub struct ActiveProducer {
        [0..] producer_id: i64,
        [0..] producer_epoch: i32,
        [0..] last_sequence: i32 = -1,
        /// Milliseconds since 1970.
        [0..] last_timestamp: i64 = -1,
        [0..] coordinator_epoch: i32,
        /// −1: no transaction is open.
        [0..] current_txn_start_offset: i64 = -1,
    }
}

impl Request for DescribeProducersRequest {
    const KEY: ApiKey = ApiKey::DescribeProducers;
    type Response = DescribeProducersResponse;
}
