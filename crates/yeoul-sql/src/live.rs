//! Live queries: answered again when an input changed, once for all who asked the same.
//!
//! Invariant: an input's watch is set before the query that reads it runs, and a wake that comes
//! meanwhile is kept: the last answer a subscriber gets is never older than the last change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use yeoul_base::{Wake, WatchGuard, Watched};

use crate::engine::Engine;
use crate::error::SqlError;
use crate::options::QueryOptions;
use crate::run::QueryOutput;

/// Never more often than this.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// A query that takes long rests this many times as long: live pages take at most a part of the
/// machine.
const PAUSE_FACTOR: u32 = 3;
/// Without a change: to notice tables that came or went, and to follow `now()`.
const IDLE: Duration = Duration::from_secs(2);
/// Different live queries at a time.
const LIVE_MAX: usize = 256;

/// One state of a live query's answer.
#[derive(Debug, Clone)]
pub struct LiveAnswer {
    /// From 1, growing; a subscriber that is slow misses some.
    pub sequence: u64,
    /// All rows as one batch, or why there is no answer now.
    pub result: Result<Arc<QueryOutput>, SqlError>,
}

type Latest = Option<Arc<LiveAnswer>>;

/// The live queries of an engine, by text and by what else decides the answer.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    running: Mutex<HashMap<(String, String), Weak<Running>>>,
}

/// One running live query; ends when the last subscription goes.
#[derive(Debug)]
struct Running {
    latest: watch::Receiver<Latest>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener of a live query.
#[derive(Debug)]
pub struct Subscription {
    latest: watch::Receiver<Latest>,
    _running: Arc<Running>,
}

impl Subscription {
    /// The first answer, then each that differs from the one before; the newest when several
    /// came. `None` when the engine stopped.
    pub async fn next(&mut self) -> Option<Arc<LiveAnswer>> {
        loop {
            self.latest.changed().await.ok()?;
            let newest = self.latest.borrow_and_update().clone();
            if newest.is_some() {
                return newest;
            }
        }
    }
}

impl Engine {
    /// Subscribes to a query. The first answer comes at once, from memory when others listen
    /// to the same query already.
    ///
    /// # Errors
    /// When the query cannot be planned now, or too many different ones run.
    pub async fn live(
        self: &Arc<Self>,
        sql: &str,
        options: &QueryOptions,
    ) -> Result<Subscription, SqlError> {
        self.check_with(sql, options).await?;
        let key = (sql.to_owned(), decides(options));
        let mut running = self.lives.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = running.get(&key).and_then(Weak::upgrade) {
            return Ok(Subscription { latest: fresh(&found.latest), _running: found });
        }
        running.retain(|_, query| query.strong_count() > 0);
        if running.len() >= LIVE_MAX {
            return Err(SqlError::new(
                crate::ErrorKind::TooLarge,
                format!("{LIVE_MAX} different live queries run already"),
            )
            .hint("close some pages"));
        }
        let (send, latest) = watch::channel(None);
        let options = QueryOptions { patient: true, ..options.clone() };
        let work = follow(Arc::clone(self), sql.to_owned(), options, send);
        let task = self.runtime().spawn(work).abort_handle();
        let found = Arc::new(Running { latest: latest.clone(), task });
        running.insert(key, Arc::downgrade(&found));
        Ok(Subscription { latest: fresh(&latest), _running: found })
    }
}

/// The options that change an answer, as text.
fn decides(options: &QueryOptions) -> String {
    let QueryOptions { max_rows, unnamed, parameters, zone, outer_limit, .. } = options;
    let exact = !options.approximate_count_distinct;
    format!("{max_rows} {unnamed:?} {parameters:?} {zone:?} {outer_limit:?} {exact}")
}

fn fresh(latest: &watch::Receiver<Latest>) -> watch::Receiver<Latest> {
    let mut latest = latest.clone();
    latest.mark_changed();
    latest
}

async fn follow(
    engine: Arc<Engine>,
    sql: String,
    options: QueryOptions,
    send: watch::Sender<Latest>,
) {
    let notify = Arc::new(Notify::new());
    let timed = follows_time(&sql);
    let mut sequence = 0;
    let mut last: Option<Result<RecordBatch, SqlError>> = None;
    // Held, not read: dropping one ends its watch.
    let mut _guards = Vec::new();
    let mut version = None;
    loop {
        let started = Instant::now();
        let now_version = engine.catalog().version();
        if version != Some(now_version) || matches!(last, Some(Err(_))) {
            _guards = watches(&engine, &sql, &options, &notify).await;
            version = Some(now_version);
        }
        let answer = engine.query(&sql, &options).await.and_then(joined);
        let rows = answer.as_ref().map(|(rows, _)| rows.clone()).map_err(Clone::clone);
        if last.as_ref() != Some(&rows) {
            sequence += 1;
            let result = answer.map(|(_, output)| Arc::new(output));
            let newest = Some(Arc::new(LiveAnswer { sequence, result }));
            if send.send(newest).is_err() {
                return;
            }
            last = Some(rows);
        }
        tokio::time::sleep(PAUSE_MIN.max(started.elapsed() * PAUSE_FACTOR)).await;
        loop {
            let woken = tokio::time::timeout(IDLE, notify.notified()).await.is_ok();
            let again = timed
                || matches!(last, Some(Err(_)))
                || version != Some(engine.catalog().version());
            if woken || again {
                break;
            }
        }
    }
}

/// Whether the answer changes without a change of the inputs.
fn follows_time(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    ["now()", "current_timestamp", "current_date", "current_time"]
        .iter()
        .any(|word| sql.contains(word))
}

async fn watches(
    engine: &Engine,
    sql: &str,
    options: &QueryOptions,
    notify: &Arc<Notify>,
) -> Vec<WatchGuard> {
    let Ok(checked) = engine.check_with(sql, options).await else { return Vec::new() };
    let wake: Arc<dyn Wake> = {
        let notify = Arc::clone(notify);
        Arc::new(move || notify.notify_one())
    };
    let catalog = engine.catalog();
    let mut guards: Vec<_> = checked
        .tables
        .iter()
        .filter_map(|name| catalog.table(name))
        .map(|table| table.watch(Arc::clone(&wake)))
        .collect();
    let topics = catalog.store().topics();
    for topic in checked.topics.iter().filter_map(|name| topics.get(name)) {
        for part in topic.partitions.iter() {
            guards.push(catalog.store().watch(Watched::Part(*part), Arc::clone(&wake)));
        }
        guards.push(catalog.store().watch(Watched::Topics, Arc::clone(&wake)));
    }
    guards
}

/// One batch for the comparison and for the listeners.
fn joined(mut output: QueryOutput) -> Result<(RecordBatch, QueryOutput), SqlError> {
    let rows = concat_batches(&output.schema, &output.batches)
        .map_err(datafusion::error::DataFusionError::from)?;
    output.batches = vec![rows.clone()];
    Ok((rows, output))
}
