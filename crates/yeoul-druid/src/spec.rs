//! Ingestion specs of Druid's → what feeds a table.
//!
//! A spec names brokers, files and addresses: none of them is ever opened. A Kafka supervisor's
//! topic is this node's topic of that name.
//!
//! Invariant: what changes rows is either done as Druid does it or refused with its place in the
//! JSON; only settings of how the work is shared out are passed over.

mod at;
mod filter;
mod input;
mod metrics;
mod schema;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use serde_json::Value;
use thiserror::Error;
use yeoul_stream::{Language, TableIngest};

use crate::expression;
use at::At;

/// A spec that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct SpecError {
    /// Such as `$.spec.dataSchema.metricsSpec[1].type`.
    pub path: String,
    pub message: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A Kafka supervisor's spec as far as the node follows it.
#[derive(Debug, Clone)]
pub struct Supervised {
    /// The id: the data source.
    pub id: String,
    pub topic: String,
    pub suspended: bool,
    /// Whether records that are there already are read. Also when it is left out: Druid would
    /// wait for new ones, and lose what was written before the spec was posted.
    pub from_start: bool,
}

/// Places of the parts of a spec, wrapped or not, with `parser` or without.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) data: At<'a>,
    pub(crate) io: Option<At<'a>>,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(spec: &'a Value) -> Result<Self, SpecError> {
        let root = At::root(spec);
        root.object()?;
        let holder = match root.field("spec") {
            Some(inner) => {
                inner.object()?;
                inner
            }
            None => root,
        };
        let data = holder.field("dataSchema").ok_or_else(|| {
            holder.error("a spec needs `dataSchema`: the data source, its time and its columns")
        })?;
        data.object()?;
        Ok(Self { data, io: holder.field("ioConfig") })
    }
}

/// Reads what a supervisor's spec says besides the table itself.
///
/// # Errors
/// It is no spec of a Kafka supervisor, or asks for what is not offered.
pub fn supervised(spec: &Value) -> Result<Supervised, SpecError> {
    const IO: [&str; 28] = [
        "type",
        "topic",
        "inputFormat",
        "consumerProperties",
        "replicas",
        "taskCount",
        "taskDuration",
        "startDelay",
        "period",
        "useEarliestOffset",
        "completionTimeout",
        "pollTimeout",
        "autoScalerConfig",
        "stopTaskCount",
        "stopTaskCountRatio",
        "idleConfig",
        "configOverrides",
        "emitTimeLagMetrics",
        "useEarliestSequenceNumber",
        "stream",
        "endpoint",
        "maxAllowedStops",
        "lateMessageRejectionPeriod",
        "earlyMessageRejectionPeriod",
        "lateMessageRejectionStartDateTime",
        "topicPattern",
        "serverPriorityToReplicas",
        "supervisorVersion",
    ];
    let root = At::root(spec);
    if let Some(kind) = root.field("type")
        && kind.text()? != "kafka"
    {
        let kind_of = kind.text()?;
        return Err(kind.error(&format!(
            "supervisors of type `{kind_of}` are not offered: records come through a topic of \
             this node, with `kafka`"
        )));
    }
    let parts = Parts::of(spec)?;
    let Some(io) = parts.io else {
        return Err(root.error("a supervisor needs `ioConfig` with a `topic`"));
    };
    io.only(&IO)?;
    for late in [
        "lateMessageRejectionPeriod",
        "earlyMessageRejectionPeriod",
        "lateMessageRejectionStartDateTime",
        "topicPattern",
        "stream",
    ] {
        if let Some(late) = io.field(late) {
            return Err(late.error("not offered: leave it out"));
        }
    }
    consumer_properties(&io)?;
    let topic = io.needed("topic")?.text()?.to_owned();
    let name = parts.data.needed("dataSource")?;
    let id = name.text()?.to_owned();
    yeoul_base::store::check_topic_name(&id).map_err(|error| name.error(&error.to_string()))?;
    let from_start = match io.field("useEarliestOffset") {
        Some(flag) => flag.flag()?,
        None => true,
    };
    let suspended = match root.field("suspended") {
        Some(flag) => flag.flag()?,
        None => false,
    };
    Ok(Supervised { id, topic, suspended, from_start })
}

/// None of them is used: there is no other broker to connect to. Those that name files, classes
/// or logins are refused, so that a spec that carries them is seen.
fn consumer_properties(io: &At<'_>) -> Result<(), SpecError> {
    const KNOWN: [&str; 24] = [
        "bootstrap.servers",
        "group.id",
        "client.id",
        "isolation.level",
        "auto.offset.reset",
        "enable.auto.commit",
        "max.poll.records",
        "max.poll.interval.ms",
        "fetch.min.bytes",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "max.partition.fetch.bytes",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "request.timeout.ms",
        "default.api.timeout.ms",
        "receive.buffer.bytes",
        "send.buffer.bytes",
        "metadata.max.age.ms",
        "connections.max.idle.ms",
        "reconnect.backoff.ms",
        "retry.backoff.ms",
        "security.protocol",
        "druid.dynamic.config.provider",
    ];
    let Some(properties) = io.field("consumerProperties") else { return Ok(()) };
    for (name, value) in properties.object()? {
        let plaintext = name != "security.protocol" || value == "PLAINTEXT";
        if !KNOWN.contains(&name.as_str()) || !plaintext {
            let at = properties.field(name).unwrap_or_else(|| properties.clone());
            return Err(at.error(
                "not taken: the topic is this node's own, so no login, file or class is needed; \
                 leave it out",
            ));
        }
    }
    Ok(())
}

/// What feeds the table of a spec.
///
/// # Errors
/// What of the spec is wrong or not offered, and where it stands.
pub fn table(spec: &Value, name: &str, topic: &str) -> Result<TableIngest, SpecError> {
    let parts = Parts::of(spec)?;
    let mut ingest = TableIngest::new(name, topic);
    ingest.functions = yeoul_stream::FunctionSet::Druid;
    ingest.language = Some(Arc::new(DruidLanguage));
    schema::read(&parts, &mut ingest)?;
    Ok(ingest)
}

/// Druid's expressions, and its filters as JSON text.
#[derive(Debug)]
struct DruidLanguage;

impl Language for DruidLanguage {
    fn columns(&self, text: &str) -> Result<Vec<String>, String> {
        if text.starts_with('{') {
            return filter::columns(text);
        }
        let tree = expression::parse(text).map_err(|error| error.to_string())?;
        Ok(tree.columns().into_iter().map(str::to_owned).collect())
    }

    fn expression(&self, text: &str, columns: &Schema) -> Result<String, String> {
        let tree = expression::parse(text).map_err(|error| error.to_string())?;
        let sql = expression::to_sql_expr(&tree, columns);
        sql.map(|sql| sql.text).map_err(|error| error.to_string())
    }

    fn condition(&self, text: &str, columns: &Schema) -> Result<String, String> {
        let tree = filter::tree(text)?;
        let sql = expression::to_sql_expr(&tree, columns);
        sql.map(|sql| sql.as_bool()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
