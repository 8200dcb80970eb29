//! Names of the log's files, relative to the data directory. Users' names never become part of a
//! path: folders are named by partition ids.

use std::path::{Path, PathBuf};

use yeoul_base::{Offset, PartId};

pub(crate) const WAL_DIR: &str = "wal";
pub(crate) const PARTS_DIR: &str = "parts";
pub(crate) const SNAPSHOT_DIR: &str = "snapshots";
pub(crate) const QUARANTINE_DIR: &str = "quarantine";
pub(crate) const LOCK: &str = "lock";

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

pub(crate) fn log_segment(part: PartId, base: Offset) -> PathBuf {
    part_dir(part).join(format!("{base:020}.log"))
}

pub(crate) fn parse_log_segment(name: &str) -> Option<Offset> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

pub(crate) fn snapshot_name(incarnation: u64, sequence: u64) -> String {
    format!("{incarnation:010}-{sequence:020}.snap")
}

pub(crate) fn parse_snapshot_name(name: &str) -> Option<(u64, u64)> {
    let (incarnation, sequence) = name.strip_suffix(".snap")?.split_once('-')?;
    Some((incarnation.parse().ok()?, sequence.parse().ok()?))
}
