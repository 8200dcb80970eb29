//! The bodies of `/api/v1`: what a page, a script or `yeoul status` reads and writes.
//!
//! They are plain data on purpose: the node fills them, the page draws them, and the OpenAPI
//! document is made from the same types. Times are milliseconds since 1970 UTC (`_ms`), rates
//! are records per second over about the last five seconds, counts run since the component was
//! made. A field may be added at any time; none changes its meaning.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    pub version: String,
    /// The pipeline's name, or `yeoul` for an empty node.
    pub name: String,
    /// IANA name; what local-time functions use.
    pub timezone: String,
    pub started_ms: i64,
    /// Addresses a Kafka client connects to.
    pub kafka: Vec<String>,
    pub data_dir: String,
}

/// Everything that moves, as one graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    pub at_ms: i64,
    pub nodes: Vec<FlowNode>,
    pub edges: Vec<FlowEdge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    Source,
    Topic,
    Stream,
    Table,
    Lookup,
    /// A dead-letter topic.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Running,
    /// Nothing to do, or something is missing; the message says which.
    Waiting,
    CatchingUp,
    /// Stopped by an error; the message says which.
    Failed,
    Stopped,
}

/// One component or topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowNode {
    /// `kind/name`, such as `source/movies`.
    pub id: String,
    pub kind: NodeKind,
    pub name: String,
    pub state: NodeState,
    pub message: Option<String>,
    /// Records read (a topic: appended).
    pub in_total: u64,
    /// Rows given out (a topic: read by this node's components).
    pub out_total: u64,
    pub dead_total: u64,
    pub filtered_total: u64,
    /// Records waiting in the input.
    pub lag: u64,
    /// Bytes held (a topic's log segments, a table's files).
    pub bytes: u64,
    pub rate_in: f64,
    pub rate_out: f64,
    pub watermark_ms: Option<i64>,
    /// When it last moved.
    pub last_ms: Option<i64>,
}

impl FlowNode {
    /// A node of this kind and name with nothing counted yet.
    pub fn new(kind: NodeKind, name: &str) -> Self {
        let prefix = match kind {
            NodeKind::Source => "source",
            NodeKind::Topic => "topic",
            NodeKind::Stream => "stream",
            NodeKind::Table => "table",
            NodeKind::Lookup => "lookup",
            NodeKind::Dead => "dead",
        };
        Self {
            id: format!("{prefix}/{name}"),
            kind,
            name: name.to_owned(),
            state: NodeState::Running,
            message: None,
            in_total: 0,
            out_total: 0,
            dead_total: 0,
            filtered_total: 0,
            lag: 0,
            bytes: 0,
            rate_in: 0.0,
            rate_out: 0.0,
            watermark_ms: None,
            last_ms: None,
        }
    }
}

/// What passes from one node to the next; named by both ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowEdge {
    pub from: String,
    pub to: String,
    /// Records that passed.
    pub total: u64,
    /// Records that wait.
    pub lag: u64,
    pub rate: f64,
}

/// A column of a topic's schema, a table or a result. `type` is Yeoul's name: `string`, `int`,
/// `double`, `timestamp`, `array<int>` …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnInfo {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Topic {
    pub name: String,
    pub partitions: u32,
    /// Records that can be read now, over all partitions.
    pub records: u64,
    pub bytes: u64,
    /// By partition number.
    pub start_offsets: Vec<i64>,
    /// By partition number: the offset the next record will get.
    pub end_offsets: Vec<i64>,
    pub schema: Option<Vec<ColumnInfo>>,
    pub internal: bool,
    pub config: BTreeMap<String, String>,
}

/// Where reading a topic begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The last `limit` records.
    Latest,
    Earliest,
    /// This offset and later ones; of every asked partition.
    Offset(i64),
}

/// Which records to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsQuery {
    pub from: From,
    /// `None`: all partitions, merged by timestamp.
    pub partition: Option<u32>,
    /// At most this many records; 1 to [`crate::RECORDS_LIMIT_MAX`].
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    Utf8,
    /// Key or value is not UTF-8: both are given as base64.
    Base64,
}

/// One record as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordDto {
    pub partition: u32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    pub encoding: Encoding,
    /// Name and value; a value that is not UTF-8 is base64 when `encoding` says so, else lossy.
    pub headers: Vec<(String, Option<String>)>,
}

/// Which rows of a table to lead back to their records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    pub table: String,
    /// The row's columns with their values as a query shows them; also `_partition` and `_offset`
    /// where the query asked for them.
    pub row: Map<String, Value>,
}

/// Where rows came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// The table's topic.
    pub topic: String,
    /// Rows of the table that are like the one asked for.
    pub rows: u64,
    pub ranges: Vec<TraceRange>,
    /// The records that are still there, the first of them.
    pub records: Vec<RecordDto>,
    /// There are more rows or records than these.
    pub truncated: bool,
}

/// Records of one partition, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceRange {
    pub partition: u32,
    pub first: i64,
    pub last: i64,
    /// Records among them that went into the rows; others in between did not.
    pub count: u64,
    /// Some of them are no longer in the topic.
    pub expired: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Records {
    pub records: Vec<RecordDto>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    pub name: String,
    /// What feeds it.
    pub topic: String,
    pub rows: u64,
    pub bytes: u64,
    /// Sealed files.
    pub segments: u64,
    pub columns: Vec<ColumnInfo>,
    pub time_column: Option<String>,
    pub min_ms: Option<i64>,
    pub max_ms: Option<i64>,
    pub state: NodeState,
    pub lag: u64,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dropped {
    pub dropped: String,
}

/// What to do about making a table again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedoAction {
    /// Make it again from its topic, beside what is there.
    Begin,
    /// Put what is made in the table's place.
    Confirm,
    /// Give up what is made.
    Cancel,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedoRequest {
    pub action: RedoAction,
    /// With `begin`: put it in place without a further word once it has caught up.
    #[serde(default)]
    pub switch: bool,
    /// With `begin`: also when the topic no longer has all that the table was made of.
    #[serde(default)]
    pub lossy: bool,
}

/// How far a table has been made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedoState {
    /// When it was begun.
    pub rows_before: u64,
    pub rows_now: u64,
    /// Of what is being made, so far.
    pub rows_after: u64,
    /// Records it has not read yet.
    pub lag: u64,
    pub caught_up: bool,
    pub switch: bool,
    pub started_ms: i64,
}

/// A table as it is, and what is being made in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Redo {
    /// Absent: it is not being made again.
    pub redo: Option<RedoState>,
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    pub query: String,
    /// At most this many rows; the node has a limit of its own.
    #[serde(default)]
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SqlResult {
    pub columns: Vec<ColumnInfo>,
    /// One list per row, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
    pub elapsed_ms: f64,
    /// There were more rows than the limit.
    pub truncated: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub components: Vec<ComponentStatus>,
}

/// A node of the flow with everything its component says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentStatus {
    #[serde(flatten)]
    pub node: FlowNode,
    /// Keys differ by kind.
    pub detail: Value,
}

/// What became of every record, by component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    pub components: Vec<AuditEntry>,
    /// Whether all components balance.
    pub balanced: bool,
}

/// `read` is the sum of all the fates after it but `out`; else `balanced` is false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// `kind/name`.
    pub component: String,
    pub read: u64,
    pub used: u64,
    pub filtered: u64,
    pub late: u64,
    pub deduplicated: u64,
    pub aborted: u64,
    pub dead: u64,
    /// Rows given out.
    pub out: u64,
    /// Records that still wait in its input.
    pub lag: u64,
    pub balanced: bool,
}

impl AuditEntry {
    /// From the counts a component keeps.
    pub fn new(component: &str, fates: &yeoul_base::Fates, lag: u64) -> Self {
        Self {
            component: component.to_owned(),
            read: fates.read,
            used: fates.used,
            filtered: fates.filtered,
            late: fates.late,
            deduplicated: fates.deduplicated,
            aborted: fates.aborted,
            dead: fates.dead,
            out: fates.out,
            lag,
            balanced: fates.balanced(),
        }
    }
}

/// A topic of dead letters; its records are read like any topic's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadTopic {
    pub topic: String,
    /// `kind/name` of the component that could not use them.
    pub component: String,
    pub records: u64,
}

/// A pipeline as it was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineInfo {
    pub name: String,
    /// The file it came from.
    pub file: Option<String>,
    /// The file's text, with `${…}` as written: no secret is in it.
    pub text: String,
    pub applied_ms: i64,
    /// `kind/name` of each.
    pub components: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    pub files: Vec<FileText>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// One pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileText {
    /// Its path, for messages and as the start of relative paths in it.
    pub name: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Add,
    Remove,
    Change,
    Keep,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeDto {
    /// `kind/name`.
    pub component: String,
    pub change: ChangeKind,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyResult {
    pub changes: Vec<ChangeDto>,
    pub applied: bool,
}
