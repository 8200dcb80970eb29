//! The APIs of transactional producers: protocol on one side, the coordinator on the other.

use std::collections::{BTreeMap, BTreeSet};

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use yeoul_kafka_wire::api::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
};
use yeoul_kafka_wire::api::end_txn::{EndTxnRequest, EndTxnResponse};
use yeoul_kafka_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use yeoul_kafka_wire::api::offset_commit::OffsetCommitPartition;
use yeoul_kafka_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};

use super::offsets;
use crate::broker::{self, Context};
use crate::group::Claim;
use crate::txn::Identity;

/// The first version of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn whose clients know
/// PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// The same of InitProducerId.
const INIT_FENCED_FROM: i16 = 4;
/// The first version of TxnOffsetCommit whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;

/// Clients of older versions know a fenced producer by its epoch.
fn fenced_as(code: ErrorCode, from: i16, version: i16) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED if version < from => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    }
}

pub(crate) async fn init_producer_id(
    context: Context,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let transactions = &context.broker.transactions;
    let given = match &request.transactional_id {
        // A producer that wants a new epoch gets a new id instead: as good, and nothing to
        // remember.
        None => transactions.fresh_id().await.map(|producer_id| Identity { producer_id, epoch: 0 }),
        Some(id) => {
            let Identity { producer_id, epoch } =
                Identity { producer_id: request.producer_id, epoch: request.producer_epoch };
            match (producer_id, epoch) {
                (-1, -1) => transactions.init(id, request.transaction_timeout_ms, None).await,
                (0.., 0..) => {
                    let expected = Some(Identity { producer_id, epoch });
                    transactions.init(id, request.transaction_timeout_ms, expected).await
                }
                _ => Err(ErrorCode::INVALID_REQUEST),
            }
        }
    };
    match given {
        Ok(Identity { producer_id, epoch }) => InitProducerIdResponse {
            producer_id,
            producer_epoch: epoch,
            ..InitProducerIdResponse::default()
        },
        Err(code) => InitProducerIdResponse {
            error_code: fenced_as(code, INIT_FENCED_FROM, context.version),
            ..InitProducerIdResponse::default()
        },
    }
}

pub(crate) async fn add_partitions_to_txn(
    context: Context,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let topics = context.store().topics();
    let mut parts = BTreeSet::new();
    let mut all_known = true;
    let mut results = Vec::new();
    for topic in request.topics {
        let info = topics.get(&topic.name).filter(|info| !info.is_internal());
        let mut partitions = Vec::new();
        for partition_index in topic.partitions {
            let part = info.and_then(|info| broker::partition(info, partition_index));
            all_known &= part.is_some();
            parts.extend(part);
            let error_code = match part {
                Some(_) => ErrorCode::NONE,
                None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            };
            partitions.push(AddPartitionsToTxnPartitionResult { partition_index, error_code });
        }
        results.push(AddPartitionsToTxnTopicResult { name: topic.name, partitions });
    }
    let from = Identity { producer_id: request.producer_id, epoch: request.producer_epoch };
    let code = if !all_known {
        ErrorCode::OPERATION_NOT_ATTEMPTED
    } else {
        let transactions = &context.broker.transactions;
        let added = transactions.add_partitions(&request.transactional_id, from, &parts).await;
        added.err().unwrap_or_default()
    };
    let code = fenced_as(code, FENCED_FROM, context.version);
    let all = results.iter_mut().flat_map(|topic| &mut topic.partitions);
    all.filter(|answer| answer.error_code.is_ok()).for_each(|answer| answer.error_code = code);
    AddPartitionsToTxnResponse { results, ..AddPartitionsToTxnResponse::default() }
}

pub(crate) async fn add_offsets_to_txn(
    context: Context,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let from = Identity { producer_id: request.producer_id, epoch: request.producer_epoch };
    let transactions = &context.broker.transactions;
    let added = match context.broker.groups.check_name(&request.group_id) {
        Ok(()) => transactions.add_group(&request.transactional_id, from, &request.group_id).await,
        Err(code) => Err(code),
    };
    let error_code = fenced_as(added.err().unwrap_or_default(), FENCED_FROM, context.version);
    AddOffsetsToTxnResponse { error_code, ..AddOffsetsToTxnResponse::default() }
}

pub(crate) async fn txn_offset_commit(
    context: Context,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let topics = context.store().topics();
    let now_ms = context.broker.clock.now_ms();
    let mut entries = BTreeMap::new();
    let mut response = TxnOffsetCommitResponse::default();
    for topic in request.topics {
        let info = topics.get(&topic.name);
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            let partition_index = asked.partition_index;
            let asked = OffsetCommitPartition {
                partition_index,
                committed_offset: asked.committed_offset,
                committed_leader_epoch: asked.committed_leader_epoch,
                committed_metadata: asked.committed_metadata,
            };
            let entry = offsets::entry(info, asked, (now_ms, None));
            let error_code = entry.as_ref().err().copied().unwrap_or_default();
            entries.extend(entry);
            partitions.push(TxnOffsetCommitResponsePartition { partition_index, error_code });
        }
        response.topics.push(TxnOffsetCommitResponseTopic { name: topic.name, partitions });
    }
    let claim = Claim {
        group: request.group_id,
        member_id: request.member_id,
        instance: request.group_instance_id,
        generation: request.generation_id,
        transactional: true,
    };
    let from = Identity { producer_id: request.producer_id, epoch: request.producer_epoch };
    let broker = &context.broker;
    let id = &request.transactional_id;
    let added = broker.transactions.add_offsets(id, from, &broker.groups, &claim, &entries).await;
    let code = match added {
        Ok(()) => return response,
        // What producers expect to hear of it here, as from a partition.
        Err(ErrorCode::PRODUCER_FENCED) => ErrorCode::INVALID_PRODUCER_EPOCH,
        Err(ErrorCode::INVALID_TXN_STATE) if context.version >= ABORTABLE_FROM => {
            ErrorCode::TRANSACTION_ABORTABLE
        }
        Err(code) => code,
    };
    let all = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    all.filter(|answer| answer.error_code.is_ok()).for_each(|answer| answer.error_code = code);
    response
}

pub(crate) async fn end_txn(context: Context, request: EndTxnRequest) -> EndTxnResponse {
    let from = Identity { producer_id: request.producer_id, epoch: request.producer_epoch };
    let transactions = &context.broker.transactions;
    let ended = transactions.end(&request.transactional_id, from, request.committed).await;
    let error_code = fenced_as(ended.err().unwrap_or_default(), FENCED_FROM, context.version);
    EndTxnResponse { error_code, ..EndTxnResponse::default() }
}
