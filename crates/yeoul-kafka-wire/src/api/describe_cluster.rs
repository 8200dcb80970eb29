//! DescribeCluster: the brokers and who controls them (one, and itself).

use super::metadata::{MetadataBroker, NO_OPERATIONS};
use super::{ApiKey, Request};
use crate::codec::message;
use crate::codes::ErrorCode;

message! {
    pub struct DescribeClusterRequest {
        [0..] include_cluster_authorized_operations: bool,
        /// 1 asks for brokers, 2 for controllers.
        [1..] endpoint_type: i8 = 1,
    }

    pub struct DescribeClusterResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [1..] endpoint_type: i8 = 1,
        [0..] cluster_id: String,
        [0..] controller_id: i32 = -1,
        [0..] brokers: Vec<ClusterBroker>,
        [0..] cluster_authorized_operations: i32 = NO_OPERATIONS,
    }

    pub struct ClusterBroker {
        [0..] broker_id: i32,
        [0..] host: String,
        [0..] port: i32,
        [0..] rack: Option<String>,
    }
}

impl From<MetadataBroker> for ClusterBroker {
    fn from(broker: MetadataBroker) -> Self {
        let MetadataBroker { node_id, host, port, rack } = broker;
        Self { broker_id: node_id, host, port, rack }
    }
}

impl Request for DescribeClusterRequest {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    type Response = DescribeClusterResponse;
}
