//! FindCoordinator and InitProducerId: this node coordinates every group and numbers every
//! idempotent producer. Transactions are not offered; asking for one is refused with the one
//! error that every client takes as final (librdkafka retries all others until its timeout).

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, GROUP,
};
use yeoul_kafka_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::broker::{Context, NODE_ID};
use crate::errors;

const REFUSED: ErrorCode = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
const NO_TRANSACTIONS: &str = "transactions are not supported by this node";

pub(crate) async fn find_coordinator(
    context: Context,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let node = context.node();
    let (error_code, error_message) = match request.key_type {
        GROUP => (ErrorCode::NONE, None),
        _ => (REFUSED, Some(NO_TRANSACTIONS.to_owned())),
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

pub(crate) async fn init_producer_id(
    context: Context,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refuse = |error_code| InitProducerIdResponse { error_code, ..Default::default() };
    if request.transactional_id.is_some() {
        return refuse(REFUSED);
    }
    // A producer that wants a new epoch gets a new id instead: as good, and nothing to remember.
    match context.broker.blocking(|store| store.new_producer_id()).await {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        Err(error) => {
            tracing::warn!(%error, "no producer id could be given");
            refuse(errors::of_store(&error))
        }
    }
}
