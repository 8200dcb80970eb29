//! A second opinion on every message: what we write is read by the crate `kafka-protocol`, which
//! is generated from Kafka's own schemas, and written again to the same bytes.
//!
//! Walking one table in both directions cannot find a field at the wrong place: both directions
//! would agree. This can.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as Theirs};

use crate::fuzzing::Filler;
use crate::tests::without_length;
use crate::{Api, Request, RequestHeader, encode_request, frame::encode_response_as};

/// Bytes of a body as we write it, filled with something.
fn request_body<R: Request>(version: i16) -> Bytes {
    let frame = encode_request(version, 1, "t", Filler::fill::<R>(version)).expect("encodes");
    RequestHeader::decode(without_length(&frame)).expect("a header").1
}

fn response_body<R: Request>(version: i16) -> Bytes {
    let api = R::api();
    let answer: R::Response = Filler::fill(version);
    let frame = encode_response_as(api, version, 1, answer).expect("encodes");
    let tag = api.flexible(version) && api.key != crate::api::ApiKey::ApiVersions;
    without_length(&frame).slice(4 + usize::from(tag)..)
}

fn agrees<T: Theirs + Decodable + Encodable>(what: &str, version: i16, ours: Bytes) {
    // Versions that Kafka 4 removed are still spoken here, as Kafka 3 did.
    if version < T::VERSIONS.min {
        return;
    }
    assert!(version <= T::VERSIONS.max, "{what} version {version} is not Kafka's");
    let mut rest = ours.clone();
    let read = T::decode(&mut rest, version);
    let read = read.unwrap_or_else(|error| panic!("{what} version {version}: {error}"));
    assert!(rest.is_empty(), "{what} version {version}: {} bytes too many", rest.len());
    let mut theirs = BytesMut::new();
    read.encode(&mut theirs, version).expect("what was read can be written");
    assert_eq!(ours, theirs, "{what} version {version}");
}

macro_rules! ask_about {
    ($($module:ident: $request:ident, $response:ident;)*) => {{
        let mut apis = 0;
        $(
            use crate::api::$module::$request;
            for version in $request::api().min..=$request::api().max {
                let what = stringify!($request);
                agrees::<theirs::$request>(what, version, request_body::<$request>(version));
                let what = stringify!($response);
                agrees::<theirs::$response>(what, version, response_body::<$request>(version));
            }
            apis += 1;
        )*
        assert_eq!(apis, Api::ALL.len(), "an API has no second opinion");
    }};
}

#[test]
fn another_implementation_reads_and_writes_the_same_bytes() {
    ask_about! {
        add_offsets_to_txn: AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
        add_partitions_to_txn: AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
        alter_configs: AlterConfigsRequest, AlterConfigsResponse;
        alter_partition_reassignments: AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
        alter_replica_log_dirs: AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse;
        api_versions: ApiVersionsRequest, ApiVersionsResponse;
        create_partitions: CreatePartitionsRequest, CreatePartitionsResponse;
        create_topics: CreateTopicsRequest, CreateTopicsResponse;
        delete_groups: DeleteGroupsRequest, DeleteGroupsResponse;
        delete_records: DeleteRecordsRequest, DeleteRecordsResponse;
        delete_topics: DeleteTopicsRequest, DeleteTopicsResponse;
        describe_cluster: DescribeClusterRequest, DescribeClusterResponse;
        describe_configs: DescribeConfigsRequest, DescribeConfigsResponse;
        describe_groups: DescribeGroupsRequest, DescribeGroupsResponse;
        describe_log_dirs: DescribeLogDirsRequest, DescribeLogDirsResponse;
        describe_producers: DescribeProducersRequest, DescribeProducersResponse;
        describe_quorum: DescribeQuorumRequest, DescribeQuorumResponse;
        describe_topic_partitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
        describe_transactions: DescribeTransactionsRequest, DescribeTransactionsResponse;
        elect_leaders: ElectLeadersRequest, ElectLeadersResponse;
        end_txn: EndTxnRequest, EndTxnResponse;
        fetch: FetchRequest, FetchResponse;
        find_coordinator: FindCoordinatorRequest, FindCoordinatorResponse;
        heartbeat: HeartbeatRequest, HeartbeatResponse;
        incremental_alter_configs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
        init_producer_id: InitProducerIdRequest, InitProducerIdResponse;
        join_group: JoinGroupRequest, JoinGroupResponse;
        leave_group: LeaveGroupRequest, LeaveGroupResponse;
        list_config_resources: ListConfigResourcesRequest, ListConfigResourcesResponse;
        list_groups: ListGroupsRequest, ListGroupsResponse;
        list_offsets: ListOffsetsRequest, ListOffsetsResponse;
        list_partition_reassignments: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
        list_transactions: ListTransactionsRequest, ListTransactionsResponse;
        metadata: MetadataRequest, MetadataResponse;
        offset_commit: OffsetCommitRequest, OffsetCommitResponse;
        offset_delete: OffsetDeleteRequest, OffsetDeleteResponse;
        offset_fetch: OffsetFetchRequest, OffsetFetchResponse;
        offset_for_leader_epoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
        produce: ProduceRequest, ProduceResponse;
        sync_group: SyncGroupRequest, SyncGroupResponse;
        txn_offset_commit: TxnOffsetCommitRequest, TxnOffsetCommitResponse;
        update_features: UpdateFeaturesRequest, UpdateFeaturesResponse;
        write_txn_markers: WriteTxnMarkersRequest, WriteTxnMarkersResponse;
    }
}
