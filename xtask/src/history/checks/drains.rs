//! The final read of every partition by clients of its own: nothing that was acknowledged, and
//! nothing that anybody ever saw, may be missing, and no offset without a reason.

use std::collections::{HashMap, HashSet};

use crate::history::anomaly::{Findings, Kind};
use crate::history::model::{Drain, Fate, History, NONE, Outcome, Seen};

pub(super) fn check(history: &History, findings: &mut Findings) {
    let mut sends_of: HashMap<u32, Vec<u32>> = HashMap::new();
    for (index, send) in (0_u32..).zip(&history.sends) {
        sends_of.entry(send.part).or_default().push(index);
    }
    let mut read: HashMap<(u32, u32), Vec<(u64, u64)>> = HashMap::new();
    for poll in &history.polls {
        let records = history.records.get(poll.records.clone()).unwrap_or(&[]);
        let values = records.iter().filter_map(|r| Some((r.offset, r.value?)));
        read.entry((poll.reader, poll.part)).or_default().extend(values);
    }
    let nothing = Vec::new();
    for drain in &history.drains {
        let mut places = read.get(&(drain.reader, drain.part)).cloned().unwrap_or_default();
        places.sort_unstable();
        let one = One {
            history,
            drain,
            values: places.iter().map(|(_, value)| *value).collect(),
            places,
        };
        let sends = sends_of.get(&drain.part).unwrap_or(&nothing);
        if history.topic_of(drain.part).compact {
            one.newest_of_each_key(sends, findings);
            continue;
        }
        one.acknowledged(sends, findings);
        one.once_seen(findings);
        one.gaps(sends, findings);
    }
    stable_ends(history, findings);
}

struct One<'a> {
    history: &'a History,
    drain: &'a Drain,
    /// Offset and value, in order.
    places: Vec<(u64, u64)>,
    values: HashSet<u64>,
}

impl One<'_> {
    fn said(&self, what: &str) -> String {
        let reader = self.history.names.name(self.drain.reader);
        format!("{}: {what} (read by {reader})", self.history.place(self.drain.part))
    }

    fn acknowledged(&self, sends: &[u32], findings: &mut Findings) {
        let known: HashMap<u32, u64> = self
            .history
            .seen_in(self.drain.part, false)
            .iter()
            .map(|seen| (seen.send, seen.offset))
            .collect();
        let highest = self.places.last().map(|(offset, _)| *offset);
        for index in sends {
            let Some(send) = self.history.send(*index) else { continue };
            let must = self.history.fate(send) == Fate::Must;
            if !must || self.values.contains(&send.value) {
                continue;
            }
            let offset = send.offset.or_else(|| known.get(index).copied());
            // Without any known offset it may have been deleted with the start of the log.
            if offset.is_none_or(|offset| offset < self.drain.start) && self.drain.start > 0 {
                continue;
            }
            let kind = if self.history.txn_of(send).is_some_and(|t| t.outcome != Outcome::Ok) {
                Kind::TornTransaction
            } else if offset.is_some_and(|o| highest.is_none_or(|highest| o > highest)) {
                Kind::Unseen
            } else {
                Kind::LostWrite
            };
            findings.add(kind, || self.said(&format!("{} acked at {offset:?}", send.value)));
        }
    }

    /// What one reader saw, every later reader of the same kind must see.
    fn once_seen(&self, findings: &mut Findings) {
        let seen = self.history.seen_in(self.drain.part, self.drain.committed_only);
        let gone = |seen: &&Seen| {
            seen.offset >= self.drain.start
                && self.places.binary_search(&(seen.offset, seen.value)).is_err()
        };
        for seen in seen.iter().filter(gone) {
            findings.add(Kind::LostWrite, || {
                self.said(&format!("{} was seen at {} and is not there", seen.value, seen.offset))
            });
        }
    }

    /// A reader of everything misses only control batches: at most one per transaction.
    fn gaps(&self, sends: &[u32], findings: &mut Findings) {
        if self.drain.committed_only {
            return;
        }
        let txns: HashSet<u32> = sends
            .iter()
            .filter_map(|index| self.history.send(*index))
            .map(|send| send.txn)
            .filter(|txn| *txn != NONE)
            .collect();
        let mut offsets: Vec<u64> = self.places.iter().map(|(offset, _)| *offset).collect();
        offsets.dedup();
        let there = offsets.len() as u64;
        let missing = self.drain.end.saturating_sub(self.drain.start).saturating_sub(there);
        let markers = txns.len() as u64 + self.broken();
        if missing > markers {
            findings.add(Kind::OffsetGap, || {
                let (start, end) = (self.drain.start, self.drain.end);
                self.said(&format!(
                    "{missing} offsets of {start}..{end} are not there, {markers} transactions"
                ))
            });
        }
    }

    /// Broken payloads hold an offset too; they are an anomaly of their own.
    fn broken(&self) -> u64 {
        let mine =
            |r: &&crate::history::model::Record| r.part == self.drain.part && r.value.is_none();
        self.history.records.iter().filter(mine).count() as u64
    }

    /// In a compacted topic the newest record of every key must be there, or one after it.
    fn newest_of_each_key(&self, sends: &[u32], findings: &mut Findings) {
        let mut newest: HashMap<u32, (u64, u64, bool)> = HashMap::new();
        for send in sends.iter().filter_map(|index| self.history.send(*index)) {
            let Some(offset) = send.offset else { continue };
            let newer = newest.get(&send.key).is_none_or(|(there, ..)| *there < offset);
            if newer && send.key != NONE && self.history.fate(send) == Fate::Must {
                newest.insert(send.key, (offset, send.value, send.tombstone));
            }
        }
        let mut there: HashMap<u32, u64> = HashMap::new();
        for (offset, value) in &self.places {
            let found = self.history.sends.binary_search_by_key(value, |send| send.value);
            if let Some(send) = found.ok().and_then(|at| self.history.sends.get(at)) {
                let highest = there.entry(send.key).or_default();
                *highest = (*highest).max(*offset);
            }
        }
        for (key, (offset, value, tombstone)) in newest {
            let kept = there.get(&key).is_some_and(|highest| *highest >= offset);
            if !kept && !tombstone && offset >= self.drain.start {
                findings.add(Kind::LostWrite, || {
                    let key = self.history.names.name(key);
                    self.said(&format!("{value}, the newest of key {key}, acked at {offset}"))
                });
            }
        }
    }
}

/// When everything has ended, committed readers reach the same end as all others.
fn stable_ends(history: &History, findings: &mut Findings) {
    let mut ends: HashMap<u32, [u64; 2]> = HashMap::new();
    for drain in &history.drains {
        let both = ends.entry(drain.part).or_default();
        let end = if drain.committed_only { &mut both[0] } else { &mut both[1] };
        *end = (*end).max(drain.end);
    }
    let committed: HashSet<u32> =
        history.drains.iter().filter(|d| d.committed_only).map(|d| d.part).collect();
    for (part, [stable, high]) in ends {
        if stable < high && committed.contains(&part) {
            findings.add(Kind::StableStuck, || {
                format!("{} ends at {high}, its stable offset at {stable}", history.place(part))
            });
        }
    }
}
