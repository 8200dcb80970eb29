//! DescribeTopicPartitions: what Metadata says of topics, in pieces of bounded size.

use super::metadata::NO_OPERATIONS;
use super::{ApiKey, Request};
use crate::codec::{Nullable, message};
use crate::codes::ErrorCode;

message! {
    pub struct DescribeTopicPartitionsRequest {
        /// Empty: all topics.
        [0..] topics: Vec<DescribeTopicPartitionsTopic>,
        [0..] response_partition_limit: i32 = 2_000,
        /// Where to go on; topics before it are left out.
        [0..] cursor: Nullable<PartitionCursor>,
    }

    pub struct DescribeTopicPartitionsTopic {
        [0..] name: String,
    }

    pub struct PartitionCursor {
        [0..] topic_name: String,
        [0..] partition_index: i32,
    }

    pub struct DescribeTopicPartitionsResponse {
        [0..] throttle_time_ms: i32,
        [0..] topics: Vec<DescribedTopicPartitions>,
        [0..] next_cursor: Nullable<PartitionCursor>,
    }

    pub struct DescribedTopicPartitions {
        [0..] error_code: ErrorCode,
        [0..] name: Option<String>,
        [0..] topic_id: [u8; 16],
        [0..] is_internal: bool,
        [0..] partitions: Vec<DescribedPartition>,
        [0..] topic_authorized_operations: i32 = NO_OPERATIONS,
    }

    pub struct DescribedPartition {
        [0..] error_code: ErrorCode,
        [0..] partition_index: i32,
        [0..] leader_id: i32,
        [0..] leader_epoch: i32 = -1,
        [0..] replica_nodes: Vec<i32>,
        [0..] isr_nodes: Vec<i32>,
        [0..] eligible_leader_replicas: Option<Vec<i32>>,
        [0..] last_known_elr: Option<Vec<i32>>,
        [0..] offline_replicas: Vec<i32>,
    }
}

impl Request for DescribeTopicPartitionsRequest {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Response = DescribeTopicPartitionsResponse;
}
