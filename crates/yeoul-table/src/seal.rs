//! The seal: rows in memory become files, and the position moves, in one commit.
//!
//! Invariant: what a failed seal had taken is visible and unsealed as before.

use std::collections::HashSet;
use std::sync::Arc;

use tracing::info;
use yeoul_base::{Commit, Guard};

use crate::chunk::{Pending, sum};
use crate::error::TableError;
use crate::facts::encode_position;
use crate::fold::joined;
use crate::segment::SegmentMeta;
use crate::sort::Order;
use crate::table::{Table, locked};
use crate::write::{self, Effort, Output};

/// What a seal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealReport {
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
}

impl Table {
    /// Writes what is in memory to files and commits them with the position. Blocks; `None` when
    /// there was nothing. After an error the rows are still in memory and visible.
    pub fn seal(&self) -> Result<Option<SealReport>, TableError> {
        let _one = locked(&self.sealer);
        let taken = {
            let mut state = locked(&self.state);
            if state.dropped {
                return Err(self.dropped());
            }
            if state.hot.is_empty() {
                return Ok(None);
            }
            let taken = Arc::new(std::mem::take(&mut state.hot));
            state.sealing = Some(Arc::clone(&taken));
            taken
        };
        let result = self.write_files(&taken).and_then(|metas| self.commit_seal(&taken, metas));
        if result.is_err() {
            let mut state = locked(&self.state);
            state.sealing = None;
            state.hot.put_back(&taken);
        }
        result.map(Some)
    }

    fn write_files(&self, taken: &Pending) -> Result<Vec<SegmentMeta>, TableError> {
        let mut metas = Vec::new();
        if taken.chunks.is_empty() {
            return Ok(metas);
        }
        let all = joined(&self.schema, self.spec.rollup.as_ref(), &taken.chunks)?;
        let rows = Order::new(&self.schema, &self.spec)?.sort(&all)?;
        let cut_rows_min = usize::try_from(self.spec.compact.cut_rows_min).unwrap_or(usize::MAX);
        for part in write::cut(&rows, self.spec.granularity, cut_rows_min)? {
            let schema = Arc::clone(&self.schema);
            let mut output = Output::create(self.target(), self.new_id(), schema, Effort::Seal)?;
            output.write(&part)?;
            metas.push(output.finish()?);
        }
        self.disk.sync_dir(&self.folder).map_err(TableError::disk(&self.folder))?;
        Ok(metas)
    }

    fn commit_seal(
        &self,
        taken: &Pending,
        metas: Vec<SegmentMeta>,
    ) -> Result<SealReport, TableError> {
        let _order = locked(&self.manifest);
        let mut commit = Commit { fence: Some(self.fence.clone()), ..Commit::default() };
        let (fates, mut committed) = {
            let state = locked(&self.state);
            (sum(&state.fates, &taken.fates), state.committed.clone())
        };
        for (part, next) in &taken.positions {
            let key = self.naming.position(*part);
            let value = encode_position(*next);
            let expect = committed.get(part).map(|(_, bytes)| bytes.clone());
            commit.guards.push(Guard { key: key.clone(), expect });
            commit.facts.push((key, Some(value.clone())));
            committed.insert(*part, (*next, value));
        }
        for meta in &metas {
            commit.facts.push((self.naming.segment(meta.id), Some(meta.encode())));
        }
        commit.facts.push((self.naming.fates(), Some(fates.encode())));
        commit.appends = taken.dead.clone();
        self.store.commit(commit)?;

        let report = SealReport {
            rows: metas.iter().map(|meta| meta.rows).sum(),
            files: metas.len() as u64,
            bytes: metas.iter().map(|meta| meta.bytes).sum(),
        };
        let mut state = locked(&self.state);
        let new = metas.into_iter().map(|meta| self.segment(meta));
        state.segments = Arc::new(state.segments.changed(&HashSet::new(), new));
        state.committed = committed;
        state.fates = fates;
        state.sealing = None;
        drop(state);
        info!(table = self.spec.name, rows = report.rows, files = report.files, "sealed");
        Ok(report)
    }
}
