//! Reading the commit log back: which groups lie in which slots, which of them continue a
//! snapshot, where that ends, and whether the end is a torn tail or damage.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Disk, DiskFile, Open, PartId};

use crate::batch::BatchHeader;
use crate::error::LogError;
use crate::frame::{self, FrameError};
use crate::gone::Changes;
use crate::group::{self, ALIGN, GroupHeader, HEADER_BYTES};
use crate::part::TailBatch;
use crate::paths;
use crate::planted::{self, Planted};
use crate::slots::Slot;
use crate::snapshot::{Kept, Snapshot};
use crate::splitter::is_full;

/// A header where it belongs.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) header: GroupHeader,
    file: Arc<dyn DiskFile>,
}

/// A slot's file and the groups in it.
#[derive(Debug)]
pub(crate) struct FoundSlot {
    pub(crate) slot: Slot,
}

/// What the commit log holds beyond a snapshot.
#[derive(Debug)]
pub(crate) struct Wal {
    pub(crate) slots: Vec<FoundSlot>,
    /// By first sequence.
    headers: BTreeMap<u64, Vec<Found>>,
    /// Groups to replay, in order, and how many of their frames.
    pub(crate) replay: Vec<(Found, u32)>,
    /// Of the frames to replay: which batches cannot be read, though they were acknowledged.
    pub(crate) bad: BTreeMap<u64, Vec<usize>>,
    /// Commits up to here were acknowledged, whatever can be read of them.
    known: u64,
    /// The first sequence that is not there …
    end_sequence: u64,
    /// … and where it was looked for.
    end_at: (u64, u64),
    begin_incarnation: u64,
    pub(crate) incarnation_max: u64,
    /// Of the frames to replay: what they let go.
    pub(crate) changes: Changes,
    /// Slots that were longer once.
    pub(crate) short: Vec<Short>,
    /// Frames that hold by their checksum and yet are none.
    malformed: Option<Trouble>,
}

/// A place that cannot be read, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) path: PathBuf,
    pub(crate) position: u64,
    pub(crate) what: String,
}

impl Trouble {
    pub(crate) fn error(&self) -> LogError {
        LogError::damaged(&self.path, self.position, self.what.clone())
    }
}

/// A slot that ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) slot: u64,
    pub(crate) len_bytes: u64,
    /// As long as it was, as far as that is known.
    pub(crate) full_bytes: u64,
}

impl Short {
    pub(crate) fn trouble(&self) -> Trouble {
        let what = "the file ends here, it has been longer".to_owned();
        Trouble { path: paths::slot(self.slot), position: self.len_bytes, what }
    }
}

/// Where in the log of commits to begin: behind a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    sequence: u64,
    chain: u32,
    incarnation: u64,
    salt: u64,
}

impl From<&Snapshot> for Begin {
    fn from(snapshot: &Snapshot) -> Self {
        let Snapshot { sequence, chain, incarnation, salt, .. } = *snapshot;
        Self { sequence, chain, incarnation, salt }
    }
}

/// All batches of one partition behind a snapshot, as the commit log has them now.
pub(crate) fn appends(
    disk: &dyn Disk,
    kept: &Kept,
    salt: u64,
    part: PartId,
) -> io::Result<Vec<TailBatch>> {
    let Kept { sequence, chain, incarnation, .. } = *kept;
    let wal = read(disk, Begin { sequence, chain, incarnation, salt }, 0);
    let wal = wal.map_err(io::Error::other)?;
    if let Some(trouble) = wal.broken() {
        return Err(io::Error::other(trouble.error()));
    }
    let mut out = Vec::new();
    for (found, frames) in &wal.replay {
        let mut body = wal.body(found)?;
        for index in 0..*frames {
            let decoded = frame::decode(&mut body, found.header.seal(salt, index));
            let decoded = decoded.map_err(io::Error::other)?;
            if !decoded.bad.is_empty() {
                return Err(io::Error::other("a batch fails its checksum in the commit log, too"));
            }
            for (id, bytes) in decoded.frame.appends {
                if id == part {
                    let header = BatchHeader::parse(&bytes).map_err(io::Error::other)?;
                    let (base, last) = (header.base_offset, header.last_offset());
                    out.push(TailBatch { base, last, bytes });
                }
            }
        }
    }
    Ok(out)
}

/// `promised` is the sequence of the newest snapshot that there was, readable or not.
pub(crate) fn read(disk: &dyn Disk, begin: Begin, promised: u64) -> Result<Wal, LogError> {
    let mut wal = Wal {
        slots: Vec::new(),
        headers: BTreeMap::new(),
        replay: Vec::new(),
        bad: BTreeMap::new(),
        known: promised,
        end_sequence: begin.sequence + 1,
        end_at: (0, 0),
        begin_incarnation: begin.incarnation,
        incarnation_max: 0,
        changes: Changes::default(),
        short: Vec::new(),
        malformed: None,
    };
    let dir = Path::new(paths::WAL_DIR);
    for entry in disk.list(dir).map_err(|e| LogError::io(dir, e))? {
        let Some(number) = paths::parse_slot(&entry.name) else { continue };
        let path = paths::slot(number);
        let file = disk.open(&path, Open::Write).map_err(|e| LogError::io(&path, e))?;
        let blocks = wal.scan(&file, number, begin.salt).map_err(|e| LogError::io(&path, e))?;
        let full = full_length(&*file, blocks).map_err(|e| LogError::io(&path, e))?;
        wal.short.extend(full.map(|(len_bytes, full_bytes)| Short {
            slot: number,
            len_bytes,
            full_bytes,
        }));
    }
    // What earlier incarnations say of commits behind the snapshot was given up by a repair.
    let ours = wal.all().filter(|found| found.header.incarnation >= begin.incarnation);
    let synced = ours.map(|found| found.header.synced_upto).max().unwrap_or(0);
    wal.known = wal.known.max(synced);
    wal.follow(begin)?;
    Ok(wal)
}

/// A slot is as long as it will ever be before the first group is written to it. One that a
/// crash left unfinished has no groups, nor any byte but zeros. Of one that has been longer:
/// its length, and what that was.
fn full_length(file: &dyn DiskFile, blocks: Option<u32>) -> io::Result<Option<(u64, u64)>> {
    let len = file.len_bytes()?;
    let known = blocks.map(|blocks| u64::from(blocks) * ALIGN);
    let mut head = [0; HEADER_BYTES];
    let take = HEADER_BYTES.min(usize::try_from(len).unwrap_or(HEADER_BYTES));
    file.read_exact_at(head.get_mut(..take).unwrap_or_default(), 0)?;
    let begun = !len.is_multiple_of(ALIGN) && head.iter().any(|byte| *byte != 0);
    Ok(match known {
        Some(known) => (len < known).then_some((len, known)),
        None => begun.then_some((len, group::padded(len))),
    })
}

impl Wal {
    /// Goes from group to group, and in steps of 4 KiB where there is none. Returns the slot's
    /// size as its groups say, if there is any.
    fn scan(
        &mut self,
        file: &Arc<dyn DiskFile>,
        number: u64,
        salt: u64,
    ) -> io::Result<Option<u32>> {
        let mut blocks = None;
        let len = file.len_bytes()? / ALIGN * ALIGN;
        let mut last_sequence = 0;
        let mut at = 0;
        while at < len {
            let mut head = [0; HEADER_BYTES];
            file.read_exact_at(&mut head, at)?;
            let header = GroupHeader::parse(&head, salt)
                .filter(|header| header.slot == number && header.position == at);
            let Some(header) = header else {
                at += ALIGN;
                continue;
            };
            blocks = blocks.max(Some(header.slot_blocks));
            last_sequence = last_sequence.max(header.end_sequence().saturating_sub(1));
            self.incarnation_max = self.incarnation_max.max(header.incarnation);
            at += header.total_bytes().min(len - at).max(ALIGN);
            let found = Found { header, file: Arc::clone(file) };
            self.headers.entry(header.first_sequence).or_default().push(found);
        }
        let slot = Slot { number, size_bytes: len, last_sequence, file: Arc::clone(file) };
        self.slots.push(FoundSlot { slot });
        Ok(blocks)
    }

    /// The group that continues the log at `sequence`: of several the newest incarnation's, for
    /// that one knew where the others ended.
    fn next(&self, sequence: u64, chain: u32, incarnation: u64) -> Option<Found> {
        self.headers
            .get(&sequence)?
            .iter()
            .filter(|found| {
                found.header.previous == chain && found.header.incarnation >= incarnation
            })
            .max_by_key(|found| found.header.incarnation)
            .cloned()
    }

    /// Follows the chain from the snapshot as far as it is whole.
    fn follow(&mut self, begin: Begin) -> Result<(), LogError> {
        let mut chain = begin.chain;
        let mut incarnation = begin.incarnation;
        while let Some(found) = self.next(self.end_sequence, chain, incarnation) {
            let header = found.header;
            let path = paths::slot(header.slot);
            let mut body = self.body(&found).map_err(|e| LogError::io(&path, e))?;
            let whole = body.len();
            let mut taken = 0;
            let mut torn = false;
            self.end_at = (header.slot, header.position);
            while taken < header.frame_count {
                // A later incarnation may have cut this group here.
                let cut = taken > 0
                    && self.next(self.end_sequence, header.crc, header.incarnation + 1).is_some();
                if cut {
                    break;
                }
                let position = header.position + (HEADER_BYTES + whole - body.len()) as u64;
                match frame::decode(&mut body, header.seal(begin.salt, taken)) {
                    Ok(decoded) if decoded.bad.is_empty() => self.changes.note(&decoded.frame),
                    // Damage, of which the frame says whose records it took.
                    Ok(decoded) if self.end_sequence <= self.known => {
                        self.changes.note(&decoded.frame);
                        self.bad.insert(self.end_sequence, decoded.bad);
                    }
                    Ok(_) | Err(FrameError::Torn) => {
                        self.end_at = (header.slot, position);
                        torn = true;
                        break;
                    }
                    Err(error) => {
                        self.end_at = (header.slot, position);
                        let (path, what) = (path.clone(), error.to_string());
                        self.malformed = Some(Trouble { path, position, what });
                        torn = true;
                        break;
                    }
                }
                taken += 1;
                self.end_sequence += 1;
            }
            if taken > 0 {
                chain = header.crc;
                self.replay.push((found, taken));
            }
            incarnation = header.incarnation + u64::from(torn);
            if !torn && taken == header.frame_count {
                self.end_at = (header.slot, header.position + header.total_bytes());
            }
        }
        Ok(())
    }

    /// The frames' bytes, as many as the slot has.
    pub(crate) fn body(&self, found: &Found) -> io::Result<Bytes> {
        let from = found.header.position + HEADER_BYTES as u64;
        let there = found.file.len_bytes()?.saturating_sub(from);
        let len = u64::from(found.header.body_bytes).min(there);
        let mut body = vec![0; usize::try_from(len).unwrap_or(0)];
        found.file.read_exact_at(&mut body, from)?;
        Ok(Bytes::from(body))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Found> {
        self.headers.values().flatten()
    }

    /// A commit that is not there is a torn tail, unless some group says that it was synced (or a
    /// snapshot of that sequence existed).
    pub(crate) fn check_damage(&self) -> Result<(), LogError> {
        self.trouble().map_or(Ok(()), |trouble| Err(trouble.error()))
    }

    /// Why the log cannot go on with what there is of the commit log.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.broken().or_else(|| self.missing())
    }

    /// What is wrong whatever was acknowledged.
    fn broken(&self) -> Option<Trouble> {
        self.short.first().map(Short::trouble).or_else(|| self.malformed.clone())
    }

    /// Commits that were acknowledged and are not there.
    pub(crate) fn missing(&self) -> Option<Trouble> {
        let known = self.known;
        let (slot, position) = self.end_at;
        (known >= self.end_sequence).then(|| {
            let what = format!(
                "commit {} cannot be read, but commits up to {known} were acknowledged",
                self.end_sequence
            );
            Trouble { path: paths::slot(slot), position, what }
        })
    }

    pub(crate) fn malformed(&self) -> Option<&Trouble> {
        self.malformed.as_ref()
    }

    /// Slot and position where the first commit that is not there was looked for.
    pub(crate) fn end_place(&self) -> (u64, u64) {
        self.end_at
    }

    /// The first commit that is not there, and the last that was acknowledged.
    pub(crate) fn end(&self) -> (u64, u64) {
        (self.end_sequence, self.known)
    }

    /// Groups that hold, with frames behind the end: by sequence, the newest incarnation first.
    pub(crate) fn behind_end(&self) -> Vec<&Found> {
        let mut found: Vec<_> = self
            .all()
            .filter(|found| {
                found.header.end_sequence() > self.end_sequence
                    && found.header.incarnation >= self.begin_incarnation
            })
            .collect();
        found.sort_by_key(|found| {
            (found.header.first_sequence, std::cmp::Reverse(found.header.incarnation))
        });
        found
    }

    /// Copies groups with frames behind the end, which no one was told of, out of the way. They
    /// stay in their slots; the new incarnation makes them invalid. With `or_not` a full disk keeps
    /// none.
    pub(crate) fn quarantine_cut(
        &self,
        disk: &dyn Disk,
        or_not: bool,
    ) -> Result<Vec<String>, LogError> {
        let mut copies = Vec::new();
        for found in self.behind_end() {
            let header = &found.header;
            let name = format!(
                "wal-{:010}-{:012}-{}-{}.group",
                header.slot, header.position, header.incarnation, header.first_sequence
            );
            let path = Path::new(paths::QUARANTINE_DIR).join(name);
            let copy = || {
                let head = header_bytes(found)?;
                let file = disk.open(&path, Open::Create)?;
                file.set_len(0)?;
                file.write_all_at(&head, 0)?;
                file.write_all_at(&self.body(found)?, HEADER_BYTES as u64)?;
                file.sync_data()
            };
            match copy() {
                Ok(()) => copies.push(path.display().to_string()),
                // Nobody was told of it: worth keeping, not worth refusing the start.
                Err(error) if or_not && is_full(&error) => {
                    tracing::warn!(%error, file = %path.display(), "a torn end is not kept aside");
                    let _ = disk.remove_file(&path);
                }
                Err(error) => return Err(LogError::io(&path, error)),
            }
        }
        let dir = Path::new(paths::QUARANTINE_DIR);
        if !copies.is_empty() {
            disk.sync_dir(dir).map_err(|e| LogError::io(dir, e))?;
        }
        Ok(copies)
    }

    /// Syncs the slots that commits were read from.
    pub(crate) fn sync_replayed(&self) -> Result<(), LogError> {
        let numbers: BTreeSet<_> = self.replay.iter().map(|(found, _)| found.header.slot).collect();
        for FoundSlot { slot } in &self.slots {
            if numbers.contains(&slot.number) && !planted::is(Planted::ReplayedNotSynced) {
                let path = paths::slot(slot.number);
                slot.file.sync_data().map_err(|e| LogError::io(&path, e))?;
            }
        }
        Ok(())
    }
}

fn header_bytes(found: &Found) -> io::Result<[u8; HEADER_BYTES]> {
    let mut head = [0; HEADER_BYTES];
    found.file.read_exact_at(&mut head, found.header.position)?;
    Ok(head)
}
