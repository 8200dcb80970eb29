//! `yeoul topics list | create | describe | alter | trim | delete`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use yeoul_kafka_wire::api::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use yeoul_kafka_wire::api::create_topics::{CreatableConfig, CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::api::delete_topics::{DeletableTopic, DeleteTopicsRequest};
use yeoul_kafka_wire::api::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribedConfig, SOURCE_TOPIC, TOPIC,
};
use yeoul_kafka_wire::api::incremental_alter_configs::{
    AlterConfig, AlterConfigsResource, DELETE, IncrementalAlterConfigsRequest, SET,
};
use yeoul_kafka_wire::api::list_offsets::{EARLIEST, LATEST};
use yeoul_kafka_wire::api::metadata::MetadataTopic;

use super::client::{Bootstrap, Cluster, check};
use super::trim::TrimArgs;
use crate::output::{self, Failure, Output};

/// How long the broker may take for a change.
const TIMEOUT_MS: i32 = 30_000;

#[derive(Debug, Args)]
pub(crate) struct TopicsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Names, partitions and how many records there are
    List {
        /// Also the internal ones, whose names begin with two underscores
        #[arg(long)]
        internal: bool,
    },
    /// Make a topic
    Create {
        name: String,
        /// How many partitions; the node's default without it
        #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A setting, such as retention.ms=86400000 (repeatable)
        #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_value)]
        config: Vec<(String, String)>,
        /// It is no error when the topic is there already
        #[arg(long)]
        if_not_exists: bool,
    },
    /// Partitions with their offsets, and the topic's settings
    Describe { name: String },
    /// Change settings or add partitions
    Alter {
        name: String,
        /// A setting to make (repeatable)
        #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_value)]
        config: Vec<(String, String)>,
        /// A setting to go back to its default (repeatable)
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// The total number of partitions afterwards
        #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
    },
    /// Remove the records before a place
    Trim(TrimArgs),
    /// Remove topics with all their records
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Reads `KEY=VALUE`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

pub(crate) fn topics(args: TopicsArgs, output: Output) -> Result<ExitCode, Failure> {
    let mut cluster = Cluster::connect(&args.bootstrap)?;
    match args.command {
        TopicsCommand::List { internal } => list(&mut cluster, internal, output)?,
        TopicsCommand::Create { name, partitions, config, if_not_exists } => {
            create(&mut cluster, &name, partitions, config, if_not_exists)?;
        }
        TopicsCommand::Describe { name } => describe(&mut cluster, &name, output)?,
        TopicsCommand::Alter { name, config, unset, partitions } => {
            alter(&mut cluster, &name, config, unset, partitions)?;
        }
        TopicsCommand::Trim(trim) => super::trim::trim(&mut cluster, &trim, output)?,
        TopicsCommand::Delete { names } => delete(&mut cluster, names)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One partition's extent.
struct Extent {
    partition: i32,
    start: i64,
    end: i64,
}

fn extents(cluster: &mut Cluster, topic: &MetadataTopic) -> Result<Vec<Extent>, Failure> {
    let starts = cluster.offsets(topic, EARLIEST)?;
    let ends = cluster.offsets(topic, LATEST)?;
    let mut extents: Vec<_> = topic
        .partitions
        .iter()
        .map(|partition| {
            let number = partition.partition_index;
            let at = |offsets: &std::collections::HashMap<i32, i64>| {
                offsets.get(&number).copied().unwrap_or(0)
            };
            Extent { partition: number, start: at(&starts), end: at(&ends) }
        })
        .collect();
    extents.sort_by_key(|extent| extent.partition);
    Ok(extents)
}

fn list(cluster: &mut Cluster, internal: bool, output: Output) -> Result<(), Failure> {
    let mut topics = cluster.metadata(None, false)?.topics;
    topics.retain(|topic| internal || !topic.is_internal);
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rows = Vec::new();
    for topic in &topics {
        let records: i64 = extents(cluster, topic)?.iter().map(|e| e.end - e.start).sum();
        let name = topic.name.clone().unwrap_or_default();
        rows.push((name, topic.partitions.len(), records, topic.is_internal));
    }
    if output == Output::Json {
        let topics: Vec<_> = rows
            .into_iter()
            .map(|(name, partitions, records, internal)| {
                json!({"name": name, "partitions": partitions, "records": records, "internal": internal})
            })
            .collect();
        return output::line(Value::from(topics).to_string());
    }
    let rows = rows.into_iter().map(|(name, partitions, records, _)| {
        let records = output::count(u64::try_from(records).unwrap_or(0));
        vec![name, partitions.to_string(), records]
    });
    output::line(output::table(&["topic", "partitions", "records"], rows))
}

fn create(
    cluster: &mut Cluster,
    name: &str,
    partitions: Option<i32>,
    config: Vec<(String, String)>,
    if_not_exists: bool,
) -> Result<(), Failure> {
    let configs = config
        .into_iter()
        .map(|(name, value)| CreatableConfig { name, value: Some(value) })
        .collect();
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions.unwrap_or(-1),
        replication_factor: -1,
        configs,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: TIMEOUT_MS,
        ..CreateTopicsRequest::default()
    };
    for made in cluster.call(request)?.topics {
        let exists = made.error_code == yeoul_kafka_wire::ErrorCode::TOPIC_ALREADY_EXISTS;
        if exists && if_not_exists {
            output::remark(format!("topic `{name}` exists already"));
            continue;
        }
        explain(made.error_code, made.error_message, name)?;
        output::remark(format!("topic `{name}` created"));
    }
    Ok(())
}

/// The broker's own words where it has some.
fn explain(
    code: yeoul_kafka_wire::ErrorCode,
    message: Option<String>,
    name: &str,
) -> Result<(), Failure> {
    match message {
        Some(message) if !code.is_ok() => Err(Failure::new(format!("{message} ({code})"))),
        _ => check(code, || format!("topic `{name}`")),
    }
}

fn configs(cluster: &mut Cluster, name: &str) -> Result<Vec<DescribedConfig>, Failure> {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let answer = cluster.call(request)?;
    let Some(result) = answer.results.into_iter().next() else { return Ok(Vec::new()) };
    explain(result.error_code, result.error_message, name)?;
    Ok(result.configs)
}

fn describe(cluster: &mut Cluster, name: &str, output: Output) -> Result<(), Failure> {
    let topic = cluster.topic(name, false)?;
    let extents = extents(cluster, &topic)?;
    let configs = configs(cluster, name)?;
    if output == Output::Json {
        let partitions: Vec<_> = extents
            .iter()
            .map(|e| json!({"partition": e.partition, "start": e.start, "end": e.end}))
            .collect();
        let config: serde_json::Map<_, _> = configs
            .into_iter()
            .map(|config| (config.name, config.value.map_or(Value::Null, Value::from)))
            .collect();
        let id: String = topic.topic_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let described = json!({
            "name": name, "id": id, "internal": topic.is_internal,
            "partitions": partitions, "config": config,
        });
        return output::line(described.to_string());
    }
    let rows = extents.iter().map(|e| {
        let records = output::count(u64::try_from(e.end - e.start).unwrap_or(0));
        vec![e.partition.to_string(), e.start.to_string(), e.end.to_string(), records]
    });
    output::line(output::table(&["partition", "start", "end", "records"], rows))?;
    output::line("")?;
    let rows = configs.into_iter().map(|config| {
        let from = if config.config_source == SOURCE_TOPIC { "topic" } else { "default" };
        vec![config.name, config.value.unwrap_or_default(), from.to_owned()]
    });
    output::line(output::table(&["setting", "value", "from"], rows))
}

fn alter(
    cluster: &mut Cluster,
    name: &str,
    config: Vec<(String, String)>,
    unset: Vec<String>,
    partitions: Option<i32>,
) -> Result<(), Failure> {
    let set = config.into_iter().map(|(name, value)| AlterConfig {
        name,
        operation: SET,
        value: Some(value),
    });
    let unset = unset.into_iter().map(|name| AlterConfig { name, operation: DELETE, value: None });
    let configs: Vec<_> = set.chain(unset).collect();
    if configs.is_empty() && partitions.is_none() {
        return Err(Failure::new("nothing to change")
            .hint("give --config KEY=VALUE, --unset KEY or --partitions N"));
    }
    if !configs.is_empty() {
        let resource =
            AlterConfigsResource { resource_type: TOPIC, resource_name: name.to_owned(), configs };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource],
            ..IncrementalAlterConfigsRequest::default()
        };
        for answer in cluster.call(request)?.responses {
            explain(answer.error_code, answer.error_message, name)?;
        }
    }
    if let Some(count) = partitions {
        let topic = CreatePartitionsTopic { name: name.to_owned(), count, ..Default::default() };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            ..CreatePartitionsRequest::default()
        };
        for answer in cluster.call(request)?.results {
            explain(answer.error_code, answer.error_message, name)?;
        }
    }
    output::remark(format!("topic `{name}` changed"));
    Ok(())
}

fn delete(cluster: &mut Cluster, names: Vec<String>) -> Result<(), Failure> {
    // Both forms are filled in; the version decides which one is written.
    let topics = names
        .iter()
        .map(|name| DeletableTopic { name: Some(name.clone()), ..DeletableTopic::default() });
    let request = DeleteTopicsRequest {
        topics: topics.collect(),
        topic_names: names.clone(),
        timeout_ms: TIMEOUT_MS,
    };
    let mut failed = None;
    for answer in cluster.call(request)?.responses {
        let name = answer.name.unwrap_or_default();
        match explain(answer.error_code, answer.error_message, &name) {
            Ok(()) => output::remark(format!("topic `{name}` deleted")),
            Err(failure) if failed.is_none() => failed = Some(failure),
            Err(failure) => output::remark(failure.to_string()),
        }
    }
    failed.map_or(Ok(()), Err)
}
