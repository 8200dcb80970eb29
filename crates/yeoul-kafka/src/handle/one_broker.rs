//! What tools ask of a cluster, answered by the one broker there is: no other leaders to elect,
//! no replicas to move, one folder, a quorum of one.

use std::collections::{BTreeMap, BTreeSet};

use yeoul_base::{TopicInfo, Topics};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignedPartition, ReassignedTopic,
};
use yeoul_kafka_wire::api::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use yeoul_kafka_wire::api::describe_log_dirs::{
    DescribeLogDirsRequest, DescribeLogDirsResponse, DescribedLogDir, LogDirPartition, LogDirTopic,
};
use yeoul_kafka_wire::api::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, QuorumListener, QuorumNode, QuorumPartition,
    QuorumReplica, QuorumTopic,
};
use yeoul_kafka_wire::api::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, ElectionPartitionResult, ElectionResult,
};
use yeoul_kafka_wire::api::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use yeoul_kafka_wire::api::update_features::{
    UpdateFeaturesRequest, UpdateFeaturesResponse, UpdatedFeature,
};

use crate::broker::{self, Context, NODE_ID};

/// The topic that holds Kafka's own metadata; the only one that DescribeQuorum may name.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// The last of UpdateFeatures' versions that answers for each feature.
const PER_FEATURE_UNTIL: i16 = 1;

fn is_known(topics: &Topics, name: &str, partition: i32) -> bool {
    topics.get(name).is_some_and(|info| broker::partition(info, partition).is_some())
}

pub(crate) async fn describe_log_dirs(
    context: Context,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let topics = context.store().topics();
    let sizes = |info: &TopicInfo, wanted: Option<&BTreeSet<i32>>| LogDirTopic {
        name: info.name.to_string(),
        partitions: (0i32..)
            .zip(info.partitions.iter())
            .filter(|(number, _)| wanted.is_none_or(|wanted| wanted.contains(number)))
            .map(|(partition_index, part)| {
                let bytes = context.store().ends(*part).map_or(0, |ends| ends.bytes);
                let partition_size = i64::try_from(bytes).unwrap_or(i64::MAX);
                LogDirPartition { partition_index, partition_size, ..Default::default() }
            })
            .collect(),
    };
    let found: Vec<_> = match request.topics {
        None => topics.by_name.values().map(|info| sizes(info, None)).collect(),
        // What does not exist is left out, as Kafka does.
        Some(asked) => {
            let asked = super::once(asked, |asked| asked.topic.clone());
            let known = asked.into_iter().filter_map(|asked| {
                let wanted = asked.partitions.into_iter().collect();
                topics.get(&asked.topic).map(|info| sizes(info, Some(&wanted)))
            });
            known.collect()
        }
    };
    let topics = found.into_iter().filter(|topic| !topic.partitions.is_empty()).collect();
    let log_dir = context.broker.options.log_dir.clone();
    let results = vec![DescribedLogDir { log_dir, topics, ..DescribedLogDir::default() }];
    DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }
}

pub(crate) async fn alter_replica_log_dirs(
    context: Context,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let topics = context.store().topics();
    let mut results: BTreeMap<String, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for dir in request.dirs {
        for topic in dir.topics {
            let all = results.entry(topic.name.clone()).or_default();
            for partition_index in topic.partitions {
                let error_code = if !is_known(&topics, &topic.name, partition_index) {
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                } else if dir.path == context.broker.options.log_dir {
                    ErrorCode::NONE
                } else {
                    ErrorCode::LOG_DIR_NOT_FOUND
                };
                all.push(AlterReplicaLogDirPartitionResult { partition_index, error_code });
            }
        }
    }
    let result =
        |(topic_name, partitions)| AlterReplicaLogDirTopicResult { topic_name, partitions };
    let results = results.into_iter().map(result).collect();
    AlterReplicaLogDirsResponse { results, ..AlterReplicaLogDirsResponse::default() }
}

pub(crate) async fn elect_leaders(
    context: Context,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    if !matches!(request.election_type, 0 | 1) {
        let error_code = ErrorCode::INVALID_REQUEST;
        return ElectLeadersResponse { error_code, ..ElectLeadersResponse::default() };
    }
    let topics = context.store().topics();
    // Asked for all, Kafka does not list those whose leader is right already.
    let asked = request.topic_partitions.unwrap_or_default();
    let results = asked
        .into_iter()
        .map(|topic| {
            let answer = |partition_id: &i32| {
                let (error_code, why) = match is_known(&topics, &topic.topic, *partition_id) {
                    true => (ErrorCode::ELECTION_NOT_NEEDED, "the one broker leads it already"),
                    false => (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition"),
                };
                let error_message = Some(why.to_owned());
                ElectionPartitionResult { partition_id: *partition_id, error_code, error_message }
            };
            let partitions = topic.partitions.iter().map(answer).collect();
            ElectionResult { topic: topic.topic, partitions }
        })
        .collect();
    ElectLeadersResponse { results, ..ElectLeadersResponse::default() }
}

pub(crate) async fn alter_partition_reassignments(
    context: Context,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let topics = context.store().topics();
    let answer = |name: &str, asked: ReassignablePartition| {
        let refused = if !is_known(&topics, name, asked.partition_index) {
            Some((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition"))
        } else {
            match asked.replicas.as_deref() {
                None => Some((ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, "nothing is being moved")),
                Some([NODE_ID]) => None,
                Some(_) => Some((
                    ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                    "there is one broker, 1, and it has every partition",
                )),
            }
        };
        let (error_code, why) = refused.unzip();
        ReassignedPartition {
            partition_index: asked.partition_index,
            error_code: error_code.unwrap_or_default(),
            error_message: why.map(str::to_owned),
        }
    };
    let responses = request
        .topics
        .into_iter()
        .map(|topic| {
            let all = topic.partitions.into_iter();
            let partitions = all.map(|asked| answer(&topic.name, asked)).collect();
            ReassignedTopic { name: topic.name, partitions }
        })
        .collect();
    AlterPartitionReassignmentsResponse { responses, ..Default::default() }
}

/// Nothing is ever being moved.
pub(crate) async fn list_partition_reassignments(
    _: Context,
    _: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}

/// A quorum of one, always caught up. There is no metadata log: its offsets are 0.
pub(crate) async fn describe_quorum(
    context: Context,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let now_ms = context.broker.clock.now_ms();
    let partition = |name: &str, partition_index: i32| {
        if name != METADATA_TOPIC || partition_index != 0 {
            let error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            return QuorumPartition { partition_index, error_code, ..Default::default() };
        }
        QuorumPartition {
            partition_index,
            leader_id: NODE_ID,
            leader_epoch: context.store().leader_epoch(),
            current_voters: vec![QuorumReplica {
                replica_id: NODE_ID,
                last_fetch_timestamp: now_ms,
                last_caught_up_timestamp: now_ms,
                ..QuorumReplica::default()
            }],
            ..QuorumPartition::default()
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let all = topic.partitions.iter();
        let partitions = all.map(|one| partition(&topic.topic_name, one.partition_index));
        QuorumTopic { partitions: partitions.collect(), topic_name: topic.topic_name }
    });
    let listener = QuorumListener {
        name: "PLAINTEXT".to_owned(),
        host: context.peer.advertised_host.clone(),
        port: context.peer.advertised_port,
    };
    let nodes = vec![QuorumNode { node_id: NODE_ID, listeners: vec![listener] }];
    DescribeQuorumResponse { topics: topics.collect(), nodes, ..DescribeQuorumResponse::default() }
}

pub(crate) async fn update_features(
    context: Context,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let refused: Vec<_> = request
        .feature_updates
        .into_iter()
        .map(|update| UpdatedFeature {
            error_code: ErrorCode::INVALID_UPDATE_VERSION,
            error_message: Some(format!("this broker has no feature `{}`", update.feature)),
            feature: update.feature,
        })
        .collect();
    if context.version <= PER_FEATURE_UNTIL {
        return UpdateFeaturesResponse { results: refused, ..UpdateFeaturesResponse::default() };
    }
    let first = refused.into_iter().next();
    UpdateFeaturesResponse {
        error_code: first.as_ref().map(|first| first.error_code).unwrap_or_default(),
        error_message: first.and_then(|first| first.error_message),
        ..UpdateFeaturesResponse::default()
    }
}
