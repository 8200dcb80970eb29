//! What the log must hold after each commit, kept beside it in the simplest way there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Append, Commit, FactKey, FactKind, Isolation, PartId, Store, StoreError};
use yeoul_log::{BatchBuilder, Codec, Log};

use crate::support::{LostRanges, NOW_MS, records_from};

/// `delete.retention.ms` of compacted topics.
pub(crate) const DELETIONS_MS: i64 = 10_000;

/// What lies at one offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `None`: a marker. Its key follows from it; with `!` at its end it is a deletion of the key.
    pub(crate) value: Option<String>,
    /// Number of its transaction.
    pub(crate) txn: Option<u64>,
}

/// How far compaction may have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Compaction {
    /// It has touched nothing from here on.
    pub(crate) upto: i64,
    /// The latest it believed it to be.
    pub(crate) now_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PartModel {
    pub(crate) start: i64,
    /// Index = offset.
    pub(crate) records: Vec<Entry>,
    /// `None`: its topic is not compacted.
    pub(crate) compaction: Option<Compaction>,
}

/// The key of a value's record: one of three.
pub(crate) fn key_of(value: &str) -> String {
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    format!("k{}", digits.parse::<u64>().unwrap_or(0) % 3)
}

/// The value as a reader sees it.
fn shown(value: &str) -> &str {
    if value.ends_with('!') { "" } else { value }
}

fn push(builder: &mut BatchBuilder, value: &str) {
    let bytes = (!value.ends_with('!')).then_some(value.as_bytes());
    builder.push(NOW_MS, Some(key_of(value).as_bytes()), bytes, &[]);
}

/// A batch of values with their keys.
pub(crate) fn batch<S: AsRef<str>>(values: &[S]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    values.iter().for_each(|value| push(&mut builder, value.as_ref()));
    builder.finish().expect("values")
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
        push(&mut builder, &self.value);
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

    /// What a reader sees of a partition from an offset on when nothing was compacted.
    fn visible(&self, part: PartId, from: i64, isolation: Isolation) -> Vec<(i64, &str)> {
        let committed = isolation == Isolation::Committed;
        let records = &self.parts[&part].records;
        let end = if committed { self.stable(part) } else { records.len() as i64 };
        let seen = records.get(from as usize..end as usize).unwrap_or_default().iter();
        let kept =
            |txn: Option<u64>| !committed || txn.is_none_or(|it| !self.aborted.contains(&it));
        let seen = (from..).zip(seen).filter(|(_, entry)| kept(entry.txn));
        seen.filter_map(|(offset, entry)| Some((offset, entry.value.as_deref()?))).collect()
    }

    /// Offsets that compaction may not have taken: the newest committed record of each key, and
    /// all it has not come to.
    fn must_stay(&self, part: PartId) -> BTreeSet<i64> {
        let PartModel { records, compaction, .. } = &self.parts[&part];
        let all = 0..records.len() as i64;
        let Some(compaction) = compaction else { return all.collect() };
        let mut newest = BTreeMap::new();
        for (offset, value) in self.visible(part, 0, Isolation::Committed) {
            newest.insert(key_of(value), (offset, value));
        }
        let expired = compaction.now_ms >= NOW_MS + DELETIONS_MS;
        let stay = newest.values().filter(|(_, value)| !(expired && value.ends_with('!')));
        let stay: BTreeSet<_> = stay.map(|(offset, _)| *offset).collect();
        all.filter(|offset| *offset >= compaction.upto || stay.contains(offset)).collect()
    }

    /// Compares what a reader from an offset on saw, and was told to be lost.
    pub(crate) fn check_seen(
        &self,
        part: PartId,
        (from, isolation): (i64, Isolation),
        seen: &[(i64, String)],
        lost: &LostRanges,
    ) -> Result<(), String> {
        let must = self.must_stay(part);
        let there =
            |offset: i64| !lost.iter().any(|(first, last)| (*first..=*last).contains(&offset));
        let mut rest = seen.iter().peekable();
        for (offset, value) in self.visible(part, from, isolation) {
            let same = |it: &&(i64, String)| (it.0, it.1.as_str()) == (offset, shown(value));
            if rest.next_if(same).is_none() && must.contains(&offset) && there(offset) {
                return Err(format!("{offset}, {value}, is not among {seen:?}, lost {lost:?}"));
            }
        }
        match rest.next() {
            None => Ok(()),
            Some(more) => Err(format!("{more:?} should not be seen where it is in {seen:?}")),
        }
    }

    /// Compaction runs now, or is crashed while it does: records it may take may be gone.
    pub(crate) fn compact(&mut self, now_ms: i64) {
        for part in self.parts.keys().copied().collect::<Vec<_>>() {
            let stable = self.stable(part);
            if let Some(part) = self.parts.get_mut(&part).and_then(|it| it.compaction.as_mut()) {
                part.upto = part.upto.max(stable);
                part.now_ms = part.now_ms.max(now_ms);
            }
        }
    }

    pub(crate) fn add_topic(&mut self, name: &str, parts: &[PartId], compacted: bool) {
        self.topics.insert(name.to_owned(), parts.to_vec());
        for part in parts {
            let compaction = compacted.then(Compaction::default);
            let fresh = PartModel { compaction, ..PartModel::default() };
            self.parts.entry(*part).or_insert(fresh);
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
            self.check_read(log, *id, (part.start, Isolation::Committed), 1 << 16)
                .map_err(|error| format!("{id}: {error}"))?;
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
            self.check_read(log, part, (from, isolation), bytes)
                .map_err(|error| format!("{isolation:?} from {from}: {error}"))?;
        }
        Ok(())
    }

    fn check_read(
        &self,
        log: &Log,
        part: PartId,
        (from, isolation): (i64, Isolation),
        max_bytes: usize,
    ) -> Result<(), String> {
        let seen = records_from(Arc::new(log.clone()), part, from, max_bytes, isolation);
        let seen = seen.map_err(|error| error.to_string())?;
        self.check_seen(part, (from, isolation), &seen, &Vec::new())
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
            commit.appends.push(Append { part, batch: batch(&[&value]) });
            self.append(part, &[value]);
        }
        log.commit(commit).map(|_| ())
    }
}
