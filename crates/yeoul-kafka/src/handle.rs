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

use bytes::Bytes;
use yeoul_kafka_wire::api::ApiKey;
use yeoul_kafka_wire::frame::decode_request;
use yeoul_kafka_wire::{Frame, Request, RequestHeader, WireError, encode_response};

use crate::broker::Context;

/// The answer to come; `None` where the protocol has none.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<Option<Frame>, WireError>> + Send>>;

/// How a request was taken up.
pub(crate) enum Started {
    /// Its work is under way; only the answer is waited for.
    Now(Pending),
    /// Its work begins when the answer is polled.
    InTurn {
        answer: Pending,
        /// Must be done even when the peer has gone.
        must_run: bool,
    },
}

/// Decodes a request and finds its handler. `eager`: nothing before it waits for its turn, so a
/// produce request may go to the store at once.
pub(crate) fn start(
    eager: bool,
    frame: Bytes,
    context: impl FnOnce(i16, String) -> Context,
) -> Result<Started, WireError> {
    let (mut header, body) = RequestHeader::decode(frame)?;
    let context = context(header.version, header.client_id.take().unwrap_or_default());
    match header.api.key {
        ApiKey::Produce => return produce_request(eager, context, header, body),
        ApiKey::ApiVersions => {
            let answer = api_versions::answer(&header, body)?;
            return Ok(in_turn(async move { Ok(Some(answer)) }));
        }
        _ => {}
    }
    let of = Handling { context, header, body };
    match of.header.api.key {
        ApiKey::Produce | ApiKey::ApiVersions => Err(WireError::UnknownApi(0)),
        ApiKey::Fetch => of.by(fetch::fetch),
        ApiKey::ListOffsets => of.by(list_offsets::list_offsets),
        ApiKey::Metadata => of.by(metadata::metadata),
        ApiKey::DescribeCluster => of.by(metadata::describe_cluster),
        ApiKey::OffsetForLeaderEpoch => of.by(list_offsets::offset_for_leader_epoch),
        ApiKey::CreateTopics => of.by(topics::create_topics),
        ApiKey::DeleteTopics => of.by(topics::delete_topics),
        ApiKey::CreatePartitions => of.by(topics::create_partitions),
        ApiKey::DescribeConfigs => of.by(configs::describe_configs),
        ApiKey::IncrementalAlterConfigs => of.by(configs::incremental_alter_configs),
        ApiKey::InitProducerId => of.by(coordinator::init_producer_id),
        ApiKey::FindCoordinator => of.by(coordinator::find_coordinator),
        ApiKey::JoinGroup => of.by(groups::join_group),
        ApiKey::SyncGroup => of.by(groups::sync_group),
        ApiKey::Heartbeat => of.by(groups::heartbeat),
        ApiKey::LeaveGroup => of.by(groups::leave_group),
        ApiKey::DescribeGroups => of.by(groups::describe_groups),
        ApiKey::ListGroups => of.by(groups::list_groups),
        ApiKey::DeleteGroups => of.by(groups::delete_groups),
        ApiKey::OffsetCommit => of.by(offsets::offset_commit),
        ApiKey::OffsetFetch => of.by(offsets::offset_fetch),
    }
}

fn in_turn(
    answer: impl Future<Output = Result<Option<Frame>, WireError>> + Send + 'static,
) -> Started {
    Started::InTurn { answer: Box::pin(answer), must_run: false }
}

fn produce_request(
    eager: bool,
    context: Context,
    header: RequestHeader,
    body: Bytes,
) -> Result<Started, WireError> {
    let request = decode_request(&header, body)?;
    if eager {
        let answer = produce::start(&context, request);
        return Ok(Started::Now(Box::pin(async move { produce::frame(&header, answer.await) })));
    }
    let answer = Box::pin(async move {
        let answer = produce::start(&context, request).await;
        produce::frame(&header, answer)
    });
    Ok(Started::InTurn { answer, must_run: true })
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
            encode_response(&header, answer).map(Some)
        }))
    }
}
