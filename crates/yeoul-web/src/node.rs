//! What the web face asks of the node. The binary implements it; tests put a fake in its place.
//!
//! The web face knows neither the log nor Arrow nor SQL: it passes on names, texts and the plain
//! data of [`crate::dto`]. What is shown must be durable already; nothing here waits for a sync.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::dto::{
    ApplyRequest, ApplyResult, Audit, DeadTopic, Flow, Info, PipelineInfo, RecordDto, Records,
    RecordsQuery, Redo, RedoRequest, SqlRequest, SqlResult, Status, Table, Topic, Trace,
    TraceRequest,
};
use crate::error::ApiError;

/// A future that can be kept without naming its type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// New records of one topic. The node must send without blocking: when the channel is full it
/// drops the oldest it holds and counts them in the next batch's `skipped`.
pub type Tail = mpsc::Receiver<TailBatch>;

/// How many batches a [`Tail`] may hold; the node makes the channel with this size.
pub const TAIL_BATCHES_MAX: usize = 16;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TailBatch {
    /// In the order of their offsets, by partition.
    pub records: Vec<RecordDto>,
    /// Records between the previous batch and this one that were left out.
    pub skipped: u64,
}

/// The newest result of a live query. `None` until the first run has ended. The node stops
/// running the query when every receiver is gone (`watch::Sender::closed`).
pub type LiveQuery = watch::Receiver<Option<LiveRows>>;

/// The JSON of a [`SqlResult`], encoded once for all who watch, or why it failed. The node runs
/// the query again when its input changed, at most four times a second, and sends only when the
/// rows differ.
pub type LiveRows = Result<Bytes, Arc<ApiError>>;

/// The node behind the pages. Methods that are not futures are called from threads that may
/// block, except [`Node::flow`], [`Node::ready`] and [`Node::live_sql`], which must be quick.
pub trait Node: Send + Sync + 'static {
    fn info(&self) -> Info;
    /// Called about four times a second while somebody looks, once for all who look.
    fn flow(&self) -> Flow;
    fn topics(&self) -> Vec<Topic>;
    /// `None`: there is no such topic.
    fn topic(&self, name: &str) -> Option<Topic>;
    fn records(&self, topic: &str, query: &RecordsQuery) -> Result<Records, ApiError>;
    fn tables(&self) -> Vec<Table>;
    /// `None`: there is no such table.
    fn table(&self, name: &str) -> Option<Table>;
    /// How far a table has been made again.
    fn redo(&self, table: &str) -> Result<Redo, ApiError>;
    /// Begins, ends or gives up making a table again.
    fn change_redo(&self, table: &str, request: RedoRequest) -> Result<Redo, ApiError>;
    /// Removes a table that nothing feeds, its rows and files.
    fn drop_table(&self, table: &str) -> Result<(), ApiError>;
    fn status(&self) -> Status;
    fn audit(&self) -> Audit;
    fn dead(&self) -> Vec<DeadTopic>;
    fn pipelines(&self) -> Vec<PipelineInfo>;

    /// Runs one bounded query. Dropping the future cancels it.
    fn sql(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlResult, ApiError>>;
    /// Leads a row of a table back to the records it came from.
    fn trace(&self, request: TraceRequest) -> BoxFuture<'_, Result<Trace, ApiError>>;
    /// Keeps a query's result fresh; the web face asks once per query text.
    fn live_sql(&self, query: &str) -> Result<LiveQuery, ApiError>;
    /// The last `limit` records as the first batch (empty when there are none), then new ones.
    fn tail(&self, topic: &str, limit: usize) -> Result<Tail, ApiError>;

    /// Makes the node run these files, or says what that would change.
    fn apply(&self, request: ApplyRequest) -> BoxFuture<'_, Result<ApplyResult, ApiError>>;

    /// Adds lines of Prometheus' text format.
    fn metrics(&self, out: &mut String);
    /// `Err` says what is waited for.
    fn ready(&self) -> Result<(), String>;
}
