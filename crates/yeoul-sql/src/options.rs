//! What an engine may use, and how one query is run.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use yeoul_base::{Clock, Disk, SystemClock};

use crate::names::Unnamed;
use crate::parse::TextLimits;

/// How many queries run and wait at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Queries that run at a time; the others wait in the order they came.
    pub running: usize,
    /// Queries that may wait; one more is refused.
    pub waiting: usize,
    /// A query that has waited this long is refused.
    pub wait: Duration,
}

impl Default for Admission {
    fn default() -> Self {
        Self { running: 16, waiting: 64, wait: Duration::from_secs(10) }
    }
}

/// How pressed the node is: ingestion comes before queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pressed {
    /// Queries start.
    #[default]
    No,
    /// Queries that have not started wait.
    Wait,
    /// Queries that have not started are refused.
    Refuse,
}

/// Tells how pressed the node is, when a query wants to start. Answers at once.
pub trait Pressure: Debug + Send + Sync {
    fn pressed(&self) -> Pressed;
}

/// Where queries put what does not fit into memory.
#[derive(Debug, Clone)]
pub struct Spill {
    pub disk: Arc<dyn Disk>,
    /// A folder of this disk that belongs to the engine alone: emptied when the engine starts.
    pub folder: PathBuf,
    /// All queries together.
    pub bytes: u64,
}

/// What an engine may use.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Where queries run: a runtime of its own, so that they never hold up other work, made by
    /// [`crate::runtime`], so that its stacks suffice.
    pub runtime: Handle,
    /// All running queries together.
    pub memory_bytes: usize,
    /// Threads one query may use.
    pub partitions: usize,
    /// Where text without an offset is read, by its name; UTC when `None`.
    pub zone: Option<String>,
    pub text: TextLimits,
    pub clock: Arc<dyn Clock>,
    pub admission: Admission,
    /// `None`: queries never wait for ingestion.
    pub pressure: Option<Arc<dyn Pressure>>,
    /// `None`: a query that needs more memory than there is fails.
    pub spill: Option<Spill>,
}

impl EngineOptions {
    /// With 256 MiB for all queries and two threads for each.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            memory_bytes: 256 << 20,
            partitions: 2,
            zone: None,
            text: TextLimits::default(),
            clock: Arc::new(SystemClock::new()),
            admission: Admission::default(),
            pressure: None,
            spill: None,
        }
    }
}

/// A value for a `?` in the text.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Text(String),
    /// Milliseconds since 1970.
    Instant(i64),
    /// `2026-11-20`.
    Date(String),
    Array(Vec<Parameter>),
}

/// How one query is run.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// From the start of planning to the last row; waiting for a turn is not in it.
    pub timeout: Duration,
    /// Rows after these are cut off, and the answer says so.
    pub max_rows: usize,
    /// For [`crate::Engine::query`], which holds the whole answer; a larger one is an error.
    pub max_bytes: usize,
    pub unnamed: Unnamed,
    /// For each `?` of the text, in its order.
    pub parameters: Vec<Parameter>,
    /// The time zone's name for this query: where days start, where text without an offset is
    /// read. The engine's when `None`.
    pub zone: Option<String>,
    /// `COUNT(DISTINCT x)` may be an estimate, as it is in Druid unless asked otherwise.
    pub approximate_count_distinct: bool,
    /// A LIMIT around the whole query that the answer does not mention.
    pub outer_limit: Option<usize>,
    /// For [`crate::Engine::cancel`] and the log; made up when `None`. Several queries may have
    /// the same.
    pub query_id: Option<String>,
    /// Who asks, for the log.
    pub who: String,
    /// An answer kept from the same question may be given, and this one kept; `false`: it is
    /// computed, as who measures wants it.
    pub kept_answers: bool,
    /// Waits for its turn as long as it takes: live queries, whose number is limited elsewhere.
    pub patient: bool,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            max_rows: 100_000,
            max_bytes: 64 << 20,
            unnamed: Unnamed::default(),
            parameters: Vec::new(),
            zone: None,
            approximate_count_distinct: false,
            outer_limit: None,
            query_id: None,
            who: String::new(),
            kept_answers: true,
            patient: false,
        }
    }
}
