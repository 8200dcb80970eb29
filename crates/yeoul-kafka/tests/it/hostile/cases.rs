//! The corpus: hundreds of hostile frames, each with the answer it must get.

use bytes::{BufMut, Bytes, BytesMut};
use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;
use yeoul_kafka_wire::api::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use yeoul_kafka_wire::api::create_topics::{CreatableConfig, CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::api::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use yeoul_kafka_wire::api::describe_groups::DescribeGroupsRequest;
use yeoul_kafka_wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupProtocol, JoinGroupRequest};
use yeoul_kafka_wire::api::leave_group::{LeaveGroupRequest, LeavingMember};
use yeoul_kafka_wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use yeoul_kafka_wire::api::metadata::{MetadataRequest, MetadataRequestTopic};
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use yeoul_kafka_wire::api::sync_group::SyncGroupRequest;
use yeoul_kafka_wire::{Api, ErrorCode, Request, decode_response, encode_request};

use super::bytes::{bombs, changed, compact, framed, packed, put, request, uvarint};
use crate::client::{batch, fetch, produce};

/// What must come of a frame.
pub(crate) enum Expect {
    /// The connection ends without an answer.
    Closed,
    /// An answer of any kind or the end of the connection: what it asks for is large, but not out of
    /// proportion.
    Any,
    /// An answer that decodes, with one of these codes.
    Codes(Box<dyn Fn(Bytes) -> ErrorCode + Send + Sync>, Vec<i16>),
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Sent after a valid request on the same connection: larger frames are let in then.
    pub(crate) trusted: bool,
    pub(crate) expect: Expect,
}

#[derive(Default)]
struct Corpus(Vec<Case>);

impl Corpus {
    fn closed(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let (name, bytes) = (name.into(), bytes.into());
        self.0.push(Case { name, bytes, trusted: false, expect: Expect::Closed });
    }

    /// A large frame, which only a peer that is known already may send.
    fn closed_when_trusted(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.closed(name, bytes);
        if let Some(case) = self.0.last_mut() {
            case.trusted = true;
        }
    }

    fn answered<R: Request>(
        &mut self,
        name: impl Into<String>,
        version: i16,
        request: R,
        code: impl Fn(&R::Response) -> ErrorCode + Send + Sync + 'static,
        codes: &[i16],
    ) {
        let frame = encode_request(version, 1, "hostile", request).expect("encodes").concat();
        let code = Box::new(move |answer| {
            let answer = decode_response::<R>(answer, version, 1).expect("an answer that decodes");
            code(&answer)
        });
        let expect = Expect::Codes(code, codes.to_vec());
        let trusted = frame.len() > 64 << 10;
        self.0.push(Case { name: name.into(), bytes: frame.to_vec(), trusted, expect });
    }

    fn produced(&mut self, name: &str, batch: Bytes, codes: &[i16]) {
        let code = |answer: &yeoul_kafka_wire::api::produce::ProduceResponse| {
            answer.topics[0].partitions[0].error_code
        };
        self.answered(format!("produce: {name}"), 9, produce("t", 0, -1, batch), code, codes);
    }
}

pub(crate) fn corpus() -> Vec<Case> {
    let mut corpus = Corpus::default();
    strangers(&mut corpus);
    versions(&mut corpus);
    fields(&mut corpus);
    unfolding(&mut corpus);
    cut(&mut corpus);
    batches(&mut corpus);
    producing(&mut corpus);
    consuming(&mut corpus);
    grouping(&mut corpus);
    administering(&mut corpus);
    corpus.0
}

fn strangers(corpus: &mut Corpus) {
    for (name, bytes) in [
        ("http get", &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
        ("http post", b"POST /druid/v2 HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n{"),
        ("http 2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("tls", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0x77, 0x77]),
        ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("redis", b"*1\r\n$4\r\nPING\r\n"),
        ("postgres", &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]),
        ("mqtt", &[0x10, 0x0c, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0]),
        ("zookeeper", b"ruok\n\n\n\n\n\n\n\n"),
        ("smtp", b"EHLO example.org\r\n"),
        ("zeros", &[0; 64]),
        ("ones", &[0xff; 64]),
        ("text", "여울은 얕은 물".as_bytes()),
        ("a newline", b"\r\n"),
    ] {
        corpus.closed(name, bytes);
    }
    for len in [-1i32, 0, 1, 4, 7, i32::MIN, i32::MAX, (100 << 20) + 1] {
        let mut bytes = len.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 3, 0, 9, 0, 0, 0, 1]);
        corpus.closed(format!("length {len}"), bytes);
    }
    for key in [1i16, 3, 8, 11, 19] {
        let mut bytes = (100i32 << 20).to_be_bytes().to_vec();
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&[0, 4, 0, 0, 0, 1, 0, 0]);
        corpus.closed(format!("100 MiB of a stranger's api {key}"), bytes);
    }
    // A stranger's long produce request for a topic that nobody has.
    let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 6];
    body.extend_from_slice(b"nobody");
    body.extend_from_slice(&vec![0; 200 << 10]);
    corpus.closed("a stranger's 200 KiB for no topic", request(0, 7, false, &body));
    corpus.closed("a stranger's 200 KiB of nothing", request(0, 7, false, &vec![0xff; 200 << 10]));
}

fn versions(corpus: &mut Corpus) {
    for key in [-1i16, 4, 5, 6, 7, 49, 55, 69, 70, 71, 1000, i16::MAX, i16::MIN] {
        corpus.closed(format!("key {key}"), request(key, 0, false, &[0; 20]));
    }
    for api in Api::ALL {
        let key = api.key as i16;
        if key == 18 {
            continue;
        }
        for version in [api.min - 1, api.max + 1, i16::MAX] {
            let name = format!("{} version {version}", api.name);
            corpus.closed(name, request(key, version, version > 5, &[0; 20]));
        }
    }
    for version in [5, 77, i16::MAX, -1] {
        let frame = request(18, version, false, &[]);
        let code = Box::new(|answer| {
            let answer = decode_response::<ApiVersionsRequest>(answer, 0, 1).expect("version 0");
            answer.error_code
        });
        corpus.0.push(Case {
            name: format!("ApiVersions version {version}"),
            bytes: frame,
            trusted: false,
            expect: Expect::Codes(code, vec![35]),
        });
    }
}

/// Lengths, counts, texts and tags that lie.
fn fields(corpus: &mut Corpus) {
    let no_client = |body: &[u8]| [&[0, 3, 0, 1, 0, 0, 0, 1][..], body].concat();
    corpus.closed("a client id beyond the frame", framed(&no_client(&[0x7f, 0xff])));
    corpus.closed("a client id of length -2", framed(&no_client(&[0xff, 0xfe, 0, 0])));
    corpus.closed("a client id that is no text", framed(&no_client(&[0, 1, 0xff, 0, 0, 0, 0])));
    for count in [i32::MAX, 1_000_000, -2, i32::MIN] {
        for (name, key, version, before) in [
            ("Metadata", 3i16, 4i16, &[][..]),
            ("CreateTopics", 19, 2, &[]),
            ("DescribeGroups", 15, 0, &[]),
            ("DeleteGroups", 42, 0, &[]),
            ("DescribeConfigs", 32, 1, &[]),
            ("Produce", 0, 7, &[0xff, 0xff, 0, 1, 0, 0, 0, 1]),
            ("Fetch", 1, 4, &[0; 17]),
            ("ListOffsets", 2, 1, &[0; 4]),
            ("OffsetFetch", 9, 1, &[0, 1, b'g']),
        ] {
            let body = [before, &count.to_be_bytes()].concat();
            corpus
                .closed(format!("{name} of {count} elements"), request(key, version, false, &body));
        }
    }
    for len in [i16::MAX, 1000, -2, i16::MIN] {
        let body = [&[0, 0, 0, 1][..], &len.to_be_bytes(), b"name"].concat();
        corpus.closed(format!("a name of {len} bytes"), request(3, 4, false, &body));
    }
    for (name, count) in [
        ("five bytes and too large", vec![0xff, 0xff, 0xff, 0xff, 0x1f]),
        ("six bytes", vec![0xff; 6]),
        ("cut short", vec![0x80]),
        ("all there is", uvarint(u32::MAX)),
        ("one too many", compact(2)),
    ] {
        corpus.closed(format!("a compact count of {name}"), request(3, 12, true, &count));
        corpus.closed(format!("an array of groups of {name}"), request(15, 5, true, &count));
        let body = [&[2][..], &count].concat();
        corpus.closed(format!("a compact name of {name}"), request(42, 2, true, &body));
    }
    // A null where a text must be.
    let null = MetadataRequestTopic::default();
    let ask = MetadataRequest { topics: Some(vec![null]), ..MetadataRequest::default() };
    let code =
        |answer: &yeoul_kafka_wire::api::metadata::MetadataResponse| answer.topics[0].error_code;
    corpus.answered("a null topic", 1, ask, code, &[17]);
    corpus.closed("a null group", request(12, 4, true, &[0, 0, 0, 0, 1, 1, 0, 0]));
    corpus
        .closed("a group that is no text", request(12, 0, false, &[0, 1, 0xc0, 0, 0, 0, 1, 0, 0]));
    for (name, tags) in [
        ("for ever", uvarint(u32::MAX)),
        ("with a length beyond the frame", vec![1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("with a bad length", [&[1, 0][..], &[0xff; 6]].concat()),
        ("with a bad number", [&[1][..], &[0xff; 6]].concat()),
        ("cut short", vec![5, 0, 0, 1]),
    ] {
        let mut frame = vec![0, 3, 0, 12, 0, 0, 0, 1, 0, 0];
        frame.extend_from_slice(&tags);
        corpus.closed(format!("tags of a header {name}"), framed(&frame));
        let body = [&[1, 0, 0][..], &tags].concat();
        corpus.closed(format!("tags of a body {name}"), request(3, 12, true, &body));
    }
}

/// Few bytes that would become many: they come from peers that are known already.
fn unfolding(corpus: &mut Corpus) {
    let count = 150_000;
    for (name, key, version, before, element) in [
        ("Metadata", 3i16, 9i16, &[][..], &[1, 0][..]),
        ("DescribeGroups", 15, 5, &[], &[1]),
        ("DeleteGroups", 42, 2, &[], &[1]),
        ("DeleteTopics", 20, 5, &[], &[1]),
        ("FindCoordinator", 10, 4, &[0], &[1]),
        ("CreateTopics", 19, 5, &[], &[1, 0, 0, 0, 1, 0, 1, 1, 1, 0]),
        ("Produce", 0, 9, &[0, 0xff, 0xff, 0, 0, 0, 1], &[1, 1, 0]),
        ("OffsetFetch", 9, 8, &[], &[1, 1, 0]),
        ("DescribeConfigs", 32, 4, &[], &[2, 1, 1, 0]),
        ("IncrementalAlterConfigs", 44, 1, &[], &[2, 1, 1, 0]),
        ("CreatePartitions", 37, 2, &[], &[1, 0, 0, 0, 2, 0, 0]),
    ] {
        let mut body = before.to_vec();
        body.extend_from_slice(&compact(count));
        body.extend_from_slice(&element.repeat(count as usize));
        body.extend_from_slice(&[0; 16]);
        let name = format!("{name} of 150,000 small elements");
        corpus.closed_when_trusted(name, request(key, version, true, &body));
        // These take more bytes each; some are answered one by one.
        if matches!(key, 19 | 32 | 37 | 44)
            && let Some(case) = corpus.0.last_mut()
        {
            case.expect = Expect::Any;
        }
    }
    let mut body = compact(300_000);
    body.extend_from_slice(&[7, b'a', b'b', b'c', b'd', b'e', b'f', 0].repeat(300_000));
    body.extend_from_slice(&[0; 4]);
    corpus.closed_when_trusted("300,000 topics", request(3, 9, true, &body));
}

/// Good requests that end early.
fn cut(corpus: &mut Corpus) {
    let frames = [
        encode_request(9, 1, "c", produce("t", 0, -1, batch(&["a"]))),
        encode_request(12, 1, "c", fetch("t", 0, 0)),
        encode_request(6, 1, "c", join("g", vec![protocol(8)])),
        encode_request(8, 1, "c", commit("g", "m")),
        encode_request(7, 1, "c", create("x", 1)),
    ];
    for frame in frames {
        let frame = frame.expect("encodes").concat();
        for cut in 12..frame.len() {
            let name = format!("api {} cut at {cut}", frame[5]);
            corpus.closed(name, framed(&frame[4..cut]));
        }
    }
}

fn batches(corpus: &mut Corpus) {
    const CORRUPT: i16 = 2;
    const FORMAT: i16 = 43;
    const INVALID: i16 = 87;
    for magic in [0u8, 1, 3, 127, 255] {
        let batch = changed(|bytes| bytes[16] = magic);
        corpus.produced(&format!("magic {magic}"), batch, &[FORMAT]);
    }
    for delta in [1i32, 100, -1, i32::MAX, i32::MIN] {
        let batch = changed(|bytes| put(bytes, 23, delta.to_be_bytes()));
        corpus.produced(&format!("last offset delta {delta}"), batch, &[INVALID]);
    }
    for count in [0i32, 2, 1000, -1, i32::MAX, i32::MIN] {
        let batch = changed(|bytes| put(bytes, 57, count.to_be_bytes()));
        corpus.produced(&format!("{count} records"), batch, &[INVALID]);
    }
    for count in [7i32, 1_000_000, i32::MAX] {
        let batch = packed(0, count, &[0; 40]);
        corpus.produced(&format!("{count} records in 40 bytes"), batch, &[INVALID]);
    }
    for length in [0i32, 48, 49, 1_000, -1, i32::MAX, i32::MIN] {
        let mut bytes = BytesMut::from(batch(&["value"]).as_ref());
        put(&mut bytes, 8, length.to_be_bytes());
        corpus.produced(&format!("length {length}"), bytes.freeze(), &[CORRUPT]);
    }
    for bit in [0, 3] {
        for at in [17, 21, 27, 43, 60, 65] {
            let mut bytes = BytesMut::from(batch(&["value"]).as_ref());
            bytes[at] ^= 1 << bit;
            let name = format!("byte {at} flipped in bit {bit}");
            // The codec and the count stand before the checksum is looked at.
            corpus.produced(&name, bytes.freeze(), &[CORRUPT, INVALID]);
        }
    }
    for cut in [1, 11, 12, 16, 17, 60, 61, 66] {
        let bytes = batch(&["value"]).slice(..cut);
        corpus.produced(&format!("cut at {cut}"), bytes, &[CORRUPT, INVALID]);
    }
    for codec in [5i16, 6, 7] {
        corpus.produced(&format!("codec {codec}"), packed(codec, 1, &[1; 40]), &[76]);
    }
    corpus.produced("no bytes", Bytes::new(), &[CORRUPT, INVALID]);
    let two = [batch(&["a"]), batch(&["b"])].concat();
    corpus.produced("two batches", Bytes::from(two), &[CORRUPT, INVALID]);
    corpus.produced("a marker", changed(|bytes| bytes[22] |= 0x20), &[INVALID, 42, 48]);
    corpus.produced(
        "a transaction nobody began",
        changed(|bytes| bytes[22] |= 0x10),
        &[2, 42, 47, 48, 49, 90],
    );
    corpus.produced("2 MiB", packed(0, 1, &vec![0; 2 << 20]), &[10]);
    for (name, bomb) in bombs() {
        corpus.produced(&format!("a {name} bomb"), bomb, &[87]);
    }
    let nested = (0..8).fold(batch(&["core"]), |inside, _| {
        packed(4, 1, &zstd::encode_all(&inside[..], 0).expect("in memory"))
    });
    corpus.produced("batches in batches", nested, &[87]);
    for codec in 1..=4 {
        corpus.produced(
            &format!("rubbish as codec {codec}"),
            packed(codec, 1, &[0xa5; 500]),
            &[87],
        );
    }
    for (name, id, epoch, sequence) in [
        ("from the middle", 5i64, 0i16, 77i32),
        ("of epoch -1", 5, -1, 0),
        ("of sequence -1", 5, 0, -1),
        ("at the end of numbers", i64::MAX, i16::MAX, i32::MAX),
        ("of id -2", -2, 0, 0),
    ] {
        let batch = changed(|bytes| {
            put(bytes, 43, id.to_be_bytes());
            put(bytes, 51, epoch.to_be_bytes());
            put(bytes, 53, sequence.to_be_bytes());
        });
        corpus.produced(&format!("a producer {name}"), batch, &[0, 2, 42, 45, 46, 47, 59, 87]);
    }
}

fn producing(corpus: &mut Corpus) {
    let code = |answer: &yeoul_kafka_wire::api::produce::ProduceResponse| {
        answer.topics[0].partitions[0].error_code
    };
    let good = || batch(&["value"]);
    for acks in [2i16, -2, i16::MAX, i16::MIN] {
        corpus.answered(format!("acks {acks}"), 9, produce("t", 0, acks, good()), code, &[21]);
    }
    for partition in [-1, 1, i32::MAX, i32::MIN] {
        let request = produce("t", partition, -1, good());
        corpus.answered(format!("partition {partition}"), 9, request, code, &[3]);
    }
    for topic in ["", "nobody", "../../etc/passwd", "a\0b", &"x".repeat(20_000), "__state.x"] {
        let name = format!("produce to `{}`", topic.chars().take(20).collect::<String>());
        corpus.answered(name, 9, produce(topic, 0, -1, good()), code, &[3, 17, 29]);
    }
    let zstd = packed(4, 1, &zstd::encode_all(&[0; 9][..], 0).expect("in memory"));
    corpus.answered("zstd from an old client", 6, produce("t", 0, -1, zstd), code, &[76]);
    let mut many = produce("t", 0, -1, good());
    let one = many.topics[0].partitions[0].clone();
    many.topics[0].partitions = vec![one; 200];
    corpus.answered("one partition 200 times", 9, many, code, &[0]);
}

fn consuming(corpus: &mut Corpus) {
    let code = |answer: &yeoul_kafka_wire::api::fetch::FetchResponse| {
        answer.topics[0].partitions[0].error_code
    };
    for offset in [-1, -2, i64::MIN, i64::MAX, 1 << 40] {
        corpus.answered(format!("fetch at {offset}"), 12, fetch("t", offset, 0), code, &[1]);
    }
    for partition in [-1, 9, i32::MAX, i32::MIN] {
        let mut request = fetch("t", 0, 0);
        request.topics[0].partitions[0].partition = partition;
        corpus.answered(format!("fetch partition {partition}"), 12, request, code, &[3]);
    }
    for (name, max, part, min, wait) in [
        ("no bytes", 0, 0, 0, 0),
        ("fewer than none", i32::MIN, i32::MIN, i32::MIN, i32::MIN),
        ("all there is", i32::MAX, i32::MAX, 0, i32::MAX),
        ("more than there will be", 1, 1, i32::MAX, 100),
    ] {
        let mut request = fetch("t", 0, wait);
        request.max_bytes = max;
        request.min_bytes = min;
        request.topics[0].partitions[0].partition_max_bytes = part;
        corpus.answered(format!("fetch {name}"), 12, request, code, &[0]);
    }
    let partition = FetchPartition { partition_max_bytes: i32::MAX, ..FetchPartition::default() };
    let topics = vec![FetchTopic { name: "t".into(), partitions: vec![partition; 50_000] }];
    let request = FetchRequest { topics, ..FetchRequest::default() };
    corpus.answered("fetch one partition 50,000 times", 12, request, code, &[0]);
    let mut request = fetch("t", 0, 0);
    request.session_id = i32::MAX;
    request.session_epoch = i32::MAX;
    request.isolation_level = 127;
    corpus.answered("fetch in a session nobody has", 12, request, code, &[0]);

    let code = |answer: &yeoul_kafka_wire::api::list_offsets::ListOffsetsResponse| {
        answer.topics[0].partitions[0].error_code
    };
    for timestamp in [0, 1, -3, -9, i64::MIN, i64::MAX] {
        let asked = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
        let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: vec![asked; 3] }];
        let request = ListOffsetsRequest { topics, ..ListOffsetsRequest::default() };
        corpus.answered(
            format!("offset at {timestamp}"),
            8,
            request,
            code,
            &[0, 2, 35, 42, 56, 87],
        );
    }
}

fn protocol(bytes: usize) -> JoinGroupProtocol {
    JoinGroupProtocol { name: "range".into(), metadata: Bytes::from(vec![7; bytes]) }
}

fn join(group: &str, protocols: Vec<JoinGroupProtocol>) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols,
        ..JoinGroupRequest::default()
    }
}

fn commit(group: &str, metadata: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitPartition {
        committed_offset: 1,
        committed_metadata: Some(metadata.to_owned()),
        ..OffsetCommitPartition::default()
    };
    let topics = vec![OffsetCommitTopic { name: "t".into(), partitions: vec![partition] }];
    OffsetCommitRequest { group_id: group.into(), topics, ..OffsetCommitRequest::default() }
}

fn grouping(corpus: &mut Corpus) {
    let code = |answer: &yeoul_kafka_wire::api::join_group::JoinGroupResponse| answer.error_code;
    for (name, group) in [("no name", String::new()), ("600 bytes", "g".repeat(600))] {
        let request = join(&group, vec![protocol(8)]);
        corpus.answered(format!("join {name}"), 5, request, code, &[24]);
    }
    for (name, session) in [("no", 0), ("a negative", -1), ("an endless", i32::MAX)] {
        let request =
            JoinGroupRequest { session_timeout_ms: session, ..join("h", vec![protocol(8)]) };
        corpus.answered(format!("join with {name} session"), 2, request, code, &[26]);
    }
    let request = join("h", Vec::new());
    corpus.answered("join without a protocol", 2, request, code, &[23, 42]);
    let request = join("h", vec![protocol(20 << 20)]);
    corpus.answered("join with 20 MiB", 2, request, code, &[10, 42, 81]);
    let request = join("h", vec![protocol(0); 100_000]);
    corpus.answered("join with 100,000 protocols", 5, request, code, &[0, 10, 23, 42, 79, 81]);
    let request =
        JoinGroupRequest { member_id: "x".repeat(30_000), ..join("h", vec![protocol(8)]) };
    corpus.answered("join as nobody", 5, request, code, &[25]);

    let code = |answer: &yeoul_kafka_wire::api::sync_group::SyncGroupResponse| answer.error_code;
    let request = SyncGroupRequest { group_id: "nobody".into(), ..SyncGroupRequest::default() };
    corpus.answered("sync of nobody", 5, request, code, &[25]);
    let code = |answer: &yeoul_kafka_wire::api::heartbeat::HeartbeatResponse| answer.error_code;
    for generation_id in [-1, 0, i32::MAX] {
        let request = HeartbeatRequest {
            group_id: "nobody".into(),
            generation_id,
            ..HeartbeatRequest::default()
        };
        corpus.answered(
            format!("a heartbeat of generation {generation_id}"),
            4,
            request,
            code,
            &[22, 25],
        );
    }
    let code = |answer: &yeoul_kafka_wire::api::leave_group::LeaveGroupResponse| {
        answer.members.first().map_or(answer.error_code, |member| member.error_code)
    };
    let member = LeavingMember { member_id: "somebody".into(), ..LeavingMember::default() };
    let request = LeaveGroupRequest {
        group_id: "nobody".into(),
        members: vec![member; 20_000],
        ..LeaveGroupRequest::default()
    };
    corpus.answered("20,000 leave who were never there", 5, request, code, &[25]);

    let code = |answer: &yeoul_kafka_wire::api::offset_commit::OffsetCommitResponse| {
        answer.topics[0].partitions[0].error_code
    };
    let request = commit("g", &"m".repeat(5_000));
    corpus.answered("commit with a long text", 8, request, code, &[12]);
    // As with Kafka, for clients of old that have none.
    corpus.answered("commit of no group", 8, commit("", "m"), code, &[0, 24]);
    for partition in [-1, 9, i32::MAX] {
        let mut request = commit("g", "m");
        request.topics[0].partitions[0].partition_index = partition;
        corpus.answered(format!("commit of partition {partition}"), 8, request, code, &[3]);
    }
    let mut request = commit("g", "m");
    request.generation_id = 7;
    corpus.answered("commit of a generation that never was", 8, request, code, &[22, 25]);

    let code = |answer: &yeoul_kafka_wire::api::describe_groups::DescribeGroupsResponse| {
        assert!(answer.groups.len() <= 1, "asked twice, answered once");
        answer.groups[0].error_code
    };
    let request = DescribeGroupsRequest {
        groups: vec!["somebody else".into(); 20_000],
        ..DescribeGroupsRequest::default()
    };
    corpus.answered("one group 20,000 times", 5, request, code, &[0, 69]);
}

fn create(name: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() }
}

fn administering(corpus: &mut Corpus) {
    let code = |answer: &yeoul_kafka_wire::api::create_topics::CreateTopicsResponse| {
        answer.topics[0].error_code
    };
    for partitions in [0, -2, 10_001, i32::MAX, i32::MIN] {
        let request = create("new", partitions);
        corpus.answered(format!("create {partitions} partitions"), 7, request, code, &[37]);
    }
    for name in ["", ".", "..", "a/b", "a b", "a\0b", "여울", "../../x", &"x".repeat(250)] {
        let shown: String = name.chars().take(10).collect();
        corpus.answered(format!("create `{shown}`"), 7, create(name, 1), code, &[17]);
    }
    let mut request = create("new", 1);
    request.topics[0].replication_factor = i16::MAX;
    corpus.answered("create with 32,767 replicas", 7, request, code, &[38]);
    for (key, value) in [
        ("nonsense", "1"),
        ("retention.ms", "soon"),
        ("max.message.bytes", "99999999999"),
        ("cleanup.policy", "burn"),
    ] {
        let mut request = create("new", 1);
        let value = Some(value.to_owned());
        request.topics[0].configs = vec![CreatableConfig { name: key.into(), value }];
        corpus.answered(format!("create with {key}"), 7, request, code, &[40]);
    }
    let mut request = create("new", 1);
    request.topics = vec![request.topics[0].clone(); 5_000];
    corpus.answered("create one topic 5,000 times", 7, request, code, &[0, 36, 42]);

    let code = |answer: &yeoul_kafka_wire::api::create_partitions::CreatePartitionsResponse| {
        answer.results[0].error_code
    };
    for count in [0, -1, 1, i32::MAX] {
        let topic =
            CreatePartitionsTopic { name: "t".into(), count, ..CreatePartitionsTopic::default() };
        let request =
            CreatePartitionsRequest { topics: vec![topic], ..CreatePartitionsRequest::default() };
        corpus.answered(format!("{count} partitions instead"), 3, request, code, &[37]);
    }
    let code = |answer: &yeoul_kafka_wire::api::describe_configs::DescribeConfigsResponse| {
        assert!(answer.results.len() <= 1, "asked twice, answered once");
        answer.results[0].error_code
    };
    for resource_type in [0i8, 127, -1] {
        let resource = DescribeConfigsResource {
            resource_type,
            resource_name: "t".into(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            ..DescribeConfigsRequest::default()
        };
        corpus.answered(format!("settings of kind {resource_type}"), 4, request, code, &[42]);
    }
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource; 30_000],
        ..DescribeConfigsRequest::default()
    };
    corpus.answered("settings of one topic 30,000 times", 4, request, code, &[0]);

    let code = |answer: &yeoul_kafka_wire::api::metadata::MetadataResponse| {
        answer.topics.last().expect("topics").error_code
    };
    let ask = |names: Vec<String>, create: bool| MetadataRequest {
        topics: Some(
            names
                .into_iter()
                .map(|name| MetadataRequestTopic {
                    name: Some(name),
                    ..MetadataRequestTopic::default()
                })
                .collect(),
        ),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    };
    let many = |count: usize| (0..count).map(|number| format!("many-{number:06}")).collect();
    corpus.answered("100,000 topics nobody has", 9, ask(many(100_000), false), code, &[3]);
    corpus.answered("100,000 topics to be made", 9, ask(many(100_000), true), code, &[3]);
    let request = ask(vec!["there".into(); 100_000], false);
    corpus.answered(
        "one topic 100,000 times",
        9,
        request,
        |answer| {
            assert_eq!(answer.topics.len(), 1, "asked twice, answered once");
            answer.topics[0].error_code
        },
        &[0],
    );
    for name in ["", "..", "a/b", &"x".repeat(10_000)] {
        let shown: String = name.chars().take(10).collect();
        corpus.answered(
            format!("metadata of `{shown}`"),
            9,
            ask(vec![name.into()], true),
            code,
            &[17],
        );
    }
    let mut body = BytesMut::new();
    body.put_slice(&compact(0));
    body.put_slice(&[0, 0, 0]);
    // 5,000 tagged fields nobody knows, in the header: long, but what it says is plain.
    let mut frame = vec![0, 3, 0, 9, 0, 0, 0, 1, 0, 0];
    frame.extend_from_slice(&uvarint(5_000));
    frame.extend_from_slice(&[9, 1, 0].repeat(5_000));
    frame.extend_from_slice(&body);
    frame.push(0);
    corpus.0.push(Case {
        name: "5,000 tags nobody knows".into(),
        bytes: framed(&frame),
        trusted: false,
        expect: Expect::Codes(
            Box::new(|answer| {
                decode_response::<MetadataRequest>(answer, 9, 1).expect("an answer");
                ErrorCode::NONE
            }),
            vec![0],
        ),
    });
}
