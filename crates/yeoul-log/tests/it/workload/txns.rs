//! Transactions of three producers over all partitions: begun, interleaved, committed, aborted,
//! fenced, each end one commit with a fact.

use std::collections::BTreeSet;

use yeoul_base::{Append, Commit, PartId};
use yeoul_log::batch;

use super::Workload;
use crate::model::{Entry, LastBatch, OpenTxn};
use crate::support::NOW_MS;

impl Workload {
    pub(super) fn txn_append(&mut self, part: PartId) -> Result<(), String> {
        let id = self.txn_producer();
        let commit = self.txn_commit(part, id);
        self.commit(commit)
    }

    fn txn_producer(&self) -> i64 {
        11 + self.below(3) as i64
    }

    /// A batch each for two partitions, which may be the same.
    fn txn_commit(&mut self, part: PartId, id: i64) -> Commit {
        let other = self.part().unwrap_or(part);
        let appends = [part, other].map(|part| self.txn_batch(part, id));
        Commit { appends: appends.into(), ..Commit::default() }
    }

    fn txn_batch(&mut self, part: PartId, id: i64) -> Append {
        self.txns += 1;
        let fresh = OpenTxn { number: self.txns, parts: BTreeSet::new() };
        let value = self.value();
        let now = &mut self.now;
        let epoch = *now.epochs.entry(id).or_default();
        let known = now.producers.get(&(part, id)).filter(|last| last.epoch == epoch);
        let sequence = known.map_or(0, |last| last.sequence + 1);
        let open = now.open.entry(id).or_insert(fresh);
        open.parts.insert(part);
        let records = &mut now.parts.get_mut(&part).expect("a partition").records;
        let base = records.len() as i64;
        records.push(Entry { value: Some(value.clone()), txn: Some(open.number) });
        let (transactional, fenced) = (true, false);
        let last = LastBatch { epoch, sequence, value, base, transactional, fenced };
        let append = last.batch(part, id);
        now.producers.insert((part, id), last);
        append
    }

    /// Ends a transaction in all its partitions at once; begins one when none is open.
    pub(super) fn txn_end(&mut self, part: PartId) -> Result<(), String> {
        match self.txn_end_commit() {
            Some(commit) => self.commit(commit),
            None => self.txn_append(part),
        }
    }

    fn txn_end_commit(&mut self) -> Option<Commit> {
        let ids: Vec<_> = self.now.open.keys().copied().collect();
        let id = (!ids.is_empty()).then(|| ids[self.below(ids.len())])?;
        let (commits, bumps) = (self.below(2) == 0, self.below(3) == 0);
        let open = self.now.open.remove(&id)?;
        if !commits {
            self.now.aborted.insert(open.number);
        }
        let epoch = self.now.epochs.entry(id).or_default();
        *epoch += i16::from(bumps);
        let batch = batch::marker(id, *epoch, commits, 1, NOW_MS);
        let mut commit = Commit::default();
        for part in open.parts {
            let records = &mut self.now.parts.get_mut(&part)?.records;
            records.push(Entry { value: None, txn: None });
            if let Some(last) = self.now.producers.get_mut(&(part, id)) {
                last.fenced |= bumps;
            }
            commit.appends.push(Append { part, batch: batch.clone() });
        }
        self.fact_commit(&mut commit);
        Some(commit)
    }

    /// A batch, an end and a plain batch in one group.
    pub(super) fn txn_group(&mut self, part: PartId) -> Result<(), String> {
        let id = self.txn_producer();
        let mut commits = vec![self.txn_commit(part, id)];
        self.note();
        if let Some(end) = self.txn_end_commit() {
            commits.push(end);
            self.note();
        }
        commits.push(self.append_commit(part, 1));
        self.note();
        self.commit_group(commits)
    }
}
