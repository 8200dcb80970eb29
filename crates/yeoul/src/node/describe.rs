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
