//! The table: one lock around what is visible, one lock around sealing.
//!
//! Invariant: the lock of the state is held for moments only, never over file work or a commit,
//! so appends and snapshots go on while a seal writes.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use tracing::info;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{
    Clock, Commit, Disk, FactKey, FactKind, Fates, Fence, Guard, Offset, PartId, Store, Wake,
    WatchGuard,
};

use crate::chunk::{Chunk, Pending, Rows, sum, with_origin};
use crate::error::TableError;
use crate::folder;
use crate::segment::{Segment, SegmentId, SegmentMeta, prefix};
use crate::spec::TableSpec;
use crate::write;

const POSITION_VERSION: u8 = 1;
/// Dead letters wait for the seal in memory and then share its frame: seal before it is half full.
const DEAD_BYTES_MAX: usize = yeoul_base::limits::FRAME_BYTES_MAX / 2;

/// What is visible at one moment; holding it keeps the files it names.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The spec's columns and the two of origin.
    pub schema: SchemaRef,
    pub chunks: Vec<Arc<Chunk>>,
    pub segments: Arc<[Arc<Segment>]>,
    /// Grows whenever an answer over this table may change.
    pub generation: u64,
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

/// What a seal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealReport {
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    segments: Arc<[Arc<Segment>]>,
    /// Taken by a running seal; still visible.
    sealing: Option<Arc<Pending>>,
    hot: Pending,
    /// As in the facts, bytes included: the guards of the next seal.
    committed: BTreeMap<PartId, (Offset, Bytes)>,
    fates: Fates,
    dropped: bool,
}

/// Sealing changes files and facts: one at a time.
#[derive(Debug)]
struct Sealer {
    fence: Fence,
    next_file: u32,
}

type Wakes = Arc<Mutex<HashMap<u64, Arc<dyn Wake>>>>;

/// See the crate's head. All methods may be called from any thread.
pub struct Table {
    spec: TableSpec,
    schema: SchemaRef,
    folder: PathBuf,
    store: Arc<dyn Store>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    sealer: Mutex<Sealer>,
    generation: AtomicU64,
    next_wake: AtomicU64,
    wakes: Wakes,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
        let component = component(&spec.name);
        let fence = store.claim(&component)?;
        let folder = folder::path(&spec.name);
        let mut segments = Vec::new();
        for (key, value) in store.facts(FactKind::TableSegment, &prefix(&spec.name)) {
            let meta = SegmentMeta::decode(&key, &value)?;
            segments.push(Arc::new(Segment::new(Arc::clone(&disk), &folder, meta)));
        }
        folder::prepare(disk.as_ref(), &folder, |id| {
            segments.binary_search_by_key(&id, |segment| segment.meta.id).is_ok()
        })?;
        for segment in &segments {
            // A missing or cut file is reported now, with its name, not by some later query.
            segment.open()?;
        }
        let mut committed = BTreeMap::new();
        for (key, value) in store.facts(FactKind::TablePosition, &prefix(&spec.name)) {
            let (part, next) = decode_position(&key, &value)?;
            committed.insert(part, (next, value));
        }
        let fates = match store.fact(FactKind::Fates, component.as_bytes()) {
            Some(bytes) => Fates::decode(&bytes)
                .map_err(|error| TableError::Corrupt(format!("fates of {component}: {error}")))?,
            None => Fates::default(),
        };
        let state = State { segments: segments.into(), committed, fates, ..State::default() };
        Ok(Self {
            schema,
            folder,
            store,
            disk,
            clock,
            state: Mutex::new(state),
            sealer: Mutex::new(Sealer { fence, next_file: 0 }),
            generation: AtomicU64::new(1),
            next_wake: AtomicU64::new(0),
            wakes: Wakes::default(),
            spec,
        })
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
            return Err(TableError::Dropped(self.spec.name.clone()));
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

    /// Writes what is in memory to files and commits them with the position. Blocks; `None` when
    /// there was nothing. After an error the rows are still in memory and visible.
    pub fn seal(&self) -> Result<Option<SealReport>, TableError> {
        let mut sealer = locked(&self.sealer);
        let taken = {
            let mut state = locked(&self.state);
            if state.dropped {
                return Err(TableError::Dropped(self.spec.name.clone()));
            }
            if state.hot.is_empty() {
                return Ok(None);
            }
            let taken = Arc::new(std::mem::take(&mut state.hot));
            state.sealing = Some(Arc::clone(&taken));
            taken
        };
        let result = self
            .write_files(&mut sealer, &taken)
            .and_then(|metas| self.commit_seal(&sealer.fence, &taken, metas));
        if result.is_err() {
            let mut state = locked(&self.state);
            state.sealing = None;
            state.hot.put_back(&taken);
        }
        result.map(Some)
    }

    fn write_files(
        &self,
        sealer: &mut Sealer,
        taken: &Pending,
    ) -> Result<Vec<SegmentMeta>, TableError> {
        let mut metas = Vec::new();
        if taken.chunks.is_empty() {
            return Ok(metas);
        }
        let merged = match &self.spec.rollup {
            Some(rollup) => {
                let chunks: Vec<_> = taken.chunks.iter().map(|chunk| &chunk.batch).collect();
                Some([Arc::new(Chunk::new(rollup.merge(&self.schema, &chunks)?)?)])
            }
            None => None,
        };
        let chunks = merged.as_ref().map_or(&taken.chunks[..], |merged| &merged[..]);
        let order = match &self.spec.rollup {
            Some(rollup) => rollup.order(&self.spec.sort_by),
            None => self.spec.sort_by.clone(),
        };
        let rows = write::sorted(&self.schema, chunks, &order)?;
        for part in write::cut(&rows, self.spec.granularity)? {
            sealer.next_file += 1;
            let id = SegmentId((sealer.fence.generation << 32) | u64::from(sealer.next_file));
            metas.push(write::write(self.disk.as_ref(), &self.folder, &self.spec.name, id, &part)?);
        }
        self.disk.sync_dir(&self.folder).map_err(TableError::disk(&self.folder))?;
        Ok(metas)
    }

    fn commit_seal(
        &self,
        fence: &Fence,
        taken: &Pending,
        metas: Vec<SegmentMeta>,
    ) -> Result<SealReport, TableError> {
        let mut commit = Commit { fence: Some(fence.clone()), ..Commit::default() };
        let (fates, mut committed) = {
            let state = locked(&self.state);
            (sum(&state.fates, &taken.fates), state.committed.clone())
        };
        for (part, next) in &taken.positions {
            let key = position_key(&self.spec.name, *part);
            let value = encode_position(*next);
            let expect = committed.get(part).map(|(_, bytes)| bytes.clone());
            commit.guards.push(Guard { key: key.clone(), expect });
            commit.facts.push((key, Some(value.clone())));
            committed.insert(*part, (*next, value));
        }
        for meta in &metas {
            commit.facts.push((SegmentMeta::key(&self.spec.name, meta.id), Some(meta.encode())));
        }
        commit.facts.push((Fates::key(&component(&self.spec.name)), Some(fates.encode())));
        commit.appends = taken.dead.clone();
        self.store.commit(commit)?;

        let report = SealReport {
            rows: metas.iter().map(|meta| meta.rows).sum(),
            files: metas.len() as u64,
            bytes: metas.iter().map(|meta| meta.bytes).sum(),
        };
        let mut state = locked(&self.state);
        let new = metas
            .into_iter()
            .map(|meta| Arc::new(Segment::new(Arc::clone(&self.disk), &self.folder, meta)));
        state.segments = state.segments.iter().cloned().chain(new).collect();
        state.committed = committed;
        state.fates = fates;
        state.sealing = None;
        drop(state);
        info!(table = self.spec.name, rows = report.rows, files = report.files, "sealed");
        Ok(report)
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
            from_us,
        }
    }

    fn retention_start_us(&self) -> Option<i64> {
        let keep_us = i64::try_from(self.spec.retention?.as_micros()).unwrap_or(i64::MAX);
        Some(self.clock.now_ms().saturating_mul(1_000).saturating_sub(keep_us))
    }

    /// Drops files whose rows are all past their retention; returns how many.
    pub fn apply_retention(&self) -> Result<usize, TableError> {
        let Some(start_us) = self.retention_start_us() else { return Ok(0) };
        let sealer = locked(&self.sealer);
        let segments = Arc::clone(&locked(&self.state).segments);
        let (gone, kept): (Vec<_>, Vec<_>) =
            segments.iter().cloned().partition(|segment| segment.meta.max_us < start_us);
        if gone.is_empty() {
            return Ok(0);
        }
        let facts = gone.iter().map(|gone| (SegmentMeta::key(&self.spec.name, gone.meta.id), None));
        self.store.commit(Commit {
            fence: Some(sealer.fence.clone()),
            facts: facts.collect(),
            ..Commit::default()
        })?;
        locked(&self.state).segments = kept.into();
        gone.iter().for_each(|segment| segment.doom());
        self.changed();
        Ok(gone.len())
    }

    /// Removes the table: its facts in one commit, its files once no query reads them.
    pub fn drop_all(&self) -> Result<(), TableError> {
        let sealer = locked(&self.sealer);
        let mut facts = Vec::new();
        for kind in [FactKind::TableSegment, FactKind::TablePosition] {
            for (key, _) in self.store.facts(kind, &prefix(&self.spec.name)) {
                facts.push((FactKey::new(kind, key), None));
            }
        }
        facts.push((Fates::key(&component(&self.spec.name)), None));
        self.store.commit(Commit {
            fence: Some(sealer.fence.clone()),
            facts,
            ..Commit::default()
        })?;
        let dropped = State { dropped: true, ..State::default() };
        let gone = std::mem::replace(&mut *locked(&self.state), dropped);
        gone.segments.iter().for_each(|segment| segment.doom());
        self.changed();
        Ok(())
    }

    /// What became of the records read so far, sealed or not.
    pub fn fates(&self) -> Fates {
        let state = locked(&self.state);
        let sealing = state.sealing.as_ref().map(|pending| pending.fates).unwrap_or_default();
        sum(&sum(&state.fates, &sealing), &state.hot.fates)
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

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let wakes: Vec<_> = locked(&self.wakes).values().cloned().collect();
        wakes.iter().for_each(|wake| wake.wake());
    }
}

fn component(table: &str) -> String {
    format!("table/{table}")
}

fn position_key(table: &str, part: PartId) -> FactKey {
    let mut key = prefix(table);
    key.extend_from_slice(&part.0.to_be_bytes());
    FactKey::new(FactKind::TablePosition, key)
}

fn encode_position(next: Offset) -> Bytes {
    let mut out = FieldWriter::versioned(POSITION_VERSION);
    out.i64(next);
    out.finish()
}

fn decode_position(key: &[u8], value: &[u8]) -> Result<(PartId, Offset), TableError> {
    let part = key
        .last_chunk::<4>()
        .map(|bytes| PartId(u32::from_be_bytes(*bytes)))
        .ok_or_else(|| TableError::Corrupt("a position's key is too short".into()))?;
    let fields = || -> Result<Offset, FieldError> {
        let mut input = FieldReader::versioned(value, POSITION_VERSION)?;
        let next = input.i64("next")?;
        input.end()?;
        Ok(next)
    };
    let next = fields()
        .map_err(|error| TableError::Corrupt(format!("position of partition {part}: {error}")))?;
    Ok((part, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_the_documented_bytes() {
        let key = position_key("films", PartId(258));
        assert_eq!(key.key, &b"films\0\0\0\x01\x02"[..]);
        let value = encode_position(300);
        assert_eq!(value, &b"\x01\xd8\x04"[..]);
        assert_eq!(decode_position(&key.key, &value).unwrap(), (PartId(258), 300));
    }
}
