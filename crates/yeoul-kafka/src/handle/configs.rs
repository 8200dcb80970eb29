//! DescribeConfigs: what is set on a topic or this node, what holds otherwise, and where it comes
//! from. The topic's settings are the log's own table, so what is shown is what is followed.

mod alter;
mod broker;

use std::collections::BTreeMap;

use yeoul_base::store::check_topic_name;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::create_topics::CreatedConfig;
use yeoul_kafka_wire::api::describe_configs::{
    BROKER, ConfigSynonym, DescribeConfigsRequest, DescribeConfigsResource,
    DescribeConfigsResponse, DescribedConfig, DescribedResource, SOURCE_DEFAULT, SOURCE_TOPIC,
    TOPIC,
};
use yeoul_log::topic_config::{self, TOPIC_CONFIGS, TopicConfig};

use crate::broker::{Context, NODE_ID};

pub(crate) use alter::{incremental_alter_configs, set_configs};

type Refusal = (ErrorCode, String);

/// Kafka's names of the broker settings that topics follow, where they differ from the topic's.
const BROKER_NAMES: &[(&str, &str)] = &[
    ("cleanup.policy", "log.cleanup.policy"),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    ("flush.messages", "log.flush.interval.messages"),
    ("flush.ms", "log.flush.interval.ms"),
    ("index.interval.bytes", "log.index.interval.bytes"),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    ("max.message.bytes", "message.max.bytes"),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    ("preallocate", "log.preallocate"),
    ("retention.bytes", "log.retention.bytes"),
    ("retention.ms", "log.retention.ms"),
    ("segment.bytes", "log.segment.bytes"),
    ("segment.index.bytes", "log.index.size.max.bytes"),
    ("segment.jitter.ms", "log.roll.jitter.ms"),
    ("segment.ms", "log.roll.ms"),
];

/// The broker setting that a topic's setting follows.
fn broker_name(topic_name: &'static str) -> &'static str {
    let renamed = BROKER_NAMES.iter().find(|(name, _)| *name == topic_name);
    renamed.map_or(topic_name, |(_, broker)| broker)
}

/// A topic's configuration as CreateTopics answers it: what was set and the defaults.
pub(crate) fn created(set: &BTreeMap<String, String>) -> Vec<CreatedConfig> {
    described(set)
        .into_iter()
        .map(|config| CreatedConfig {
            name: config.name,
            value: config.value,
            read_only: config.read_only,
            config_source: config.config_source,
            is_sensitive: config.is_sensitive,
        })
        .collect()
}

fn described(set: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
    TOPIC_CONFIGS.iter().map(|config| describe_setting(config, set)).collect()
}

fn describe_setting(config: &TopicConfig, set: &BTreeMap<String, String>) -> DescribedConfig {
    let own = set.get(config.name);
    let default = topic_config::effective(config, &without(set, config.name));
    let synonym =
        |name: &str, value, source| ConfigSynonym { name: name.to_owned(), value, source };
    let synonyms = own
        .map(|value| synonym(config.name, Some(value.clone()), SOURCE_TOPIC))
        .into_iter()
        .chain([synonym(broker_name(config.name), Some(default.clone()), SOURCE_DEFAULT)])
        .collect();
    DescribedConfig {
        name: config.name.to_owned(),
        value: Some(own.cloned().unwrap_or(default)),
        config_source: if own.is_some() { SOURCE_TOPIC } else { SOURCE_DEFAULT },
        synonyms,
        config_type: config.kind.number(),
        documentation: Some(config.doc.to_owned()),
        ..DescribedConfig::default()
    }
}

fn without(set: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let others = set.iter().filter(|(key, _)| *key != name);
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(crate) async fn describe_configs(
    context: Context,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let resources =
        super::once(request.resources, |asked| (asked.resource_type, asked.resource_name.clone()));
    let results = resources.into_iter().map(|asked| {
        let found = describe_one(&context, &asked);
        let DescribeConfigsResource { resource_type, resource_name, configuration_keys } = asked;
        let mut answer =
            DescribedResource { resource_type, resource_name, ..DescribedResource::default() };
        match found {
            Ok(mut configs) => {
                if let Some(keys) = configuration_keys {
                    configs.retain(|config| keys.contains(&config.name));
                }
                for config in &mut configs {
                    if !request.include_synonyms {
                        config.synonyms.clear();
                    }
                    if !request.include_documentation {
                        config.documentation = None;
                    }
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
) -> Result<Vec<DescribedConfig>, Refusal> {
    let name = &asked.resource_name;
    match asked.resource_type {
        TOPIC => {
            check_topic_name(name)
                .map_err(|error| (ErrorCode::INVALID_TOPIC_EXCEPTION, error.to_string()))?;
            let topics = context.store().topics();
            let missing = || {
                let why = format!("topic `{name}` does not exist");
                (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why)
            };
            topics.get(name).map(|topic| described(&topic.config)).ok_or_else(missing)
        }
        // What was changed for all brokers at run time: nothing can be.
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER if *name == NODE_ID.to_string() => Ok(broker::settings(context)),
        BROKER => {
            let why = format!("there is no broker `{name}`; this node is {NODE_ID}");
            Err((ErrorCode::INVALID_REQUEST, why))
        }
        other => Err((ErrorCode::INVALID_REQUEST, format!("resource type {other} is not served"))),
    }
}
