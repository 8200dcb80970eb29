//! Making a table again from its topic: the new one grows beside the old, which stays what
//! queries see, and takes its place in one commit once it has caught up.
//!
//! Invariant: a fact says that a table is being made again; what the new one has is facts and
//! files under names of its own. The switch moves those facts and removes the old ones in one
//! commit, guarded by the positions of both: a crash leaves the old table with the new one still
//! growing, or the new table alone.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tracing::info;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{Commit, FactKey, FactKind, Guard, PartId};

use crate::chunk::Pending;
use crate::error::TableError;
use crate::facts::Naming;
use crate::table::{State, Table, locked};

const VERSION: u8 = 1;

/// That a table is being made again, as it stands in a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedoPlan {
    /// Whether the new table takes the old one's place by itself when it has caught up.
    pub switch: bool,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// Rows of the old table when it was begun.
    pub rows_before: u64,
}

impl RedoPlan {
    pub(crate) fn key(table: &str) -> FactKey {
        FactKey::new(FactKind::TableRedo, table.as_bytes().to_vec())
    }

    fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.u64(u64::from(self.switch)).i64(self.started_ms).u64(self.rows_before);
        out.finish()
    }

    fn decode(table: &str, value: &[u8]) -> Result<Self, TableError> {
        let fields = || -> Result<Self, FieldError> {
            let mut input = FieldReader::versioned(value, VERSION)?;
            let switch = input.u64("switch")? != 0;
            let started_ms = input.i64("started_ms")?;
            let plan = Self { switch, started_ms, rows_before: input.u64("rows_before")? };
            input.end()?;
            Ok(plan)
        };
        fields().map_err(|error| TableError::Corrupt(format!("redo of table `{table}`: {error}")))
    }
}

/// A table that is being made to take the place of another.
#[derive(Debug)]
pub struct Redo {
    /// Appended to and sealed as any other; only nobody queries it.
    pub table: Arc<Table>,
    pub plan: RedoPlan,
}

impl Table {
    /// Begins to make this table again; [`Self::resume_redo`] goes on with it after a restart.
    ///
    /// # Errors
    /// It is being made again already, or the commit was refused.
    pub fn begin_redo(&self, switch: bool) -> Result<Redo, TableError> {
        let rows_before = self.snapshot().rows();
        let plan = RedoPlan { switch, started_ms: self.clock.now_ms(), rows_before };
        let key = RedoPlan::key(&self.spec.name);
        self.store.commit(Commit {
            fence: Some(self.fence.clone()),
            guards: vec![Guard { key: key.clone(), expect: None }],
            facts: vec![(key, Some(plan.encode()))],
            ..Commit::default()
        })?;
        self.open_redo(plan)
    }

    /// What is being made in this table's place, as far as it was sealed.
    pub fn resume_redo(&self) -> Result<Option<Redo>, TableError> {
        let name = &self.spec.name;
        match self.store.fact(FactKind::TableRedo, name.as_bytes()) {
            Some(value) => self.open_redo(RedoPlan::decode(name, &value)?).map(Some),
            None => Ok(None),
        }
    }

    fn open_redo(&self, plan: RedoPlan) -> Result<Redo, TableError> {
        let naming = Naming::of_redo(&self.spec.name);
        let (store, disk) = (Arc::clone(&self.store), Arc::clone(&self.disk));
        let (clock, schema) = (Arc::clone(&self.clock), Arc::clone(&self.schema));
        let table = Self::open_as(naming, store, disk, clock, self.spec.clone(), schema)?;
        Ok(Redo { table: Arc::new(table), plan })
    }

    /// Lets the new table take this one's place by itself when it has caught up.
    pub fn confirm_redo(&self, redo: &mut Redo) -> Result<(), TableError> {
        let plan = RedoPlan { switch: true, ..redo.plan };
        let key = RedoPlan::key(&self.spec.name);
        self.store.commit(Commit {
            fence: Some(self.fence.clone()),
            guards: vec![Guard { key: key.clone(), expect: Some(redo.plan.encode()) }],
            facts: vec![(key, Some(plan.encode()))],
            ..Commit::default()
        })?;
        redo.plan = plan;
        Ok(())
    }

    /// Whether the new table has every record of these partitions that this one has.
    pub fn redo_caught_up(&self, redo: &Redo, parts: &[PartId]) -> bool {
        let behind = |part: &PartId| redo.table.next_offset(*part) < self.next_offset(*part);
        !parts.iter().any(behind)
    }

    /// The partitions that some of this table's records came from.
    pub fn read_parts(&self) -> Vec<PartId> {
        let state = locked(&self.state);
        let pending = [Some(&state.hot), state.sealing.as_deref()];
        let mut parts: HashSet<PartId> = state.committed.keys().copied().collect();
        parts.extend(pending.into_iter().flatten().flat_map(|it| it.positions.keys().copied()));
        parts.into_iter().collect()
    }

    /// Puts the new table, which read `parts`, into this one's place. Both are fed by the caller's thread, so neither
    /// grows meanwhile; a compaction of either finds its inputs gone and gives up.
    ///
    /// # Errors
    /// The new one has not caught up, or the commit was refused: all is as before.
    pub fn finish_redo(&self, redo: &Redo, parts: &[PartId]) -> Result<(), TableError> {
        redo.table.seal()?;
        let new = redo.table.as_ref();
        let _seals = (locked(&self.sealer), locked(&new.sealer));
        let _orders = (locked(&self.manifest), locked(&new.manifest));
        if !self.redo_caught_up(redo, parts) {
            return Err(TableError::OutOfOrder {
                table: self.spec.name.clone(),
                what: "what is made in its place has not caught up".into(),
            });
        }
        self.store.commit(self.switch_commit(redo))?;
        let gone = {
            let mut theirs = locked(&new.state);
            let mut ours = locked(&self.state);
            let taken =
                std::mem::replace(&mut *theirs, State { dropped: true, ..State::default() });
            let old = std::mem::replace(&mut ours.segments, taken.segments);
            ours.committed = taken.committed;
            ours.fates = taken.fates;
            // All of it is in the files that were just put in place.
            ours.hot = Pending::default();
            ours.sealing = None;
            old
        };
        gone.iter().for_each(|segment| segment.doom());
        locked(&self.compactor).clear();
        self.changed();
        info!(table = self.spec.name, "made again");
        Ok(())
    }

    fn switch_commit(&self, redo: &Redo) -> Commit {
        let (ours, theirs) = (locked(&self.state), locked(&redo.table.state));
        let (old, new) = (&self.naming, &redo.table.naming);
        let mut commit = Commit { fence: Some(self.fence.clone()), ..Commit::default() };
        let plan = RedoPlan::key(&self.spec.name);
        commit.guards.push(Guard { key: plan.clone(), expect: Some(redo.plan.encode()) });
        commit.facts.push((plan, None));
        for (part, (_, value)) in &ours.committed {
            let key = old.position(*part);
            commit.guards.push(Guard { key: key.clone(), expect: Some(value.clone()) });
            if !theirs.committed.contains_key(part) {
                commit.facts.push((key, None));
            }
        }
        for (part, (_, value)) in &theirs.committed {
            let key = new.position(*part);
            commit.guards.push(Guard { key: key.clone(), expect: Some(value.clone()) });
            commit.facts.push((key, None));
            commit.facts.push((old.position(*part), Some(value.clone())));
        }
        for segment in ours.segments.iter() {
            commit.facts.push((old.segment(segment.meta.id), None));
        }
        for segment in theirs.segments.iter() {
            let (id, value) = (segment.meta.id, segment.meta.encode());
            commit.facts.push((new.segment(id), None));
            commit.facts.push((old.segment(id), Some(value)));
        }
        commit.facts.push((new.fates(), None));
        commit.facts.push((old.fates(), Some(theirs.fates.encode())));
        commit
    }

    /// Gives up what was made in this table's place.
    pub fn cancel_redo(&self, redo: Redo) -> Result<(), TableError> {
        let plan = (RedoPlan::key(&self.spec.name), None);
        redo.table.remove_all(vec![plan])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_the_documented_bytes() {
        let plan = RedoPlan { switch: true, started_ms: -1, rows_before: 300 };
        assert_eq!(RedoPlan::key("films").key, &b"films"[..]);
        let value = plan.encode();
        assert_eq!(value, &b"\x01\x01\x01\xac\x02"[..]);
        assert_eq!(RedoPlan::decode("films", &value).unwrap(), plan);
        for cut in 0..value.len() {
            assert!(RedoPlan::decode("films", &value[..cut]).is_err());
        }
    }
}
