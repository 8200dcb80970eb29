//! Letting rows go: files past their retention, and the whole table.
//!
//! Invariant: files go after the commit that no longer names them, each with the last snapshot
//! that pins it.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Commit, FactKey};

use crate::error::TableError;
use crate::redo::RedoPlan;
use crate::segment::{SegmentId, SegmentMeta};
use crate::stored::facts_of;
use crate::table::{State, Table, locked};

impl Table {
    /// Drops files whose rows are all past their retention, and the oldest while all together
    /// have more bytes than may be kept; returns how many.
    pub fn apply_retention(&self) -> Result<usize, TableError> {
        let _order = locked(&self.manifest);
        let segments = Arc::clone(&locked(&self.state).segments);
        let metas = segments.iter().map(|segment| segment.meta).collect();
        let gone = expired(metas, self.retention_start_us(), self.spec.retention_bytes);
        if gone.is_empty() {
            return Ok(0);
        }
        let facts = gone.iter().map(|id| (self.naming.segment(*id), None));
        self.store.commit(Commit {
            fence: Some(self.fence.clone()),
            facts: facts.collect(),
            ..Commit::default()
        })?;
        locked(&self.state).segments = Arc::new(segments.changed(&gone, []));
        segments.of(&gone).iter().for_each(|segment| segment.doom());
        self.changed();
        Ok(gone.len())
    }

    /// Removes the table: its facts in one commit, its files once no query reads them. What was
    /// being made in its place goes, too.
    pub fn drop_all(&self) -> Result<(), TableError> {
        let redo = self.resume_redo()?;
        let mut also = vec![(RedoPlan::key(&self.spec.name), None)];
        if let Some(redo) = &redo {
            also.extend(facts_of(self.store.as_ref(), &redo.table.naming));
            also.push((redo.table.naming.fates(), None));
        }
        self.remove_all(also)?;
        if let Some(redo) = redo {
            redo.table.gone();
        }
        Ok(())
    }

    /// Deletes all facts of this table, and `also`, in one commit.
    pub(crate) fn remove_all(&self, also: Vec<(FactKey, Option<Bytes>)>) -> Result<(), TableError> {
        // A seal under way ends first; a compaction finds its inputs gone and gives up.
        let _seal = locked(&self.sealer);
        let _order = locked(&self.manifest);
        let mut facts = facts_of(self.store.as_ref(), &self.naming);
        facts.push((self.naming.fates(), None));
        facts.extend(also);
        self.store.commit(Commit {
            fence: Some(self.fence.clone()),
            facts,
            ..Commit::default()
        })?;
        self.gone();
        Ok(())
    }

    /// Shows what a commit did that removed this table.
    fn gone(&self) {
        let dropped = State { dropped: true, ..State::default() };
        let gone = std::mem::replace(&mut *locked(&self.state), dropped);
        gone.segments.iter().for_each(|segment| segment.doom());
        self.changed();
    }
}

/// What is past its time, then the oldest of the rest while it is too much; the newest file is
/// never too much.
fn expired(
    mut metas: Vec<SegmentMeta>,
    start_us: Option<i64>,
    bytes_max: Option<u64>,
) -> HashSet<SegmentId> {
    metas.sort_by_key(|meta| (meta.max_us, meta.id));
    let mut bytes: u64 = metas.iter().map(|meta| meta.bytes).sum();
    let mut gone = HashSet::new();
    let last = metas.len().saturating_sub(1);
    for (at, meta) in metas.into_iter().enumerate() {
        let over = start_us.is_some_and(|start_us| meta.max_us < start_us);
        let much = bytes_max.is_some_and(|bytes_max| bytes > bytes_max && at < last);
        if !over && !much {
            break;
        }
        bytes -= meta.bytes;
        gone.insert(meta.id);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_no_more_than_must() {
        let meta = |id, max_us| SegmentMeta {
            id: SegmentId(id),
            rows: 1,
            bytes: 10,
            min_us: 0,
            max_us,
            tail_bytes: 10,
            tail_crc: 0,
        };
        let metas = || vec![meta(1, 300), meta(2, 100), meta(3, 200)];
        let gone = |start, bytes| {
            let mut ids: Vec<_> = expired(metas(), start, bytes).into_iter().collect();
            ids.sort_unstable();
            ids.into_iter().map(|id| id.0).collect::<Vec<_>>()
        };
        assert!(gone(None, None).is_empty());
        assert!(gone(None, Some(30)).is_empty());
        assert_eq!(gone(None, Some(29)), [2]);
        assert_eq!(gone(None, Some(10)), [2, 3]);
        assert_eq!(gone(Some(200), None), [2]);
        assert_eq!(gone(Some(201), Some(30)), [2, 3]);
        assert_eq!(gone(None, Some(0)), [2, 3]);
    }
}
