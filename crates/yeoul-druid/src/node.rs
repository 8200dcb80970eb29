//! What Druid's management APIs ask of the node. The binary implements it; tests put a fake in
//! its place.

use std::sync::Arc;

use bytes::Bytes;

/// Kinds of what clients post and want back.
pub const SUPERVISOR: &str = "supervisor";
/// See [`SUPERVISOR`].
pub const LOOKUP: &str = "lookup";
/// See [`SUPERVISOR`].
pub const RULES: &str = "rules";

/// One version of what was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Since 1970.
    pub at_ms: i64,
    /// JSON; empty: it was taken away.
    pub text: String,
}

/// What was posted under one name, the newest last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    pub name: String,
    pub versions: Vec<Version>,
}

impl Posted {
    /// `None`: it was taken away.
    pub fn current(&self) -> Option<&Version> {
        self.versions.last().filter(|version| !version.text.is_empty())
    }
}

/// How a table is fed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feed {
    pub topic: String,
    pub running: bool,
    pub failed: bool,
    /// What it waits for, or why it failed.
    pub message: Option<String>,
    pub partitions: Vec<FeedPartition>,
    pub used: u64,
    pub filtered: u64,
    pub dead: u64,
}

/// One partition of a table's topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedPartition {
    pub partition: u32,
    /// The first record that is there.
    pub start: i64,
    /// The next record that is taken.
    pub current: i64,
    /// The end of what may be read.
    pub latest: i64,
}

/// A record as it is in a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// See the module's head. All methods may block, and are called from threads that may.
pub trait Node: std::fmt::Debug + Send + Sync + 'static {
    fn now_ms(&self) -> i64;
    /// Where the node answers.
    fn address(&self) -> (String, u16);
    /// All that was posted of a kind, by name.
    fn posted(&self, kind: &str) -> Vec<Posted>;
    /// Adds a version; an empty text takes it away.
    ///
    /// # Errors
    /// It cannot be kept; for people.
    fn post(&self, kind: &str, name: &str, text: &str) -> Result<(), String>;
    /// The ends of a topic's partitions; `None`: there is no such topic.
    fn ends(&self, topic: &str) -> Option<Vec<i64>>;
    /// Runs this pipeline file in the place of the one with its name.
    ///
    /// # Errors
    /// Why it cannot run; for people. Nothing has changed then.
    fn apply(&self, file: &str, text: &str) -> Result<(), String>;
    /// Ends a pipeline and drops its tables' rows.
    ///
    /// # Errors
    /// Why it cannot; for people.
    fn drop_pipeline(&self, name: &str, table: &str) -> Result<(), String>;
    /// `None`: there is no such table.
    fn feed(&self, table: &str) -> Option<Feed>;
    /// The first or the last records of a topic.
    ///
    /// # Errors
    /// There is no such topic, or it cannot be read; for people.
    fn sample(&self, topic: &str, limit: usize, first: bool) -> Result<Vec<Sampled>, String>;
}

/// What the routes share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) engine: Arc<yeoul_sql::Engine>,
}
