//! What the commit log behind a snapshot says is gone: records below a moved start, and deleted
//! partitions. On a full disk their files are removed before a new snapshot can be written, so a
//! start must not miss files that a snapshot names and the commit log then lets go.
//!
//! Invariant: such a file is removed only after the frame that lets it go is synced, and that
//! frame stays in the commit log as long as a snapshot names the file.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yeoul_base::{FactKey, FactKind, Offset, PartId};

use crate::core::Core;
use crate::frame::Frame;
use crate::paths::{self, FileId};
use crate::snapshot::{Kept, SegmentState, Snapshot};
use crate::topics;

/// Gathered while the commit log is followed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    starts: BTreeMap<PartId, Offset>,
    /// Every value a topic's fact has had; `None`: deleted.
    topics: BTreeMap<Bytes, Vec<Option<Bytes>>>,
}

impl Changes {
    pub(crate) fn note(&mut self, frame: &Frame) {
        for (part, start) in &frame.starts {
            let known = self.starts.entry(*part).or_default();
            *known = (*known).max(*start);
        }
        for (key, value) in frame.facts.iter().filter(|(key, _)| key.kind == FactKind::Topic) {
            // A copy: these few bytes must not keep their whole group in memory.
            let name = Bytes::copy_from_slice(&key.key);
            let value = value.as_deref().map(Bytes::copy_from_slice);
            self.topics.entry(name).or_default().push(value);
        }
    }

    /// What is gone at the end of the commit log, for a start from that snapshot.
    pub(crate) fn gone(self, snapshot: &Snapshot) -> Gone {
        let parts = |name: &Bytes, value: &Bytes| {
            let topic = topics::decode(&String::from_utf8_lossy(name), value).ok();
            topic.map_or_else(Vec::new, |topic| topic.partitions.to_vec())
        };
        let mut removed = BTreeSet::new();
        for (name, values) in &self.topics {
            let before = snapshot.facts.get(&FactKey::new(FactKind::Topic, name.clone()));
            let all = before.into_iter().chain(values.iter().flatten());
            removed.extend(all.flat_map(|value| parts(name, value)));
            // What does not decode says nothing of what went: the replay refuses it.
            let last = values.iter().next_back().and_then(Option::as_ref);
            last.into_iter().flat_map(|value| parts(name, value)).for_each(|part| {
                removed.remove(&part);
            });
        }
        Gone { starts: self.starts, removed }
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    starts: BTreeMap<PartId, Offset>,
    removed: BTreeSet<PartId>,
}

impl Gone {
    /// Whether nothing before `end` will be there when the commit log is replayed.
    pub(crate) fn has(&self, part: PartId, end: Offset) -> bool {
        self.removed.contains(&part) || self.starts.get(&part).is_some_and(|start| end <= *start)
    }

    pub(crate) fn segment(&self, part: PartId, segment: &SegmentState) -> bool {
        self.has(part, segment.end)
    }
}

impl Core {
    /// Gives the space of what is gone back at once where space is short; else a checkpoint does,
    /// so that the commit log alone is never relied on without need.
    /// True when it freed something.
    pub(crate) fn free_gone(&mut self) -> bool {
        if self.doomed.is_empty() || !self.is_short_of_space() {
            return false;
        }
        let before = self.doomed.len();
        self.remove_doomed(true);
        let freed = self.doomed.len() < before;
        if freed {
            self.renew_reserve();
        }
        freed
    }

    /// Removes files that nothing refers to, and with `early` also those that a snapshot names
    /// and the commit log behind it lets go. What cannot be removed now is found again by the
    /// next start.
    pub(crate) fn remove_doomed(&mut self, early: bool) {
        // A snapshot being written names files; and of what a failed write has left in the state
        // nothing is known to be durable.
        if self.checkpointing || self.shared.fatal().is_some() {
            return;
        }
        let needed = |file: &FileId| {
            let needs =
                |kept: &Kept| kept.files.contains(file) && !(early && self.is_let_go(kept, file));
            self.kept.iter().any(needs)
        };
        let (stay, go): (Vec<_>, Vec<_>) = self.doomed.iter().copied().partition(needed);
        self.doomed = stay;
        for file in go {
            // Never written to, or gone already: all the same.
            let _ = self.disk.remove_file(&file.log());
            let _ = self.disk.remove_file(&file.sum());
            self.dirty.remove(&file);
            // The folder of a deleted topic goes with its last file.
            let part = file.part;
            if !self.state.lanes.contains_key(&part)
                && self.disk.remove_dir(&paths::part_dir(part)).is_ok()
            {
                self.dirty_dirs.remove(&part);
            }
        }
    }

    fn is_let_go(&self, kept: &Kept, file: &FileId) -> bool {
        let Some(lane) = self.state.lanes.get(&file.part) else { return true };
        let start = lane.part.ends().start;
        kept.synced.get(file).is_some_and(|(_, end)| *end <= start)
    }
}
