//! Names of the log's files, relative to the data directory. Users' names never become part of a
//! path: folders are named by partition ids.

use std::path::{Path, PathBuf};

use yeoul_base::{Offset, PartId};

pub(crate) const WAL_DIR: &str = "wal";
pub(crate) const PARTS_DIR: &str = "parts";
pub(crate) const SNAPSHOT_DIR: &str = "snapshots";
pub(crate) const QUARANTINE_DIR: &str = "quarantine";
pub(crate) const LOCK: &str = "lock";
pub(crate) const RESERVE: &str = "reserve";

pub(crate) fn slot(number: u64) -> PathBuf {
    Path::new(WAL_DIR).join(format!("{number:010}.wal"))
}

pub(crate) fn parse_slot(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

pub(crate) fn part_dir(part: PartId) -> PathBuf {
    Path::new(PARTS_DIR).join(format!("{:010}", part.0))
}

pub(crate) fn parse_part_dir(name: &str) -> Option<PartId> {
    (name.len() == 10).then(|| name.parse().ok().map(PartId))?
}

/// Which file a log segment is. Compaction never changes a file: what it makes is the next
/// generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    pub(crate) part: PartId,
    pub(crate) base: Offset,
    /// 0: as it was appended.
    pub(crate) generation: u32,
}

impl FileId {
    pub(crate) fn appended(part: PartId, base: Offset) -> Self {
        Self { part, base, generation: 0 }
    }

    pub(crate) fn log(self) -> PathBuf {
        self.with_end("log")
    }

    /// Its checksums.
    pub(crate) fn sum(self) -> PathBuf {
        self.with_end("sum")
    }

    fn with_end(self, end: &str) -> PathBuf {
        let Self { part, base, generation } = self;
        let name = match generation {
            0 => format!("{base:020}.{end}"),
            _ => format!("{base:020}-{generation:010}.{end}"),
        };
        part_dir(part).join(name)
    }

    /// The log segment that a file in a partition's folder belongs to.
    pub(crate) fn parse(part: PartId, name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".log").or_else(|| name.strip_suffix(".sum"))?;
        let (base, generation) = match stem.split_once('-') {
            Some((base, generation)) if generation.len() == 10 => (base, generation.parse().ok()?),
            Some(_) => return None,
            None => (stem, 0),
        };
        let base = Some(base).filter(|digits| digits.len() == 20)?.parse().ok()?;
        Some(Self { part, base, generation })
    }
}

pub(crate) fn snapshot_name(incarnation: u64, sequence: u64) -> String {
    format!("{incarnation:010}-{sequence:020}.snap")
}

pub(crate) fn parse_snapshot_name(name: &str) -> Option<(u64, u64)> {
    let (incarnation, sequence) = name.strip_suffix(".snap")?.split_once('-')?;
    Some((incarnation.parse().ok()?, sequence.parse().ok()?))
}
