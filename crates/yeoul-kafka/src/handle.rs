//! From a frame to its handler: one file per API (or pair of APIs that are one thing).

mod api_versions;
mod configs;
mod coordinator;
mod fetch;
mod groups;
mod list_offsets;
mod metadata;
mod offsets;
mod produce;
mod topics;

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
    let of = Handling { context, header, body };
    match of.header.api.key {
        ApiKey::Produce | ApiKey::Fetch | ApiKey::ApiVersions => Err(WireError::UnknownApi(0)),
        ApiKey::ListOffsets => of.by(list_offsets::list_offsets),
        ApiKey::Metadata => of.listing(metadata::metadata),
        ApiKey::DescribeCluster => of.by(metadata::describe_cluster),
        ApiKey::OffsetForLeaderEpoch => of.by(list_offsets::offset_for_leader_epoch),
        ApiKey::CreateTopics => of.by(topics::create_topics),
        ApiKey::DeleteTopics => of.by(topics::delete_topics),
        ApiKey::CreatePartitions => of.by(topics::create_partitions),
        ApiKey::DescribeConfigs => of.listing(configs::describe_configs),
        ApiKey::IncrementalAlterConfigs => of.by(configs::incremental_alter_configs),
        ApiKey::InitProducerId => of.by(coordinator::init_producer_id),
        ApiKey::FindCoordinator => of.by(coordinator::find_coordinator),
        ApiKey::JoinGroup => of.by(groups::join_group),
        ApiKey::SyncGroup => of.by(groups::sync_group),
        ApiKey::Heartbeat => of.by(groups::heartbeat),
        ApiKey::LeaveGroup => of.by(groups::leave_group),
        ApiKey::DescribeGroups => of.listing(groups::describe_groups),
        ApiKey::ListGroups => of.listing(groups::list_groups),
        ApiKey::DeleteGroups => of.by(groups::delete_groups),
        ApiKey::OffsetCommit => of.by(offsets::offset_commit),
        ApiKey::OffsetFetch => of.listing(offsets::offset_fetch),
    }
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
