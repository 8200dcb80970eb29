//! Metadata: the brokers (one) and topics with their partitions; it may create a topic.

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

/// "Not asked for" in the fields of authorized operations.
pub const NO_OPERATIONS: i32 = i32::MIN;

message! {
    pub struct MetadataRequest {
        /// `None` asks for all topics; so does an empty list in version 0.
        [0..] topics: Option<Vec<MetadataRequestTopic>>,
        /// Implied by versions 0 to 3, which cannot say no.
        [4..] allow_auto_topic_creation: bool = true,
        [8..=10] include_cluster_authorized_operations: bool,
        [8..] include_topic_authorized_operations: bool,
    }

    pub struct MetadataRequestTopic {
        [10..] topic_id: [u8; 16],
        /// `None` (from version 10) asks by id.
        [0..] name: Option<String>,
    }

    pub struct MetadataResponse {
        [3..] throttle_time_ms: i32,
        [0..] brokers: Vec<MetadataBroker>,
        [2..] cluster_id: Option<String>,
        [1..] controller_id: i32 = -1,
        [0..] topics: Vec<MetadataTopic>,
        [8..=10] cluster_authorized_operations: i32 = NO_OPERATIONS,
    }

    pub struct MetadataBroker {
        [0..] node_id: i32,
        [0..] host: String,
        [0..] port: i32,
        [1..] rack: Option<String>,
    }

    pub struct MetadataTopic {
        [0..] error_code: ErrorCode,
        /// Null from version 12 on when an unknown id was asked for.
        [0..] name: Option<String>,
        [10..] topic_id: [u8; 16],
        [1..] is_internal: bool,
        [0..] partitions: Vec<MetadataPartition>,
        [8..] topic_authorized_operations: i32 = NO_OPERATIONS,
    }

    pub struct MetadataPartition {
        [0..] error_code: ErrorCode,
        [0..] partition_index: i32,
        [0..] leader_id: i32,
        [7..] leader_epoch: i32 = -1,
        [0..] replica_nodes: Vec<i32>,
        [0..] isr_nodes: Vec<i32>,
        [5..] offline_replicas: Vec<i32>,
    }
}

impl Request for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response = MetadataResponse;
}
