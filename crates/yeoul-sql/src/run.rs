//! Running a planned query: on the engine's runtime, within its time, stopped when nobody listens.
//!
//! Invariant: the task of a query ends when its stream is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::answers::{self, Answer};
use crate::engine::{Engine, Work};
use crate::error::{ErrorKind, SqlError};
use crate::options::QueryOptions;
use crate::queries::Noted;

/// Batches that may wait for a slow listener.
const WAITING_BATCHES: usize = 4;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct QueryOutput {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// There were more rows than asked for.
    pub truncated: bool,
    /// Rows read from the inputs.
    pub rows_scanned: u64,
    pub elapsed: Duration,
}

impl QueryOutput {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

#[derive(Debug, Default)]
struct Counters {
    truncated: AtomicBool,
    rows_scanned: AtomicU64,
}

/// An answer on its way.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, SqlError>>,
    counters: Arc<Counters>,
    task: AbortHandle,
    id: String,
}

impl QueryStream {
    /// What cancels it.
    pub fn query_id(&self) -> &str {
        &self.id
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch; `None` after the last. Nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        self.batches.recv().await
    }

    /// Known after the last batch.
    pub fn truncated(&self) -> bool {
        self.counters.truncated.load(Ordering::Acquire)
    }

    /// Known after the last batch.
    pub fn rows_scanned(&self) -> u64 {
        self.counters.rows_scanned.load(Ordering::Acquire)
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Stops the task when the caller goes away before it has its stream.
struct Starting(Option<AbortHandle>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

pub(crate) async fn start(
    engine: Arc<Engine>,
    text: &str,
    work: Work,
    options: QueryOptions,
) -> Result<QueryStream, SqlError> {
    let (send, batches) = mpsc::channel(WAITING_BATCHES);
    let (opened, open) = oneshot::channel();
    let counters = Arc::new(Counters::default());
    let shared = Arc::clone(&counters);
    let runtime = engine.runtime().clone();
    let noted = engine.queries.begin(text, &options);
    let id = noted.id.clone();
    let task = runtime.spawn(async move {
        let running = run(&engine, work, &options, opened, &send, &shared, &noted);
        let result = tokio::select! {
            result = running => result,
            () = noted.cancelled() => {
                Err(SqlError::new(ErrorKind::Cancelled, "the query was cancelled"))
            }
        };
        noted.ended(&result);
        if let Err(error) = result {
            // A listener that is gone needs no error.
            let _ = send.send(Err(error)).await;
        }
    });
    let mut starting = Starting(Some(task.abort_handle()));
    match open.await {
        Ok(schema) => {
            let task = starting.0.take().unwrap_or_else(|| task.abort_handle());
            Ok(QueryStream { schema, batches, counters, task, id })
        }
        // The task ended before there was a schema: its error is the only message.
        Err(_) => {
            let mut batches = batches;
            match batches.recv().await {
                Some(Err(error)) => Err(error),
                _ => Err(SqlError::new(ErrorKind::Internal, "the query's task failed")),
            }
        }
    }
}

/// Waits for a turn, then works within the time.
async fn run(
    engine: &Arc<Engine>,
    work: Work,
    options: &QueryOptions,
    opened: oneshot::Sender<SchemaRef>,
    send: &mpsc::Sender<Result<RecordBatch, SqlError>>,
    counters: &Counters,
    noted: &Noted,
) -> Result<(), SqlError> {
    let _turn = engine.queries.turn(options.patient).await?;
    noted.running();
    let running = Box::pin(answer(engine, work, options, opened, send, counters, noted));
    match tokio::time::timeout(options.timeout, running).await {
        Ok(result) => result,
        Err(_) => Err(SqlError::new(
            ErrorKind::Timeout,
            format!("the query took longer than {} s", options.timeout.as_secs_f64()),
        )
        .hint("narrow the time range, or allow more time")),
    }
}

async fn answer(
    engine: &Arc<Engine>,
    work: Work,
    options: &QueryOptions,
    opened: oneshot::Sender<SchemaRef>,
    send: &mpsc::Sender<Result<RecordBatch, SqlError>>,
    counters: &Counters,
    noted: &Noted,
) -> Result<(), SqlError> {
    let planned = engine.plan_work(work, options).await?;
    let mut keep = answers::key(&planned, options);
    if let Some(kept) = keep.as_ref().and_then(|key| engine.answers.get(key)) {
        return again(&kept, opened, send, counters, noted).await;
    }
    let mut kept = Vec::new();
    let plan = planned.state.create_physical_plan(&planned.plan).await?;
    let mut stream = execute_stream(Arc::clone(&plan), planned.state.task_ctx())?;
    let schema = stream.schema();
    let first = stream.next().await.transpose()?;
    // Only now: most errors of execution show with the first batch, and a caller that has seen
    // no schema can still answer with a proper status.
    let _ = opened.send(stream.schema());
    let mut left = options.max_rows;
    let mut next = first;
    while let Some(batch) = next {
        let rows = batch.num_rows();
        let batch = if rows > left {
            counters.truncated.store(true, Ordering::Release);
            batch.slice(0, left)
        } else {
            batch
        };
        left -= batch.num_rows();
        noted.answered(batch.num_rows(), batch.get_array_memory_size());
        if keep.is_some() {
            kept.push(batch.clone());
            keep = keep.filter(|_| answers::is_small(&kept));
        }
        if batch.num_rows() > 0 && send.send(Ok(batch)).await.is_err() {
            return Ok(());
        }
        if counters.truncated.load(Ordering::Acquire) {
            break;
        }
        next = stream.next().await.transpose()?;
    }
    if let Some(key) = keep {
        let truncated = counters.truncated.load(Ordering::Acquire);
        engine.answers.put(key, Answer { schema, batches: kept, truncated });
    }
    let in_memory = planned.inputs.values().map(|found| found.memory_rows.load(Ordering::Relaxed));
    let rows = scanned(plan.as_ref()) + in_memory.sum::<u64>();
    counters.rows_scanned.store(rows, Ordering::Release);
    noted.worked(rows, computed(plan.as_ref()));
    Ok(())
}

/// Sends an answer that was kept.
async fn again(
    kept: &Answer,
    opened: oneshot::Sender<SchemaRef>,
    send: &mpsc::Sender<Result<RecordBatch, SqlError>>,
    counters: &Counters,
    noted: &Noted,
) -> Result<(), SqlError> {
    let _ = opened.send(Arc::clone(&kept.schema));
    counters.truncated.store(kept.truncated, Ordering::Release);
    for batch in &kept.batches {
        noted.answered(batch.num_rows(), batch.get_array_memory_size());
        if send.send(Ok(batch.clone())).await.is_err() {
            return Ok(());
        }
    }
    noted.worked(0, Duration::ZERO);
    Ok(())
}

/// Time all operators of a plan computed, on all threads.
fn computed(plan: &dyn ExecutionPlan) -> Duration {
    let own = plan.metrics().and_then(|metrics| metrics.elapsed_compute()).unwrap_or(0);
    let below = plan.children().into_iter().map(|child| computed(child.as_ref()));
    below.fold(Duration::from_nanos(own as u64), |sum, time| sum.saturating_add(time))
}

/// Rows that came out of the leaves; scans of memory count none.
fn scanned(plan: &dyn ExecutionPlan) -> u64 {
    let children = plan.children();
    if children.is_empty() {
        let counted = plan.metrics().and_then(|metrics| metrics.output_rows());
        return counted.unwrap_or(0) as u64;
    }
    children.into_iter().map(|child| scanned(child.as_ref())).sum()
}
