//! From a frame to its handler: one file per API (or pair of APIs that are one thing).

mod api_versions;
mod configs;
mod configs_replace;
mod coordinator;
mod delete_records;
mod fetch;
mod groups;
mod list_offsets;
mod metadata;
mod offset_delete;
mod offsets;
mod one_broker;
mod produce;
mod topic_partitions;
mod topics;
mod transactions;
mod transactions_admin;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_kafka_wire::api::ApiKey;
use yeoul_kafka_wire::frame::decode_request;
use yeoul_kafka_wire::{Frame, Request, RequestHeader, WireError, encode_response};

use crate::broker::Context;
use crate::memory::Share;

/// Answers up to this are not counted; a connection has one at a time.
const LISTING_BYTES_UNCOUNTED: usize = 16 << 10;

/// The answer to come; `None` where the protocol has none.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<Option<Reply>, WireError>> + Send>>;

/// An answer, with its share of the memory for answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) frame: Frame,
    pub(crate) memory: Share,
}

impl From<Frame> for Reply {
    /// A small one, or one whose size the request bounds.
    fn from(frame: Frame) -> Self {
        Self { frame, memory: Share::default() }
    }
}

/// How a request was taken up.
pub(crate) enum Started {
    /// Its work is under way; only the answer is waited for.
    Now(Pending),
    /// Its work begins when the answer is polled.
    InTurn(Pending),
}

/// Decodes a request and finds its handler. Nothing else of its connection is under way but
/// produce requests.
pub(crate) fn start(
    frame: Bytes,
    context: impl FnOnce(i16, String) -> Context,
) -> Result<Started, WireError> {
    let (mut header, body) = RequestHeader::decode(frame)?;
    let context = context(header.version, header.client_id.take().unwrap_or_default());
    match header.api.key {
        ApiKey::Produce => return produce_request(context, header, body),
        ApiKey::Fetch => return fetch_request(context, header, body),
        ApiKey::ApiVersions => {
            let answer = api_versions::answer(&header, body)?;
            return Ok(in_turn(async move { Ok(Some(answer.into())) }));
        }
        _ => {}
    }
    Handling { context, header, body }.start()
}

fn in_turn(
    answer: impl Future<Output = Result<Option<Reply>, WireError>> + Send + 'static,
) -> Started {
    Started::InTurn(Box::pin(answer))
}

fn produce_request(
    context: Context,
    header: RequestHeader,
    body: Bytes,
) -> Result<Started, WireError> {
    let request = decode_request(&header, body)?;
    let answer = produce::start(&context, request);
    Ok(Started::Now(Box::pin(async move {
        let frame = produce::frame(&header, answer.await)?;
        Ok(frame.map(Reply::from))
    })))
}

fn fetch_request(
    context: Context,
    header: RequestHeader,
    body: Bytes,
) -> Result<Started, WireError> {
    let request = decode_request(&header, body)?;
    Ok(in_turn(async move {
        let (answer, memory) = fetch::fetch(context, request).await;
        let frame = encode_response(&header, answer)?;
        Ok(Some(Reply { frame, memory }))
    }))
}

/// What is asked for twice is answered once: a short request must not have an endless answer.
fn once<T, K: Ord>(asked: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    asked.into_iter().filter(|one| seen.insert(key(one))).collect()
}

struct Handling {
    context: Context,
    header: RequestHeader,
    body: Bytes,
}

impl Handling {
    /// One line for every API there is: the compiler finds one that is missing.
    fn start(self) -> Result<Started, WireError> {
        match self.header.api.key {
            ApiKey::Produce | ApiKey::Fetch | ApiKey::ApiVersions => Err(WireError::UnknownApi(0)),
            ApiKey::ListOffsets => self.by(list_offsets::list_offsets),
            ApiKey::Metadata => self.listing(metadata::metadata),
            ApiKey::DescribeCluster => self.by(metadata::describe_cluster),
            ApiKey::OffsetForLeaderEpoch => self.by(list_offsets::offset_for_leader_epoch),
            ApiKey::CreateTopics => self.by(topics::create_topics),
            ApiKey::DeleteTopics => self.by(topics::delete_topics),
            ApiKey::CreatePartitions => self.by(topics::create_partitions),
            ApiKey::DescribeConfigs => self.listing(configs::describe_configs),
            ApiKey::IncrementalAlterConfigs => self.by(configs::incremental_alter_configs),
            ApiKey::InitProducerId => self.by(transactions::init_producer_id),
            ApiKey::FindCoordinator => self.by(coordinator::find_coordinator),
            ApiKey::JoinGroup => self.by(groups::join_group),
            ApiKey::SyncGroup => self.by(groups::sync_group),
            ApiKey::Heartbeat => self.by(groups::heartbeat),
            ApiKey::LeaveGroup => self.by(groups::leave_group),
            ApiKey::DescribeGroups => self.listing(groups::describe_groups),
            ApiKey::ListGroups => self.listing(groups::list_groups),
            ApiKey::DeleteGroups => self.by(groups::delete_groups),
            ApiKey::OffsetCommit => self.by(offsets::offset_commit),
            ApiKey::OffsetFetch => self.listing(offsets::offset_fetch),
            ApiKey::OffsetDelete => self.by(offset_delete::offset_delete),
            ApiKey::AddPartitionsToTxn => self.by(transactions::add_partitions_to_txn),
            ApiKey::AddOffsetsToTxn => self.by(transactions::add_offsets_to_txn),
            ApiKey::TxnOffsetCommit => self.by(transactions::txn_offset_commit),
            ApiKey::EndTxn => self.by(transactions::end_txn),
            ApiKey::WriteTxnMarkers => self.by(transactions_admin::write_txn_markers),
            ApiKey::ListTransactions => self.listing(transactions_admin::list_transactions),
            ApiKey::DescribeTransactions => self.listing(transactions_admin::describe_transactions),
            ApiKey::DescribeProducers => self.listing(transactions_admin::describe_producers),
            ApiKey::DeleteRecords => self.by(delete_records::delete_records),
            ApiKey::AlterConfigs => self.by(configs_replace::alter_configs),
            ApiKey::ListConfigResources => self.listing(configs_replace::list_config_resources),
            ApiKey::DescribeTopicPartitions => self.by(topic_partitions::describe_topic_partitions),
            ApiKey::DescribeLogDirs => self.listing(one_broker::describe_log_dirs),
            ApiKey::AlterReplicaLogDirs => self.by(one_broker::alter_replica_log_dirs),
            ApiKey::ElectLeaders => self.listing(one_broker::elect_leaders),
            ApiKey::AlterPartitionReassignments => {
                self.by(one_broker::alter_partition_reassignments)
            }
            ApiKey::ListPartitionReassignments => self.by(one_broker::list_partition_reassignments),
            ApiKey::DescribeQuorum => self.listing(one_broker::describe_quorum),
            ApiKey::UpdateFeatures => self.by(one_broker::update_features),
        }
    }

    fn by<R, F, A>(self, handler: F) -> Result<Started, WireError>
    where
        R: Request,
        F: FnOnce(Context, R) -> A + Send + 'static,
        A: Future<Output = R::Response> + Send,
    {
        let Self { context, header, body } = self;
        let request = decode_request::<R>(&header, body)?;
        Ok(in_turn(async move {
            let answer = handler(context, request).await;
            encode_response(&header, answer).map(|frame| Some(frame.into()))
        }))
    }

    /// For answers that grow with what the node holds: few are made at a time, and a large one
    /// counts as memory until its peer has taken it.
    fn listing<R, F, A>(self, handler: F) -> Result<Started, WireError>
    where
        R: Request,
        F: FnOnce(Context, R) -> A + Send + 'static,
        A: Future<Output = R::Response> + Send,
    {
        let Self { context, header, body } = self;
        let request = decode_request::<R>(&header, body)?;
        Ok(in_turn(async move {
            let broker = Arc::clone(&context.broker);
            // Never closed.
            let _making = broker.listings.acquire().await.ok();
            let answer = handler(context, request).await;
            let frame = encode_response(&header, answer)?;
            let mut memory = Share::default();
            if frame.len_bytes() > LISTING_BYTES_UNCOUNTED {
                broker.answer_memory.grow(&mut memory, frame.len_bytes()).await;
            }
            Ok(Some(Reply { frame, memory }))
        }))
    }
}
