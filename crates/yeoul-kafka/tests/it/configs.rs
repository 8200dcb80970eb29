//! Settings: described with where they come from, altered, refused with what they can be.

use yeoul_kafka::KafkaOptions;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use yeoul_kafka_wire::api::create_topics::{
    CreatableAssignment, CreatableConfig, CreatableTopic, CreateTopicsRequest, CreatedTopic,
};
use yeoul_kafka_wire::api::describe_configs::{
    BROKER, DescribeConfigsRequest, DescribeConfigsResource, DescribedConfig, DescribedResource,
    SOURCE_DEFAULT, SOURCE_STATIC_BROKER, SOURCE_TOPIC, TOPIC,
};
use yeoul_kafka_wire::api::incremental_alter_configs::{
    APPEND, AlterConfig, AlterConfigsResource, AlteredResource, DELETE,
    IncrementalAlterConfigsRequest, SET, SUBTRACT,
};
use yeoul_log::topic_config::TOPIC_CONFIGS;

use crate::Served;
use crate::client::Client;

/// Operation, setting, value.
type Change<'a> = (i8, &'a str, Option<&'a str>);

async fn describe(client: &mut Client, kind: i8, name: &str) -> DescribedResource {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    client.call(4, request).await.results[0].clone()
}

fn entry<'a>(described: &'a DescribedResource, name: &str) -> &'a DescribedConfig {
    described.configs.iter().find(|config| config.name == name).expect("it is described")
}

async fn alter(
    client: &mut Client,
    kind: i8,
    resource_name: &str,
    changes: &[Change<'_>],
    validate_only: bool,
) -> AlteredResource {
    let configs = changes
        .iter()
        .map(|(operation, name, value)| AlterConfig {
            name: (*name).into(),
            operation: *operation,
            value: value.map(str::to_owned),
        })
        .collect();
    let resource =
        AlterConfigsResource { resource_type: kind, resource_name: resource_name.into(), configs };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
    client.call(1, request).await.responses[0].clone()
}

async fn create(client: &mut Client, topic: CreatableTopic, validate_only: bool) -> CreatedTopic {
    let request = CreateTopicsRequest { topics: vec![topic], validate_only, ..Default::default() };
    client.call(7, request).await.topics[0].clone()
}

fn named(name: &str) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopic::default()
    }
}

fn with_config(name: &str, key: &str, value: &str) -> CreatableTopic {
    let config = CreatableConfig { name: key.into(), value: Some(value.into()) };
    CreatableTopic { configs: vec![config], ..named(name) }
}

#[tokio::test]
async fn every_setting_is_described_with_its_type_source_synonyms_and_words() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    create(&mut client, with_config("t", "retention.ms", "1000"), false).await;
    let described = describe(&mut client, TOPIC, "t").await;
    assert_eq!(described.configs.len(), TOPIC_CONFIGS.len());
    for (shown, known) in described.configs.iter().zip(TOPIC_CONFIGS) {
        assert_eq!((shown.name.as_str(), shown.config_type), (known.name, known.kind.number()));
        assert_eq!(shown.documentation.as_deref(), Some(known.doc));
        assert!(!shown.read_only && !shown.is_sensitive);
    }
    let set = entry(&described, "retention.ms");
    assert_eq!((set.value.as_deref(), set.config_source), (Some("1000"), SOURCE_TOPIC));
    let synonyms: Vec<_> =
        set.synonyms.iter().map(|s| (s.name.as_str(), s.value.as_deref(), s.source)).collect();
    let expected = [
        ("retention.ms", Some("1000"), SOURCE_TOPIC),
        ("log.retention.ms", Some("604800000"), SOURCE_DEFAULT),
    ];
    assert_eq!(synonyms, expected);
    let left = entry(&described, "cleanup.policy");
    assert_eq!((left.value.as_deref(), left.config_source), (Some("delete"), SOURCE_DEFAULT));

    let missing = describe(&mut client, TOPIC, "nope").await;
    assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let bad = describe(&mut client, TOPIC, "no/slash").await;
    assert_eq!(bad.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    // Unless asked for, neither words nor synonyms are sent.
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let plain = client.call(4, request).await.results[0].clone();
    assert!(plain.configs.iter().all(|c| c.synonyms.is_empty() && c.documentation.is_none()));
}

#[tokio::test]
async fn the_nodes_own_settings_are_what_holds_and_cannot_be_altered() {
    let options = KafkaOptions { default_partitions: 3, ..KafkaOptions::default() };
    let served = Served::with(options).await;
    let mut client = Client::connect(served.addr).await;
    let described = describe(&mut client, BROKER, "1").await;
    let shown = |name: &str| {
        let config = entry(&described, name);
        (config.value.clone().unwrap_or_default(), config.config_source)
    };
    assert_eq!(shown("num.partitions"), ("3".to_owned(), SOURCE_STATIC_BROKER));
    assert_eq!(shown("auto.create.topics.enable"), ("true".to_owned(), SOURCE_DEFAULT));
    assert_eq!(shown("offsets.retention.minutes"), ("10080".to_owned(), SOURCE_DEFAULT));
    assert_eq!(shown("log.retention.ms"), ("604800000".to_owned(), SOURCE_DEFAULT));
    assert_eq!(shown("group.min.session.timeout.ms"), ("6000".to_owned(), SOURCE_DEFAULT));
    let listening = shown("listeners").0;
    assert!(listening.contains(&format!("PLAINTEXT://{}", served.addr)), "{listening}");
    assert!(described.configs.is_sorted_by_key(|config| config.name.clone()));
    assert!(described.configs.iter().all(|config| config.read_only));
    // What was altered for all brokers at run time: nothing.
    assert!(describe(&mut client, BROKER, "").await.configs.is_empty());
    let other = describe(&mut client, BROKER, "2").await;
    assert_eq!(other.error_code, ErrorCode::INVALID_REQUEST);
    for broker in ["1", ""] {
        let change = [(SET, "log.retention.ms", Some("5"))];
        let refused = alter(&mut client, BROKER, broker, &change, false).await;
        assert_eq!(refused.error_code, ErrorCode::INVALID_REQUEST);
        assert!(refused.error_message.is_some_and(|why| why.contains("log.retention.ms")));
    }
}

#[tokio::test]
async fn settings_are_set_taken_away_and_lists_change_by_words() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let steps: [(&[Change], &str, &str); 5] = [
        (&[(APPEND, "cleanup.policy", Some("compact"))], "delete,compact", "604800000"),
        (&[(APPEND, "cleanup.policy", Some("delete"))], "delete,compact", "604800000"),
        (&[(SUBTRACT, "cleanup.policy", Some("delete"))], "compact", "604800000"),
        (&[(DELETE, "cleanup.policy", None), (SET, "retention.ms", Some("5"))], "delete", "5"),
        (&[(DELETE, "retention.ms", None), (DELETE, "no.such", None)], "delete", "604800000"),
    ];
    for (changes, policy, retention) in steps {
        let altered = alter(&mut client, TOPIC, "t", changes, false).await;
        assert_eq!((altered.error_code, altered.error_message), (ErrorCode::NONE, None));
        let described = describe(&mut client, TOPIC, "t").await;
        let value = |name: &str| entry(&described, name).value.clone().unwrap_or_default();
        assert_eq!(value("cleanup.policy"), policy, "after {changes:?}");
        assert_eq!(value("retention.ms"), retention, "after {changes:?}");
    }
    let altered = alter(&mut client, TOPIC, "t", &[(SET, "retention.ms", Some("5"))], true).await;
    assert_eq!(altered.error_code, ErrorCode::NONE);
    let described = describe(&mut client, TOPIC, "t").await;
    assert_eq!(entry(&described, "retention.ms").config_source, SOURCE_DEFAULT, "only asked");
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_with_what_can() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let cases: [(&[Change], ErrorCode, &[&str]); 8] = [
        (
            &[(SET, "retention.ms", Some("soon"))],
            ErrorCode::INVALID_CONFIG,
            &["retention.ms", "soon", "whole number"],
        ),
        (
            &[(SET, "cleanup.policy", Some("shred"))],
            ErrorCode::INVALID_CONFIG,
            &["cleanup.policy", "shred", "delete", "compact"],
        ),
        (&[(SET, "retention.millis", Some("5"))], ErrorCode::INVALID_CONFIG, &["retention.millis"]),
        (&[(APPEND, "retention.ms", Some("5"))], ErrorCode::INVALID_CONFIG, &["not a list"]),
        (&[(SUBTRACT, "cleanup.policy", Some("delete"))], ErrorCode::INVALID_CONFIG, &["compact"]),
        (&[(SET, "retention.ms", None)], ErrorCode::INVALID_REQUEST, &["retention.ms"]),
        (&[(9, "retention.ms", Some("5"))], ErrorCode::INVALID_REQUEST, &["9"]),
        (
            &[(SET, "retention.ms", Some("5")), (DELETE, "retention.ms", None)],
            ErrorCode::INVALID_REQUEST,
            &["twice"],
        ),
    ];
    for (changes, code, words) in cases {
        for validate_only in [true, false] {
            let refused = alter(&mut client, TOPIC, "t", changes, validate_only).await;
            let why = refused.error_message.unwrap_or_default();
            assert_eq!(refused.error_code, code, "{changes:?}: {why}");
            assert!(words.iter().all(|word| why.contains(word)), "{changes:?}: {why}");
        }
    }
    let change = [(SET, "retention.ms", Some("5"))];
    let missing = alter(&mut client, TOPIC, "nope", &change, false).await;
    assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let resource = AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configs: Vec::new(),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource.clone(), resource],
        validate_only: false,
    };
    let codes: Vec<_> =
        client.call(1, request).await.responses.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::INVALID_REQUEST]);
}

#[tokio::test]
async fn a_topic_is_created_with_good_settings_or_not_at_all() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    for (key, value) in [("retention.ms", "soon"), ("no.such.key", "1"), ("cleanup.policy", "")] {
        for validate_only in [true, false] {
            let refused = create(&mut client, with_config("t", key, value), validate_only).await;
            assert_eq!(refused.error_code, ErrorCode::INVALID_CONFIG);
            assert!(refused.error_message.is_some_and(|why| why.contains(key)));
        }
    }
    let checked = create(&mut client, with_config("t", "min.insync.replicas", "1"), true).await;
    assert_eq!((checked.error_code, checked.num_partitions), (ErrorCode::NONE, 1));
    assert!(served.log_topics().is_empty(), "only asked");
    for (key, value) in [
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "true"),
        ("compression.type", "lz4"),
        ("segment.ms", "100"),
    ] {
        let made = create(&mut client, with_config(key, key, value), false).await;
        assert_eq!(made.error_code, ErrorCode::NONE, "{key}");
        let configs = made.configs.expect("never null");
        let own = configs.iter().find(|config| config.name == key).expect("listed");
        assert_eq!((own.value.as_deref(), own.config_source), (Some(value), SOURCE_TOPIC));
    }
}

#[tokio::test]
async fn replicas_may_be_placed_by_hand_on_the_one_broker() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    let placed = |name: &str, brokers: &[&[i32]]| {
        let assignments = (0i32..)
            .zip(brokers)
            .map(|(partition_index, brokers)| CreatableAssignment {
                partition_index,
                broker_ids: brokers.to_vec(),
            })
            .collect();
        CreatableTopic { assignments, ..named(name) }
    };
    let made = create(&mut client, placed("t", &[&[1], &[1]]), false).await;
    assert_eq!((made.error_code, made.num_partitions), (ErrorCode::NONE, 2));
    let mut gap = placed("gap", &[&[1], &[1]]);
    gap.assignments[1].partition_index = 5;
    let both = CreatableTopic { num_partitions: 2, ..placed("both", &[&[1], &[1]]) };
    let three = CreatableTopic { replication_factor: 3, ..named("three") };
    for (topic, code) in [
        (placed("elsewhere", &[&[2]]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (placed("twice", &[&[1, 1]]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (placed("nowhere", &[&[]]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (gap, ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (both, ErrorCode::INVALID_REQUEST),
        (three, ErrorCode::INVALID_REPLICATION_FACTOR),
    ] {
        let name = topic.name.clone();
        let refused = create(&mut client, topic, false).await;
        assert_eq!(refused.error_code, code, "{name}");
        assert!(refused.error_message.is_some());
    }
    let more = |count, assignments| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: "t".into(), count, assignments }],
        ..CreatePartitionsRequest::default()
    };
    let on = |brokers: &[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
    for (request, code) in [
        (more(3, Some(vec![on(&[2])])), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (more(4, Some(vec![on(&[1])])), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (more(3, Some(vec![on(&[1])])), ErrorCode::NONE),
        (more(3, None), ErrorCode::INVALID_PARTITIONS),
        (more(2, None), ErrorCode::INVALID_PARTITIONS),
    ] {
        assert_eq!(client.call(3, request).await.results[0].error_code, code);
    }
}
