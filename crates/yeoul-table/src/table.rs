//! The table: what is visible at one moment, and how it is opened and appended to.
//!
//! Invariant: the lock of the state is held for moments only, never over file work or a commit,
//! so appends and snapshots go on while a seal or a compaction writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use yeoul_base::{Clock, Disk, FactKind, Fates, Fence, Offset, PartId, Store, Wake, WatchGuard};

use crate::chunk::{Chunk, Pending, Rows, sum, with_origin};
use crate::error::TableError;
use crate::facts::{Naming, decode_position};
use crate::folder;
use crate::footers;
use crate::manifest::Manifest;
use crate::segment::{Segment, SegmentId, SegmentMeta};
use crate::spec::TableSpec;
use crate::write::Target;

/// Dead letters wait for the seal in memory and then share its frame: seal before it is half full.
const DEAD_BYTES_MAX: usize = yeoul_base::limits::FRAME_BYTES_MAX / 2;

/// What is visible at one moment; holding it keeps the files it names.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The spec's columns and the two of origin.
    pub schema: SchemaRef,
    pub chunks: Vec<Arc<Chunk>>,
    pub segments: Arc<Manifest>,
    /// Grows whenever an answer over this table may change.
    pub generation: u64,
    /// Of the table as it was opened: no other of this process has it.
    pub serial: u64,
    /// Rows before this time are past their retention: leave them out.
    pub from_us: Option<i64>,
}

impl Snapshot {
    /// Rows held, those past their retention included.
    pub fn rows(&self) -> u64 {
        let chunks: u64 = self.chunks.iter().map(|chunk| chunk.rows() as u64).sum();
        chunks + self.segments.iter().map(|segment| segment.meta.rows).sum::<u64>()
    }
}

/// A table in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableStats {
    pub rows: u64,
    /// Of these, rows that are in memory only.
    pub hot_rows: u64,
    /// Files and chunks.
    pub bytes: u64,
    pub segments: u64,
    /// `None` when there is no row.
    pub min_us: Option<i64>,
    pub max_us: Option<i64>,
    pub generation: u64,
    /// Sealed or not.
    pub fates: Fates,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) segments: Arc<Manifest>,
    /// Taken by a running seal; still visible.
    pub(crate) sealing: Option<Arc<Pending>>,
    pub(crate) hot: Pending,
    /// As in the facts, bytes included: the guards of the next seal.
    pub(crate) committed: BTreeMap<PartId, (Offset, Bytes)>,
    pub(crate) fates: Fates,
    pub(crate) dropped: bool,
}

type Wakes = Arc<Mutex<HashMap<u64, Arc<dyn Wake>>>>;

/// See the crate's head. All methods may be called from any thread.
pub struct Table {
    pub(crate) spec: TableSpec,
    pub(crate) schema: SchemaRef,
    pub(crate) naming: Naming,
    pub(crate) folder: PathBuf,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fence: Fence,
    pub(crate) state: Mutex<State>,
    /// One seal at a time.
    pub(crate) sealer: Mutex<()>,
    /// One compaction at a time; what it found that cannot be merged.
    pub(crate) compactor: Mutex<HashSet<SegmentId>>,
    /// Held from before a commit that changes the manifest until the state shows it: so commits
    /// and states follow each other in the same order. Never while files are written.
    pub(crate) manifest: Mutex<()>,
    next_file: AtomicU32,
    serial: u64,
    generation: AtomicU64,
    next_wake: AtomicU64,
    wakes: Wakes,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// Takes over the table: claims its component, reads its manifest, removes what a crash left.
    pub fn open(
        store: Arc<dyn Store>,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        spec: TableSpec,
    ) -> Result<Self, TableError> {
        let schema = spec.full_schema()?;
        Self::open_as(Naming::of(&spec.name), store, disk, clock, spec, schema)
    }

    pub(crate) fn open_as(
        naming: Naming,
        store: Arc<dyn Store>,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        spec: TableSpec,
        schema: SchemaRef,
    ) -> Result<Self, TableError> {
        let fence = store.claim(&naming.component)?;
        let folder = folder::path(&spec.name);
        let metas = manifest_of(store.as_ref(), &naming)?;
        if naming == Naming::of(&spec.name) {
            // What is made in a table's place is opened after the table itself, which cleans up.
            let redo = manifest_of(store.as_ref(), &Naming::of_redo(&spec.name))?;
            let known: HashSet<_> = metas.iter().chain(&redo).map(|meta| meta.id).collect();
            folder::prepare(disk.as_ref(), &folder, |id| known.contains(&id))?;
        }
        let table: Arc<str> = spec.name.as_str().into();
        let mut segments = Vec::with_capacity(metas.len());
        for meta in metas {
            let segment = Segment::new(Arc::clone(&disk), &folder, Arc::clone(&table), meta);
            // A missing or cut file is reported now, with its name. The rest of the table is good,
            // and only a query that needs this file fails.
            match segment.check() {
                Ok(()) => {}
                Err(error) if error.is_damage() => tracing::error!(%error, "opened all the same"),
                Err(error) => return Err(error),
            }
            segments.push(Arc::new(segment));
        }
        let mut committed = BTreeMap::new();
        for (key, value) in store.facts(FactKind::TablePosition, &naming.prefix) {
            let (part, next) = decode_position(&key, &value)?;
            committed.insert(part, (next, value));
        }
        let fates = match store.fact(FactKind::Fates, naming.component.as_bytes()) {
            Some(bytes) => Fates::decode(&bytes).map_err(|error| {
                TableError::Corrupt(format!("fates of {}: {error}", naming.component))
            })?,
            None => Fates::default(),
        };
        let segments = Arc::new(Manifest::new(segments));
        let state = State { segments, committed, fates, ..State::default() };
        Ok(Self {
            schema,
            naming,
            folder,
            store,
            disk,
            clock,
            fence,
            state: Mutex::new(state),
            sealer: Mutex::default(),
            compactor: Mutex::default(),
            manifest: Mutex::default(),
            next_file: AtomicU32::new(0),
            serial: footers::new_slot(),
            generation: AtomicU64::new(1),
            next_wake: AtomicU64::new(0),
            wakes: Wakes::default(),
            spec,
        })
    }

    /// A name for the next file.
    pub(crate) fn new_id(&self) -> SegmentId {
        let count = self.next_file.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.naming.id(self.fence.generation, count)
    }

    pub(crate) fn target(&self) -> Target<'_> {
        Target { disk: &self.disk, folder: &self.folder, spec: &self.spec }
    }

    pub(crate) fn segment(&self, meta: SegmentMeta) -> Arc<Segment> {
        let name: Arc<str> = self.spec.name.as_str().into();
        Arc::new(Segment::new(Arc::clone(&self.disk), &self.folder, name, meta))
    }

    pub(crate) fn dropped(&self) -> TableError {
        TableError::Dropped(self.spec.name.clone())
    }

    pub fn spec(&self) -> &TableSpec {
        &self.spec
    }

    /// The spec's columns and the two of origin.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Where reading goes on; `None`: this partition was never read.
    pub fn next_offset(&self, part: PartId) -> Option<Offset> {
        let state = locked(&self.state);
        let pending = |pending: &Pending| pending.positions.get(&part).copied();
        pending(&state.hot)
            .or_else(|| state.sealing.as_deref().and_then(pending))
            .or_else(|| state.committed.get(&part).map(|(next, _)| *next))
    }

    /// Everything below it is sealed: the topic must keep what is from here on.
    pub fn committed_offset(&self, part: PartId) -> Option<Offset> {
        locked(&self.state).committed.get(&part).map(|(next, _)| *next)
    }

    /// Makes rows visible. Refuses records that the table has already.
    pub fn append(&self, input: Rows) -> Result<(), TableError> {
        let out_of_order =
            |what: String| TableError::OutOfOrder { table: self.spec.name.clone(), what };
        let rows = input.rows.as_ref().map_or(0, |rows| rows.num_rows());
        if rows != input.offsets.len() || !input.fates.balanced() {
            return Err(out_of_order(format!(
                "{rows} rows came with {} offsets and {:?}",
                input.offsets.len(),
                input.fates
            )));
        }
        // Built before the lock is taken: readers do not wait for copies.
        let chunk = match &input.rows {
            Some(batch) if rows > 0 => {
                let (partition, offsets) = (input.partition, input.offsets);
                let batch = match &self.spec.rollup {
                    Some(rollup) => {
                        let interval = self.spec.granularity;
                        rollup.roll(&self.schema, batch, partition, &offsets, interval)?
                    }
                    None => with_origin(&self.schema, batch, partition, offsets)?,
                };
                Some(Chunk::new(batch)?)
            }
            _ => None,
        };
        // Two loops feeding one table would both pass this check; the seal's guard stops one.
        let expected = self.next_offset(input.part).unwrap_or(input.from);
        if input.from < expected || input.next < input.from {
            return Err(out_of_order(format!(
                "records {}..{} of {} follow offset {expected}",
                input.from, input.next, input.part
            )));
        }
        let mut state = locked(&self.state);
        if state.dropped {
            return Err(self.dropped());
        }
        let hot = &mut state.hot;
        if let Some(chunk) = chunk {
            hot.push(&self.schema, self.spec.rollup.as_ref(), chunk)?;
        }
        hot.positions.insert(input.part, input.next);
        hot.fates = sum(&hot.fates, &input.fates);
        hot.dead_bytes += input.dead.iter().map(|append| append.batch.len()).sum::<usize>();
        hot.dead.extend(input.dead);
        hot.since.get_or_insert(self.clock.monotonic());
        drop(state);
        if rows > 0 {
            self.changed();
        }
        Ok(())
    }

    /// Whether a limit for rows in memory is reached.
    pub fn seal_due(&self) -> bool {
        let limits = self.spec.limits;
        let state = locked(&self.state);
        let hot = &state.hot;
        hot.rows >= limits.rows
            || hot.bytes >= limits.bytes
            || hot.dead_bytes >= DEAD_BYTES_MAX
            || hot.since.is_some_and(|since| self.clock.monotonic() >= since + limits.age)
    }

    /// What a query sees, now and until it is dropped.
    pub fn snapshot(&self) -> Snapshot {
        // Read before the rows: a query that sees more than its generation says runs once too
        // often, one that sees less would never run again.
        let generation = self.generation.load(Ordering::Acquire);
        let from_us = self.retention_start_us();
        let state = locked(&self.state);
        let sealing = state.sealing.iter().flat_map(|pending| &pending.chunks);
        Snapshot {
            schema: Arc::clone(&self.schema),
            chunks: sealing.chain(&state.hot.chunks).cloned().collect(),
            segments: Arc::clone(&state.segments),
            generation,
            serial: self.serial,
            from_us,
        }
    }

    pub(crate) fn retention_start_us(&self) -> Option<i64> {
        let keep_us = i64::try_from(self.spec.retention?.as_micros()).unwrap_or(i64::MAX);
        Some(self.clock.now_ms().saturating_mul(1_000).saturating_sub(keep_us))
    }

    /// What became of the records read so far, sealed or not.
    pub fn fates(&self) -> Fates {
        let state = locked(&self.state);
        let sealing = state.sealing.as_ref().map(|pending| pending.fates).unwrap_or_default();
        sum(&sum(&state.fates, &sealing), &state.hot.fates)
    }

    /// Whether some reader found a file damaged.
    pub fn is_damaged(&self) -> bool {
        locked(&self.state).segments.iter().any(|segment| segment.damage().is_some())
    }

    /// The files that some reader found damaged, with what is wrong.
    pub fn damage(&self) -> Vec<String> {
        let segments = Arc::clone(&locked(&self.state).segments);
        let damaged = segments.iter().filter_map(|segment| segment.damage_error());
        damaged.map(|error| error.to_string()).collect()
    }

    pub fn stats(&self) -> TableStats {
        let fates = self.fates();
        let snapshot = self.snapshot();
        let mut stats = TableStats {
            rows: snapshot.rows(),
            segments: snapshot.segments.len() as u64,
            generation: snapshot.generation,
            fates,
            ..TableStats::default()
        };
        let mut extend = |bytes: u64, min_us: i64, max_us: i64| {
            stats.bytes += bytes;
            stats.min_us = Some(stats.min_us.map_or(min_us, |old| old.min(min_us)));
            stats.max_us = Some(stats.max_us.map_or(max_us, |old| old.max(max_us)));
        };
        for segment in snapshot.segments.iter() {
            extend(segment.meta.bytes, segment.meta.min_us, segment.meta.max_us);
        }
        for chunk in &snapshot.chunks {
            extend(chunk.bytes as u64, chunk.min_us, chunk.max_us);
            stats.hot_rows += chunk.rows() as u64;
        }
        stats
    }

    /// Grows whenever an answer over this table may change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Calls `wake` after each change, from the thread that made it. It must not block.
    pub fn watch(&self, wake: Arc<dyn Wake>) -> WatchGuard {
        let id = self.next_wake.fetch_add(1, Ordering::Relaxed);
        locked(&self.wakes).insert(id, wake);
        let wakes = Arc::clone(&self.wakes);
        WatchGuard::new(move || {
            locked(&wakes).remove(&id);
        })
    }

    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let wakes: Vec<_> = locked(&self.wakes).values().cloned().collect();
        wakes.iter().for_each(|wake| wake.wake());
    }
}

fn manifest_of(store: &dyn Store, naming: &Naming) -> Result<Vec<SegmentMeta>, TableError> {
    let facts = store.facts(FactKind::TableSegment, &naming.prefix);
    facts.iter().map(|(key, value)| SegmentMeta::decode(key, value)).collect()
}
