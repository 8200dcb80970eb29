//! Topics as facts: how they are written, what may be configured, and the changes that make,
//! alter and remove them. Partition ids count up for ever; topic ids are random.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::limits::{MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_MAX, PARTITIONS_MAX};
use yeoul_base::store::check_topic_name;
use yeoul_base::{FactKey, FactKind, NewTopic, PartId, StoreError, TopicId, TopicInfo, Topics};

use crate::facts::{self, Facts};
use crate::options::LogOptions;

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

/// What a topic's config means to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartConfig {
    pub(crate) max_message_bytes: usize,
    pub(crate) log_append_time: bool,
    /// `None`: kept for ever.
    pub(crate) retention_ms: Option<u64>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) segment_bytes: u64,
}

impl PartConfig {
    pub(crate) fn of(config: &BTreeMap<String, String>, options: &LogOptions) -> Self {
        let number = |key: &str| config.get(key).and_then(|value| value.parse::<i64>().ok());
        // −1 is Kafka's way to say "no limit", which is not the same as not set.
        let retention_ms = match number("retention.ms") {
            Some(ms) => u64::try_from(ms).ok(),
            None => options.retention_ms,
        };
        let retention_bytes = number("retention.bytes").and_then(|bytes| bytes.try_into().ok());
        let segment_bytes = match number("segment.bytes").and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => bytes,
            None => options.segment_bytes.min(retention_bytes.unwrap_or(u64::MAX) / 4),
        };
        Self {
            max_message_bytes: number("max.message.bytes")
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or(MESSAGE_BYTES_DEFAULT),
            log_append_time: config
                .get("message.timestamp.type")
                .is_some_and(|value| value == "LogAppendTime"),
            retention_ms,
            retention_bytes,
            segment_bytes: segment_bytes.max(1),
        }
    }
}

/// Refuses values the log could not follow. Keys it does not know are kept as they are.
fn check_config(config: &BTreeMap<String, String>) -> Result<(), StoreError> {
    for (key, value) in config {
        let (least, most) = match key.as_str() {
            "retention.ms" | "retention.bytes" => (-1, i64::MAX),
            "segment.bytes" => (1, i64::MAX),
            "max.message.bytes" => (0, MESSAGE_BYTES_MAX as i64),
            "message.timestamp.type" if value == "CreateTime" || value == "LogAppendTime" => {
                continue;
            }
            "message.timestamp.type" => {
                return Err(StoreError::Invalid(format!(
                    "{key} is `{value}`; it can be CreateTime or LogAppendTime"
                )));
            }
            _ => continue,
        };
        let number = value.parse::<i64>().ok();
        if !number.is_some_and(|number| (least..=most).contains(&number)) {
            let most = if most == i64::MAX { String::new() } else { format!(" to {most}") };
            return Err(StoreError::Invalid(format!(
                "{key} is `{value}`; it can be a whole number from {least}{most}"
            )));
        }
    }
    Ok(())
}

pub(crate) fn create(
    new: &NewTopic,
    topics: &Topics,
    facts: &Facts,
    id: [u8; 16],
    created_ms: i64,
) -> Result<Changed, StoreError> {
    check_topic_name(&new.name)?;
    check_config(&new.config)?;
    if new.partitions == 0 || new.partitions > PARTITIONS_MAX {
        return Err(StoreError::Invalid(format!(
            "topic `{}` cannot have {} partitions; 1 to {PARTITIONS_MAX} are possible",
            new.name, new.partitions
        )));
    }
    if topics.get(&new.name).is_some() {
        return Err(StoreError::TopicExists(new.name.clone()));
    }
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
    check_config(&topic.config)?;
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
    fn values_the_log_cannot_follow_are_refused() {
        for (key, value) in [
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("segment.bytes", "0"),
            ("max.message.bytes", "16777217"),
            ("message.timestamp.type", "Never"),
        ] {
            let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert!(matches!(check_config(&config), Err(StoreError::Invalid(_))), "{key}={value}");
        }
        let fine = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        assert_eq!(check_config(&fine), Ok(()));
        let part = PartConfig::of(&fine, &LogOptions::default());
        assert_eq!(part.retention_ms, None);
    }
}
