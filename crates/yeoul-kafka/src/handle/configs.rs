//! DescribeConfigs and IncrementalAlterConfigs: what is set on a topic, what holds otherwise.
//!
//! Only keys that mean something here are listed; the store decides which may be set.

use std::collections::BTreeMap;

use yeoul_base::StoreError;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::create_topics::CreatedConfig;
use yeoul_kafka_wire::api::describe_configs::{
    BROKER, ConfigSynonym, DescribeConfigsRequest, DescribeConfigsResource,
    DescribeConfigsResponse, DescribedConfig, DescribedResource, SOURCE_DEFAULT,
    SOURCE_STATIC_BROKER, SOURCE_TOPIC, TOPIC,
};
use yeoul_kafka_wire::api::incremental_alter_configs::{
    AlterConfigsResource, AlteredResource, DELETE, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, SET,
};

use crate::broker::{Context, NODE_ID};
use crate::errors;

const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

/// A topic's key: its default and type.
const KEYS: &[(&str, &str, i8)] = &[
    ("cleanup.policy", "delete", LIST),
    ("compression.type", "producer", STRING),
    ("delete.retention.ms", "86400000", LONG),
    ("max.message.bytes", "1048588", INT),
    ("message.timestamp.type", "CreateTime", STRING),
    ("min.insync.replicas", "1", INT),
    ("retention.bytes", "-1", LONG),
    ("retention.ms", "604800000", LONG),
    ("segment.bytes", "134217728", INT),
    ("segment.ms", "604800000", LONG),
];

/// A topic's configuration as CreateTopics answers it: what was set and the defaults.
pub(crate) fn created(set: &BTreeMap<String, String>) -> Vec<CreatedConfig> {
    described(set)
        .into_iter()
        .map(|config| CreatedConfig {
            name: config.name,
            value: config.value,
            read_only: false,
            config_source: config.config_source,
            is_sensitive: false,
        })
        .collect()
}

fn described(set: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
    let known = KEYS.iter().map(|(name, default, kind)| (*name, Some(*default), *kind));
    let extra = set.keys().filter(|key| !KEYS.iter().any(|(name, ..)| name == key));
    let extra = extra.map(|key| (key.as_str(), None, STRING));
    known
        .chain(extra)
        .map(|(name, default, config_type)| {
            let synonym = |value: &str, source| ConfigSynonym {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                source,
            };
            let own = set.get(name);
            let synonyms = own
                .map(|value| synonym(value, SOURCE_TOPIC))
                .into_iter()
                .chain(default.map(|value| synonym(value, SOURCE_DEFAULT)))
                .collect();
            DescribedConfig {
                name: name.to_owned(),
                value: own.cloned().or_else(|| default.map(str::to_owned)),
                config_source: if own.is_some() { SOURCE_TOPIC } else { SOURCE_DEFAULT },
                synonyms,
                config_type,
                ..DescribedConfig::default()
            }
        })
        .collect()
}

fn broker_configs(context: &Context) -> Vec<DescribedConfig> {
    let options = &context.broker.options;
    let entries = [
        ("broker.id", NODE_ID.to_string(), INT),
        ("node.id", NODE_ID.to_string(), INT),
        ("auto.create.topics.enable", options.auto_create.to_string(), BOOLEAN),
        ("num.partitions", options.default_partitions.to_string(), INT),
        ("default.replication.factor", "1".to_owned(), INT),
        ("min.insync.replicas", "1".to_owned(), INT),
        ("offsets.topic.replication.factor", "1".to_owned(), INT),
    ];
    entries
        .into_iter()
        .map(|(name, value, config_type)| DescribedConfig {
            name: name.to_owned(),
            value: Some(value),
            read_only: true,
            config_source: SOURCE_STATIC_BROKER,
            config_type,
            ..DescribedConfig::default()
        })
        .collect()
}

pub(crate) async fn describe_configs(
    context: Context,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|asked| {
        let found = describe_one(&context, &asked);
        let DescribeConfigsResource { resource_type, resource_name, configuration_keys } = asked;
        let mut answer =
            DescribedResource { resource_type, resource_name, ..DescribedResource::default() };
        match found {
            Ok(mut configs) => {
                if let Some(keys) = configuration_keys {
                    configs.retain(|config| keys.contains(&config.name));
                }
                if !request.include_synonyms {
                    configs.iter_mut().for_each(|config| config.synonyms.clear());
                }
                answer.configs = configs;
            }
            Err((code, why)) => {
                answer.error_code = code;
                answer.error_message = Some(why);
            }
        }
        answer
    });
    DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }
}

fn describe_one(
    context: &Context,
    asked: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, (ErrorCode, String)> {
    let name = &asked.resource_name;
    match asked.resource_type {
        TOPIC => match context.store().topics().get(name) {
            Some(topic) => Ok(described(&topic.config)),
            None => {
                let why = format!("topic `{name}` does not exist");
                Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why))
            }
        },
        BROKER if name.is_empty() || *name == NODE_ID.to_string() => Ok(broker_configs(context)),
        BROKER => Err((ErrorCode::INVALID_REQUEST, format!("there is no broker `{name}`"))),
        other => Err((ErrorCode::INVALID_REQUEST, format!("resource type {other} is not served"))),
    }
}

pub(crate) async fn incremental_alter_configs(
    context: Context,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::new();
    for asked in request.resources {
        let (resource_type, resource_name) = (asked.resource_type, asked.resource_name.clone());
        let done = alter_one(&context, asked, request.validate_only).await;
        let (error_code, error_message) = match done {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, why)) => (code, Some(why)),
        };
        responses.push(AlteredResource { error_code, error_message, resource_type, resource_name });
    }
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

async fn alter_one(
    context: &Context,
    asked: AlterConfigsResource,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    if asked.resource_type != TOPIC {
        let why = "the broker's settings are given at its start".to_owned();
        return Err((ErrorCode::INVALID_REQUEST, why));
    }
    let name = asked.resource_name;
    if context.store().topics().get(&name).is_none() {
        let why = format!("topic `{name}` does not exist");
        return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why));
    }
    let mut changes = Vec::new();
    for config in asked.configs {
        match (config.operation, config.value) {
            (SET, Some(value)) => changes.push((config.name, Some(value))),
            (DELETE, _) => changes.push((config.name, None)),
            _ => {
                let why = format!("`{}`: only set and delete are served", config.name);
                return Err((ErrorCode::INVALID_REQUEST, why));
            }
        }
    }
    if validate_only {
        return Ok(());
    }
    let altered = context.broker.blocking(move |store| store.alter_topic(&name, changes)).await;
    altered.map(|_| ()).map_err(|error| match error {
        StoreError::Invalid(why) => (ErrorCode::INVALID_CONFIG, why),
        other => (errors::of_store(&other), other.to_string()),
    })
}
