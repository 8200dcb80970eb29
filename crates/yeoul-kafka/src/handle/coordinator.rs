//! FindCoordinator: this node looks after every group and every transactional id.

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, GROUP, TRANSACTION,
};

use crate::broker::{Context, NODE_ID};

pub(crate) async fn find_coordinator(
    context: Context,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let node = context.node();
    let (error_code, error_message) = match request.key_type {
        GROUP | TRANSACTION => (ErrorCode::NONE, None),
        other => {
            let why = format!("this node coordinates nothing of type {other}");
            (ErrorCode::INVALID_REQUEST, Some(why))
        }
    };
    let node_id = if error_code.is_ok() { NODE_ID } else { -1 };
    let coordinators = request.coordinator_keys.into_iter().map(|key| Coordinator {
        key,
        node_id,
        host: node.host.clone(),
        port: node.port,
        error_code,
        error_message: error_message.clone(),
    });
    FindCoordinatorResponse {
        error_code,
        coordinators: coordinators.collect(),
        error_message: error_message.clone(),
        node_id,
        host: node.host.clone(),
        port: node.port,
        ..FindCoordinatorResponse::default()
    }
}
