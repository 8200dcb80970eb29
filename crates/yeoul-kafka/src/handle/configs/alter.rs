//! IncrementalAlterConfigs: set, take away, and change the words of a list. What comes of it is
//! checked as a whole before anything is changed, and the same way when only that is asked.

use std::collections::{BTreeMap, BTreeSet};

use yeoul_base::StoreError;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::describe_configs::{BROKER, TOPIC};
use yeoul_kafka_wire::api::incremental_alter_configs::{
    APPEND, AlterConfig, AlterConfigsResource, AlteredResource, DELETE,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, SET, SUBTRACT,
};
use yeoul_log::topic_config::{self, ConfigType};

use super::Refusal;
use crate::broker::Context;
use crate::errors;

pub(crate) async fn incremental_alter_configs(
    context: Context,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut seen = BTreeSet::new();
    let mut responses = Vec::new();
    for asked in request.resources {
        let (resource_type, resource_name) = (asked.resource_type, asked.resource_name.clone());
        let done = if seen.insert((resource_type, resource_name.clone())) {
            alter_one(&context, asked, request.validate_only).await
        } else {
            Err((ErrorCode::INVALID_REQUEST, "the request names the resource twice".to_owned()))
        };
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
) -> Result<(), Refusal> {
    match asked.resource_type {
        TOPIC => {}
        BROKER => {
            let names: Vec<_> = asked.configs.iter().map(|config| config.name.as_str()).collect();
            let why = format!(
                "the node's own settings are given when it starts, so {} cannot be altered; \
                 topics can be, one by one",
                names.join(", ")
            );
            return Err((ErrorCode::INVALID_REQUEST, why));
        }
        other => {
            let why = format!("resource type {other} is not served");
            return Err((ErrorCode::INVALID_REQUEST, why));
        }
    }
    let name = asked.resource_name;
    let topics = context.store().topics();
    let topic = topics.get(&name).ok_or_else(|| {
        let why = format!("topic `{name}` does not exist");
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why)
    })?;
    let changes = changes(&topic.config, asked.configs)?;
    if validate_only {
        return Ok(());
    }
    let altered = context.broker.blocking(move |store| store.alter_topic(&name, changes)).await;
    altered.map(|_| ()).map_err(|error| match error {
        StoreError::Invalid(why) => (ErrorCode::INVALID_CONFIG, why),
        other => (errors::of_store(&other), other.to_string()),
    })
}

/// What is to be set (or, with `None`, taken away) on a topic that has `set`.
fn changes(
    set: &BTreeMap<String, String>,
    asked: Vec<AlterConfig>,
) -> Result<Vec<(String, Option<String>)>, Refusal> {
    let mut result = set.clone();
    let mut changes = Vec::new();
    let mut seen = BTreeSet::new();
    for AlterConfig { name, operation, value } in asked {
        if !seen.insert(name.clone()) {
            let why = format!("the request names `{name}` twice");
            return Err((ErrorCode::INVALID_REQUEST, why));
        }
        let becomes = match (operation, value) {
            (DELETE, _) => None,
            (SET, Some(value)) => Some(value),
            (APPEND | SUBTRACT, Some(value)) => {
                Some(with_words(set, &name, &value, operation == APPEND)?)
            }
            (SET | APPEND | SUBTRACT, None) => {
                let why = format!("`{name}` is given no value; to take it away, delete it");
                return Err((ErrorCode::INVALID_REQUEST, why));
            }
            (other, _) => {
                let why = format!("`{name}`: there is no operation {other}");
                return Err((ErrorCode::INVALID_REQUEST, why));
            }
        };
        match &becomes {
            Some(value) => result.insert(name.clone(), value.clone()),
            None => result.remove(&name),
        };
        changes.push((name, becomes));
    }
    check(&result)?;
    Ok(changes)
}

/// A list with words added to it or taken from it; what it has comes from its default when the
/// topic sets none.
fn with_words(
    set: &BTreeMap<String, String>,
    name: &str,
    words: &str,
    add: bool,
) -> Result<String, Refusal> {
    let known = topic_config::find(name).filter(|config| config.kind == ConfigType::List);
    let Some(config) = known else {
        let why = format!("`{name}` is not a list: it can be set or deleted");
        return Err((ErrorCode::INVALID_CONFIG, why));
    };
    let current = topic_config::effective(config, set);
    let mut list: Vec<&str> =
        topic_config::list(&current).filter(|word| !word.is_empty()).collect();
    for word in topic_config::list(words) {
        match add {
            true if !list.contains(&word) => list.push(word),
            true => {}
            false => list.retain(|one| *one != word),
        }
    }
    Ok(list.join(","))
}

/// Refuses what the log would refuse, with its words.
pub(crate) fn check(config: &BTreeMap<String, String>) -> Result<(), Refusal> {
    topic_config::check(config).map_err(|error| (ErrorCode::INVALID_CONFIG, error.to_string()))
}

/// The settings of a topic that is to be created.
pub(crate) fn set_configs(
    asked: impl Iterator<Item = (String, Option<String>)>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut set = BTreeMap::new();
    for (name, value) in asked {
        let value = value
            .ok_or_else(|| (ErrorCode::INVALID_CONFIG, format!("`{name}` is given no value")))?;
        set.insert(name, value);
    }
    check(&set)?;
    Ok(set)
}
