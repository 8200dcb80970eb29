//! Committed offsets as facts. Bytes: `docs/formats/group-offsets.md`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, Store, TopicId};

const KEY_VERSION: u8 = 1;
const VALUE_VERSION: u8 = 2;
/// Keys that begin with it are groups, not offsets.
const RECORD_KEY_VERSION: u8 = 2;
const RECORD_VERSION: u8 = 1;

/// Which partition of a group's offsets. By the topic's id: a topic made again under the same
/// name starts without offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OffsetKey {
    pub(crate) topic: TopicId,
    pub(crate) partition: i32,
}

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The next record to read.
    pub(crate) offset: i64,
    /// As the client gave it; −1: none.
    pub(crate) leader_epoch: i32,
    /// The client's own text.
    pub(crate) metadata: String,
    pub(crate) committed_ms: i64,
    /// When it goes at the latest, where its client has chosen that; in milliseconds since 1970.
    pub(crate) expires_ms: Option<i64>,
}

/// What is kept of a group itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) protocol_type: String,
    /// Of the last members.
    pub(crate) generation: i32,
    /// When the last member went, in milliseconds since 1970; `None` while there are members.
    pub(crate) empty_since_ms: Option<i64>,
}

impl Record {
    pub(crate) fn fact(group: &str) -> FactKey {
        let mut out = FieldWriter::versioned(RECORD_KEY_VERSION);
        out.str(group);
        FactKey::new(FactKind::GroupOffset, out.finish())
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(RECORD_VERSION);
        out.str(&self.protocol_type).i64(self.generation.into());
        out.bool(self.empty_since_ms.is_none()).i64(self.empty_since_ms.unwrap_or(0));
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, RECORD_VERSION)?;
        let protocol_type = input.str("protocol_type")?.to_owned();
        let generation = i32::try_from(input.i64("generation")?)
            .map_err(|_| FieldError { field: "generation", what: "number above 32 bits" })?;
        let has_members = input.bool("has_members")?;
        let since = input.i64("empty_since_ms")?;
        input.end()?;
        Ok(Self { protocol_type, generation, empty_since_ms: (!has_members).then_some(since) })
    }
}

fn decode_record_key(key: &[u8]) -> Result<&str, FieldError> {
    let mut input = FieldReader::versioned(key, RECORD_KEY_VERSION)?;
    let group = input.str("group")?;
    input.end()?;
    Ok(group)
}

/// What is kept of one group.
pub(crate) fn record(store: &dyn Store, group: &str) -> Option<Record> {
    let value = store.fact(FactKind::GroupOffset, &Record::fact(group).key)?;
    Record::decode(&value)
        .inspect_err(
            |error| tracing::warn!(group, %error, "what is kept of a group does not decode"),
        )
        .ok()
}

/// Everything that is kept, as it lies in the store. What does not decode is left out.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// By group; the bytes are the value's.
    pub(crate) offsets: BTreeMap<String, Vec<(OffsetKey, Committed, Bytes)>>,
    pub(crate) records: BTreeMap<String, (Record, Bytes)>,
}

pub(crate) fn kept(store: &dyn Store) -> Kept {
    let mut kept = Kept::default();
    for (key, value) in store.facts(FactKind::GroupOffset, &[KEY_VERSION]) {
        if let (Ok((group, at)), Ok(what)) = (decode_key(&key), Committed::decode(&value)) {
            kept.offsets.entry(group.to_owned()).or_default().push((at, what, value));
        }
    }
    for (key, value) in store.facts(FactKind::GroupOffset, &[RECORD_KEY_VERSION]) {
        if let (Ok(group), Ok(record)) = (decode_record_key(&key), Record::decode(&value)) {
            kept.records.insert(group.to_owned(), (record, value));
        }
    }
    kept
}

fn prefix(group: &str) -> FieldWriter {
    let mut out = FieldWriter::versioned(KEY_VERSION);
    out.str(group);
    out
}

fn decode_key(key: &[u8]) -> Result<(&str, OffsetKey), FieldError> {
    let mut input = FieldReader::versioned(key, KEY_VERSION)?;
    let group = input.str("group")?;
    let topic = TopicId(input.id16("topic")?);
    let partition = input.u32("partition")?;
    let partition = i32::try_from(partition)
        .map_err(|_| FieldError { field: "partition", what: "number above 31 bits" })?;
    input.end()?;
    Ok((group, OffsetKey { topic, partition }))
}

impl OffsetKey {
    pub(crate) fn fact(&self, group: &str) -> FactKey {
        let mut out = prefix(group);
        out.id16(&self.topic.0);
        // Not negative: it was looked up among the topic's partitions.
        out.u64(u64::try_from(self.partition).unwrap_or(0));
        FactKey::new(FactKind::GroupOffset, out.finish())
    }
}

impl Committed {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VALUE_VERSION);
        out.i64(self.offset).i64(self.leader_epoch.into()).str(&self.metadata);
        out.i64(self.committed_ms);
        out.bool(self.expires_ms.is_some()).i64(self.expires_ms.unwrap_or(0));
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, VALUE_VERSION)?;
        let offset = input.i64("offset")?;
        let leader_epoch = i32::try_from(input.i64("leader_epoch")?)
            .map_err(|_| FieldError { field: "leader_epoch", what: "number above 32 bits" })?;
        let metadata = input.str("metadata")?.to_owned();
        let committed_ms = input.i64("committed_ms")?;
        let expires = input.bool("expires")?;
        let expires_ms = Some(input.i64("expires_ms")?).filter(|_| expires);
        input.end()?;
        Ok(Self { offset, leader_epoch, metadata, committed_ms, expires_ms })
    }
}

/// What one group committed. A fact that does not decode is left out with a warning: the group
/// then starts where its client's `auto.offset.reset` says.
pub(crate) fn of_group(store: &dyn Store, group: &str) -> BTreeMap<OffsetKey, Committed> {
    let mut offsets = BTreeMap::new();
    for (key, value) in store.facts(FactKind::GroupOffset, &prefix(group).finish()) {
        let decoded = decode_key(&key)
            .and_then(|(_, key)| Committed::decode(&value).map(|value| (key, value)));
        match decoded {
            Ok((key, value)) => {
                offsets.insert(key, value);
            }
            Err(error) => tracing::warn!(group, %error, "a committed offset does not decode"),
        }
    }
    offsets
}

/// Whether a group committed anything that is kept.
pub(crate) fn has_offsets(store: &dyn Store, group: &str) -> bool {
    !store.facts(FactKind::GroupOffset, &prefix(group).finish()).is_empty()
}

/// The facts of all groups about one topic.
pub(crate) fn of_topic(store: &dyn Store, topic: TopicId) -> Vec<FactKey> {
    let all = store.facts(FactKind::GroupOffset, &[KEY_VERSION]);
    all.into_iter()
        .filter(|(key, _)| decode_key(key).is_ok_and(|(_, of)| of.topic == topic))
        .map(|(key, _)| FactKey::new(FactKind::GroupOffset, key))
        .collect()
}

/// Every group that committed something.
pub(crate) fn names(store: &dyn Store) -> BTreeSet<String> {
    let all = store.facts(FactKind::GroupOffset, &[KEY_VERSION]);
    all.iter()
        .filter_map(|(key, _)| decode_key(key).ok())
        .map(|(group, _)| group.to_owned())
        .collect()
}

/// Any bytes as key and as value.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_facts(data: &[u8]) {
    if let Ok((group, key)) = decode_key(data) {
        let written = key.fact(group);
        assert_eq!(decode_key(&written.key).ok(), Some((group, key)));
    }
    if let Ok(value) = Committed::decode(data) {
        assert_eq!(Committed::decode(&value.encode()).as_ref(), Ok(&value));
    }
    if let Ok(group) = decode_record_key(data) {
        assert_eq!(decode_record_key(&Record::fact(group).key), Ok(group));
    }
    if let Ok(record) = Record::decode(data) {
        assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(&record));
    }
}

/// Keys and values.
#[cfg(any(test, fuzzing))]
pub(crate) fn sample_facts() -> Vec<Vec<u8>> {
    let key = OffsetKey { topic: TopicId([1; 16]), partition: 1 };
    let value = Committed {
        offset: 5,
        leader_epoch: 1,
        metadata: "m".into(),
        committed_ms: 1,
        expires_ms: Some(9),
    };
    let record =
        Record { protocol_type: "consumer".into(), generation: 2, empty_since_ms: Some(3) };
    vec![
        key.fact("g").key.to_vec(),
        value.encode().to_vec(),
        Record::fact("g").key.to_vec(),
        record.encode().to_vec(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_keep_their_documented_bytes() {
        let key = OffsetKey { topic: TopicId([0xab; 16]), partition: 300 };
        let fact = key.fact("g1");
        let mut expected = vec![1, 2, b'g', b'1'];
        expected.extend([0xab; 16]);
        expected.extend([0xac, 0x02]);
        assert_eq!(fact.key, expected);
        assert_eq!(decode_key(&fact.key), Ok(("g1", key)));

        let mut value = Committed {
            offset: 5,
            leader_epoch: -1,
            metadata: "m".into(),
            committed_ms: 64,
            expires_ms: None,
        };
        assert_eq!(value.encode(), vec![2, 10, 1, 1, b'm', 0x80, 0x01, 0, 0]);
        assert_eq!(Committed::decode(&value.encode()), Ok(value.clone()));
        value.expires_ms = Some(65);
        assert_eq!(value.encode(), vec![2, 10, 1, 1, b'm', 0x80, 0x01, 1, 0x82, 0x01]);
        assert_eq!(Committed::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn what_is_kept_of_a_group_has_its_documented_bytes() {
        assert_eq!(Record::fact("g1").key, vec![2, 2, b'g', b'1']);
        let mut record =
            Record { protocol_type: "c".into(), generation: 3, empty_since_ms: Some(64) };
        assert_eq!(record.encode(), vec![1, 1, b'c', 6, 0, 0x80, 0x01]);
        assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
        record.empty_since_ms = None;
        assert_eq!(record.encode(), vec![1, 1, b'c', 6, 1, 0]);
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_group_does_not_see_the_offsets_of_one_whose_name_begins_alike() {
        let short = prefix("g").finish();
        let key = OffsetKey { topic: TopicId([0; 16]), partition: 0 }.fact("gg");
        assert!(!key.key.starts_with(&short));
    }
}
