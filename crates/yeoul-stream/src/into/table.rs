//! A topic's way into a table: records become rows with a time, visible at once; the table's
//! seal commits how far they went.
//!
//! Invariant: nothing is committed here but by [`Table::seal`]. What was read but not sealed is
//! read again after a restart and gives the same rows and the same dead letters.

mod convert;
mod expression;
mod feed;
mod metric;
mod reading;
mod redo;
mod sample;
mod spec;
mod time;
mod upkeep;
mod value;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use yeoul_base::{
    Clock, Commit, Disk, FactKind, Fates, Fence, Isolation, Store, StoreError, TopicInfo, Wake,
    Watched,
};
use yeoul_format::{Schema, TableColumns};
use yeoul_log::reader::PartitionReader;
use yeoul_table::{Table, TableError, TableSpec};

use crate::epoch::Step;
use crate::infer::{BYTES_MAX, Inference, Inferred};
use crate::inputs::{Input, Limits};
use crate::status::{Bell, State, Status, locked, waker};

use feed::Feed;
use reading::Reading;
use redo::{Answered, Asked, Remaking};
use upkeep::Upkeep;

pub use metric::read_metric;
pub use redo::{RedoRequest, RedoStatus};
pub use sample::{Previewed, preview};
pub use spec::{
    FunctionSet, Language, MetricInput, ReadField, Reads, RollupIngest, SpecProblem, TableIngest,
    Transform, ValueFormat,
};
pub use time::{Missing, TimeColumn, TimeFormat};

/// Seals that fall due by age, retention, a schema being inferred: looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(5);
/// A seal and a step take less.
const ASK_MAX: Duration = Duration::from_secs(60);
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// What the way into a table works with.
#[derive(Clone)]
pub struct TableContext {
    pub store: Arc<dyn Store>,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    /// Told once, when the table can be queried.
    pub opened: Arc<dyn Fn(Arc<Table>) + Send + Sync>,
}

impl std::fmt::Debug for TableContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TableContext")
    }
}

/// A table that is fed until it is stopped or dropped.
#[derive(Debug)]
pub struct TableHandle {
    name: String,
    bell: Arc<Bell>,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    status: Status,
    table: Option<Arc<Table>>,
    redo: Option<RedoStatus>,
    /// Of the table that is being made again.
    redo_table: Option<Arc<Table>>,
    asked: Option<Asked>,
}

/// Starts feeding a table. It is opened when its topic's columns are known.
///
/// # Errors
/// No thread can be made.
pub fn start_table(spec: TableIngest, context: TableContext) -> Result<TableHandle, StoreError> {
    let bell = Arc::new(Bell::default());
    let shared = Arc::new(Mutex::new(Shared::default()));
    let name = spec.name.clone();
    let feeder = Feeder::new(spec, context, Arc::clone(&bell));
    let (thread_bell, thread_shared) = (Arc::clone(&bell), Arc::clone(&shared));
    let thread = std::thread::Builder::new()
        .name(format!("table {name}"))
        .spawn(move || run(feeder, &thread_bell, &thread_shared))
        .map_err(|error| StoreError::Io(format!("no thread for table `{name}`: {error}")))?;
    Ok(TableHandle { name, bell, shared, thread: Some(thread) })
}

impl TableHandle {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn status(&self) -> Status {
        locked(&self.shared).status.clone()
    }

    /// `None` until the topic's columns are known.
    pub fn table(&self) -> Option<Arc<Table>> {
        locked(&self.shared).table.clone()
    }

    /// The table that is being made to take this one's place.
    pub fn redo_table(&self) -> Option<Arc<Table>> {
        locked(&self.shared).redo_table.clone()
    }

    /// For making the table again; stays of use while the handle is elsewhere.
    pub fn redoer(&self) -> Redoer {
        Redoer { bell: Arc::clone(&self.bell), shared: Arc::clone(&self.shared) }
    }

    /// Ends after the step under way. Rows in memory are not sealed: they are in the topic.
    pub fn stop(mut self) -> Status {
        self.end();
        self.status()
    }

    fn end(&mut self) {
        self.bell.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            let status = &mut locked(&self.shared).status;
            status.state = State::Failed;
            status.message = Some("its thread panicked: this is a mistake in Yeoul".into());
        }
    }
}

impl Drop for TableHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes a table again while it is fed.
#[derive(Debug, Clone)]
pub struct Redoer {
    bell: Arc<Bell>,
    shared: Arc<Mutex<Shared>>,
}

impl Redoer {
    /// How far the table has been made again; `None`: it is not.
    pub fn status(&self) -> Option<RedoStatus> {
        locked(&self.shared).redo
    }

    /// Waits until what is asked for is begun or done, at most a minute.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn ask(&self, request: RedoRequest) -> Result<(), String> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        {
            let mut shared = locked(&self.shared);
            if shared.asked.is_some() {
                return Err("another request is waiting: try again".to_owned());
            }
            shared.asked = Some((request, send));
        }
        self.bell.wake();
        // The table's thread may be sealing; and one that is stopped never answers.
        receive.recv_timeout(ASK_MAX).unwrap_or_else(|_| {
            Err("the table's ingestion does not answer: `yeoul status` says why".to_owned())
        })
    }
}

fn run(mut feeder: Feeder, bell: &Arc<Bell>, shared: &Mutex<Shared>) {
    let _topics = feeder.context.store.watch(Watched::Topics, waker(bell));
    while !bell.stopping() {
        feeder.asked = locked(shared).asked.take().or(feeder.asked);
        let step = feeder.step();
        feeder.tell(&step, &mut locked(shared));
        // Who asked sees what came of it.
        feeder.answered.take().into_iter().for_each(Answered::tell);
        match step {
            Step::Over(_) => break,
            Step::Worked => {}
            Step::Idle | Step::Waiting(_) => bell.wait(LOOK_AGAIN),
            Step::Failed(_) => bell.pause(RETRY),
        }
    }
    locked(shared).status.state = State::Stopped;
}

impl From<TableError> for Step {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Store(error) => error.into(),
            TableError::Dropped(_) => Self::Over(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The loop's state.
#[derive(Debug)]
pub(crate) struct Feeder {
    spec: TableIngest,
    context: TableContext,
    component: String,
    bell: Arc<Bell>,
    limits: Limits,
    inference: Inference,
    fence: Option<Fence>,
    open: Option<Open>,
    /// Stays visible while its topic, made again, is looked at.
    before: Option<Arc<Table>>,
    /// What people should know besides.
    note: Option<String>,
    /// To make the table again, or not to.
    asked: Option<Asked>,
    answered: Option<Answered>,
    /// A damaged file has made the table be made again once; a second time is for people.
    repaired: bool,
    retained: Duration,
    turn: usize,
    last_ms: Option<i64>,
}

/// A table whose columns are known.
#[derive(Debug)]
struct Open {
    table: Arc<Table>,
    reading: Reading,
    input: Input,
    /// Where each partition ended when the table was opened: before it, rows are from memory
    /// that the last stop lost.
    caught_up_at: Vec<i64>,
    upkeep: Upkeep,
    remaking: Option<Remaking>,
}

impl Feeder {
    pub(crate) fn new(spec: TableIngest, context: TableContext, bell: Arc<Bell>) -> Self {
        let component = format!("table/{}", spec.name);
        Self {
            spec,
            context,
            component,
            bell,
            limits: Limits::default(),
            inference: Inference::default(),
            fence: None,
            open: None,
            before: None,
            note: None,
            asked: None,
            answered: None,
            repaired: false,
            retained: Duration::ZERO,
            turn: 0,
            last_ms: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_limits(mut self, records: usize, bytes: usize) -> Self {
        self.limits = Limits { records, bytes };
        self
    }

    #[cfg(test)]
    pub(crate) fn table(&self) -> Option<&Arc<Table>> {
        self.open.as_ref().map(|open| &open.table)
    }

    /// Appends what waits, seals when due.
    pub(crate) fn step(&mut self) -> Step {
        let step = match self.advance() {
            Ok(step) | Err(step) => step,
        };
        if self.open.is_none() {
            self.answer();
        }
        step
    }

    fn advance(&mut self) -> Result<Step, Step> {
        let current = match &self.open {
            Some(open) => open.input.is_current(self.context.store.as_ref()),
            None => false,
        };
        if !current {
            self.connect()?;
        }
        let Some(open) = &mut self.open else { return Ok(Step::Idle) };
        let feed = Feed {
            spec: &self.spec,
            context: &self.context,
            component: &self.component,
            limits: self.limits,
            reading: &open.reading,
        };
        let mut worked = feed.turn(&mut open.input, &open.table, self.turn)?;
        self.turn = self.turn.wrapping_add(1);
        if worked {
            self.last_ms = Some(self.context.clock.now_ms());
        }
        if open.table.seal_due() {
            open.table.seal()?;
            worked = true;
        }
        let now = self.context.clock.monotonic();
        if now >= self.retained + RETENTION_EVERY {
            self.retained = now;
            open.table.apply_retention()?;
        }
        open.upkeep.tend(&open.table, now);
        worked |= self.remake(now)?;
        Ok(if worked { Step::Worked } else { Step::Idle })
    }

    /// Opens the table when the topic and its columns are known; both again when the topic was
    /// made again.
    fn connect(&mut self) -> Result<(), Step> {
        let store = Arc::clone(&self.context.store);
        let name = &self.spec.topic;
        let topics = store.topics();
        let topic = topics.get(name.as_str()).cloned();
        if let Some(open) = &self.open {
            let gone = topic.as_ref().is_none_or(|topic| topic.id != open.input.topic.id);
            if gone {
                // Its records cannot be read again: what is in memory only is sealed first.
                open.table.seal()?;
                self.before = self.open.take().map(|open| open.table);
                self.inference = Inference::default();
            }
        }
        let Some(topic) = topic else {
            return Err(Step::Waiting(format!("topic `{name}` does not exist")));
        };
        let (table, reading) = match self.open.take() {
            Some(open) => (open.table, open.reading),
            None => self.table_of(&store, &topic)?,
        };
        self.before = None;
        let input = self.input_of(&table, &topic);
        let redo = table.resume_redo()?;
        let remaking = redo.map(|redo| {
            let input = self.input_of(&redo.table, &topic);
            Remaking::new(redo, input)
        });
        let ends = input.parts.iter().map(|part| store.ends(part.id).map_or(0, |it| it.stable));
        let caught_up_at = ends.collect();
        let upkeep = Upkeep::default();
        self.open = Some(Open { table, reading, input, caught_up_at, upkeep, remaking });
        Ok(())
    }

    /// The topic from where a table stands in it.
    fn input_of(&self, table: &Table, topic: &Arc<TopicInfo>) -> Input {
        let parts = Arc::clone(&topic.partitions);
        let place = |number: u32| {
            let part = parts.get(number as usize)?;
            let start = self.spec.start.get(number as usize).copied();
            table.next_offset(*part).or(start).map(|offset| (offset, 0))
        };
        Input::new(&self.context.store, Arc::clone(topic), &self.bell, place)
    }

    fn table_of(
        &mut self,
        store: &Arc<dyn Store>,
        topic: &TopicInfo,
    ) -> Result<(Arc<Table>, Reading), Step> {
        let name = &topic.name;
        let schema = match Schema::load(store.as_ref(), name) {
            Ok(Some(schema)) => schema,
            Ok(None) => return Err(self.infer(store, topic)),
            Err(problem) => return Err(Step::Failed(format!("topic `{name}`: {problem}"))),
        };
        let columns = self.columns(store, topic, &schema)?;
        let reading = Reading::plan(&self.spec, &columns)
            .map_err(|problem| Step::Failed(problem.to_string()))?;
        let spec = TableSpec {
            granularity: self.spec.granularity,
            limits: self.spec.limits,
            retention: self.spec.retention,
            retention_bytes: self.spec.retention_bytes,
            rollup: reading.rollup.clone(),
            ..TableSpec::new(&self.spec.name, &**name, Arc::clone(&reading.appended))
        };
        let fact = columns.fact(&self.spec.name);
        if store.fact(FactKind::TableColumns, &fact.0.key) != fact.1 {
            store.commit(Commit { facts: vec![fact], ..Commit::default() })?;
        }
        let disk = Arc::clone(&self.context.disk);
        let clock = Arc::clone(&self.context.clock);
        let table = Arc::new(Table::open(Arc::clone(store), disk, clock, spec)?);
        (self.context.opened)(Arc::clone(&table));
        // The table has claimed the component for itself.
        self.fence = None;
        Ok((table, reading))
    }

    /// What the table reads: as it was when there are rows of then, with what came since.
    fn columns(
        &mut self,
        store: &Arc<dyn Store>,
        topic: &TopicInfo,
        schema: &Schema,
    ) -> Result<TableColumns, Step> {
        let told = |problem: yeoul_format::SchemaError| Step::Failed(problem.to_string());
        let mut prefix = self.spec.name.clone().into_bytes();
        prefix.push(0);
        let has_rows = !store.facts(FactKind::TableSegment, &prefix).is_empty();
        let known = TableColumns::load(store.as_ref(), &self.spec.name).map_err(told)?;
        let known = known.filter(|_| has_rows);
        let wide = !schema.is_strict();
        // The records of a topic are looked at once: what was found then stands.
        let same = known.as_ref().is_some_and(|known| known.topic == topic.id);
        let samples = if wide && !same { samples(store, topic)? } else { Vec::new() };
        let fresh = self.spec.reads.columns(topic, schema, &samples);
        let Some(known) = known else { return Ok(fresh) };
        if !same {
            let name = &topic.name;
            let note = format!("its topic `{name}` was made again: it reads that from its start");
            tracing::warn!(table = self.spec.name, note);
            self.note = Some(note);
        }
        let only_what_is_said = |fresh: TableColumns| {
            if same && wide { self.spec.reads.declared(fresh, &known) } else { fresh }
        };
        let fresh = only_what_is_said(fresh);
        Ok(known.extended(fresh))
    }

    fn infer(&mut self, store: &Arc<dyn Store>, topic: &TopicInfo) -> Step {
        let name = &topic.name;
        // The table itself claims its component when it is opened, after this.
        let fence = match &self.fence {
            Some(fence) => fence.clone(),
            None => match store.claim(&self.component) {
                Ok(fence) => self.fence.insert(fence).clone(),
                Err(error) => return error.into(),
            },
        };
        match self.inference.look(store, self.context.clock.as_ref(), &fence, topic) {
            Ok(Inferred::Made) => Step::Worked,
            Ok(Inferred::Empty) => {
                Step::Waiting(format!("waits for the first record of topic `{name}`"))
            }
            Ok(Inferred::Soon) => {
                Step::Waiting(format!("looks at the first records of topic `{name}`"))
            }
            Err(error) => error.into(),
        }
    }

    fn tell(&self, step: &Step, shared: &mut Shared) {
        let store = self.context.store.as_ref();
        let behind = self.open.as_ref().is_some_and(|open| {
            open.input.parts.iter().zip(&open.caught_up_at).any(|(part, end)| part.at < *end)
        });
        let running = if behind { State::CatchingUp } else { State::Running };
        let (state, message) = match step {
            Step::Worked | Step::Idle if self.spec.suspended => {
                let told = "suspended: it takes no records until it is resumed";
                (State::Waiting, Some(told.to_owned()))
            }
            Step::Worked | Step::Idle => (running, self.alarm().or_else(|| self.note.clone())),
            Step::Waiting(what) => (State::Waiting, Some(what.clone())),
            Step::Failed(why) => (State::Failed, Some(why.clone())),
            Step::Over(why) => (State::Stopped, Some(why.clone())),
        };
        let open = self.open.as_ref();
        let remaking = open.and_then(|open| open.remaking.as_ref().map(|it| (open, it)));
        shared.redo = remaking.map(|(open, remaking)| remaking.status(&open.table, store));
        shared.redo_table = remaking.map(|(_, remaking)| Arc::clone(&remaking.redo.table));
        shared.table = open.map(|open| Arc::clone(&open.table)).or_else(|| self.before.clone());
        shared.status = Status {
            state,
            message,
            progress: None,
            fates: open.map_or_else(Fates::default, |open| open.table.fates()),
            lag: open.map_or(0, |open| open.input.lag(store)),
            lost: open.map_or(0, |open| open.input.parts.iter().map(|part| part.lost).sum()),
            last_ms: self.last_ms,
        };
    }
}

/// Values of the first records, to look at.
fn samples(store: &Arc<dyn Store>, topic: &TopicInfo) -> Result<Vec<bytes::Bytes>, Step> {
    let mut values = Vec::new();
    for part in topic.partitions.iter() {
        let start = store.ends(*part).map_or(0, |ends| ends.start);
        let mut reader =
            PartitionReader::new(Arc::clone(store), *part, start, Isolation::Committed);
        match reader.next(BYTES_MAX) {
            Ok(records) => values.extend(records.into_iter().filter_map(|it| it.value)),
            Err(StoreError::BadBatch(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
