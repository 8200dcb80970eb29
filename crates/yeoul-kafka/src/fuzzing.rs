//! What the fuzz target of the listener calls: one connection's bytes through the frame reader
//! and the handlers to a store, without a socket. Only compiled for fuzzing and
//! for this crate's own tests, so that it is not broken unseen.
//!
//! Invariant: every call returns for every input; a panic is the finding.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::{Clock, Rand, Store};
use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;
use yeoul_kafka_wire::api::describe_groups::DescribeGroupsRequest;
use yeoul_kafka_wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};
use yeoul_kafka_wire::api::init_producer_id::InitProducerIdRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupProtocol, JoinGroupRequest};
use yeoul_kafka_wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use yeoul_kafka_wire::api::metadata::MetadataRequest;
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use yeoul_kafka_wire::api::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use yeoul_kafka_wire::{Frame, WireError, encode_request};

use crate::broker::{Broker, Context, Peer};
use crate::connection::input::FrameReader;
use crate::handle::{self, Started};
use crate::options::KafkaOptions;

/// Longer than any wait a request may ask for; the runtime's time is simulated.
const ANSWER_MAX: Duration = Duration::from_secs(100_000);

/// Serves the bytes of one connection to their end; returns the answers' sizes.
pub async fn connection(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    bytes: &[u8],
) -> Vec<usize> {
    let options = KafkaOptions::default();
    let broker = Arc::new(Broker::new(options, Vec::new(), store, clock, rand));
    let peer = Arc::new(Peer {
        addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
        advertised_host: "localhost".into(),
        advertised_port: 9092,
    });
    let timers = Arc::clone(&broker);
    let timers = tokio::spawn(async move { timers.groups.run_timers().await });
    let mut answers = Vec::new();
    let mut frames = FrameReader::new(bytes, &broker);
    while let Ok(Some(head)) = frames.head().await {
        let Ok((frame, _memory)) = frames.rest(head).await else { break };
        let Some(answer) = one(&broker, &peer, frame).await else { break };
        frames.trust();
        answers.push(answer);
    }
    timers.abort();
    answers
}

async fn one(broker: &Arc<Broker>, peer: &Arc<Peer>, frame: Bytes) -> Option<usize> {
    let started = handle::start(frame, |version, client_id| Context {
        broker: Arc::clone(broker),
        peer: Arc::clone(peer),
        version,
        client_id,
        counted: false,
    });
    let answer = match started.ok()? {
        Started::Now(answer) | Started::InTurn(answer) => answer,
    };
    let answer = tokio::time::timeout(ANSWER_MAX, answer).await;
    // A request that nobody will ever answer holds its connection for ever.
    assert!(answer.is_ok(), "no answer after {ANSWER_MAX:?}");
    answer.ok()?.ok()?.map(|reply| reply.frame.len_bytes()).or(Some(0))
}

/// The facts of this crate.
pub fn facts(data: &[u8]) {
    crate::group::fuzz_facts(data);
}

/// Seeds of [`facts`].
pub fn sample_facts() -> Vec<Vec<u8>> {
    crate::group::sample_facts()
}

/// Seeds of [`connection`]: what real clients send one after another, about a topic `t`.
pub fn conversations(batch: &Bytes) -> Vec<Vec<u8>> {
    let say = |frame: Result<Frame, WireError>| {
        frame.map(|frame| frame.concat().to_vec()).unwrap_or_default()
    };
    let producing = [
        say(encode_request(3, 1, "f", ApiVersionsRequest::default())),
        say(encode_request(5, 2, "f", InitProducerIdRequest::default())),
        say(encode_request(9, 3, "f", produce(batch))),
        say(encode_request(3, 4, "f", produce(batch))),
    ];
    let consuming = [
        say(encode_request(12, 1, "f", MetadataRequest::default())),
        say(encode_request(12, 2, "f", fetch(0))),
        say(encode_request(4, 3, "f", fetch(1))),
        say(encode_request(8, 4, "f", list_offsets())),
    ];
    let grouping = [
        say(encode_request(2, 1, "f", join("g"))),
        say(encode_request(5, 2, "f", join("g"))),
        say(encode_request(8, 3, "f", commit("g"))),
        say(encode_request(
            1,
            4,
            "f",
            DescribeGroupsRequest { groups: vec!["g".into()], ..Default::default() },
        )),
    ];
    [producing.concat(), consuming.concat(), grouping.concat()].into()
}

fn produce(batch: &Bytes) -> ProduceRequest {
    let partitions = vec![ProducePartition { index: 0, records: Some(batch.clone()) }];
    let topics = vec![ProduceTopic { name: "t".into(), partitions }];
    ProduceRequest { acks: -1, topics, ..ProduceRequest::default() }
}

fn fetch(offset: i64) -> FetchRequest {
    let partition =
        FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic { name: "t".into(), partitions: vec![partition] }];
    FetchRequest { max_wait_ms: 500, min_bytes: 1, topics, ..FetchRequest::default() }
}

fn list_offsets() -> ListOffsetsRequest {
    let partitions = vec![ListOffsetsPartition { timestamp: 1, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions }];
    ListOffsetsRequest { topics, ..ListOffsetsRequest::default() }
}

fn join(group: &str) -> JoinGroupRequest {
    let range = JoinGroupProtocol { name: "range".into(), metadata: Bytes::from_static(b"m") };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![range],
        ..JoinGroupRequest::default()
    }
}

fn commit(group: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitPartition { committed_offset: 1, ..Default::default() };
    let topics = vec![OffsetCommitTopic { name: "t".into(), partitions: vec![partition] }];
    OffsetCommitRequest { group_id: group.into(), topics, ..OffsetCommitRequest::default() }
}

#[cfg(test)]
mod tests {
    use yeoul_base::{MemStore, NewTopic, SeededRand, SystemClock};
    use yeoul_log::batch::{BatchBuilder, Codec};

    use super::*;

    #[tokio::test]
    async fn every_seed_goes_through() {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(b"v"), &[]);
        let batch = builder.finish().expect("a record");
        for seed in conversations(&batch) {
            let store = MemStore::new();
            let new = NewTopic { name: "t".into(), partitions: 1, config: Default::default() };
            store.create_topic(new).expect("made");
            let clock = Arc::new(SystemClock::new());
            let rand = Arc::new(SeededRand::new(7));
            let answers = connection(Arc::new(store), clock, rand, &seed).await;
            assert_eq!(answers.len(), 4, "a request was not answered");
        }
        sample_facts().iter().for_each(|fact| facts(fact));
    }
}
