//! Offsets that nobody needs any more: of a group that has had no members for the time offsets
//! are kept, of a consumer that never joined and has not committed for so long, of topics that a
//! group no longer reads, of topics that are gone.
//!
//! Each deletion is guarded by the value that was judged: an offset committed meanwhile stays.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use yeoul_base::{Commit, FactKey, Guard, StoreError};

use super::facts::{self, Kept, Record};
use super::{Committed, Groups, OffsetKey};
use crate::broker::commit_on;

/// Facts of one commit; what is beyond it goes with the next.
const FACTS_MAX: usize = 10_000;
/// Looks at what a concurrent commit kept from being deleted before it waits for the next time.
const TRIES: usize = 3;

/// What a group with members reads; `None`: not known, so everything is kept.
type Reads = Option<BTreeSet<String>>;

#[derive(Debug, Default)]
struct Sweep {
    commit: Commit,
    offsets: usize,
}

impl Sweep {
    fn is_full(&self) -> bool {
        self.commit.facts.len() >= FACTS_MAX
    }

    fn change(&mut self, key: FactKey, was: &Bytes, becomes: Option<Bytes>) {
        self.commit.guards.push(Guard { key: key.clone(), expect: Some(was.clone()) });
        self.commit.facts.push((key, becomes));
    }
}

impl Groups {
    /// Looks at all offsets now and then, for as long as the node runs.
    pub(crate) async fn run_expiry(&self) {
        loop {
            tokio::time::sleep(self.options.offsets_check_every).await;
            match self.expire().await {
                Ok(0) => {}
                Ok(offsets) => tracing::info!(offsets, "offsets out of date were deleted"),
                Err(error) => tracing::warn!(%error, "offsets out of date were not deleted"),
            }
        }
    }

    /// Deletes what is out of date; returns how many offsets that were.
    pub(crate) async fn expire(&self) -> Result<usize, StoreError> {
        let mut deleted = 0;
        let mut tries = 0;
        loop {
            let sweep = self.sweep();
            if sweep.commit.facts.is_empty() {
                return Ok(deleted);
            }
            let full = sweep.is_full();
            match commit_on(&*self.store, sweep.commit).await {
                Ok(_) => deleted += sweep.offsets,
                Err(StoreError::GuardMismatch(_)) if tries < TRIES => {
                    tries += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if !full {
                return Ok(deleted);
            }
        }
    }

    fn sweep(&self) -> Sweep {
        let live: HashMap<String, Reads> = {
            let groups = self.lock();
            let with_members = groups.iter().filter(|(_, group)| !group.is_empty());
            with_members.map(|(name, group)| (name.clone(), group.subscribed())).collect()
        };
        let kept = facts::kept(&*self.store);
        let mut sweep = Sweep::default();
        let cleared = self.sweep_offsets(&kept, &live, &mut sweep);
        for (name, (record, bytes)) in &kept.records {
            if sweep.is_full() || live.contains_key(name) {
                continue;
            }
            let key = Record::fact(name);
            if !kept.offsets.contains_key(name) || cleared.contains(name.as_str()) {
                sweep.change(key, bytes, None);
            } else if record.empty_since_ms.is_none() {
                let empty_since_ms = Some(self.started_ms);
                let ended = Record { empty_since_ms, ..record.clone() };
                sweep.change(key, bytes, Some(ended.encode()));
            }
        }
        sweep
    }

    /// Returns the groups of which nothing is left.
    fn sweep_offsets<'a>(
        &self,
        kept: &'a Kept,
        live: &HashMap<String, Reads>,
        sweep: &mut Sweep,
    ) -> BTreeSet<&'a str> {
        let mut cleared = BTreeSet::new();
        // Asked for after the offsets: a topic of an offset that was read has been there.
        let topics = self.store.topics();
        for (name, offsets) in &kept.offsets {
            let reads = live.get(name);
            let since = kept.records.get(name).map(|(record, _)| match record.empty_since_ms {
                Some(since) => since,
                None => self.started_ms,
            });
            let before = sweep.offsets;
            for (key, offset, bytes) in offsets {
                if sweep.is_full() {
                    return cleared;
                }
                let topic = topics.by_id(key.topic);
                let over = match (topic, reads) {
                    (None, _) => true,
                    (Some(_), None) => self.is_over(since, offset),
                    (Some(_), Some(None)) => false,
                    (Some(topic), Some(Some(reads))) => {
                        !reads.contains(&*topic.name) && self.is_over(None, offset)
                    }
                };
                if over {
                    sweep.offsets += 1;
                    sweep.change(OffsetKey::fact(key, name), bytes, None);
                }
            }
            if sweep.offsets - before == offsets.len() {
                cleared.insert(name.as_str());
            }
        }
        cleared
    }

    /// What a client of OffsetCommit 2–4 has chosen counts in place of the node's time, in the
    /// same cases.
    fn is_over(&self, empty_since_ms: Option<i64>, offset: &Committed) -> bool {
        if let Some(expires_ms) = offset.expires_ms {
            return self.clock.now_ms() >= expires_ms;
        }
        let since = empty_since_ms.unwrap_or(i64::MIN).max(offset.committed_ms);
        let kept = i64::try_from(self.options.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        self.clock.now_ms() >= since.saturating_add(kept)
    }
}
