//! Recovery: from whatever a crash left to a log that goes on. First everything is read and
//! judged, and nothing is changed when it is damaged; then files are cut to the snapshot's
//! lengths and the commit log is replayed; then all of it is made durable again before anybody
//! may see it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::disk::DiskLock;
use yeoul_base::{Clock, Disk, FactKind, Open, PartEnds, PartId, Rand, Topics};

use crate::batch::BatchHeader;
use crate::compact::Progress;
use crate::core::Core;
use crate::error::LogError;
use crate::facts::Facts;
use crate::frame::{Decoded, Frame};
use crate::gone::Gone;
use crate::group::{self, GroupHeader};
use crate::options::LogOptions;
use crate::part::{Part, TailBatch};
use crate::paths::{self, FileId};
use crate::planted::{self, Planted};
use crate::quarantine::{self, Lost};
use crate::rebuild::Broken;
use crate::reserve::Reserve;
use crate::segment::LogSegment;
use crate::shared::{Shared, View};
use crate::slots::{Slot, Slots};
use crate::snapshot::{self, Snapshot};
use crate::space::Space;
use crate::splitter::{Ring, is_full};
use crate::state::{Lane, PartMap, State};
use crate::topics::{self, PartConfig};
use crate::wal::{self, Wal};

/// What opening the log found and did: for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The directory was empty.
    pub fresh: bool,
    /// Counts the starts of this data directory.
    pub incarnation: u64,
    /// Sequence of the snapshot it began with.
    pub snapshot_sequence: u64,
    /// Commits replayed from the commit log.
    pub replayed: u64,
    /// The last commit that is there.
    pub sequence: u64,
    /// Groups after the last good commit; they were never acknowledged. Copied to these files.
    pub cut: Vec<String>,
    /// Snapshots that could not be read; moved to these files.
    pub quarantined: Vec<String>,
    /// Acknowledged records found damaged by this start, in ranges; their bytes are kept aside.
    pub lost: Vec<Lost>,
    /// Files of removed or unfinished log segments that were deleted.
    pub removed_files: u64,
}

pub(crate) struct Opened {
    pub(crate) core: Core,
    pub(crate) recovered: Recovered,
    pub(crate) lock: Box<dyn DiskLock>,
}

/// All that is known before anything changes.
struct Found {
    begin: Begin,
    wal: Wal,
    gone: Gone,
}

/// A snapshot to begin with, and newer ones that cannot be read.
struct Begin {
    snapshot: Snapshot,
    bytes: u64,
    fresh: bool,
    unreadable: Vec<String>,
    promised: u64,
    /// Of the newest one's name.
    named: u64,
}

/// The snapshots that there are, judged.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// The newest that can be read, and its file's length.
    pub(crate) snapshot: Option<(Snapshot, u64)>,
    /// Names of those after it, the newest first, and what is wrong with each.
    pub(crate) unreadable: Vec<(String, String)>,
}

impl Newest {
    /// The largest incarnation and sequence that the unreadable ones have in their names.
    pub(crate) fn promised(&self) -> (u64, u64) {
        let names = self.unreadable.iter();
        let names = names.filter_map(|(name, _)| paths::parse_snapshot_name(name));
        names.fold((0, 0), |most, name| (most.0.max(name.0), most.1.max(name.1)))
    }
}

/// With `cut` the log goes on with what can be read of the commit log, whatever was acknowledged
/// behind it: only a repair that was agreed to says so.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    options: LogOptions,
    cut: bool,
) -> Result<Opened, LogError> {
    let lock = lock(&*disk, &options.lock_note)?;
    for dir in [paths::WAL_DIR, paths::PARTS_DIR, paths::SNAPSHOT_DIR, paths::QUARANTINE_DIR] {
        let dir = Path::new(dir);
        disk.create_dir_all(dir).map_err(|e| LogError::io(dir, e))?;
    }
    let root = Path::new("");
    disk.sync_dir(root).map_err(|e| LogError::io(root, e))?;

    let begin = begin(&*disk, &*rand)?;
    let mut wal = wal::read(&*disk, (&begin.snapshot).into(), begin.promised)?;
    if !cut {
        wal.check_damage()?;
    }
    let gone = std::mem::take(&mut wal.changes).gone(&begin.snapshot);
    check_lengths(&*disk, &begin.snapshot, &gone)?;

    // From here on things change.
    let mut recovered = Recovered {
        fresh: begin.fresh,
        incarnation: wal.incarnation_max.max(begin.snapshot.incarnation).max(begin.named)
            + u64::from(!planted::is(Planted::SameIncarnation) || begin.fresh),
        snapshot_sequence: begin.snapshot.sequence,
        ..Recovered::default()
    };
    for name in &begin.unreadable {
        recovered.quarantined.push(set_aside(&*disk, name)?);
    }
    cut_lengths(&*disk, &begin.snapshot, &gone)?;
    let found = Found { begin, wal, gone };
    let mut core = core(disk, clock, rand, options, &found, recovered.incarnation)?;
    replay(&mut core, &found, &mut recovered)?;
    let wal = found.wal;
    core.shared.set_view(core.view());
    recovered.cut = wal.quarantine_cut(&*core.disk, !cut)?;
    finish(&mut core, &mut recovered)?;
    Ok(Opened { core, recovered, lock })
}

pub(crate) fn lock(disk: &dyn Disk, note: &str) -> Result<Box<dyn DiskLock>, LogError> {
    const NOTE_BYTES_MAX: u64 = 64;
    let path = Path::new(paths::LOCK);
    disk.lock(path, note).map_err(|error| {
        if error.kind() != io::ErrorKind::WouldBlock {
            return LogError::io(path, error);
        }
        let note = disk.read_all(path, NOTE_BYTES_MAX).unwrap_or_default();
        let pid = String::from_utf8_lossy(&note).trim().to_owned();
        LogError::Locked { pid: if pid.is_empty() { "(unknown)".to_owned() } else { pid } }
    })
}

fn begin(disk: &dyn Disk, rand: &dyn Rand) -> Result<Begin, LogError> {
    let newest = newest(disk)?;
    let (named, promised) = newest.promised();
    if let Some((snapshot, bytes)) = newest.snapshot {
        let unreadable = newest.unreadable.into_iter().map(|(name, _)| name).collect();
        return Ok(Begin { snapshot, bytes, fresh: false, unreadable, promised, named });
    }
    match newest.unreadable.as_slice() {
        [] => fresh(disk, rand),
        [(first, _), .., (_, why)] | [(first, why)] => {
            let what = format!("no snapshot can be read: {why}");
            Err(LogError::damaged(&snapshot::path(first), 0, what))
        }
    }
}

/// Reads snapshots from the newest on until one can be read; changes nothing.
pub(crate) fn newest(disk: &dyn Disk) -> Result<Newest, LogError> {
    let dir = Path::new(paths::SNAPSHOT_DIR);
    let entries = disk.list(dir).map_err(|e| LogError::io(dir, e))?;
    let mut names: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((paths::parse_snapshot_name(&entry.name)?, &entry.name)))
        .collect();
    names.sort();
    let mut newest = Newest::default();
    for (_, name) in names.iter().rev() {
        let path = snapshot::path(name);
        let read = snapshot::read(disk, name).map_err(|e| LogError::io(&path, e))?;
        match read {
            Ok(snapshot) => {
                let bytes = entries.iter().find(|entry| &entry.name == *name);
                newest.snapshot = Some((snapshot, bytes.map_or(0, |entry| entry.len_bytes)));
                break;
            }
            Err(error) => newest.unreadable.push(((*name).clone(), error.to_string())),
        }
    }
    Ok(newest)
}

/// An empty directory gets its first snapshot before anything else, so that a directory with
/// data but without snapshot is known to be damaged.
fn fresh(disk: &dyn Disk, rand: &dyn Rand) -> Result<Begin, LogError> {
    check_empty(disk)?;
    let snapshot = Snapshot {
        incarnation: 0,
        sequence: 0,
        chain: 0,
        salt: rand.next_u64(),
        parts: Vec::new(),
        facts: Facts::new_sync(),
        held: Vec::new(),
    };
    let path = snapshot::path(&snapshot.name());
    let kept = snapshot.write(disk).map_err(|e| LogError::io(&path, e))?;
    Ok(Begin {
        snapshot,
        bytes: kept.bytes,
        fresh: true,
        unreadable: Vec::new(),
        promised: 0,
        named: 0,
    })
}

/// Without a snapshot there must be nothing else.
pub(crate) fn check_empty(disk: &dyn Disk) -> Result<(), LogError> {
    let wal = Path::new(paths::WAL_DIR);
    for entry in disk.list(wal).map_err(|e| LogError::io(wal, e))? {
        let path = wal.join(&entry.name);
        let file = disk.open(&path, Open::Read).map_err(|e| LogError::io(&path, e))?;
        let mut head = [0; group::HEADER_BYTES];
        let read = file.read_at(&mut head, 0).map_err(|e| LogError::io(&path, e))?;
        if read > 0 && group::looks_like_one(&head) {
            return Err(LogError::damaged(&path, 0, "there are commits but no snapshot"));
        }
    }
    let parts = Path::new(paths::PARTS_DIR);
    if let Some(entry) = disk.list(parts).map_err(|e| LogError::io(parts, e))?.first() {
        let path = parts.join(&entry.name);
        return Err(LogError::damaged(&path, 0, "there are records but no snapshot"));
    }
    Ok(())
}

/// A file shorter than the snapshot says has lost what was acknowledged, unless the commit log
/// lets it go.
fn check_lengths(disk: &dyn Disk, snapshot: &Snapshot, gone: &Gone) -> Result<(), LogError> {
    for part in &snapshot.parts {
        for segment in part.segments.iter().filter(|one| !gone.segment(part.id, one)) {
            let path = segment.file(part.id).log();
            let len = match disk.open(&path, Open::Read) {
                Ok(file) => file.len_bytes().map_err(|e| LogError::io(&path, e))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(LogError::damaged(&path, 0, "the file is missing"));
                }
                Err(error) => return Err(LogError::io(&path, error)),
            };
            if len < segment.len_bytes {
                let what = format!("the file ends here, {} bytes are known", segment.len_bytes);
                return Err(LogError::damaged(&path, len, what));
            }
        }
    }
    Ok(())
}

/// What a crash left behind the snapshot's lengths is replayed anew.
fn cut_lengths(disk: &dyn Disk, snapshot: &Snapshot, gone: &Gone) -> Result<(), LogError> {
    for part in &snapshot.parts {
        for segment in part.segments.iter().filter(|one| !gone.segment(part.id, one)) {
            let path = segment.file(part.id).log();
            let cut = || {
                let file = disk.open(&path, Open::Write)?;
                if file.len_bytes()? > segment.len_bytes {
                    file.set_len(segment.len_bytes)?;
                }
                Ok(())
            };
            cut().map_err(|e| LogError::io(&path, e))?;
        }
    }
    Ok(())
}

/// A newer snapshot that cannot be read must not come back when its bytes read well once more:
/// the files are about to be cut to the older one's lengths.
fn set_aside(disk: &dyn Disk, name: &str) -> Result<String, LogError> {
    let from = snapshot::path(name);
    let to = Path::new(paths::QUARANTINE_DIR).join(name);
    let moved = || {
        disk.rename(&from, &to)?;
        disk.sync_dir(Path::new(paths::QUARANTINE_DIR))?;
        disk.sync_dir(Path::new(paths::SNAPSHOT_DIR))
    };
    moved().map_err(|e| LogError::io(&from, e))?;
    Ok(to.display().to_string())
}

pub(crate) fn state(
    disk: &Arc<dyn Disk>,
    snapshot: &Snapshot,
    gone: &Gone,
    options: &LogOptions,
) -> Result<State, LogError> {
    let path = snapshot::path(&snapshot.name());
    let mut state = State { sequence: snapshot.sequence, ..State::empty() };
    state.facts = snapshot.facts.clone();
    let mut all = Topics::default();
    let mut configs = BTreeMap::new();
    for (key, value) in state.facts.iter().filter(|(key, _)| key.kind == FactKind::Topic) {
        let name = String::from_utf8_lossy(&key.key);
        let topic = topics::decode(&name, value)
            .map_err(|error| LogError::damaged(&path, 0, format!("topic {name}: {error}")))?;
        let config = PartConfig::of(&topic.config, options);
        configs.extend(topic.partitions.iter().map(|part| (*part, config)));
        all.by_name.insert(Arc::clone(&topic.name), Arc::new(topic));
    }
    let lost = state.quarantined().map_err(|error| LogError::damaged(&path, 0, error))?;
    state.topics = Arc::new(all);
    for part in &snapshot.parts {
        let Some(config) = configs.get(&part.id) else {
            let what = format!("partition {} belongs to no topic", part.id);
            return Err(LogError::damaged(&path, 0, what));
        };
        let segment = |segment: &snapshot::SegmentState| {
            Arc::new(LogSegment::load(Arc::clone(disk), part.id, segment))
        };
        // What the replay will let go is not looked at: it may be gone.
        let there = part.segments.iter().filter(|segment| !gone.segment(part.id, segment));
        let segments = there.map(segment).collect();
        let aborted = part.segments.iter().flat_map(|segment| segment.aborted.iter().copied());
        let ends = PartEnds {
            start: if planted::is(Planted::StartsNotRestored) { 0 } else { part.start },
            stable: 0,
            high: part.high,
            bytes: 0,
        };
        let shown = Arc::new(Part::new(part.id, *config, ends, segments));
        let mut producers = part.producers.clone();
        if planted::is(Planted::DupOnRetry) {
            producers.clear();
        }
        if planted::is(Planted::StableNotRestored) {
            producers.values_mut().for_each(|producer| producer.open = None);
        }
        let lane = Lane::new(Arc::clone(&shown), part.start, part.high, producers);
        shown.restore(part.high, lane.stable(), aborted);
        state.add_lane(Lane { compaction: Progress::restored(part.compacted), ..lane });
    }
    for lost in lost {
        state.lose(&lost);
    }
    Ok(state)
}

fn core(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    options: LogOptions,
    Found { begin, wal, gone }: &Found,
    incarnation: u64,
) -> Result<Core, LogError> {
    let state = state(&disk, &begin.snapshot, gone, &options)?;
    let empty =
        View { topics: Arc::default(), facts: Facts::new_sync(), parts: PartMap::new_sync() };
    let shared = Arc::new(Shared::new(empty, incarnation, options.on_fatal.clone()));
    let slots: Vec<Slot> = wal.slots.iter().map(|found| found.slot.clone()).collect();
    Ok(Core {
        slots: Slots::new(&options, slots),
        disk,
        clock,
        rand,
        options,
        shared,
        state,
        ring: Ring::default(),
        salt: begin.snapshot.salt,
        chain: begin.snapshot.chain,
        synced: begin.snapshot.sequence,
        kept: vec![begin.snapshot.kept(begin.bytes)],
        doomed: Vec::new(),
        dirty: BTreeMap::new(),
        rolled_since_checkpoint: 0,
        dirty_dirs: BTreeSet::new(),
        since_checkpoint: 0,
        checkpointing: false,
        broken: Broken::default(),
        space: Space::default(),
        reserve: Reserve::default(),
        unsynced: None,
        compacting: false,
        scrubbing: false,
        replaced_bytes: 0,
        checkpoint_wanted: false,
        look_again: false,
    })
}

fn replay(
    core: &mut Core,
    Found { begin, wal, gone }: &Found,
    recovered: &mut Recovered,
) -> Result<(), LogError> {
    let begin = &begin.snapshot;
    // What no file took while it was read-only.
    for (id, bytes) in &begin.held {
        let path = snapshot::path(&begin.name());
        let header = BatchHeader::parse(bytes)
            .map_err(|error| LogError::damaged(&path, 0, error.to_string()))?;
        split(core, *id, bytes, &header, gone)?;
    }
    for (found, frames) in &wal.replay {
        let path = paths::slot(found.header.slot);
        let mut body = wal.body(found).map_err(|e| LogError::io(&path, e))?;
        for index in 0..*frames {
            let seal = found.header.seal(core.salt, index);
            let damaged = |what: String| LogError::damaged(&path, found.header.position, what);
            let decoded = crate::frame::decode(&mut body, seal)
                .map_err(|error| damaged(error.to_string()))?;
            if decoded.bad.as_slice() != wal.bad.get(&seal.sequence).map_or(&[][..], Vec::as_slice)
            {
                return Err(damaged("it reads differently twice".into()));
            }
            replay_frame(core, &decoded.frame, &found.header, gone)?;
            quarantine_bad(core, &decoded, &path, recovered)?;
            recovered.replayed += 1;
        }
        core.chain = found.header.crc;
    }
    core.synced = core.state.sequence;
    let sequence = core.synced;
    core.shared.note(|stats| stats.sequence = sequence);
    recovered.sequence = core.synced;
    for lane in core.state.lanes.values() {
        lane.part.recount();
    }
    // What was read may have been in the page cache only: it is about to be shown.
    wal.sync_replayed()
}

/// Puts a batch into a file, or into memory when the disk is full.
fn split(
    core: &mut Core,
    id: PartId,
    bytes: &Bytes,
    header: &BatchHeader,
    gone: &Gone,
) -> Result<(), LogError> {
    /// So often may what waits be beyond what appends stop at: more than a running log leaves.
    const UNSPLIT_MAX: usize = 4;
    let Some(lane) = core.state.lanes.get(&id) else { return Ok(()) };
    let (base, last) = (header.base_offset, header.last_offset());
    if gone.has(id, last + 1) {
        return Ok(());
    }
    let part = Arc::clone(&lane.part);
    let batch = TailBatch { base, last, bytes: Bytes::clone(bytes) };
    let waiting = (Arc::clone(&part), header.max_timestamp_ms, batch.clone());
    let waiting = [waiting];
    if core.ring.unsplit_bytes() == 0 {
        match core.split_some(&waiting) {
            Ok(_) => return Ok(()),
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "log segments cannot grow, batches wait");
            }
            Err(error) => return Err(LogError::io(&FileId::appended(id, base).log(), error)),
        }
    }
    let limit = core.options.unsplit_bytes.saturating_mul(UNSPLIT_MAX);
    if core.ring.unsplit_bytes() > limit {
        let full = io::Error::new(io::ErrorKind::StorageFull, "the disk is full; make space");
        return Err(LogError::io(&FileId::appended(id, base).log(), full));
    }
    part.wait_in_memory(batch);
    core.ring.push(bytes.len(), waiting.into(), (0, core.clock.monotonic()));
    Ok(())
}

fn replay_frame(
    core: &mut Core,
    frame: &Frame,
    group: &GroupHeader,
    gone: &Gone,
) -> Result<(), LogError> {
    let path = paths::slot(group.slot);
    let damaged = |what: String| LogError::damaged(&path, group.position, what);
    let mut headers = Vec::with_capacity(frame.appends.len());
    for (_, batch) in &frame.appends {
        headers.push(BatchHeader::parse(batch).map_err(|error| damaged(error.to_string()))?);
    }
    let now_ms = core.clock.now_ms();
    let effects = core
        .state
        .apply(&headers, frame, now_ms, &core.options)
        .map_err(|what| damaged(what.to_owned()))?;
    for ((id, bytes), header) in frame.appends.iter().zip(&headers) {
        split(core, *id, bytes, header, gone)?;
    }
    for (id, aborted) in &effects.aborted {
        let Some(lane) = core.state.lanes.get(id) else { continue };
        lane.part.restore(lane.next, lane.stable(), std::iter::once(*aborted));
    }
    for (id, _) in &frame.appends {
        let Some(lane) = core.state.lanes.get(id) else { continue };
        lane.part.restore(lane.next, lane.stable(), std::iter::empty());
    }
    for (part, start) in effects.starts {
        let gone = part.set_start(start);
        core.doomed.extend(gone.iter().map(|segment| segment.id));
    }
    for part in effects.removed {
        let gone = part.segments();
        core.doomed.extend(gone.iter().map(|segment| segment.id));
    }
    Ok(())
}

/// Batches whose records cannot be read any more take their offsets all the same; that they are
/// lost becomes a fact of the snapshot that ends the recovery.
fn quarantine_bad(
    core: &mut Core,
    decoded: &Decoded,
    slot: &Path,
    recovered: &mut Recovered,
) -> Result<(), LogError> {
    for (part, batch) in decoded.bad.iter().filter_map(|index| decoded.frame.appends.get(*index)) {
        let Ok(header) = BatchHeader::parse(batch) else { continue };
        let (first, last) = (header.base_offset, header.last_offset());
        let kept = quarantine::keep(&*core.disk, *part, (first, last), batch)
            .map_err(|e| LogError::io(Path::new(paths::QUARANTINE_DIR), e))?;
        let reason = format!(
            "a batch in {} failed its checksum; its bytes are in {}",
            slot.display(),
            kept.display()
        );
        let lost = Lost::of_records(*part, (first, last), reason);
        if planted::is(Planted::SkipDamaged) {
            let accepted = Lost { accepted: true, ..lost.clone() };
            core.state.lose(&accepted);
            continue;
        }
        core.state.lose(&lost);
        recovered.lost.push(lost);
    }
    Ok(())
}

/// Makes slots, a snapshot of the new incarnation, and removes what nothing refers to.
fn finish(core: &mut Core, recovered: &mut Recovered) -> Result<(), LogError> {
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        core.checkpoint();
        let done = core.kept.last().is_some_and(|k| k.incarnation == core.shared.incarnation);
        if done || core.checkpoint_is_full() || core.ring.unsplit_bytes() > 0 {
            break;
        }
    }
    let unfinished = core.kept.last().is_none_or(|k| k.incarnation != core.shared.incarnation);
    // On a full disk the snapshot before and the commit log go on saying all of it.
    let waits = core.checkpoint_is_full() || core.ring.unsplit_bytes() > 0;
    if unfinished && !waits {
        core.shared.close("no snapshot could be written".into());
    }
    if let Some(reason) = core.shared.fatal() {
        let error = io::Error::other(reason);
        return Err(LogError::io(Path::new(paths::SNAPSHOT_DIR), error));
    }
    recovered.removed_files = collect_unknown(core)?;
    core.split();
    // One to write to, and the reserve.
    while core.slots.wants_more() {
        match core.make_slot(core.slots.order_small(0)) {
            Ok(()) => {}
            // The log can be read; commits are refused until there is space.
            Err(error) if is_full(&error) => {
                core.slot_made(Err(error));
                break;
            }
            Err(error) => return Err(LogError::io(Path::new(paths::WAL_DIR), error)),
        }
    }
    core.find_reserve();
    Ok(())
}

/// Deletes log segments neither the state nor a snapshot knows, and older snapshots. Names that
/// are not the log's stay.
fn collect_unknown(core: &mut Core) -> Result<u64, LogError> {
    let disk = Arc::clone(&core.disk);
    let list = |dir: &Path| disk.list(dir).map_err(|e| LogError::io(dir, e));
    let mut live = BTreeSet::new();
    for lane in core.state.lanes.values() {
        live.extend(lane.part.segments().iter().map(|segment| segment.id));
    }
    let mut removed = 0;
    for entry in list(Path::new(paths::PARTS_DIR))? {
        let Some(part) = paths::parse_part_dir(&entry.name) else { continue };
        for file in list(&paths::part_dir(part))? {
            let Some(file) = FileId::parse(part, &file.name) else { continue };
            if !live.contains(&file) && !core.doomed.contains(&file) {
                core.doomed.push(file);
                removed += 1;
            }
        }
    }
    for entry in list(Path::new(paths::SNAPSHOT_DIR))? {
        let kept = core.kept.iter().any(|kept| kept.name == entry.name);
        let ours = paths::parse_snapshot_name(&entry.name).is_some();
        if (ours && !kept) || entry.name.ends_with(".tmp") {
            let path = snapshot::path(&entry.name);
            disk.remove_file(&path).map_err(|e| LogError::io(&path, e))?;
        }
    }
    core.collect();
    Ok(removed)
}
