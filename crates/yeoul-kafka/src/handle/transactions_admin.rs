//! What `kafka-transactions.sh` asks: which transactions there are, who writes to a partition,
//! and the end of one in a single partition.
//!
//! Nothing can hang here as it can between Kafka's brokers, because a transaction ends in all its
//! partitions at once; the tools find that out for themselves.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use yeoul_base::{ProducerInfo, StoreError};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::describe_producers::{
    ActiveProducer, DescribeProducersRequest, DescribeProducersResponse,
    DescribedProducersPartition, DescribedProducersTopic,
};
use yeoul_kafka_wire::api::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, DescribedTransaction,
    TransactionTopic,
};
use yeoul_kafka_wire::api::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, ListedTransaction,
};
use yeoul_kafka_wire::api::write_txn_markers::{
    WritableTxnMarker, WriteTxnMarkersRequest, WriteTxnMarkersResponse, WrittenTxnMarker,
    WrittenTxnMarkerPartition, WrittenTxnMarkerTopic,
};

use crate::broker::{self, Context};
use crate::errors;
use crate::txn::{Identity, Status, Transaction};

/// Kafka's states; those of them that a transaction has here are [`Status`]'s.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// What a pattern may take once it is compiled.
const PATTERN_BYTES_MAX: usize = 256 << 10;

pub(crate) async fn list_transactions(
    context: Context,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let pattern = match request.transactional_id_pattern.as_deref().map(whole_pattern).transpose() {
        Ok(pattern) => pattern,
        Err(error) => {
            tracing::debug!(%error, "a pattern of transactional ids was refused");
            let error_code = ErrorCode::INVALID_REGULAR_EXPRESSION;
            return ListTransactionsResponse { error_code, ..Default::default() };
        }
    };
    let now_ms = context.broker.clock.now_ms();
    let (known, unknown_state_filters): (Vec<_>, Vec<_>) =
        request.state_filters.iter().cloned().partition(|state| STATES.contains(&state.as_str()));
    let wanted = |id: &str, found: &Transaction| {
        let named = pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
        let state = request.state_filters.is_empty()
            || known.iter().any(|state| state == found.status.name());
        let ids = &request.producer_id_filters;
        let producer = ids.is_empty() || ids.contains(&found.producer_id);
        let open_ms = now_ms.saturating_sub(found.opened_ms);
        let lasting = request.duration_filter < 0
            || (found.status == Status::Ongoing && open_ms > request.duration_filter);
        named && state && producer && lasting
    };
    let all = context.broker.transactions.list().into_iter();
    let transaction_states = all
        .filter(|(id, found)| wanted(id, found))
        .map(|(transactional_id, found)| ListedTransaction {
            transactional_id,
            producer_id: found.producer_id,
            transaction_state: found.status.name().to_owned(),
        })
        .collect();
    ListTransactionsResponse {
        unknown_state_filters,
        transaction_states,
        ..ListTransactionsResponse::default()
    }
}

/// A pattern for whole ids; an empty one is for all.
fn whole_pattern(pattern: &str) -> Result<Regex, regex::Error> {
    let whole = match pattern {
        "" => String::new(),
        pattern => format!("^(?:{pattern})$"),
    };
    RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build()
}

pub(crate) async fn describe_transactions(
    context: Context,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let transaction_states = super::once(request.transactional_ids, String::clone)
        .into_iter()
        .map(|id| {
            let found = match context.broker.transactions.describe(&id) {
                _ if id.is_empty() => Err(ErrorCode::INVALID_REQUEST),
                Ok(None) => Err(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND),
                Ok(Some(found)) => Ok(found),
                Err(code) => Err(code),
            };
            let described = match found {
                Ok(found) => described(&context, &found),
                Err(error_code) => DescribedTransaction { error_code, ..Default::default() },
            };
            DescribedTransaction { transactional_id: id, ..described }
        })
        .collect();
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

fn described(context: &Context, found: &Transaction) -> DescribedTransaction {
    let open = found.status == Status::Ongoing;
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    if open {
        let known = context.store().topics();
        for part in context.broker.transactions.parts(found.producer_id) {
            // One whose topic was deleted has no name any more.
            if let Some((topic, number)) = known.of_part(part) {
                let number = i32::try_from(number).unwrap_or(i32::MAX);
                topics.entry(topic.name.to_string()).or_default().push(number);
            }
        }
    }
    DescribedTransaction {
        transaction_state: found.status.name().to_owned(),
        transaction_timeout_ms: found.timeout_ms,
        transaction_start_time_ms: if open { found.opened_ms } else { -1 },
        producer_id: found.producer_id,
        producer_epoch: found.epoch,
        topics: topics
            .into_iter()
            .map(|(topic, partitions)| TransactionTopic { topic, partitions })
            .collect(),
        ..DescribedTransaction::default()
    }
}

pub(crate) async fn describe_producers(
    context: Context,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = context.store().topics();
    let mut response = DescribeProducersResponse::default();
    for topic in super::once(request.topics, |topic| topic.name.clone()) {
        let mut partitions = Vec::new();
        for partition_index in super::once(topic.partition_indexes, |index| *index) {
            let part = topics.get(&topic.name);
            let part = part.and_then(|info| broker::partition(info, partition_index));
            let found = match part {
                Some(part) => context.broker.blocking(move |store| store.producers(part)).await,
                None => Err(StoreError::UnknownTopic(topic.name.clone())),
            };
            let answer = DescribedProducersPartition { partition_index, ..Default::default() };
            partitions.push(match found {
                Ok(producers) => DescribedProducersPartition {
                    active_producers: producers.iter().map(active).collect(),
                    ..answer
                },
                Err(error) => DescribedProducersPartition {
                    error_code: errors::of_store(&error),
                    error_message: Some(error.to_string()),
                    ..answer
                },
            });
        }
        response.topics.push(DescribedProducersTopic { name: topic.name, partitions });
    }
    response
}

fn active(producer: &ProducerInfo) -> ActiveProducer {
    ActiveProducer {
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch.into(),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_ms,
        coordinator_epoch: 0,
        current_txn_start_offset: producer.open_since.unwrap_or(-1),
    }
}

pub(crate) async fn write_txn_markers(
    context: Context,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let mut markers = Vec::new();
    for marker in request.markers {
        markers.push(write_marker(&context, marker).await);
    }
    WriteTxnMarkersResponse { markers }
}

async fn write_marker(context: &Context, asked: WritableTxnMarker) -> WrittenTxnMarker {
    let known = context.store().topics();
    let from = Identity { producer_id: asked.producer_id, epoch: asked.producer_epoch };
    let mut topics = Vec::new();
    for topic in asked.topics {
        let info = known.get(&topic.name);
        let mut partitions = Vec::new();
        for partition_index in topic.partition_indexes {
            let part = info.and_then(|info| broker::partition(info, partition_index));
            let error_code = match part {
                None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                // Only the coordinator commits, and only whole transactions.
                Some(_) if asked.transaction_result => ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
                Some(part) => {
                    let done = context.broker.transactions.abort_part(from, part).await;
                    done.err().unwrap_or_default()
                }
            };
            partitions.push(WrittenTxnMarkerPartition { partition_index, error_code });
        }
        topics.push(WrittenTxnMarkerTopic { name: topic.name, partitions });
    }
    WrittenTxnMarker { producer_id: asked.producer_id, topics }
}
