//! What a pipeline file says, as plain data that the binary walks to build the node.
//!
//! Only what this build can do is here: a kind that does not exist yet is an unknown field, and
//! the error lists what exists. Doc comments are also the texts of the JSON Schema.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use yeoul_connect::SourceConfig;
use yeoul_format::{ColumnType, Columns, Decode};

use crate::report::Source;
use crate::tree::{Node, Place};
use crate::units::{DiskLimit, Size, Time};

/// One pipeline file.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file's name and text, `${…}` as written.
    pub source: Arc<Source>,
    /// Where relative paths of this file start.
    pub base_dir: PathBuf,
    pub name: String,
    pub timezone: chrono_tz::Tz,
    pub node: NodeSettings,
    pub topics: Vec<Named<TopicSpec>>,
    pub sources: Vec<Named<SourceSpec>>,
    pub lookups: Vec<Named<LookupSpec>>,
    pub streams: Vec<Named<StreamSpec>>,
    pub tables: Vec<Named<TableSpec>>,
    /// Paths as written, relative to `base_dir`.
    pub dashboards: Vec<String>,
    pub tests: Vec<TestSpec>,
}

impl Pipeline {
    /// `kind/name` of each component, in the order of the way of the data.
    pub fn components(&self) -> Vec<String> {
        fn named<T>(kind: ComponentKind, of: &[Named<T>]) -> impl Iterator<Item = String> {
            of.iter().map(move |it| format!("{}/{}", kind.as_str(), it.name))
        }
        named(ComponentKind::Topic, &self.topics)
            .chain(named(ComponentKind::Source, &self.sources))
            .chain(named(ComponentKind::Lookup, &self.lookups))
            .chain(named(ComponentKind::Stream, &self.streams))
            .chain(named(ComponentKind::Table, &self.tables))
            .collect()
    }
}

/// A component with its name and where the file says so.
#[derive(Debug, Clone)]
pub struct Named<T> {
    pub name: String,
    pub spec: T,
    /// The name.
    pub(crate) place: Place,
    /// What is under the name, as written.
    pub(crate) node: Node,
}

impl<T> Named<T> {
    /// The place of a field's value, else of the component's name.
    pub(crate) fn field(&self, field: &str) -> Place {
        self.node.field(field).map_or(self.place, |node| node.place)
    }
}

/// Settings of the whole node; flags of the command line win.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    /// Kafka listeners: `LISTEN` or `LISTEN=ADVERTISE`, such as `127.0.0.1:9092`.
    pub kafka: Option<Vec<String>>,
    /// The web app and the APIs: `127.0.0.1:8888`.
    pub http: Option<String>,
    /// What the node may hold in memory.
    pub memory: Option<Size>,
    /// What the data directory may hold: a size, or a part of the disk.
    pub disk: Option<DiskLimit>,
    /// For topics that do not say otherwise.
    #[serde(default)]
    pub topic_defaults: TopicDefaults,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicDefaults {
    pub partitions: Option<u32>,
    #[serde(default)]
    pub retention: Retention,
    pub durability: Option<Durability>,
    /// Kafka's names.
    #[serde(default)]
    pub config: BTreeMap<String, ConfigValue>,
}

/// A topic and what Kafka's tools see of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    pub partitions: Option<u32>,
    #[serde(default)]
    pub retention: Retention,
    /// `ack` (the default): acknowledged and shown when on disk.
    pub durability: Option<Durability>,
    /// Kafka's names, such as `max.message.bytes`.
    #[serde(default)]
    pub config: BTreeMap<String, ConfigValue>,
    /// Column names and types: a map, or Spark's DDL as one text.
    pub schema: Option<Columns>,
}

/// When a topic's records are acknowledged and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When they are synced.
    Ack,
    /// At once, synced within 4 MiB or 50 ms: a power cut may take the last of them.
    Relaxed,
}

/// How long records are kept: until either limit is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    pub time: Option<Time>,
    /// Per partition, as Kafka's `retention.bytes`.
    pub bytes: Option<Size>,
}

/// A value of a topic's config: text, a number, or true or false, kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigValue(pub String);

impl JsonSchema for ConfigValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConfigValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl TopicSpec {
    /// The topic's config in Kafka's names, retention included; an entry of `config` wins.
    pub fn kafka_config(&self) -> BTreeMap<String, String> {
        kafka_config(&self.retention, self.durability, &self.config)
    }
}

impl TopicDefaults {
    /// As [`TopicSpec::kafka_config`].
    pub fn kafka_config(&self) -> BTreeMap<String, String> {
        kafka_config(&self.retention, self.durability, &self.config)
    }
}

fn kafka_config(
    retention: &Retention,
    durability: Option<Durability>,
    config: &BTreeMap<String, ConfigValue>,
) -> BTreeMap<String, String> {
    let time = retention.time.map(|time| ("retention.ms", time.0.as_millis().to_string()));
    let bytes = retention.bytes.map(|size| ("retention.bytes", size.0.to_string()));
    let durability = durability.map(|durability| match durability {
        Durability::Ack => ("yeoul.durability", "ack".to_owned()),
        Durability::Relaxed => ("yeoul.durability", "relaxed".to_owned()),
    });
    let own = time.into_iter().chain(bytes).chain(durability);
    let own = own.map(|(key, value)| (key.to_owned(), value));
    let from_config = config.iter().map(|(key, value)| (key.clone(), value.0.clone()));
    own.chain(from_config).collect()
}

/// What brings records from outside into a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSpec {
    pub config: SourceConfig,
    /// How a line becomes a record; absent: the line is the record, or the source makes its own.
    pub decode: Option<Decode>,
    /// The topic; the source's own name unless the file says otherwise.
    pub to: String,
}

/// A small keyed relation for joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupSpec {
    pub file: LookupFile,
    /// The column that is looked up by: one row per key. Without it every row that matches joins.
    pub key: Option<String>,
    /// Which row of a key that comes more than once.
    #[serde(default)]
    pub keep: Keep,
    /// How often the file is read again; absent: once.
    pub reload: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupFile {
    /// `.csv`, `.tsv` or `.json` (a record per line); starts at the folder of the pipeline file.
    pub path: String,
}

/// Which row of a key that comes more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// A key may not come twice.
    #[default]
    Error,
    First,
    Last,
}

/// A continuous SQL query; its results go to the topic of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamSpec {
    pub sql: String,
    /// The columns that make the record's key; without it a row keeps its partition number.
    pub key: Option<KeyColumns>,
    /// Of the output topic.
    pub partitions: Option<u32>,
    /// When a step begins; absent: as soon as input waits.
    pub trigger: Option<Trigger>,
    #[serde(default)]
    pub mode: Mode,
}

/// One column, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyColumns(pub Vec<String>);

/// When a step of a stream begins: an interval such as `5s`, `once` or `available_now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Every(Time),
    /// One step, then stop.
    Once,
    /// What is there now, then stop.
    AvailableNow,
}

/// What a stream gives out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each row once, when it is final.
    #[default]
    Append,
}

/// A queryable, time-partitioned store fed by one topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// The topic.
    pub from: String,
    /// The event time; absent: the column `__time` where there is one, else the record's
    /// timestamp.
    pub time: Option<TimeSpec>,
    /// How a record's value is read; absent: as one JSON object.
    pub decode: Option<Decode>,
    /// Places within the records that are columns besides: `user.name: string`, or a name with
    /// `{ path: "$.tags[0]", type: string }`.
    #[serde(default)]
    pub columns: InOrder<ColumnSpec>,
    /// Columns made by SQL expressions over what is read; one named `__time` gives the time.
    #[serde(default)]
    pub transform: InOrder<String>,
    /// SQL: rows for which it is not true are left out.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The columns the table has, in this order; absent: all. For `rollup` the dimensions are.
    pub select: Option<Vec<String>>,
    /// Rows with the same dimensions within a time become one.
    pub rollup: Option<RollupSpec>,
    /// How much time one table segment spans.
    #[serde(default)]
    pub partition: Granularity,
    #[serde(default)]
    pub retention: TableRetention,
    /// The table can be queried and takes no records.
    #[serde(default)]
    pub suspended: bool,
    /// Records before these offsets, by partition, are not read by a table that has read none.
    pub start: Option<Vec<i64>>,
    /// A spec of Druid's, as JSON text, that says how records become rows instead of the above.
    pub druid: Option<String>,
}

/// Where a table's time comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeSpec {
    pub column: String,
    /// `auto` (the default), `iso`, `s`, `ms`, `us`, `ns` (since 1970), `array`, or a pattern of
    /// Spark's such as `yyyy-MM-dd HH:mm:ss`.
    pub format: Option<String>,
    /// IANA name; absent: the pipeline's `timezone`.
    pub zone: Option<String>,
    /// The time of records without a usable one, such as `2000-01-01T00:00:00Z`; absent: they
    /// are dead letters.
    pub missing: Option<String>,
}

/// A place within the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnSpec {
    #[serde(rename = "type")]
    pub ty: ColumnType,
    /// Such as `$.user.tags[0]`; absent: the column's name, its dots being steps.
    pub path: Option<String>,
}

/// How rows are rolled up when they come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollupSpec {
    /// How far times are rounded down: none, second, minute, five_minute, … hour, day, week,
    /// month, quarter, year, all, or a period such as `PT5M`.
    #[serde(default = "no_rounding")]
    pub by: String,
    #[serde(default)]
    pub dimensions: Vec<String>,
    /// Columns of partial states: `count(*)`, `sum(x)`, `min(x)`, `max(x)`, `first(x)`, `last(x)`,
    /// `any_value(x)`, `approx_count_distinct(x)`, `theta(x)`, `quantiles(x)`.
    #[serde(default)]
    pub metrics: InOrder<String>,
}

fn no_rounding() -> String {
    "none".to_owned()
}

/// A map whose order counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InOrder<T>(pub Vec<(String, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A calendar unit, in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    Hour,
    #[default]
    Day,
    /// From Monday.
    Week,
    Month,
    Year,
    All,
}

/// How long rows are kept: until either limit is reached, the oldest go first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableRetention {
    /// Of a row's time against now.
    pub time: Option<Time>,
    /// Of the table's files, whole ones.
    pub bytes: Option<Size>,
}

/// Records in, rows expected.
#[derive(Debug, Clone, PartialEq)]
pub struct TestSpec {
    pub name: String,
    pub input: TestInput,
    /// Topic or table → its rows, in any order; only the named fields are compared.
    pub expect: Vec<(String, Vec<Map<String, Value>>)>,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TestInput {
    /// Through a source's decoder.
    Lines { source: String, lines: Vec<String> },
    /// Into a topic.
    Records { topic: String, records: Vec<Value> },
}

/// The kinds of components, in the order of the way of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    Topic,
    Source,
    Lookup,
    Stream,
    Table,
}

impl ComponentKind {
    /// As in `kind/name`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Source => "source",
            Self::Lookup => "lookup",
            Self::Stream => "stream",
            Self::Table => "table",
        }
    }
}
