//! What tools ask: records deleted, settings replaced, offsets forgotten, and the questions to a
//! cluster that one broker answers.

use yeoul_kafka_wire::api::alter_configs::{AlterConfigsRequest, ReplacedConfig, ReplacedResource};
use yeoul_kafka_wire::api::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use yeoul_kafka_wire::api::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use yeoul_kafka_wire::api::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, SOURCE_TOPIC, TOPIC,
};
use yeoul_kafka_wire::api::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use yeoul_kafka_wire::api::describe_producers::{DescribeProducersRequest, DescribeProducersTopic};
use yeoul_kafka_wire::api::describe_quorum::{
    DescribeQuorumPartition, DescribeQuorumRequest, DescribeQuorumTopic,
};
use yeoul_kafka_wire::api::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsTopic, PartitionCursor,
};
use yeoul_kafka_wire::api::describe_transactions::DescribeTransactionsRequest;
use yeoul_kafka_wire::api::elect_leaders::{ElectLeadersRequest, ElectLeadersTopic};
use yeoul_kafka_wire::api::list_config_resources::ListConfigResourcesRequest;
use yeoul_kafka_wire::api::list_transactions::ListTransactionsRequest;
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use yeoul_kafka_wire::api::offset_delete::{
    OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic,
};
use yeoul_kafka_wire::api::update_features::{FeatureUpdate, UpdateFeaturesRequest};
use yeoul_kafka_wire::api::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use yeoul_kafka_wire::{ErrorCode, Nullable};

use crate::Served;
use crate::client::{Client, batch};
use crate::producer::Producer;

const OK: ErrorCode = ErrorCode::NONE;

#[tokio::test]
async fn records_are_deleted_up_to_an_offset_and_no_further() {
    let (_served, mut client) = Served::with_topic().await;
    for value in ["a", "b", "c", "d"] {
        client.produce("t", batch(&[value])).await;
    }
    let outside = ErrorCode::OFFSET_OUT_OF_RANGE;
    let cases = [(2, OK, 2), (1, OK, 2), (5, outside, -1), (-2, outside, -1), (-1, OK, 4)];
    for (offset, code, low) in cases {
        let asked = DeleteRecordsPartition { partition_index: 0, offset };
        let nowhere = DeleteRecordsPartition { partition_index: 3, offset };
        let topics =
            vec![DeleteRecordsTopic { name: "t".into(), partitions: vec![asked, nowhere] }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 1_000 };
        for version in [0, 2] {
            let answer = client.call(version, request.clone()).await;
            let found = &answer.topics[0].partitions;
            assert_eq!((found[0].error_code, found[0].low_watermark), (code, low), "{offset}");
            assert_eq!(found[1].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        if offset == 2 {
            assert_eq!(client.fetch("t", 1).await.error_code, outside);
            assert!(client.fetch("t", 2).await.records.len_bytes() > 0);
        }
    }
    assert_eq!(client.fetch("t", 4).await.high_watermark, 4);
    assert_eq!(client.produce("t", batch(&["e"])).await.base_offset, 4);
}

async fn set_on_topic(client: &mut Client) -> Vec<(String, Option<String>)> {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = client.call(4, request).await;
    let configs = answer.results[0].configs.iter();
    let set = configs.filter(|config| config.config_source == SOURCE_TOPIC);
    set.map(|config| (config.name.clone(), config.value.clone())).collect()
}

#[tokio::test]
async fn altered_configs_replace_all_that_was_set() {
    let (_served, mut client) = Served::with_topic().await;
    let replace = |configs: &[(&str, &str)], validate_only| AlterConfigsRequest {
        resources: vec![ReplacedResource {
            resource_type: TOPIC,
            resource_name: "t".into(),
            configs: configs
                .iter()
                .map(|(name, value)| ReplacedConfig {
                    name: (*name).into(),
                    value: Some((*value).into()),
                })
                .collect(),
        }],
        validate_only,
    };
    let both = [("retention.ms", "1000000"), ("max.message.bytes", "2000000")];
    let answer = client.call(0, replace(&both, false)).await;
    assert_eq!(answer.responses[0].error_code, OK);
    assert_eq!(set_on_topic(&mut client).await.len(), 2);
    let one = [("retention.ms", "2000000")];
    assert_eq!(client.call(2, replace(&one, true)).await.responses[0].error_code, OK);
    assert_eq!(set_on_topic(&mut client).await.len(), 2, "only checked");
    assert_eq!(client.call(2, replace(&one, false)).await.responses[0].error_code, OK);
    let set = set_on_topic(&mut client).await;
    assert_eq!(set, [("retention.ms".to_owned(), Some("2000000".to_owned()))]);
    let bad = client.call(2, replace(&[("retention.ms", "soon")], false)).await;
    assert_eq!(bad.responses[0].error_code, ErrorCode::INVALID_CONFIG);
    let mut twice = replace(&one, false);
    twice.resources.push(twice.resources[0].clone());
    let answer = client.call(2, twice).await;
    let codes: Vec<_> = answer.responses.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [OK, ErrorCode::INVALID_REQUEST]);
}

#[tokio::test]
async fn offsets_of_a_group_without_members_are_forgotten_one_by_one() {
    let (served, mut client) = Served::with_topic().await;
    let delete = |group: &str| OffsetDeleteRequest {
        group_id: group.into(),
        topics: vec![OffsetDeleteTopic {
            name: "t".into(),
            partitions: vec![
                OffsetDeletePartition { partition_index: 0 },
                OffsetDeletePartition { partition_index: 9 },
            ],
        }],
    };
    let unknown = client.call(0, delete("g")).await.error_code;
    assert_eq!(unknown, ErrorCode::GROUP_ID_NOT_FOUND);
    let partition = OffsetCommitPartition { committed_offset: 1, ..Default::default() };
    let topics = vec![OffsetCommitTopic { name: "t".into(), partitions: vec![partition] }];
    let request =
        OffsetCommitRequest { group_id: "g".into(), topics, ..OffsetCommitRequest::default() };
    assert_eq!(client.call(8, request).await.topics[0].partitions[0].error_code, OK);
    assert_eq!(served.groups.list().len(), 1);
    let answer = client.call(0, delete("g")).await;
    let codes: Vec<_> = answer.topics[0].partitions.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [OK, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    assert!(served.groups.list().is_empty());
}

#[tokio::test]
async fn one_broker_answers_for_the_cluster() {
    let (_served, mut client) = Served::with_topic().await;
    client.produce("t", batch(&["a"])).await;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;

    for version in [1, 4] {
        let all = client.call(version, DescribeLogDirsRequest::default()).await;
        let found = &all.results[0].topics[0];
        assert_eq!((all.results.len(), found.name.as_str()), (1, "t"));
        assert!(found.partitions[0].partition_size > 60, "the record's batch");
        let asked = DescribableLogDirTopic { topic: "nope".into(), partitions: vec![0] };
        let none = DescribeLogDirsRequest { topics: Some(vec![asked]) };
        assert!(client.call(version, none).await.results[0].topics.is_empty());
    }

    let asked = ElectLeadersTopic { topic: "t".into(), partitions: vec![0, 7] };
    let elect = ElectLeadersRequest { topic_partitions: Some(vec![asked]), ..Default::default() };
    let answer = client.call(2, elect).await;
    let codes: Vec<_> = answer.results[0].partitions.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [ErrorCode::ELECTION_NOT_NEEDED, unknown]);
    let all = client.call(2, ElectLeadersRequest::default()).await;
    assert_eq!((all.error_code, all.results.len()), (OK, 0));

    let move_to = |replicas| {
        let partitions = vec![ReassignablePartition { partition_index: 0, replicas }];
        AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic { name: "t".into(), partitions }],
            ..AlterPartitionReassignmentsRequest::default()
        }
    };
    for (replicas, code) in [
        (Some(vec![1]), OK),
        (Some(vec![1, 2]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (None, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
    ] {
        let answer = client.call(0, move_to(replicas)).await;
        assert_eq!(answer.responses[0].partitions[0].error_code, code);
    }

    let quorum = |name: &str| DescribeQuorumRequest {
        topics: vec![DescribeQuorumTopic {
            topic_name: name.into(),
            partitions: vec![DescribeQuorumPartition { partition_index: 0 }],
        }],
    };
    let answer = client.call(2, quorum("__cluster_metadata")).await;
    assert_eq!(answer.topics[0].partitions[0].current_voters[0].replica_id, 1);
    assert_eq!(answer.nodes.len(), 1);
    let answer = client.call(0, quorum("t")).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, unknown);

    let update = FeatureUpdate { feature: "transaction.version".into(), ..Default::default() };
    let request = UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
    let refused = ErrorCode::INVALID_UPDATE_VERSION;
    assert_eq!(client.call(1, request.clone()).await.results[0].error_code, refused);
    assert_eq!(client.call(2, request).await.error_code, refused);

    let all = client.call(1, ListConfigResourcesRequest::default()).await;
    let found: Vec<_> = all
        .config_resources
        .iter()
        .map(|one| (one.resource_name.as_str(), one.resource_type))
        .collect();
    assert_eq!(found, [("t", 2), ("1", 4)]);
    let old = client.call(0, ListConfigResourcesRequest::default()).await;
    assert!(old.config_resources.is_empty());
}

#[tokio::test]
async fn topics_are_described_in_pieces() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    for (name, partitions) in [("a", 3), ("b", 2), ("c", 1)] {
        client.create(name, partitions).await;
    }
    let mut cursor = Nullable(None);
    let mut seen = Vec::new();
    for _ in 0..10 {
        let request = DescribeTopicPartitionsRequest {
            response_partition_limit: 2,
            cursor,
            ..DescribeTopicPartitionsRequest::default()
        };
        let answer = client.call(0, request).await;
        for topic in answer.topics {
            let name = topic.name.unwrap_or_default();
            seen.extend(topic.partitions.iter().map(|one| (name.clone(), one.partition_index)));
        }
        cursor = answer.next_cursor;
        if cursor.0.is_none() {
            break;
        }
    }
    let expected = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 0)];
    assert_eq!(seen, expected.map(|(name, index)| (name.to_owned(), index)));
    let named = |name: &str| DescribeTopicPartitionsTopic { name: name.into() };
    let request = DescribeTopicPartitionsRequest {
        topics: vec![named("c"), named("nope"), named("b a d")],
        cursor: Nullable(Some(PartitionCursor { topic_name: "b".into(), partition_index: 0 })),
        ..DescribeTopicPartitionsRequest::default()
    };
    let answer = client.call(0, request).await;
    let codes: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
    let invalid = ErrorCode::INVALID_TOPIC_EXCEPTION;
    assert_eq!(codes, [invalid, OK, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
}

#[tokio::test]
async fn transactions_are_listed_described_and_ended_in_a_partition() {
    let (_served, mut client) = Served::with_topic().await;
    Producer::init(&mut client, "idle").await;
    let mut producer = Producer::init(&mut client, "open").await;
    producer.add(&mut client, "t").await;
    assert_eq!(producer.send(&mut client, "t", "a").await, OK);

    let list = |states: &[&str]| ListTransactionsRequest {
        state_filters: states.iter().map(|state| (*state).into()).collect(),
        ..ListTransactionsRequest::default()
    };
    for (states, expected, unknown) in [
        (&[][..], &["idle", "open"][..], 0),
        (&["Ongoing"], &["open"], 0),
        (&["Empty", "Nonsense"], &["idle"], 1),
        (&["Nonsense"], &[], 1),
    ] {
        let answer = client.call(1, list(states)).await;
        let found: Vec<_> =
            answer.transaction_states.iter().map(|one| one.transactional_id.as_str()).collect();
        assert_eq!((&found[..], answer.unknown_state_filters.len()), (expected, unknown));
    }
    let old = ListTransactionsRequest { duration_filter: 600_000, ..list(&[]) };
    assert!(client.call(1, old).await.transaction_states.is_empty());
    let named = |pattern: &str| ListTransactionsRequest {
        transactional_id_pattern: Some(pattern.into()),
        ..list(&[])
    };
    for (pattern, count) in [("", 2), ("id.*", 1), ("d", 0), ("idle|open", 2)] {
        let answer = client.call(2, named(pattern)).await;
        assert_eq!(answer.transaction_states.len(), count, "{pattern}");
    }
    let bad = client.call(2, named("(")).await.error_code;
    assert_eq!(bad, ErrorCode::INVALID_REGULAR_EXPRESSION);
    let other =
        ListTransactionsRequest { producer_id_filters: vec![producer.producer_id], ..list(&[]) };
    assert_eq!(client.call(0, other).await.transaction_states[0].transactional_id, "open");

    let transactional_ids = vec!["open".into(), "nope".into(), String::new()];
    let answer = client.call(0, DescribeTransactionsRequest { transactional_ids }).await;
    let found = &answer.transaction_states;
    assert_eq!((found[0].transaction_state.as_str(), found[0].error_code), ("Ongoing", OK));
    assert_eq!(
        (found[0].topics[0].topic.as_str(), &found[0].topics[0].partitions[..]),
        ("t", &[0][..])
    );
    assert_eq!(found[1].error_code, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
    assert_eq!(found[2].error_code, ErrorCode::INVALID_REQUEST);

    let asked = DescribeProducersTopic { name: "t".into(), partition_indexes: vec![0, 4] };
    let request = DescribeProducersRequest { topics: vec![asked] };
    let answer = client.call(0, request).await;
    let found = &answer.topics[0].partitions;
    let active = &found[0].active_producers[0];
    assert_eq!((active.producer_id, active.current_txn_start_offset), (producer.producer_id, 0));
    assert_eq!(found[1].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);

    let end = |commit| WriteTxnMarkersRequest {
        markers: vec![WritableTxnMarker {
            producer_id: producer.producer_id,
            producer_epoch: producer.epoch,
            transaction_result: commit,
            topics: vec![WritableTxnMarkerTopic { name: "t".into(), partition_indexes: vec![0] }],
            coordinator_epoch: 0,
        }],
    };
    let codes = [
        (true, ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
        (false, OK),
        (false, ErrorCode::INVALID_TXN_STATE),
    ];
    for (commit, code) in codes {
        let answer = client.call(1, end(commit)).await;
        assert_eq!(answer.markers[0].topics[0].partitions[0].error_code, code);
    }
    let found = client.fetch("t", 0).await;
    assert_eq!((found.last_stable_offset, found.high_watermark), (2, 2));
}
