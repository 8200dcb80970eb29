//! WriteTxnMarkers: ends a producer's transaction in single partitions. Among Kafka's brokers it
//! is how a coordinator ends one; here only `kafka-transactions.sh abort` sends it.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct WriteTxnMarkersRequest {
        [0..] markers: Vec<WritableTxnMarker>,
    }

    pub struct WritableTxnMarker {
        [0..] producer_id: i64,
        [0..] producer_epoch: i16,
        /// True commits, false aborts.
        [0..] transaction_result: bool,
        [0..] topics: Vec<WritableTxnMarkerTopic>,
        [0..] coordinator_epoch: i32,
    }

    pub struct WritableTxnMarkerTopic {
        [0..] name: String,
        [0..] partition_indexes: Vec<i32>,
    }

    pub struct WriteTxnMarkersResponse {
        [0..] markers: Vec<WrittenTxnMarker>,
    }

    pub struct WrittenTxnMarker {
        [0..] producer_id: i64,
        [0..] topics: Vec<WrittenTxnMarkerTopic>,
    }

    pub struct WrittenTxnMarkerTopic {
        [0..] name: String,
        [0..] partitions: Vec<WrittenTxnMarkerPartition>,
    }

    pub struct WrittenTxnMarkerPartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
    }
}

impl Request for WriteTxnMarkersRequest {
    const KEY: ApiKey = ApiKey::WriteTxnMarkers;
    type Response = WriteTxnMarkersResponse;
}
