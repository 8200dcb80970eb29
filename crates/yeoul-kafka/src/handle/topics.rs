//! CreateTopics, DeleteTopics, CreatePartitions.

use std::collections::HashSet;

use yeoul_base::limits::PARTITIONS_MAX;
use yeoul_base::store::check_topic_name;
use yeoul_base::{NewTopic, StoreError, TopicId, TopicInfo, Topics};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsResult,
    CreatePartitionsTopic,
};
use yeoul_kafka_wire::api::create_topics::{
    CreatableTopic, CreateTopicsRequest, CreateTopicsResponse, CreatedTopic,
};
use yeoul_kafka_wire::api::delete_topics::{
    DeletableTopic, DeleteTopicsRequest, DeleteTopicsResponse, DeletedTopic,
};

use super::configs;
use crate::broker::{Context, NODE_ID};
use crate::errors;

type Refusal = (ErrorCode, String);

pub(crate) async fn create_topics(
    context: Context,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut seen = HashSet::new();
    let twice: HashSet<String> = request
        .topics
        .iter()
        .filter(|topic| !seen.insert(topic.name.as_str()))
        .map(|topic| topic.name.clone())
        .collect();
    let mut response = CreateTopicsResponse::default();
    for topic in request.topics {
        let name = topic.name.clone();
        let made = if twice.contains(&name) {
            Err((ErrorCode::INVALID_REQUEST, "the request names the topic twice".to_owned()))
        } else {
            create_one(&context, topic, request.validate_only).await
        };
        let answer = made.unwrap_or_else(|(error_code, message)| CreatedTopic {
            error_code,
            error_message: Some(message),
            ..CreatedTopic::default()
        });
        response.topics.push(CreatedTopic { name, ..answer });
    }
    response
}

async fn create_one(
    context: &Context,
    asked: CreatableTopic,
    validate_only: bool,
) -> Result<CreatedTopic, Refusal> {
    let new = plan(context, asked)?;
    if validate_only {
        return Ok(CreatedTopic {
            num_partitions: i32::try_from(new.partitions).unwrap_or(-1),
            replication_factor: 1,
            configs: Some(configs::created(&new.config)),
            ..CreatedTopic::default()
        });
    }
    let made = context.broker.blocking(move |store| store.create_topic(new)).await;
    made.map(|topic| created(&topic)).map_err(|error| match error {
        StoreError::Invalid(why) => (ErrorCode::INVALID_CONFIG, why),
        other => (errors::of_store(&other), other.to_string()),
    })
}

fn plan(context: &Context, asked: CreatableTopic) -> Result<NewTopic, Refusal> {
    check_topic_name(&asked.name)
        .map_err(|error| (ErrorCode::INVALID_TOPIC_EXCEPTION, error.to_string()))?;
    let topics = context.store().topics();
    if topics.get(&asked.name).is_some() {
        let why = StoreError::TopicExists(asked.name);
        return Err((ErrorCode::TOPIC_ALREADY_EXISTS, why.to_string()));
    }
    if let Some(other) = collision(&topics, &asked.name) {
        let why = format!("topic `{}` collides with `{other}`", asked.name);
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, why));
    }
    let partitions = partitions(context, &asked)?;
    let given = asked.configs.into_iter().map(|config| (config.name, config.value));
    let config = configs::set_configs(given)?;
    Ok(NewTopic { name: asked.name, partitions, config })
}

/// Metric names fold `.` and `_` into one, so Kafka refuses names that differ in them only.
pub(crate) fn collision<'a>(topics: &'a Topics, name: &str) -> Option<&'a str> {
    let folded = name.replace('.', "_");
    let mut names = topics.by_name.keys().map(|other| &**other);
    names.find(|other| *other != name && other.replace('.', "_") == folded)
}

fn partitions(context: &Context, asked: &CreatableTopic) -> Result<u32, Refusal> {
    if !asked.assignments.is_empty() {
        if asked.num_partitions != -1 || asked.replication_factor != -1 {
            let why = "with an assignment of replicas, partitions and replication factor are -1";
            return Err((ErrorCode::INVALID_REQUEST, why.to_owned()));
        }
        let mut given: Vec<_> =
            asked.assignments.iter().map(|one| (one.partition_index, &one.broker_ids)).collect();
        given.sort_unstable_by_key(|(partition, _)| *partition);
        if !(0i32..).zip(&given).all(|(expected, (partition, _))| expected == *partition) {
            let why = "the partitions of an assignment are 0, 1, 2 and so on".to_owned();
            return Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, why));
        }
        given.iter().try_for_each(|(_, brokers)| check_replicas(brokers))?;
    }
    let partitions = match (asked.num_partitions, asked.assignments.len()) {
        (-1, 0) => context.broker.options.default_partitions,
        (-1, assigned) => u32::try_from(assigned).unwrap_or(u32::MAX),
        (count, _) => u32::try_from(count).unwrap_or(0),
    };
    if partitions == 0 || partitions > PARTITIONS_MAX {
        let why = format!("a topic has 1 to {PARTITIONS_MAX} partitions");
        return Err((ErrorCode::INVALID_PARTITIONS, why));
    }
    if !matches!(asked.replication_factor, -1 | 1) {
        let why = format!(
            "there is one broker: the replication factor is 1 (or -1), not {}",
            asked.replication_factor
        );
        return Err((ErrorCode::INVALID_REPLICATION_FACTOR, why));
    }
    Ok(partitions)
}

/// A replica can be on the one broker only.
fn check_replicas(brokers: &[i32]) -> Result<(), Refusal> {
    if brokers == [NODE_ID] {
        return Ok(());
    }
    let why = format!("replicas are on broker {NODE_ID}, the only one, not on {brokers:?}");
    Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, why))
}

fn created(topic: &TopicInfo) -> CreatedTopic {
    CreatedTopic {
        topic_id: topic.id.0,
        num_partitions: i32::try_from(topic.partitions.len()).unwrap_or(-1),
        replication_factor: 1,
        configs: Some(configs::created(&topic.config)),
        ..CreatedTopic::default()
    }
}

pub(crate) async fn delete_topics(
    context: Context,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeletableTopic { name: Some(name), ..DeletableTopic::default() });
    let mut responses = Vec::new();
    for topic in by_name.chain(request.topics) {
        responses.push(delete_one(&context, topic).await);
    }
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

async fn delete_one(context: &Context, asked: DeletableTopic) -> DeletedTopic {
    let topics = context.store().topics();
    let (info, missing) = match &asked.name {
        Some(name) => (topics.get(name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        None => (topics.by_id(TopicId(asked.topic_id)), ErrorCode::UNKNOWN_TOPIC_ID),
    };
    let Some(info) = info else {
        return DeletedTopic {
            name: asked.name,
            topic_id: asked.topic_id,
            error_code: missing,
            error_message: Some("the topic does not exist".to_owned()),
        };
    };
    let name = info.name.to_string();
    let deleted = context.broker.blocking(move |store| store.delete_topic(&name)).await;
    if deleted.is_ok() {
        context.broker.groups.forget_topic(info.id).await;
    }
    DeletedTopic {
        name: Some(info.name.to_string()),
        topic_id: info.id.0,
        error_code: deleted.as_ref().err().map_or(ErrorCode::NONE, errors::of_store),
        error_message: deleted.err().map(|error| error.to_string()),
    }
}

pub(crate) async fn create_partitions(
    context: Context,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::new();
    for topic in request.topics {
        let name = topic.name.clone();
        let done = add_partitions(&context, topic, request.validate_only).await;
        let (error_code, error_message) = match done {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, why)) => (code, Some(why)),
        };
        results.push(CreatePartitionsResult { name, error_code, error_message });
    }
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

async fn add_partitions(
    context: &Context,
    asked: CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refusal> {
    let topics = context.store().topics();
    let info = topics.get(&asked.name).ok_or_else(|| {
        let why = StoreError::UnknownTopic(asked.name.clone());
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why.to_string())
    })?;
    let total = u32::try_from(asked.count).unwrap_or(0);
    if total as usize <= info.partitions.len() || total > PARTITIONS_MAX {
        let have = info.partitions.len();
        let why = format!("{have} partitions can become {} to {PARTITIONS_MAX}", have + 1);
        return Err((ErrorCode::INVALID_PARTITIONS, why));
    }
    if let Some(assignments) = &asked.assignments {
        if assignments.len() != total as usize - info.partitions.len() {
            let why = "an assignment names each new partition's replicas".to_owned();
            return Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, why));
        }
        assignments.iter().try_for_each(|one| check_replicas(&one.broker_ids))?;
    }
    if validate_only {
        return Ok(());
    }
    let added = context.broker.blocking(move |store| store.add_partitions(&asked.name, total));
    added.await.map(|_| ()).map_err(|error| (errors::of_store(&error), error.to_string()))
}
