//! `yeoul doctor`: says what of a data directory is damaged, what could be done about it and what
//! that would lose; and does it when told to.
//!
//! Invariants: an examination changes nothing. A repair first copies what it gives up to
//! `quarantine/`, changes only what [`Diagnosis`] named, and takes effect with one snapshot: a
//! crash before it leaves a directory to be examined and repaired again.

mod look;
mod mend;
mod overlay;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use yeoul_base::{Clock, Disk, Offset, PartId, Rand};

use crate::error::LogError;
use crate::options::LogOptions;
use crate::quarantine::Lost;
use crate::recovery::{self, Recovered};

/// Something that can be done about a finding. Each gives up what cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// Go on with the commits before the damage in the commit log.
    Cut,
    /// Go on with the snapshot before, and what the commit log has since.
    OlderSnapshot,
    /// Put zeros in the place of a log segment's missing bytes: its offsets are lost, all
    /// others stay.
    Hole,
    /// Let readers pass over lost offsets without an error.
    Accept,
}

impl Choice {
    pub const ALL: [Self; 4] = [Self::Cut, Self::OlderSnapshot, Self::Hole, Self::Accept];
}

/// What kind of thing is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Snapshot,
    CommitLog,
    LogSegment,
    Records,
}

impl Kind {
    /// For scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::CommitLog => "commit log",
            Self::LogSegment => "log segment",
            Self::Records => "records",
        }
    }
}

/// Offsets of a partition that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostOffsets {
    pub part: PartId,
    /// `None`: no topic has that partition.
    pub topic: Option<Arc<str>>,
    /// The partition's number in its topic.
    pub index: usize,
    pub first: Offset,
    pub last: Offset,
}

/// What a choice gives up, as far as it can still be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loses {
    /// First and last commit.
    pub commits: Option<(u64, u64)>,
    /// Of these commits: how many hold nobody knows what.
    pub untold: u64,
    pub offsets: Vec<LostOffsets>,
    /// Changes of facts, by their kind.
    pub facts: BTreeMap<String, u64>,
    /// Topics that these commits created.
    pub topics: Vec<Arc<str>>,
}

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// Relative to the data directory.
    pub file: String,
    /// In bytes from the file's start, where that is known.
    pub position: Option<u64>,
    pub what: String,
    /// `None`: nothing here can help, only a backup.
    pub choice: Option<Choice>,
    pub loses: Loses,
}

/// What an examination found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// The last commit that can be read.
    pub commits: u64,
    /// Commits that the next start takes from the commit log.
    pub replayed: u64,
    pub topics: u64,
    pub records: u64,
    pub bytes: u64,
    pub findings: Vec<Finding>,
    /// Lost offsets that readers pass over, as somebody decided.
    pub accepted: Vec<LostOffsets>,
    /// Groups at the end that were never acknowledged: the next start keeps them aside.
    pub torn_groups: u64,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired {
    /// What was damaged and is settled now.
    pub settled: Vec<Finding>,
    /// Copies in `quarantine/`.
    pub kept: Vec<String>,
    /// How the log came up after it; `None`: nothing was to be done, and nothing was changed.
    pub recovered: Option<Recovered>,
    /// All lost ranges that are known now.
    pub lost: Vec<Lost>,
}

impl Diagnosis {
    pub fn is_healthy(&self) -> bool {
        self.findings.is_empty()
    }

    /// What can be done, each once.
    pub fn choices(&self) -> Vec<Choice> {
        let offered =
            |choice: &Choice| self.findings.iter().any(|finding| finding.choice == Some(*choice));
        Choice::ALL.into_iter().filter(offered).collect()
    }
}

/// Reads everything and says what is damaged. Changes nothing.
///
/// # Errors
/// [`LogError::Locked`] while a node uses the directory; [`LogError::Io`] when it cannot be read
/// at all.
pub fn examine(disk: &Arc<dyn Disk>, options: &LogOptions) -> Result<Diagnosis, LogError> {
    let _lock = recovery::lock(&**disk, &options.lock_note)?;
    Ok(look::look(disk, options, &mut |_| Ok(()))?.diagnosis)
}

/// Does what was chosen about each finding that offers it; nothing when none does. With
/// [`Choice::Accept`] also what another choice makes lost is passed over.
///
/// # Errors
/// Those of [`examine`]; and [`LogError::Damaged`] when something is damaged that was not chosen
/// to be repaired, or cannot be.
pub fn repair(
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    options: LogOptions,
    choices: &[Choice],
) -> Result<Repaired, LogError> {
    mend::mend(disk, clock, rand, options, choices)
}
