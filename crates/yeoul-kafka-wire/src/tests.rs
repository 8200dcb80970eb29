//! Every message in every version, both ways; and what hostile bytes may not do.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use crate::api::add_offsets_to_txn::AddOffsetsToTxnRequest;
use crate::api::add_partitions_to_txn::AddPartitionsToTxnRequest;
use crate::api::alter_configs::AlterConfigsRequest;
use crate::api::alter_partition_reassignments::AlterPartitionReassignmentsRequest;
use crate::api::alter_replica_log_dirs::AlterReplicaLogDirsRequest;
use crate::api::api_versions::ApiVersionsRequest;
use crate::api::create_partitions::CreatePartitionsRequest;
use crate::api::create_topics::CreateTopicsRequest;
use crate::api::delete_groups::DeleteGroupsRequest;
use crate::api::delete_records::DeleteRecordsRequest;
use crate::api::delete_topics::DeleteTopicsRequest;
use crate::api::describe_cluster::DescribeClusterRequest;
use crate::api::describe_configs::DescribeConfigsRequest;
use crate::api::describe_groups::DescribeGroupsRequest;
use crate::api::describe_log_dirs::DescribeLogDirsRequest;
use crate::api::describe_producers::DescribeProducersRequest;
use crate::api::describe_quorum::DescribeQuorumRequest;
use crate::api::describe_topic_partitions::DescribeTopicPartitionsRequest;
use crate::api::describe_transactions::DescribeTransactionsRequest;
use crate::api::elect_leaders::ElectLeadersRequest;
use crate::api::end_txn::EndTxnRequest;
use crate::api::fetch::FetchRequest;
use crate::api::find_coordinator::FindCoordinatorRequest;
use crate::api::heartbeat::HeartbeatRequest;
use crate::api::incremental_alter_configs::IncrementalAlterConfigsRequest;
use crate::api::init_producer_id::InitProducerIdRequest;
use crate::api::join_group::JoinGroupRequest;
use crate::api::leave_group::LeaveGroupRequest;
use crate::api::list_config_resources::ListConfigResourcesRequest;
use crate::api::list_groups::ListGroupsRequest;
use crate::api::list_offsets::ListOffsetsRequest;
use crate::api::list_partition_reassignments::ListPartitionReassignmentsRequest;
use crate::api::list_transactions::ListTransactionsRequest;
use crate::api::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::api::offset_commit::OffsetCommitRequest;
use crate::api::offset_delete::OffsetDeleteRequest;
use crate::api::offset_fetch::OffsetFetchRequest;
use crate::api::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use crate::api::produce::{ProducePartition, ProduceRequest, ProduceTopic, first_topic};
use crate::api::sync_group::SyncGroupRequest;
use crate::api::txn_offset_commit::TxnOffsetCommitRequest;
use crate::api::update_features::UpdateFeaturesRequest;
use crate::api::write_txn_markers::WriteTxnMarkersRequest;
use crate::frame::{decode_body, decode_request, encode_response_as};
use crate::fuzzing::Filler;
use crate::{Api, Budget, Request, RequestHeader, WireError, decode_response, encode_request};

/// Runs `$check::<R>()` for every request there is; the count is compared with the table, so a
/// new API cannot be forgotten here.
macro_rules! for_every_request {
    ($check:ident $(, $arg:expr)*) => {{
        let mut apis = 0;
        for_every_request!(@each apis, $check, ($($arg),*);
            ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
            DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
            DescribeGroupsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
            IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest,
            LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest,
            OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
            SyncGroupRequest,
            AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, DeleteRecordsRequest, DescribeLogDirsRequest, DescribeProducersRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest, DescribeTransactionsRequest, ElectLeadersRequest, EndTxnRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest, ListTransactionsRequest, OffsetDeleteRequest, TxnOffsetCommitRequest, UpdateFeaturesRequest, WriteTxnMarkersRequest);
        assert_eq!(apis, Api::ALL.len(), "an API has no test");
    }};
    (@each $apis:ident, $check:ident, $args:tt; $($request:ty),*) => {
        $( $check::<$request> $args; $apis += 1; )*
    };
}

pub(crate) fn without_length(frame: &crate::Frame) -> Bytes {
    let bytes = frame.concat();
    let (len, rest) = bytes.split_first_chunk::<4>().expect("a length");
    assert_eq!(u32::from_be_bytes(*len) as usize, rest.len(), "the length counts the rest");
    bytes.slice(4..)
}

fn versions<R: Request>() -> std::ops::RangeInclusive<i16> {
    R::api().min..=R::api().max
}

fn survives<R>()
where
    R: Request + PartialEq + std::fmt::Debug + Clone,
    R::Response: PartialEq + std::fmt::Debug + Clone,
{
    for version in versions::<R>() {
        let sent: R = Filler::fill(version);
        let frame = encode_request(version, 77, "tests", sent.clone()).expect("encodes");
        let (header, body) = RequestHeader::decode(without_length(&frame)).expect("header");
        assert_eq!((header.version, header.correlation_id), (version, 77));
        assert_eq!(header.client_id.as_deref(), Some("tests"));
        let got: R = decode_request(&header, body).expect("decodes");
        assert_eq!(got, sent, "{} request version {version}", R::api().name);

        let sent: R::Response = Filler::fill(version);
        let frame = encode_response_as(R::api(), version, 78, sent.clone()).expect("encodes");
        let got = decode_response::<R>(without_length(&frame), version, 78).expect("decodes");
        assert_eq!(got, sent, "{} response version {version}", R::api().name);
    }
}

#[test]
fn every_message_survives_its_bytes_in_every_version() {
    for_every_request!(survives);
}

fn refuses_every_cut<R: Request>() {
    for version in versions::<R>() {
        let frame = encode_request(version, 1, "t", Filler::fill::<R>(version)).expect("encodes");
        let whole = without_length(&frame);
        for cut in 0..whole.len() {
            let read = RequestHeader::decode(whole.slice(..cut))
                .and_then(|(header, body)| decode_request::<R>(&header, body));
            assert!(read.is_err(), "{} version {version} cut at {cut}", R::api().name);
        }
    }
}

#[test]
fn a_cut_request_is_refused_wherever_it_is_cut() {
    for_every_request!(refuses_every_cut);
}

fn read_as<R: Request>(bytes: &Bytes) {
    let api = R::api();
    for version in versions::<R>() {
        let flexible = api.flexible(version);
        // Whether it is refused does not matter here, only that it ends.
        let _ = decode_body::<R>(bytes.clone(), version, flexible, Budget::REQUEST);
        let _ = decode_body::<R::Response>(bytes.clone(), version, flexible, Budget::REQUEST);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        let _ = RequestHeader::decode(bytes.clone());
        for_every_request!(read_as, &bytes);
    }

    #[test]
    fn a_flipped_byte_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let frame = encode_request(12, 1, "t", Filler::fill::<FetchRequest>(12)).expect("encodes");
        let mut bytes = BytesMut::from(without_length(&frame).as_ref());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = RequestHeader::decode(bytes.freeze())
            .and_then(|(header, body)| decode_request::<FetchRequest>(&header, body));
    }
}

/// A body of 0xff, 0x7f … is a count of two thousand million; each must be refused before
/// anything is reserved for it.
#[test]
fn a_count_that_the_frame_cannot_hold_costs_nothing() {
    for pattern in [
        &[0x7f, 0xff, 0xff, 0xff][..],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0x80, 0x00, 0x00, 0x00],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x00, 0x00, 0x00, 0x05, 0x7f, 0xff],
    ] {
        for repeat in [1, 2, 7, 100] {
            let bytes = Bytes::from(pattern.repeat(repeat));
            for_every_request!(read_as, &bytes);
        }
    }
    let claim = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    let refused = decode_body::<MetadataRequest>(claim, 4, false, Budget::REQUEST);
    let wanted = 0x7fff_ffff;
    assert_eq!(refused, Err(WireError::TooManyElements { wanted, left: 0 }));
}

#[test]
fn arrays_of_tiny_elements_stop_at_the_budget() {
    // Each topic is one compact empty name and no tags: two bytes become a struct of dozens.
    let topics = |count: usize| {
        let mut body = BytesMut::new();
        let mut value = (count + 1) as u32;
        while value >= 0x80 {
            body.put_u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        body.put_u8(value as u8);
        body.put_slice(&[1, 0].repeat(count));
        body.put_slice(&[0, 0, 0, 0]);
        decode_body::<MetadataRequest>(body.freeze(), 9, true, Budget::REQUEST)
    };
    assert!(topics(100).is_ok());
    assert_eq!(topics(10_000), Err(WireError::Unfolds(Budget::REQUEST.unfolds_by)));
    let count = Budget::REQUEST.elements + 1;
    assert_eq!(topics(count), Err(WireError::OverBudget(Budget::REQUEST.elements)));
}

/// 100,000 topics with names of six letters are no attack.
#[test]
fn what_a_large_node_asks_for_stays_within_the_budget() {
    let topic = |name: u32| MetadataRequestTopic {
        name: Some(format!("t{name:05}")),
        ..MetadataRequestTopic::default()
    };
    let request =
        MetadataRequest { topics: Some((0..100_000).map(topic).collect()), ..Default::default() };
    for version in [1, 9, 12] {
        let frame = encode_request(version, 1, "t", request.clone()).expect("encodes");
        let (header, body) = RequestHeader::decode(without_length(&frame)).expect("header");
        let read: MetadataRequest = decode_request(&header, body).expect("decodes");
        assert_eq!(read.topics.map(|topics| topics.len()), Some(100_000));
    }
}

#[test]
fn a_produce_request_is_judged_by_its_beginning() {
    let partition = ProducePartition { index: 0, records: Some(Bytes::from(vec![0; 5000])) };
    let topic = ProduceTopic { name: "가 topic".into(), partitions: vec![partition] };
    let request = ProduceRequest { topics: vec![topic], ..ProduceRequest::default() };
    for version in versions::<ProduceRequest>() {
        let frame = encode_request(version, 1, "t", request.clone()).expect("encodes");
        let begun = without_length(&frame).slice(..100);
        assert_eq!(first_topic(begun).as_deref(), Ok("가 topic"), "version {version}");
    }
}

/// Seen from librdkafka 2.15 when it wants all topics: a length of four bytes where one belongs.
#[test]
fn bytes_after_the_last_field_are_let_be() {
    let frame = b"\0\x03\0\x0c\0\0\0\x08\0\x07rdkafka\0\0\0\0\0\x01\0\0";
    let (header, body) = RequestHeader::decode(Bytes::from_static(frame)).expect("header");
    let request: MetadataRequest = decode_request(&header, body).expect("all topics");
    assert_eq!(request.topics, None);
}

#[test]
fn unknown_tagged_fields_are_skipped_and_endless_ones_refused() {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("t".into()), ..Default::default() }]),
        ..MetadataRequest::default()
    };
    let frame = encode_request(9, 5, "t", request.clone()).expect("encodes");
    let plain = without_length(&frame);
    let (header, body) = RequestHeader::decode(plain).expect("header");
    // The last byte says "no tags": replace it by one tag 200 of three bytes.
    let mut tagged = BytesMut::from(body.as_ref());
    tagged.truncate(body.len() - 1);
    tagged.put_slice(&[1, 0xc8, 0x01, 3, 9, 9, 9]);
    assert_eq!(decode_request::<MetadataRequest>(&header, tagged.freeze()), Ok(request));
    let mut endless = BytesMut::from(body.as_ref());
    endless.truncate(body.len() - 1);
    endless.put_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0, 1, 0]);
    assert!(decode_request::<MetadataRequest>(&header, endless.freeze()).is_err());
}

#[test]
fn bytes_are_those_of_the_protocol() {
    // ApiVersions version 0, correlation id 7, client id "kc".
    let request = [0, 18, 0, 0, 0, 0, 0, 7, 0, 2, b'k', b'c'];
    let frame = encode_request(0, 7, "kc", ApiVersionsRequest::default()).expect("encodes");
    assert_eq!(without_length(&frame), request.as_slice());

    // Its answer in version 3 has no tag byte in the header, but compact arrays in the body.
    let response = crate::api::api_versions::ApiVersionsResponse {
        api_keys: vec![crate::api::api_versions::ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 4,
        }],
        ..Default::default()
    };
    let api = ApiVersionsRequest::api();
    let frame = encode_response_as(api, 3, 7, response).expect("encodes");
    let expected = [0, 0, 0, 7, 0, 0, 2, 0, 18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0];
    assert_eq!(without_length(&frame), expected.as_slice());

    // Heartbeat version 4 is flexible: header with a tag byte, compact texts.
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 2,
        member_id: "m".into(),
        group_instance_id: None,
    };
    let frame = encode_request(4, 1, "c", beat).expect("encodes");
    let expected = [0, 12, 0, 4, 0, 0, 0, 1, 0, 1, b'c', 0, 2, b'g', 0, 0, 0, 2, 2, b'm', 0, 0];
    assert_eq!(without_length(&frame), expected.as_slice());
}

#[test]
fn the_table_of_apis_says_what_clients_rely_on() {
    assert_eq!(Api::by_number(0).map(|api| api.advertised_min), Some(0), "librdkafka");
    assert_eq!(Api::by_number(3).map(|api| api.max), Some(12), "Java 4.3");
    assert!(Api::by_number(-1).is_none());
    let unknown = Bytes::from_static(&[0, 99, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    assert_eq!(RequestHeader::decode(unknown).err(), Some(WireError::UnknownApi(99)));
    for api in Api::ALL {
        assert!(api.min <= api.max && api.advertised_min <= api.min, "{}", api.name);
    }
}
