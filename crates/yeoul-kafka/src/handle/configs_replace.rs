//! AlterConfigs, which replaces all that is set on a topic, told in the words of its successor;
//! and ListConfigResources.

use std::collections::BTreeSet;

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::alter_configs::{
    AlterConfigsRequest, AlterConfigsResponse, ReplacedResource, ReplacedResourceResult,
};
use yeoul_kafka_wire::api::describe_configs::{BROKER, TOPIC};
use yeoul_kafka_wire::api::incremental_alter_configs::{
    AlterConfig, AlterConfigsResource, DELETE, IncrementalAlterConfigsRequest, SET,
};
use yeoul_kafka_wire::api::list_config_resources::{
    CLIENT_METRICS, ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::configs;
use crate::broker::{Context, NODE_ID};

/// `resource_type` of a broker's loggers and of a group: known to Kafka, nothing to list here.
const EMPTY_TYPES: [i8; 3] = [8, CLIENT_METRICS, 32];

pub(crate) async fn alter_configs(
    context: Context,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let mut seen = BTreeSet::new();
    let mut responses = Vec::new();
    for asked in request.resources {
        let answer = ReplacedResourceResult {
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            ..ReplacedResourceResult::default()
        };
        if !seen.insert((asked.resource_type, asked.resource_name.clone())) {
            responses.push(ReplacedResourceResult {
                error_code: ErrorCode::INVALID_REQUEST,
                error_message: Some("the request names the resource twice".to_owned()),
                ..answer
            });
            continue;
        }
        let request = IncrementalAlterConfigsRequest {
            resources: vec![as_changes(&context, asked)],
            validate_only: request.validate_only,
        };
        let altered = configs::incremental_alter_configs(context.clone(), request).await;
        let altered = altered.responses.into_iter().next().unwrap_or_default();
        responses.push(ReplacedResourceResult {
            error_code: altered.error_code,
            error_message: altered.error_message,
            ..answer
        });
    }
    AlterConfigsResponse { responses, ..AlterConfigsResponse::default() }
}

/// Sets what is named and takes away what is not.
fn as_changes(context: &Context, asked: ReplacedResource) -> AlterConfigsResource {
    let mut configs: Vec<_> = asked
        .configs
        .into_iter()
        .map(|config| AlterConfig {
            operation: if config.value.is_some() { SET } else { DELETE },
            name: config.name,
            value: config.value,
        })
        .collect();
    if asked.resource_type == TOPIC
        && let Some(topic) = context.store().topics().get(&asked.resource_name)
    {
        let named: BTreeSet<_> = configs.iter().map(|config| config.name.clone()).collect();
        let left_out = topic.config.keys().filter(|name| !named.contains(*name));
        configs.extend(left_out.map(|name| AlterConfig {
            name: name.clone(),
            operation: DELETE,
            value: None,
        }));
    }
    let ReplacedResource { resource_type, resource_name, .. } = asked;
    AlterConfigsResource { resource_type, resource_name, configs }
}

pub(crate) async fn list_config_resources(
    context: Context,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    // Version 0 asks for subscriptions to client metrics, and there are none.
    if context.version == 0 {
        return ListConfigResourcesResponse::default();
    }
    let known = |kind: &i8| [TOPIC, BROKER].contains(kind) || EMPTY_TYPES.contains(kind);
    if !request.resource_types.iter().all(known) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    }
    let all = request.resource_types.is_empty();
    let wanted = |kind: i8| all || request.resource_types.contains(&kind);
    let resource =
        |resource_name: String, resource_type| ConfigResource { resource_name, resource_type };
    let mut config_resources = Vec::new();
    if wanted(TOPIC) {
        let topics = context.store().topics();
        let names = topics.by_name.keys().map(|name| resource(name.to_string(), TOPIC));
        config_resources.extend(names);
    }
    if wanted(BROKER) {
        config_resources.push(resource(NODE_ID.to_string(), BROKER));
    }
    ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() }
}
