//! The repair. In this order: copies of what is given up are made and synced; files that end too
//! early are filled with zeros; the log is opened as after a crash, which makes a snapshot of
//! what is left; what cannot be read becomes facts. Each step can be done again after a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yeoul_base::{Clock, Disk, DiskFile, Open, Rand, StoreError};

use super::look::{self, Look};
use super::{Choice, Finding, Repaired};
use crate::damage::Damage;
use crate::error::LogError;
use crate::group::ALIGN;
use crate::log::Log;
use crate::options::LogOptions;
use crate::paths::{self, FileId};
use crate::quarantine::{self, Lost};
use crate::recovery;
use crate::snapshot::{PartState, Snapshot};
use crate::wal::{Found, Wal};

/// Copied at once.
const PIECE_BYTES: u64 = 1 << 20;

pub(super) fn mend(
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    options: LogOptions,
    choices: &[Choice],
) -> Result<Repaired, LogError> {
    let lock = recovery::lock(&**disk, &options.lock_note)?;
    let chosen =
        |finding: &&Finding| finding.choice.is_some_and(|choice| choices.contains(&choice));
    let first = look::look(disk, &options, &mut |_| Ok(()))?;
    let settled: Vec<_> = first.diagnosis.findings.iter().filter(chosen).cloned().collect();
    if settled.is_empty() {
        return Ok(Repaired::default());
    }
    let does = |choice| settled.iter().any(|finding| finding.choice == Some(choice));
    let cut = does(Choice::Cut) || does(Choice::OlderSnapshot);
    let mut kept = Vec::new();
    make_dir(&**disk, Path::new(paths::QUARANTINE_DIR), Path::new(""))?;
    let look = look::look(disk, &options, &mut |damage| keep_damage(&**disk, damage, &mut kept))?;
    if cut && let (Some(wal), Some(snapshot)) = (&look.wal, &look.snapshot) {
        keep_commits(&**disk, wal, &mut kept)?;
        keep_tails(&**disk, snapshot, &mut kept)?;
        for short in &wal.short {
            grow(&**disk, &paths::slot(short.slot), short.full_bytes)?;
        }
    }
    if does(Choice::Hole) {
        fill(&**disk, &look)?;
    }
    drop(lock);
    let inline = LogOptions { inline: true, ..options };
    let (log, recovered) = Log::open_or_cut(Arc::clone(disk), clock, rand, inline, cut)?;
    note(&log, look, choices.contains(&Choice::Accept)).map_err(unsaid)?;
    log.checkpoint().map_err(unsaid)?;
    if !log.has_own_snapshot().map_err(unsaid)? {
        let full = io::Error::new(
            io::ErrorKind::StorageFull,
            "the disk is full: make space, then repair again",
        );
        return Err(LogError::io(Path::new(paths::SNAPSHOT_DIR), full));
    }
    let lost = log.lost();
    log.close();
    Ok(Repaired { settled, kept, recovered: Some(recovered), lost })
}

fn unsaid(error: StoreError) -> LogError {
    LogError::Io { file: paths::WAL_DIR.to_owned(), source: io::Error::other(error) }
}

fn make_dir(disk: &dyn Disk, dir: &Path, parent: &Path) -> Result<(), LogError> {
    let made = || {
        disk.create_dir_all(dir)?;
        disk.sync_dir(parent)
    };
    made().map_err(|e| LogError::io(dir, e))
}

/// Lost ranges become facts; those that readers may pass over from now on are marked.
fn note(log: &Log, look: Look, accept: bool) -> Result<(), StoreError> {
    for lost in look.damage {
        // A range that holds older ones hides them, also from who asks for an offset in between.
        let inside = look.known.range((lost.part, lost.first)..=(lost.part, lost.last));
        let inside = inside.filter(|(_, older)| older.first > lost.first);
        for (_, older) in inside.filter(|(_, older)| older.last < lost.last) {
            log.note_lost(Lost { last: lost.last, hole: None, ..older.clone() })?;
        }
        log.note_lost(lost)?;
    }
    if accept {
        for lost in log.lost().into_iter().filter(|lost| !lost.accepted) {
            log.note_lost(Lost { accepted: true, ..lost })?;
        }
    }
    Ok(())
}

/// The damaged bytes, unless there are none: a file that ended too early reads as zeros.
fn keep_damage(
    disk: &dyn Disk,
    damage: &mut Damage,
    kept: &mut Vec<String>,
) -> Result<(), LogError> {
    if damage.bytes.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let lost = &mut damage.lost;
    let path = quarantine::keep(disk, lost.part, (lost.first, lost.last), &damage.bytes)
        .map_err(|e| LogError::io(Path::new(paths::QUARANTINE_DIR), e))?;
    let path = path.display().to_string();
    lost.reason.push_str(&format!("; the bytes are in {path}"));
    if !kept.contains(&path) {
        kept.push(path);
    }
    Ok(())
}

/// What stands where the commit log ends, and at the start of slots that begin with no group: the
/// next one may have been there. And groups behind it.
fn keep_commits(disk: &dyn Disk, wal: &Wal, kept: &mut Vec<String>) -> Result<(), LogError> {
    let (slot, at) = wal.end_place();
    let mut places = vec![(slot, at / ALIGN * ALIGN)];
    for slot in wal.slots.iter().map(|found| found.slot.number) {
        let begins = |found: &Found| (found.header.slot, found.header.position) == (slot, 0);
        if !wal.all().any(begins) && !places.contains(&(slot, 0)) {
            places.push((slot, 0));
        }
    }
    for (slot, at) in places {
        // Up to the next group that can be read: what is damaged lies before it.
        let groups = wal.all().filter(|found| found.header.slot == slot);
        let next = groups.map(|found| found.header.position).filter(|next| *next > at).min();
        let name = format!("wal-{slot:010}-{at:012}.bad");
        copy(disk, &paths::slot(slot), (at, next.unwrap_or(u64::MAX)), &name, kept)?;
    }
    // Recovery does this, too; but there it may be left out when the disk is full.
    kept.extend(wal.quarantine_cut(disk, false)?);
    Ok(())
}

/// Log segments may still have records that the commit log lost, behind what the snapshot knows:
/// a start writes these bytes anew.
fn keep_tails(
    disk: &dyn Disk,
    snapshot: &Snapshot,
    kept: &mut Vec<String>,
) -> Result<(), LogError> {
    let dir = Path::new(paths::PARTS_DIR);
    for entry in list(disk, dir)? {
        let Some(part) = paths::parse_part_dir(&entry) else { continue };
        let known = snapshot.parts.iter().find(|known| known.id == part);
        for file in list(disk, &paths::part_dir(part))? {
            let id = FileId::parse(part, &file).filter(|id| id.log().ends_with(&file));
            let Some(id) = id else { continue };
            let Some(from) = unknown_from(known, id) else { continue };
            let name = format!("tail-{:010}-{:020}-{from:012}.log", part.0, id.base);
            copy(disk, &id.log(), (from, u64::MAX), &name, kept)?;
        }
    }
    Ok(())
}

/// From where on the snapshot does not know a file; `None` for files that are no newer.
fn unknown_from(known: Option<&PartState>, id: FileId) -> Option<u64> {
    let Some(part) = known else { return Some(0) };
    let named = part.segments.iter().find(|segment| segment.file(part.id) == id);
    let newer = id.generation == 0 && id.base >= part.high;
    named.map(|segment| segment.len_bytes).or(newer.then_some(0))
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, LogError> {
    let entries = disk.list(dir).map_err(|e| LogError::io(dir, e))?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

/// Copies a part of a file that has anything but zeros in it. Whole or not at all: what was
/// copied before stays, for the file may have been changed since.
fn copy(
    disk: &dyn Disk,
    path: &Path,
    (from, to): (u64, u64),
    name: &str,
    kept: &mut Vec<String>,
) -> Result<(), LogError> {
    let dir = Path::new(paths::QUARANTINE_DIR);
    let target = dir.join(name);
    let copied = || -> io::Result<bool> {
        let file = match disk.open(path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let end = used_end(&*file, from, to)?;
        if end <= from {
            return Ok(false);
        }
        if disk.exists(&target)? {
            return Ok(true);
        }
        let beside = target.with_extension("tmp");
        let out = disk.open(&beside, Open::Create)?;
        out.set_len(0)?;
        let mut at = from;
        while at < end {
            let piece = read_piece(&*file, at, end)?;
            out.write_all_at(&piece, at - from)?;
            at += piece.len() as u64;
        }
        out.sync_data()?;
        disk.rename(&beside, &target)?;
        disk.sync_dir(dir)?;
        Ok(true)
    };
    if copied().map_err(|e| LogError::io(path, e))? {
        kept.push(target.display().to_string());
    }
    Ok(())
}

fn read_piece(file: &dyn DiskFile, at: u64, end: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from((end - at).min(PIECE_BYTES)).unwrap_or(0);
    let mut piece = vec![0; len];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece)
}

/// Behind the last byte that is not zero.
fn used_end(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<u64> {
    let end = to.min(file.len_bytes()?);
    let (mut at, mut used) = (from, from);
    while at < end {
        let piece = read_piece(file, at, end)?;
        let last = piece.iter().rposition(|byte| *byte != 0);
        used = last.map_or(used, |last| at + last as u64 + 1);
        at += piece.len() as u64;
    }
    Ok(used)
}

/// Gives log segments their length again. What they have stays as it is.
fn fill(disk: &dyn Disk, look: &Look) -> Result<(), LogError> {
    let parts = Path::new(paths::PARTS_DIR);
    for (path, len_bytes) in &look.grow {
        let dir: PathBuf = path.parent().unwrap_or(parts).to_owned();
        make_dir(disk, &dir, parts)?;
        grow(disk, path, *len_bytes)?;
        disk.sync_dir(&dir).map_err(|e| LogError::io(&dir, e))?;
    }
    Ok(())
}

fn grow(disk: &dyn Disk, path: &Path, len_bytes: u64) -> Result<(), LogError> {
    let grown = || {
        let file = disk.open(path, Open::Create)?;
        if file.len_bytes()? < len_bytes {
            file.set_len(len_bytes)?;
        }
        file.sync_data()
    };
    grown().map_err(|e| LogError::io(path, e))
}
