//! Topics, tables and dead letters as the web face shows them.

use yeoul_base::{Store, TopicInfo};
use yeoul_format::Schema;
use yeoul_web::dto::{ColumnInfo, DeadTopic, Topic};

/// A topic with its ends and its newest schema.
pub(crate) fn topic(store: &dyn Store, topic: &TopicInfo) -> Topic {
    let ends: Vec<_> =
        topic.partitions.iter().map(|part| store.ends(*part).unwrap_or_default()).collect();
    let records = ends.iter().map(|ends| u64::try_from(ends.high - ends.start).unwrap_or(0)).sum();
    Topic {
        name: topic.name.to_string(),
        partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
        records,
        bytes: ends.iter().map(|ends| ends.bytes).sum(),
        start_offsets: ends.iter().map(|ends| ends.start).collect(),
        end_offsets: ends.iter().map(|ends| ends.high).collect(),
        // A schema that cannot be read is not shown; what uses it says why.
        schema: Schema::load(store, &topic.name).ok().flatten().map(|schema| columns(&schema)),
        internal: topic.is_internal(),
        config: topic.config.clone(),
    }
}

pub(crate) fn columns(schema: &Schema) -> Vec<ColumnInfo> {
    schema
        .columns
        .iter()
        .map(|column| ColumnInfo { name: column.name.clone(), ty: column.ty.to_string() })
        .collect()
}

/// The dead-letter topics that hold records.
pub(crate) fn dead(store: &dyn Store) -> Vec<DeadTopic> {
    store
        .topics()
        .by_name
        .values()
        .filter_map(|info| {
            let component = info.name.strip_prefix("dead.")?.replacen('.', "/", 1);
            let records = topic(store, info).records;
            Some(DeadTopic { topic: info.name.to_string(), component, records })
        })
        .collect()
}

/// Lines of Prometheus' text format.
pub(super) fn metrics(node: &super::Node, out: &mut String) {
    use std::fmt::Write;
    let flow = node.flow();
    let mut family = |name: &str, kind: &str, help: &str, values: &[(String, f64)]| {
        // Writing into a string does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
    };
    let each = |value: fn(&yeoul_web::dto::FlowNode) -> u64| -> Vec<(String, f64)> {
        let nodes = flow.nodes.iter();
        nodes.map(|node| (format!("component=\"{}\"", node.id), value(node) as f64)).collect()
    };
    let records = "Records read by a component, or appended to a topic";
    family("yeoul_records_in_total", "counter", records, &each(|node| node.in_total));
    let rows = "Rows given out by a component";
    family("yeoul_records_out_total", "counter", rows, &each(|node| node.out_total));
    let dead = "Records that became dead letters";
    family("yeoul_records_dead_total", "counter", dead, &each(|node| node.dead_total));
    let lag = "Records that wait in a component's input";
    family("yeoul_lag_records", "gauge", lag, &each(|node| node.lag));
    family("yeoul_bytes", "gauge", "Bytes held", &each(|node| node.bytes));
    let log = node.log.stats();
    let one = |value: u64| vec![("part=\"log\"".to_owned(), value as f64)];
    family("yeoul_commits_total", "counter", "Commits made durable", &one(log.commits));
    family("yeoul_groups_total", "counter", "Groups written and synced", &one(log.groups));
    family("yeoul_wal_bytes", "gauge", "Commit log since the last checkpoint", &one(log.wal_bytes));
    if let Some((kafka, _)) = node.kafka.get() {
        let counts = kafka.counts();
        let connections = &one(counts.connections);
        family("yeoul_kafka_connections", "gauge", "Open Kafka connections", connections);
        family("yeoul_kafka_requests_total", "counter", "Kafka requests", &one(counts.requests));
    }
}
