//! What the log must hold after each commit, kept beside it in the simplest way there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Append, Commit, FactKey, FactKind, Isolation, PartId, Store, StoreError};
use yeoul_log::{BatchBuilder, Codec, Log};

use crate::support::{NOW_MS, values, values_from};

/// What lies at one offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `None`: a marker.
    pub(crate) value: Option<String>,
    /// Number of its transaction.
    pub(crate) txn: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PartModel {
    pub(crate) start: i64,
    /// Index = offset.
    pub(crate) records: Vec<Entry>,
}

/// A producer's last batch in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastBatch {
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
    pub(crate) value: String,
    pub(crate) base: i64,
    pub(crate) transactional: bool,
    /// A marker of a newer epoch came after it.
    pub(crate) fenced: bool,
}

/// A transaction under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenTxn {
    pub(crate) number: u64,
    pub(crate) parts: BTreeSet<PartId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Model {
    pub(crate) topics: BTreeMap<String, Vec<PartId>>,
    pub(crate) parts: BTreeMap<PartId, PartModel>,
    pub(crate) facts: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) producers: BTreeMap<(PartId, i64), LastBatch>,
    /// By producer.
    pub(crate) open: BTreeMap<i64, OpenTxn>,
    pub(crate) epochs: BTreeMap<i64, i16>,
    pub(crate) aborted: BTreeSet<u64>,
}

pub(crate) fn fact_key(key: &str) -> FactKey {
    FactKey::new(FactKind::SourcePosition, key.as_bytes().to_vec())
}

impl LastBatch {
    pub(crate) fn batch(&self, part: PartId, id: i64) -> Append {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.producer(id, self.epoch, self.sequence);
        if self.transactional {
            builder.transactional();
        }
        builder.push(NOW_MS, Some(b"k"), Some(self.value.as_bytes()), &[]);
        Append { part, batch: builder.finish().expect("a record") }
    }
}

impl Model {
    pub(crate) fn append(&mut self, part: PartId, values: &[String]) {
        let part = self.parts.get_mut(&part).expect("a partition");
        let plain = |value: &String| Entry { value: Some(value.clone()), txn: None };
        part.records.extend(values.iter().map(plain));
    }

    /// Where a partition's first undecided record is.
    pub(crate) fn stable(&self, part: PartId) -> i64 {
        let open: BTreeSet<_> = self.open.values().map(|open| open.number).collect();
        let records = &self.parts[&part].records;
        let undecided = |entry: &Entry| entry.txn.is_some_and(|txn| open.contains(&txn));
        let first = records.iter().position(undecided).unwrap_or(records.len());
        (first as i64).max(self.parts[&part].start)
    }

    /// What a reader sees of a partition from an offset on.
    fn visible(&self, part: PartId, from: i64, isolation: Isolation) -> Vec<&str> {
        let committed = isolation == Isolation::Committed;
        let records = &self.parts[&part].records;
        let end = if committed { self.stable(part) } else { records.len() as i64 };
        let seen = records.get(from as usize..end as usize).unwrap_or_default().iter();
        let kept =
            |txn: Option<u64>| !committed || txn.is_none_or(|it| !self.aborted.contains(&it));
        seen.filter(|entry| kept(entry.txn)).filter_map(|entry| entry.value.as_deref()).collect()
    }

    pub(crate) fn add_topic(&mut self, name: &str, parts: &[PartId]) {
        self.topics.insert(name.to_owned(), parts.to_vec());
        for part in parts {
            self.parts.entry(*part).or_default();
        }
    }

    pub(crate) fn remove_topic(&mut self, name: &str) {
        for part in self.topics.remove(name).unwrap_or_default() {
            self.parts.remove(&part);
            self.producers.retain(|(of, _), _| *of != part);
            self.open.values_mut().for_each(|open| {
                open.parts.remove(&part);
            });
        }
    }

    /// Compares with everything the log shows; says the first difference.
    pub(crate) fn check(&self, log: &Log) -> Result<(), String> {
        self.check_reads(log)?;
        self.check_duplicates(log)
    }

    /// Values by offset that a committed reader of the whole partition sees.
    pub(crate) fn committed(&self, part: PartId) -> Vec<(i64, String)> {
        let (start, stable) = (self.parts[&part].start, self.stable(part));
        let records = self.parts[&part].records.iter().enumerate();
        let seen = records.filter_map(|(offset, entry)| {
            let kept = entry.txn.is_none_or(|txn| !self.aborted.contains(&txn));
            let offset = offset as i64;
            let value = entry.value.clone().filter(|_| kept && offset >= start && offset < stable);
            Some((offset, value?))
        });
        seen.collect()
    }

    /// The same without asking for a commit.
    pub(crate) fn check_reads(&self, log: &Log) -> Result<(), String> {
        self.check_names(log)?;
        self.check_parts(log)
    }

    /// Topics and facts.
    pub(crate) fn check_names(&self, log: &Log) -> Result<(), String> {
        let topics = log.topics();
        let shown: BTreeMap<_, _> = topics
            .by_name
            .iter()
            .map(|(name, topic)| (name.to_string(), topic.partitions.to_vec()))
            .collect();
        if shown != self.topics {
            return Err(format!("topics are {shown:?}, should be {:?}", self.topics));
        }
        let facts: BTreeMap<_, _> = log
            .facts(FactKind::SourcePosition, b"")
            .into_iter()
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        if facts != self.facts {
            return Err(format!("facts are {facts:?}, should be {:?}", self.facts));
        }
        Ok(())
    }

    fn check_parts(&self, log: &Log) -> Result<(), String> {
        for (id, part) in &self.parts {
            let ends = log.ends(*id).ok_or(format!("{id} is not there"))?;
            let high = part.records.len() as i64;
            let stable = self.stable(*id);
            if (ends.start, ends.stable, ends.high) != (part.start, stable, high) {
                let start = part.start;
                return Err(format!("{id} has {ends:?}, should be {start}..{stable}..{high}"));
            }
            let shown = values(Arc::new(log.clone()), *id).map_err(|error| error.to_string())?;
            let expected = self.visible(*id, part.start, Isolation::Committed);
            if shown != expected {
                return Err(format!("{id} holds {shown:?}, should be {expected:?}"));
            }
            if part.records.iter().any(|entry| entry.txn.is_some()) {
                self.check_transactions(log, *id).map_err(|error| format!("{id}: {error}"))?;
            }
        }
        Ok(())
    }

    /// Readers that begin in the middle, batch by batch, and what the log knows of producers.
    fn check_transactions(&self, log: &Log, part: PartId) -> Result<(), String> {
        let (start, high) = (self.parts[&part].start, self.parts[&part].records.len() as i64);
        // Another place after every commit.
        self.check_from(log, part, start + (7 * high + 3) % (high - start + 1))?;
        if log.fatal().is_some() {
            return Ok(());
        }
        let known = log.producers(part).map_err(|error| error.to_string())?;
        let known = known.iter().filter_map(|it| Some((it.producer_id, it.open_since?)));
        let first = |open: &OpenTxn| {
            let its = |entry: &Entry| entry.txn == Some(open.number);
            Some(self.parts[&part].records.iter().position(its)? as i64)
        };
        let expected = self.open.iter().filter_map(|(id, open)| Some((*id, first(open)?)));
        let (known, expected): (Vec<_>, Vec<_>) = (known.collect(), expected.collect());
        if known == expected {
            Ok(())
        } else {
            Err(format!("open are {known:?}, should be {expected:?}"))
        }
    }

    /// Readers that begin at every offset there is.
    pub(crate) fn check_everywhere(&self, log: &Log) -> Result<(), String> {
        for (id, part) in &self.parts {
            for from in part.start..=part.records.len() as i64 {
                self.check_from(log, *id, from).map_err(|error| format!("{id}: {error}"))?;
            }
        }
        Ok(())
    }

    fn check_from(&self, log: &Log, part: PartId, from: i64) -> Result<(), String> {
        let (committed, uncommitted) = (Isolation::Committed, Isolation::Uncommitted);
        for (isolation, bytes) in [(committed, 1), (committed, 1 << 16), (uncommitted, 1)] {
            let shown = values_from(Arc::new(log.clone()), part, from, bytes, isolation);
            let shown = shown.map_err(|error| error.to_string())?;
            let expected = self.visible(part, from, isolation);
            if shown != expected {
                return Err(format!("{isolation:?} from {from}: {shown:?}, not {expected:?}"));
            }
        }
        Ok(())
    }

    fn ended(&self, part: PartId, producer_id: i64, last: &LastBatch) -> bool {
        let open = self.open.get(&producer_id);
        last.transactional && !open.is_some_and(|open| open.parts.contains(&part))
    }

    /// Every producer sends its last batch again.
    fn check_duplicates(&self, log: &Log) -> Result<(), String> {
        for ((part, id), last) in &self.producers {
            let commit = Commit { appends: vec![last.batch(*part, *id)], ..Commit::default() };
            let done = match (log.commit(commit), last.fenced) {
                (Err(StoreError::ProducerFenced { .. }), true) => continue,
                // Its transaction has ended: the same numbers are not the same batch any more.
                (Err(StoreError::OutOfOrderSequence { .. }), false)
                    if self.ended(*part, *id, last) =>
                {
                    continue;
                }
                (result, false) => result.map_err(|error| format!("sent again: {error}"))?,
                (result, true) => return Err(format!("{part}, producer {id}, fenced: {result:?}")),
            };
            if self.ended(*part, *id, last) {
                return Err(format!(
                    "{part}, producer {id}: taken after its transaction: {done:?}"
                ));
            }
            let appended = done.appends[0];
            if !appended.duplicate || appended.base_offset != last.base {
                return Err(format!("{part}, producer {id}: {appended:?}, should be {last:?}"));
            }
        }
        Ok(())
    }

    /// One more record and fact, through the log and in the model.
    pub(crate) fn commit_one_more(&mut self, log: &Log) -> Result<(), StoreError> {
        let mut commit = Commit::default();
        commit.facts.push((fact_key("after"), Some(Bytes::from_static(b"crash"))));
        self.facts.insert(b"after".to_vec(), b"crash".to_vec());
        let first = self.parts.keys().next().copied();
        if let Some(part) = first {
            let value = "after the crash".to_owned();
            commit.appends.push(Append { part, batch: crate::support::batch(&[&value]) });
            self.append(part, &[value]);
        }
        log.commit(commit).map(|_| ())
    }
}
