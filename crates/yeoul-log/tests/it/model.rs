//! What the log must hold after each commit, kept beside it in the simplest way there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Append, Commit, FactKey, FactKind, PartId, Store, StoreError};
use yeoul_log::{BatchBuilder, Codec, Log};

use crate::support::{NOW_MS, values};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PartModel {
    pub(crate) start: i64,
    /// Index = offset.
    pub(crate) records: Vec<String>,
}

/// A producer's last batch in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastBatch {
    pub(crate) sequence: i32,
    pub(crate) value: String,
    pub(crate) base: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Model {
    pub(crate) topics: BTreeMap<String, Vec<PartId>>,
    pub(crate) parts: BTreeMap<PartId, PartModel>,
    pub(crate) facts: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) producers: BTreeMap<(PartId, i64), LastBatch>,
}

pub(crate) fn fact_key(key: &str) -> FactKey {
    FactKey::new(FactKind::SourcePosition, key.as_bytes().to_vec())
}

pub(crate) fn produced(part: PartId, id: i64, sequence: i32, value: &str) -> Append {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.producer(id, 0, sequence);
    builder.push(NOW_MS, Some(b"k"), Some(value.as_bytes()), &[]);
    Append { part, batch: builder.finish().expect("a record") }
}

impl Model {
    pub(crate) fn append(&mut self, part: PartId, values: &[String]) {
        let part = self.parts.get_mut(&part).expect("a partition");
        part.records.extend(values.iter().cloned());
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
        }
    }

    /// Compares with everything the log shows; says the first difference.
    pub(crate) fn check(&self, log: &Log) -> Result<(), String> {
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
        for (id, part) in &self.parts {
            let ends = log.ends(*id).ok_or(format!("{id} is not there"))?;
            let high = part.records.len() as i64;
            if (ends.start, ends.stable, ends.high) != (part.start, high, high) {
                return Err(format!("{id} has {ends:?}, should be {}..{high}", part.start));
            }
            let shown = values(Arc::new(log.clone()), *id).map_err(|error| error.to_string())?;
            let expected = part.records.get(part.start as usize..).unwrap_or_default();
            if shown != expected {
                return Err(format!("{id} holds {shown:?}, should be {expected:?}"));
            }
        }
        self.check_duplicates(log)
    }

    /// Every producer sends its last batch again.
    fn check_duplicates(&self, log: &Log) -> Result<(), String> {
        for ((part, id), last) in &self.producers {
            let appends = vec![produced(*part, *id, last.sequence, &last.value)];
            let commit = Commit { appends, ..Commit::default() };
            let done = log.commit(commit).map_err(|error| format!("sent again: {error}"))?;
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
