//! Metadata and DescribeCluster: one broker that leads everything. Asking for a topic may create
//! it; a created topic has its leader in the very same answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use yeoul_base::store::check_topic_name;
use yeoul_base::{NewTopic, StoreError, TopicId, TopicInfo};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use yeoul_kafka_wire::api::metadata::{
    MetadataPartition, MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataTopic,
};

use super::topics;
use crate::broker::{Context, NODE_ID};
use crate::errors;

/// The first version that asks by id.
const ID_FROM: i16 = 10;
/// Topics that one question may create; a client asks for the others again.
const CREATIONS_MAX: usize = 100;

pub(crate) async fn metadata(context: Context, request: MetadataRequest) -> MetadataResponse {
    let asked = request.topics.filter(|asked| context.version > 0 || !asked.is_empty());
    let topics = match asked {
        None => {
            let all = context.store().topics();
            all.by_name.values().map(|topic| found(&context, topic)).collect()
        }
        Some(asked) => {
            let create = request.allow_auto_topic_creation && context.broker.options.auto_create;
            let mut topics = Vec::new();
            let mut creations = if create { CREATIONS_MAX } else { 0 };
            for topic in super::once(asked, |topic| (topic.name.clone(), topic.topic_id)) {
                topics.push(one(&context, topic, &mut creations).await);
            }
            topics
        }
    };
    MetadataResponse {
        brokers: vec![context.node()],
        cluster_id: Some(context.broker.options.cluster_id.clone()),
        controller_id: NODE_ID,
        topics,
        ..MetadataResponse::default()
    }
}

pub(crate) async fn describe_cluster(
    context: Context,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: context.broker.options.cluster_id.clone(),
        controller_id: NODE_ID,
        brokers: vec![context.node().into()],
        ..DescribeClusterResponse::default()
    }
}

async fn one(
    context: &Context,
    asked: MetadataRequestTopic,
    creations: &mut usize,
) -> MetadataTopic {
    let known = context.store().topics();
    // Java's admin client asks by id beside a name that it leaves empty, not null.
    let by_id = context.version >= ID_FROM && asked.topic_id != [0; 16];
    let Some(name) = asked.name.filter(|_| !by_id) else {
        if context.version < ID_FROM {
            let error_code = ErrorCode::INVALID_TOPIC_EXCEPTION;
            return MetadataTopic { error_code, name: Some(String::new()), ..Default::default() };
        }
        return match known.by_id(TopicId(asked.topic_id)) {
            Some(topic) => found(context, topic),
            None => MetadataTopic {
                error_code: ErrorCode::UNKNOWN_TOPIC_ID,
                // Older versions cannot say null.
                name: (context.version < 12).then(String::new),
                topic_id: asked.topic_id,
                ..MetadataTopic::default()
            },
        };
    };
    if let Some(topic) = known.get(&name) {
        return found(context, topic);
    }
    let error_code = match check_topic_name(&name) {
        Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        Ok(()) if *creations == 0 => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Ok(()) if topics::collision(&known, &name).is_some() => ErrorCode::INVALID_TOPIC_EXCEPTION,
        Ok(()) => match create_topic(context, &name, creations).await {
            Ok(topic) => return found(context, &topic),
            Err(error) => {
                tracing::warn!(topic = %name, %error, "a topic could not be created on demand");
                errors::of_store(&error)
            }
        },
    };
    MetadataTopic { error_code, name: Some(name), ..MetadataTopic::default() }
}

async fn create_topic(
    context: &Context,
    name: &str,
    creations: &mut usize,
) -> Result<Arc<TopicInfo>, StoreError> {
    *creations -= 1;
    let new = NewTopic {
        name: name.to_owned(),
        partitions: context.broker.options.default_partitions,
        config: BTreeMap::new(),
    };
    let name = name.to_owned();
    let made = context.broker.blocking(move |store| match store.create_topic(new) {
        // Another connection asked at the same time.
        Err(StoreError::TopicExists(_)) => {
            store.topics().get(&name).cloned().ok_or(StoreError::UnknownTopic(name))
        }
        made => made,
    });
    made.await
}

fn found(context: &Context, topic: &TopicInfo) -> MetadataTopic {
    let leader_epoch = context.store().leader_epoch();
    let partitions = (0i32..)
        .zip(topic.partitions.iter())
        .map(|(partition_index, _)| MetadataPartition {
            partition_index,
            leader_id: NODE_ID,
            leader_epoch,
            replica_nodes: vec![NODE_ID],
            isr_nodes: vec![NODE_ID],
            ..MetadataPartition::default()
        })
        .collect();
    MetadataTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id.0,
        is_internal: topic.is_internal(),
        partitions,
        ..MetadataTopic::default()
    }
}
