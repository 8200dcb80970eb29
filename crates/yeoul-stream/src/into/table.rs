//! A topic's way into a table: records become rows with a time, visible at once; the table's
//! seal commits how far they went.
//!
//! Invariant: nothing is committed here but by [`Table::seal`]. What was read but not sealed is
//! read again after a restart and gives the same rows and the same dead letters.

mod time;
mod upkeep;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use chrono_tz::Tz;
use yeoul_base::{
    Append, Clock, Disk, Fates, Fence, PartId, Store, StoreError, TopicInfo, Watched,
};
use yeoul_format::{Column, ColumnType, REST_COLUMN, RowDecoder, RowOptions, Schema};
use yeoul_log::batch::{BatchBuilder, Codec, Record};
use yeoul_log::dead::{self, DeadLetter};
use yeoul_table::{Granularity, Rows, SealLimits, TIME, Table, TableError, TableSpec, time_field};

use crate::epoch::Step;
use crate::infer::{Inference, Inferred};
use crate::inputs::{Input, Limits};
use crate::part::Part;
use crate::status::{Bell, State, Status, locked, waker};

use upkeep::Upkeep;

pub use time::TimeColumn;

/// Seals that fall due by age, retention, a schema being inferred: looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(5);
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Dead letters are batched like rows.
const LETTERS_BYTES: usize = 512 << 10;

/// A table as the pipeline file describes it.
#[derive(Debug, Clone)]
pub struct TableIngest {
    pub name: String,
    pub topic: String,
    /// `None`: a row's time is its record's timestamp.
    pub time: Option<TimeColumn>,
    /// Of text without an offset, in any column.
    pub timezone: Tz,
    pub granularity: Granularity,
    pub limits: SealLimits,
    pub retention: Option<Duration>,
    /// Files of more bytes than this are dropped, the oldest rows first.
    pub retention_bytes: Option<u64>,
}

impl TableIngest {
    /// With the defaults for all but name and topic.
    pub fn new(name: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            topic: topic.into(),
            time: None,
            timezone: Tz::UTC,
            granularity: Granularity::default(),
            limits: SealLimits::default(),
            retention: None,
            retention_bytes: None,
        }
    }

    /// The columns of the table of a topic with this schema: the time, then the topic's; for
    /// what an inferred schema does not hold also `_rest`.
    pub fn columns(schema: &Schema) -> SchemaRef {
        let own = schema.columns.iter().filter(|column| column.name != TIME);
        let mut fields: Vec<Field> =
            std::iter::once(time_field()).chain(own.map(Column::arrow)).collect();
        if has_rest(schema) {
            fields.push(Column::new(REST_COLUMN, ColumnType::Json).arrow());
        }
        Arc::new(ArrowSchema::new(fields))
    }
}

fn has_rest(schema: &Schema) -> bool {
    !schema.is_strict() && schema.column(REST_COLUMN).is_none()
}

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

fn run(mut feeder: Feeder, bell: &Arc<Bell>, shared: &Mutex<Shared>) {
    let _topics = feeder.context.store.watch(Watched::Topics, waker(bell));
    while !bell.stopping() {
        let step = feeder.step();
        feeder.tell(&step, &mut locked(shared));
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
    retained: Duration,
    turn: usize,
    last_ms: Option<i64>,
}

/// A table whose columns are known.
#[derive(Debug)]
struct Open {
    table: Arc<Table>,
    schema: Schema,
    input: Input,
    /// Where each partition ended when the table was opened: before it, rows are from memory
    /// that the last stop lost.
    caught_up_at: Vec<i64>,
    upkeep: Upkeep,
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
        match self.advance() {
            Ok(step) | Err(step) => step,
        }
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
        let mut worked = false;
        let count = open.input.parts.len().max(1);
        for turn in 0..count {
            let index = (self.turn + turn) % count;
            let Some(part) = open.input.parts.get_mut(index) else { continue };
            part.keep(0);
            part.fill(self.limits.bytes)?;
            let mut records = Vec::new();
            let mut bytes = 0;
            while records.len() < self.limits.records
                && (bytes < self.limits.bytes || records.is_empty())
                && let Some(record) = part.take()
            {
                bytes += record.value.as_ref().map_or(0, bytes::Bytes::len);
                records.push(record);
            }
            let passed = part.passed();
            if passed.next == part.at {
                continue;
            }
            let converter = Converter {
                spec: &self.spec,
                store: self.context.store.as_ref(),
                clock: self.context.clock.as_ref(),
                component: &self.component,
                schema: &open.schema,
                columns: open.table.spec().columns.clone(),
            };
            let rows = converter.rows(part, &records)?;
            open.table.append(rows)?;
            part.pass(passed);
            worked = true;
        }
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
        Ok(if worked { Step::Worked } else { Step::Idle })
    }

    /// Opens the table when the topic and its columns are known; the topic again when it was
    /// made again.
    fn connect(&mut self) -> Result<(), Step> {
        let store = Arc::clone(&self.context.store);
        let name = &self.spec.topic;
        let topics = store.topics();
        let Some(topic) = topics.get(name.as_str()).cloned() else {
            return Err(Step::Waiting(format!("topic `{name}` does not exist")));
        };
        let table = match self.open.take() {
            Some(open) => (open.table, open.schema),
            None => self.table_of(&store, &topic)?,
        };
        let (table, schema) = table;
        let input = {
            let parts = topic.partitions.clone();
            let place = |number: u32| {
                let part = parts.get(number as usize)?;
                table.next_offset(*part).map(|offset| (offset, 0))
            };
            Input::new(&store, topic, &self.bell, place)
        };
        let ends = input.parts.iter().map(|part| store.ends(part.id).map_or(0, |it| it.stable));
        let caught_up_at = ends.collect();
        let upkeep = Upkeep::default();
        self.open = Some(Open { table, schema, input, caught_up_at, upkeep });
        Ok(())
    }

    fn table_of(
        &mut self,
        store: &Arc<dyn Store>,
        topic: &TopicInfo,
    ) -> Result<(Arc<Table>, Schema), Step> {
        let name = &topic.name;
        let schema = match Schema::load(store.as_ref(), name) {
            Ok(Some(schema)) => schema,
            Ok(None) => return Err(self.infer(store, topic)),
            Err(problem) => return Err(Step::Failed(format!("topic `{name}`: {problem}"))),
        };
        if let Some(time) = &self.spec.time {
            time.check(&schema).map_err(Step::Failed)?;
        }
        let spec = TableSpec {
            granularity: self.spec.granularity,
            limits: self.spec.limits,
            retention: self.spec.retention,
            retention_bytes: self.spec.retention_bytes,
            ..TableSpec::new(&self.spec.name, &**name, TableIngest::columns(&schema))
        };
        let disk = Arc::clone(&self.context.disk);
        let clock = Arc::clone(&self.context.clock);
        let table = Arc::new(Table::open(Arc::clone(store), disk, clock, spec)?);
        (self.context.opened)(Arc::clone(&table));
        Ok((table, schema))
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
            Step::Worked | Step::Idle => (running, None),
            Step::Waiting(what) => (State::Waiting, Some(what.clone())),
            Step::Failed(why) => (State::Failed, Some(why.clone())),
            Step::Over(why) => (State::Stopped, Some(why.clone())),
        };
        let open = self.open.as_ref();
        shared.table = open.map(|open| Arc::clone(&open.table));
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

/// Records of one partition → rows of the table.
struct Converter<'a> {
    spec: &'a TableIngest,
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    component: &'a str,
    schema: &'a Schema,
    columns: SchemaRef,
}

impl Converter<'_> {
    fn rows(&self, part: &Part, records: &[Record]) -> Result<Rows, Step> {
        let passed = part.passed();
        let rest = has_rest(self.schema);
        let options = RowOptions { rest, zone: self.spec.timezone };
        let mut decoder = RowDecoder::new(self.schema, options);
        let mut usable = Vec::with_capacity(records.len());
        let mut dead: Vec<(usize, &'static str, String)> = Vec::new();
        for (at, record) in records.iter().enumerate() {
            match decoder.push(record.value.as_deref()) {
                Ok(()) => usable.push(at),
                Err(reason) => dead.push((at, "decode", reason.to_string())),
            }
        }
        let failed = |error: &dyn std::fmt::Display| Step::Failed(error.to_string());
        let fields = decoder.finish().map_err(|error| failed(&error))?;
        let (times, bad) = self.times(&fields, records, &usable)?;
        let keep: BooleanArray = (0..times.len()).map(|row| Some(times.is_valid(row))).collect();
        for (row, reason) in bad {
            if let Some(at) = usable.get(row) {
                dead.push((*at, "time", reason));
            }
        }
        let batch = self.table_batch(&fields, times).map_err(|error| failed(&error))?;
        let batch = filter_record_batch(&batch, &keep).map_err(|error| failed(&error))?;
        let offsets: Vec<_> = usable
            .iter()
            .zip(keep.values().iter())
            .filter(|(_, keep)| *keep)
            .filter_map(|(at, _)| records.get(*at).map(|record| record.offset))
            .collect();
        dead.sort_by_key(|(at, ..)| *at);
        let used = offsets.len() as u64;
        let dead_count = dead.len() as u64 + passed.bad;
        let fates = Fates {
            read: records.len() as u64 + passed.bad + passed.skipped,
            used,
            dead: dead_count,
            aborted: passed.skipped,
            out: used,
            ..Fates::default()
        };
        Ok(Rows {
            part: part.id,
            partition: i32::try_from(part.number).unwrap_or(i32::MAX),
            from: part.at,
            next: passed.next,
            rows: (used > 0).then_some(batch),
            offsets,
            fates,
            dead: if dead_count > 0 { self.letters(part, records, &dead)? } else { Vec::new() },
        })
    }

    /// The time of each decoded row; null and a reason where there is none.
    fn times(
        &self,
        fields: &RecordBatch,
        records: &[Record],
        usable: &[usize],
    ) -> Result<(ArrayRef, Vec<(usize, String)>), Step> {
        match &self.spec.time {
            Some(time) => time.read(fields, self.spec.timezone).map_err(Step::Failed),
            None => {
                let stamps = usable.iter().filter_map(|at| records.get(*at));
                Ok(time::of_records(stamps.map(|record| record.timestamp_ms)))
            }
        }
    }

    /// The table's columns: the time, then the decoder's in the same order.
    fn table_batch(
        &self,
        fields: &RecordBatch,
        times: ArrayRef,
    ) -> Result<RecordBatch, arrow::error::ArrowError> {
        let mut columns = vec![times];
        let schema = fields.schema();
        let own = schema.fields().iter().zip(fields.columns());
        columns.extend(own.filter(|(field, _)| field.name() != TIME).map(|(_, it)| Arc::clone(it)));
        // Rows whose time is missing are still here: the time's field does not allow them.
        let nullable =
            self.columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        RecordBatch::try_new(Arc::new(ArrowSchema::new(nullable.collect::<Vec<_>>())), columns)
    }

    fn letters(
        &self,
        part: &Part,
        records: &[Record],
        dead: &[(usize, &'static str, String)],
    ) -> Result<Vec<Append>, Step> {
        let target = dead::partition(self.store, self.component)?;
        let now = self.clock.now_ms();
        let mut builder = BatchBuilder::new(Codec::None);
        let mut appends = Vec::new();
        let letter = |stage, reason, offset, key, value| DeadLetter {
            component: self.component,
            stage,
            reason,
            topic: Some(&part.topic),
            partition: Some(part.number),
            offset: Some(offset),
            key,
            value,
        };
        for (at, stage, reason) in dead {
            let Some(record) = records.get(*at) else { continue };
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            if builder.len_bytes() + value.map_or(0, <[u8]>::len) > LETTERS_BYTES {
                flush(target, &mut builder, &mut appends);
            }
            letter(stage, reason, record.offset, key, value).push(&mut builder, now);
        }
        if let Some(bad) = part.bad() {
            flush(target, &mut builder, &mut appends);
            letter("read", &bad.reason, bad.first_offset, None, Some(&bad.bytes))
                .push(&mut builder, now);
        }
        flush(target, &mut builder, &mut appends);
        Ok(appends)
    }
}

fn flush(part: PartId, builder: &mut BatchBuilder, appends: &mut Vec<Append>) {
    if let Some(batch) = builder.finish() {
        appends.push(Append { part, batch });
    }
}

#[cfg(test)]
mod tests;
