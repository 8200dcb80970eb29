//! Topics as facts: how they are written, what may be configured, and the changes that make,
//! alter and remove them. Partition ids count up for ever; topic ids are random.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::limits::{MESSAGE_BYTES_DEFAULT, NODE_PARTITIONS_MAX, PARTITIONS_MAX};
use yeoul_base::store::check_topic_name;
use yeoul_base::{FactKey, FactKind, NewTopic, PartId, StoreError, TopicId, TopicInfo, Topics};

use crate::facts::{self, Facts};
use crate::options::LogOptions;
use crate::topic_config;

const VERSION: u8 = 1;

/// A change of facts, and the topic after it.
pub(crate) type Changed = (Vec<(FactKey, Option<Bytes>)>, Arc<TopicInfo>);

pub(crate) fn key(name: &str) -> FactKey {
    FactKey::new(FactKind::Topic, name.as_bytes().to_vec())
}

pub(crate) fn encode(topic: &TopicInfo) -> Bytes {
    let mut out = FieldWriter::versioned(VERSION);
    out.id16(&topic.id.0).i64(topic.created_ms).u64(topic.partitions.len() as u64);
    for part in topic.partitions.iter() {
        out.u64(u64::from(part.0));
    }
    out.u64(topic.config.len() as u64);
    for (key, value) in &topic.config {
        out.str(key).str(value);
    }
    out.finish()
}

pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<TopicInfo, FieldError> {
    let mut input = FieldReader::versioned(bytes, VERSION)?;
    let id = TopicId(input.id16("id")?);
    let created_ms = input.i64("created")?;
    let count = input.count("partitions", 1)?;
    let mut partitions = Vec::with_capacity(count);
    for _ in 0..count {
        partitions.push(PartId(input.u32("partition")?));
    }
    let mut config = BTreeMap::new();
    for _ in 0..input.count("config", 2)? {
        let key = input.str("config key")?.to_owned();
        config.insert(key, input.str("config value")?.to_owned());
    }
    input.end()?;
    Ok(TopicInfo { name: name.into(), id, partitions: partitions.into(), config, created_ms })
}

/// What a topic's config means to the log. What each key is: [`crate::topic_config`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PartConfig {
    pub(crate) max_message_bytes: usize,
    pub(crate) log_append_time: bool,
    /// How far before and after the node's clock a record may be dated; `None`: as it likes.
    pub(crate) timestamp_before_max_ms: Option<u64>,
    pub(crate) timestamp_after_max_ms: Option<u64>,
    /// Whether log segments go by age and size (`cleanup.policy` has `delete`) …
    pub(crate) delete: bool,
    /// … and whether older records of a key go (it has `compact`).
    pub(crate) compact: bool,
    /// `None`: kept for ever.
    pub(crate) retention_ms: Option<u64>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: u64,
    pub(crate) segment_jitter_ms: u64,
    pub(crate) delete_retention_ms: u64,
    pub(crate) min_compaction_lag_ms: u64,
    pub(crate) max_compaction_lag_ms: u64,
    pub(crate) min_cleanable_dirty_ratio: f64,
    /// `yeoul.durability=relaxed`.
    pub(crate) relaxed: bool,
}

impl PartConfig {
    pub(crate) fn of(config: &BTreeMap<String, String>, options: &LogOptions) -> Self {
        // Values were checked when they were set; one that is not there has the table's default.
        let text = |key: &str| {
            let default = || topic_config::find(key).map_or("", |known| known.default);
            config.get(key).map_or_else(default, |value| value.trim())
        };
        let own = |key: &str| config.get(key).and_then(|value| value.trim().parse::<i64>().ok());
        let number = |key: &str| {
            let number = own(key).or_else(|| text(key).parse().ok());
            number.and_then(|number| u64::try_from(number).ok())
        };
        // The table's "no limit" is Kafka's largest number.
        let limit = |key: &str| number(key).filter(|number| *number < i64::MAX as u64);
        // −1 is Kafka's way to say "no limit", which is not the same as not set.
        let retention_ms = match own("retention.ms") {
            Some(ms) => u64::try_from(ms).ok(),
            None => options.retention_ms,
        };
        let retention_bytes = number("retention.bytes");
        let segment_bytes = own("segment.bytes").and_then(|bytes| u64::try_from(bytes).ok());
        let segment_bytes = segment_bytes
            .unwrap_or_else(|| topic_config::segment_bytes(retention_bytes, options.segment_bytes));
        let policy: Vec<_> = topic_config::list(text("cleanup.policy")).collect();
        let max_message_bytes = number("max.message.bytes").and_then(|bytes| bytes.try_into().ok());
        Self {
            max_message_bytes: max_message_bytes.unwrap_or(MESSAGE_BYTES_DEFAULT),
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: limit("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: limit("message.timestamp.after.max.ms"),
            delete: policy.contains(&"delete"),
            compact: policy.contains(&"compact"),
            retention_ms,
            retention_bytes,
            segment_bytes: segment_bytes.max(1),
            segment_ms: number("segment.ms").unwrap_or(u64::MAX),
            segment_jitter_ms: number("segment.jitter.ms").unwrap_or(0),
            delete_retention_ms: number("delete.retention.ms").unwrap_or(0),
            min_compaction_lag_ms: number("min.compaction.lag.ms").unwrap_or(0),
            max_compaction_lag_ms: number("max.compaction.lag.ms").unwrap_or(u64::MAX),
            min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
            relaxed: text("yeoul.durability") == "relaxed",
        }
    }
}

pub(crate) fn create(
    new: &NewTopic,
    topics: &Topics,
    facts: &Facts,
    id: [u8; 16],
    created_ms: i64,
) -> Result<Changed, StoreError> {
    check_topic_name(&new.name)?;
    topic_config::check(&new.config)?;
    if new.partitions == 0 || new.partitions > PARTITIONS_MAX {
        return Err(StoreError::Invalid(format!(
            "topic `{}` cannot have {} partitions; 1 to {PARTITIONS_MAX} are possible",
            new.name, new.partitions
        )));
    }
    if topics.get(&new.name).is_some() {
        return Err(StoreError::TopicExists(new.name.clone()));
    }
    check_room(topics, new.partitions)?;
    let (counter, parts) = take_parts(facts, new.partitions)?;
    let topic = TopicInfo {
        name: new.name.as_str().into(),
        id: TopicId(id),
        partitions: parts.into(),
        config: new.config.clone(),
        created_ms,
    };
    let put = (key(&new.name), Some(encode(&topic)));
    Ok((vec![counter, put], Arc::new(topic)))
}

fn check_room(topics: &Topics, more: u32) -> Result<(), StoreError> {
    let have: usize = topics.by_name.values().map(|topic| topic.partitions.len()).sum();
    if have.saturating_add(more as usize) <= NODE_PARTITIONS_MAX {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "this node holds {have} partitions and can hold {NODE_PARTITIONS_MAX}: delete topics that are not used"
    )))
}

type FactChange = (FactKey, Option<Bytes>);

/// Takes the next ids; the counter goes up in the same frame.
fn take_parts(facts: &Facts, count: u32) -> Result<(FactChange, Vec<PartId>), StoreError> {
    let key = facts::counter_key("partition");
    let first = facts::counter(facts, &key);
    let end = first + u64::from(count);
    let first = u32::try_from(first).ok().filter(|_| u32::try_from(end).is_ok());
    let first = first.ok_or_else(|| {
        StoreError::Invalid("this data directory has had 2³² partitions: make a new one".into())
    })?;
    let parts = (first..first + count).map(PartId).collect();
    Ok(((key, Some(facts::encode_counter(end))), parts))
}

pub(crate) fn delete(name: &str, topics: &Topics) -> Result<Changed, StoreError> {
    let topic = find(name, topics)?;
    Ok((vec![(key(name), None)], topic))
}

pub(crate) fn alter(
    name: &str,
    changes: &[(String, Option<String>)],
    topics: &Topics,
) -> Result<Changed, StoreError> {
    let mut topic = TopicInfo::clone(&*find(name, topics)?);
    for (key, value) in changes {
        match value {
            Some(value) => topic.config.insert(key.clone(), value.clone()),
            None => topic.config.remove(key),
        };
    }
    topic_config::check(&topic.config)?;
    Ok((vec![(key(name), Some(encode(&topic)))], Arc::new(topic)))
}

pub(crate) fn add_partitions(
    name: &str,
    total: u32,
    topics: &Topics,
    facts: &Facts,
) -> Result<Changed, StoreError> {
    let mut topic = TopicInfo::clone(&*find(name, topics)?);
    let have = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    if total <= have || total > PARTITIONS_MAX {
        return Err(StoreError::Invalid(format!(
            "topic `{name}` has {have} partitions; it can have more, up to {PARTITIONS_MAX}, not {total}"
        )));
    }
    check_room(topics, total - have)?;
    let (counter, more) = take_parts(facts, total - have)?;
    topic.partitions = topic.partitions.iter().copied().chain(more).collect();
    Ok((vec![counter, (key(name), Some(encode(&topic)))], Arc::new(topic)))
}

fn find(name: &str, topics: &Topics) -> Result<Arc<TopicInfo>, StoreError> {
    topics.get(name).map(Arc::clone).ok_or_else(|| StoreError::UnknownTopic(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_holds_so_many_partitions_and_no_more() {
        let mut topics = Topics::default();
        let mut facts = Facts::new_sync();
        let mut last = Ok(());
        for number in 0..=NODE_PARTITIONS_MAX / PARTITIONS_MAX as usize {
            let name = format!("t{number}");
            let new = NewTopic { name, partitions: PARTITIONS_MAX, config: BTreeMap::new() };
            last = create(&new, &topics, &facts, [1; 16], 0).map(|(changes, topic)| {
                topics.by_name.insert(Arc::clone(&topic.name), topic);
                for (key, value) in &changes {
                    facts::apply(&mut facts, key, value);
                }
            });
        }
        assert_eq!(topics.by_name.len(), NODE_PARTITIONS_MAX / PARTITIONS_MAX as usize);
        assert!(matches!(last, Err(StoreError::Invalid(why)) if why.contains("50000")));
        assert!(
            create(
                &NewTopic { name: "one".into(), partitions: 1, config: BTreeMap::new() },
                &topics,
                &facts,
                [1; 16],
                0
            )
            .is_err()
        );
    }

    #[test]
    fn golden_bytes_of_a_topic_and_its_config() -> Result<(), FieldError> {
        let mut config = BTreeMap::new();
        config.insert("retention.bytes".to_owned(), "4096".to_owned());
        let topic = TopicInfo {
            name: "t".into(),
            id: TopicId([7; 16]),
            partitions: vec![PartId(0), PartId(300)].into(),
            config,
            created_ms: -1,
        };
        let bytes = encode(&topic);
        let golden = b"\x01\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x01\x02\x00\xac\x02\x01\x0fretention.bytes\x044096";
        assert_eq!(&bytes[..], golden);
        assert_eq!(decode("t", &bytes)?, topic);
        let part = PartConfig::of(&topic.config, &LogOptions::default());
        assert_eq!((part.segment_bytes, part.retention_bytes), (1024, Some(4096)));
        Ok(())
    }

    #[test]
    fn what_is_not_set_has_the_defaults_of_the_table() {
        let of = |key: &str, value: &str| {
            let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            PartConfig::of(&config, &LogOptions::default())
        };
        let plain = PartConfig::of(&BTreeMap::new(), &LogOptions::default());
        assert_eq!(plain.retention_ms, Some(topic_config::RETENTION_MS_DEFAULT));
        assert_eq!(plain.segment_bytes, topic_config::SEGMENT_BYTES_DEFAULT);
        assert_eq!((plain.retention_bytes, plain.timestamp_after_max_ms), (None, None));
        assert_eq!((plain.segment_ms, plain.min_cleanable_dirty_ratio), (604_800_000, 0.5));
        assert!(plain.delete && !plain.compact && !plain.log_append_time && !plain.relaxed);
        assert_eq!(of("retention.ms", "-1").retention_ms, None);
        let both = of("cleanup.policy", "compact, delete");
        assert!(both.delete && both.compact);
        assert!(!of("cleanup.policy", "compact").delete);
        assert!(of("yeoul.durability", "relaxed").relaxed);
    }
}
