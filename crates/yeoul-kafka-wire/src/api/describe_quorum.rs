//! DescribeQuorum: the controllers and how far each has come (here: one, up to date).

use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DescribeQuorumRequest {
        [0..] topics: Vec<DescribeQuorumTopic>,
    }

    pub struct DescribeQuorumTopic {
        [0..] topic_name: String,
        [0..] partitions: Vec<DescribeQuorumPartition>,
    }

    pub struct DescribeQuorumPartition {
        [0..] partition_index: i32,
    }

    pub struct DescribeQuorumResponse {
        [0..] error_code: ErrorCode,
        [2..] error_message: Option<String>,
        [0..] topics: Vec<QuorumTopic>,
        [2..] nodes: Vec<QuorumNode>,
    }

    pub struct QuorumTopic {
        [0..] topic_name: String,
        [0..] partitions: Vec<QuorumPartition>,
    }

    pub struct QuorumPartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
        [2..] error_message: Option<String>,
        [0..] leader_id: i32,
        [0..] leader_epoch: i32,
        [0..] high_watermark: i64,
        [0..] current_voters: Vec<QuorumReplica>,
        [0..] observers: Vec<QuorumReplica>,
    }

    pub struct QuorumReplica {
        [0..] replica_id: i32,
        [2..] replica_directory_id: [u8; 16],
        [0..] log_end_offset: i64,
        [1..] last_fetch_timestamp: i64 = -1,
        [1..] last_caught_up_timestamp: i64 = -1,
    }

    pub struct QuorumNode {
        [2..] node_id: i32,
        [2..] listeners: Vec<QuorumListener>,
    }

    pub struct QuorumListener {
        [2..] name: String,
        [2..] host: String,
        [2..] port: u16,
    }
}

impl Request for DescribeQuorumRequest {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    type Response = DescribeQuorumResponse;
}
