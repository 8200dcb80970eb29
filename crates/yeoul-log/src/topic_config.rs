//! The one table of what can be set on a topic: names (Kafka's), types, defaults, what is allowed,
//! and whether it does something here. The log checks changes against it and Kafka's face
//! describes topics from it, so the two cannot differ.
//!
//! A key that is not in the table is refused: a setting that was misspelt must not look set.

use std::collections::BTreeMap;

use yeoul_base::StoreError;
use yeoul_base::limits::MESSAGE_BYTES_MAX;

/// Bytes of a log segment where neither the topic nor its `retention.bytes` says.
pub const SEGMENT_BYTES_DEFAULT: u64 = 128 << 20;
/// How long records are kept where the topic does not say, in milliseconds.
pub const RETENTION_MS_DEFAULT: u64 = 7 * 24 * 3600 * 1000;

/// Kafka's types of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    /// Words with commas between them.
    List,
}

impl ConfigType {
    /// As DescribeConfigs tells it.
    pub fn number(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
        }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    /// `true` or `false`.
    Flag,
    /// A whole number from … to.
    Whole(i64, i64),
    /// A number from 0 to 1.
    Fraction,
    OneOf(&'static [&'static str]),
    /// One or more of these.
    SomeOf(&'static [&'static str]),
    Anything,
}

/// Whether a setting changes what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Works,
    /// Taken, checked and shown because tools set it; nothing comes of it, and `doc` says why.
    ForTools,
}

/// One setting of a topic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicConfig {
    pub name: &'static str,
    /// What holds when it is not set; see [`effective`] for the one that follows another.
    pub default: &'static str,
    pub kind: ConfigType,
    pub allowed: Allowed,
    pub effect: Effect,
    /// One or two sentences for people.
    pub doc: &'static str,
}

impl TopicConfig {
    /// # Errors
    /// What the value is and what it can be.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let trimmed = value.trim();
        let name = self.name;
        let (fine, possible) = match self.allowed {
            Allowed::Anything => (true, String::new()),
            Allowed::Flag => (parse_flag(trimmed).is_some(), "true or false".to_owned()),
            Allowed::Whole(least, most) => {
                let fine = trimmed.parse::<i64>().is_ok_and(|n| (least..=most).contains(&n));
                let to = if most == i64::MAX { String::new() } else { format!(" to {most}") };
                (fine, format!("a whole number from {least}{to}"))
            }
            Allowed::Fraction => {
                let fine = trimmed.parse::<f64>().is_ok_and(|n| (0.0..=1.0).contains(&n));
                (fine, "a number from 0 to 1".to_owned())
            }
            Allowed::OneOf(words) => (words.contains(&trimmed), words.join(" or ")),
            Allowed::SomeOf(words) => {
                let fine = !trimmed.is_empty() && list(trimmed).all(|word| words.contains(&word));
                (fine, format!("{}, or several of these with commas between", words.join(" or ")))
            }
        };
        if fine { Ok(()) } else { Err(format!("{name} is `{value}`; it can be {possible}")) }
    }
}

const FOREVER: &str = "9223372036854775807";
const MS: Allowed = Allowed::Whole(0, i64::MAX);

/// Every setting there is, by name.
pub const TOPIC_CONFIGS: &[TopicConfig] = &[
    works(
        "cleanup.policy",
        "delete",
        ConfigType::List,
        Allowed::SomeOf(&["delete", "compact"]),
        "delete: whole closed log segments go by age and size. compact: the newest record of each key stays.",
    ),
    tools(
        "compression.type",
        "producer",
        ConfigType::String,
        Allowed::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
        "Without effect: batches stay as their producer packed them.",
    ),
    works(
        "delete.retention.ms",
        "86400000",
        ConfigType::Long,
        MS,
        "How long compaction keeps a key's deletion (a null value) and the ends of transactions, for readers that have not come so far.",
    ),
    tools(
        "file.delete.delay.ms",
        "60000",
        ConfigType::Long,
        MS,
        "Without effect: a file goes once neither of the two newest snapshots names it; readers that have it open go on.",
    ),
    tools(
        "flush.messages",
        FOREVER,
        ConfigType::Long,
        Allowed::Whole(1, i64::MAX),
        "Without effect: every commit is synced before it is acknowledged.",
    ),
    tools(
        "flush.ms",
        FOREVER,
        ConfigType::Long,
        MS,
        "Without effect: every commit is synced before it is acknowledged.",
    ),
    tools(
        "index.interval.bytes",
        "4096",
        ConfigType::Int,
        Allowed::Whole(0, i32::MAX as i64),
        "Without effect: the index is in memory, with an entry for every 4 KiB.",
    ),
    works(
        "max.compaction.lag.ms",
        FOREVER,
        ConfigType::Long,
        Allowed::Whole(1, i64::MAX),
        "A closed log segment with records older than this is compacted whatever min.cleanable.dirty.ratio says.",
    ),
    works(
        "max.message.bytes",
        "1048588",
        ConfigType::Int,
        Allowed::Whole(0, MESSAGE_BYTES_MAX as i64),
        "The largest record batch that is taken, packed as it comes. One commit has 32 MiB at most, hence the limit.",
    ),
    works(
        "message.timestamp.after.max.ms",
        FOREVER,
        ConfigType::Long,
        MS,
        "Batches with records dated further ahead of the node's clock than this are refused. Not for LogAppendTime.",
    ),
    works(
        "message.timestamp.before.max.ms",
        FOREVER,
        ConfigType::Long,
        MS,
        "Batches with records dated further behind the node's clock than this are refused. Not for LogAppendTime.",
    ),
    works(
        "message.timestamp.type",
        "CreateTime",
        ConfigType::String,
        Allowed::OneOf(&["CreateTime", "LogAppendTime"]),
        "Whether records keep their producer's time or get the node's.",
    ),
    works(
        "min.cleanable.dirty.ratio",
        "0.5",
        ConfigType::Double,
        Allowed::Fraction,
        "A compacted partition is compacted again when at least this share of its closed bytes was never compacted.",
    ),
    works(
        "min.compaction.lag.ms",
        "0",
        ConfigType::Long,
        MS,
        "Records younger than this are not compacted.",
    ),
    tools(
        "min.insync.replicas",
        "1",
        ConfigType::Int,
        Allowed::Whole(1, i32::MAX as i64),
        "Without effect: there is one node, and what it acknowledged is on its disk.",
    ),
    tools(
        "preallocate",
        "false",
        ConfigType::Boolean,
        Allowed::Flag,
        "Without effect: the commit log is written in advance, log segments grow.",
    ),
    works(
        "retention.bytes",
        "-1",
        ConfigType::Long,
        Allowed::Whole(-1, i64::MAX),
        "The most bytes a partition's log segments have; older ones go whole. -1: no limit.",
    ),
    works(
        "retention.ms",
        "604800000",
        ConfigType::Long,
        Allowed::Whole(-1, i64::MAX),
        "How long records are kept, by the newest timestamp of their log segment. -1: for ever.",
    ),
    works(
        "segment.bytes",
        "134217728",
        ConfigType::Int,
        Allowed::Whole(14, i32::MAX as i64),
        "A log segment is closed at this size. Default: 128 MiB, or a quarter of retention.bytes if that is less.",
    ),
    tools(
        "segment.index.bytes",
        "10485760",
        ConfigType::Int,
        Allowed::Whole(4, i32::MAX as i64),
        "Without effect: there are no index files.",
    ),
    works(
        "segment.jitter.ms",
        "0",
        ConfigType::Long,
        MS,
        "A log segment is closed up to this much before segment.ms, so that partitions do not all roll at once.",
    ),
    works(
        "segment.ms",
        "604800000",
        ConfigType::Long,
        Allowed::Whole(1, i64::MAX),
        "A log segment is closed after this time even when it is small, so that retention and compaction reach it.",
    ),
    tools(
        "unclean.leader.election.enable",
        "false",
        ConfigType::Boolean,
        Allowed::Flag,
        "Without effect: there is one node.",
    ),
    works(
        "yeoul.durability",
        "ack",
        ConfigType::String,
        Allowed::OneOf(&["ack", "relaxed"]),
        "ack: a record is on disk before it is acknowledged and shown. relaxed: this topic's own records are acknowledged and shown up to 50 ms earlier and may be lost in a power cut.",
    ),
];

const fn works(
    name: &'static str,
    default: &'static str,
    kind: ConfigType,
    allowed: Allowed,
    doc: &'static str,
) -> TopicConfig {
    TopicConfig { name, default, kind, allowed, effect: Effect::Works, doc }
}

const fn tools(
    name: &'static str,
    default: &'static str,
    kind: ConfigType,
    allowed: Allowed,
    doc: &'static str,
) -> TopicConfig {
    TopicConfig { name, default, kind, allowed, effect: Effect::ForTools, doc }
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static TopicConfig> {
    TOPIC_CONFIGS.iter().find(|config| config.name == name)
}

/// The words of a [`ConfigType::List`].
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

fn parse_flag(value: &str) -> Option<bool> {
    [true, false].into_iter().find(|flag| value.eq_ignore_ascii_case(&flag.to_string()))
}

/// Refuses keys that do not exist and values that cannot be.
///
/// # Errors
/// [`StoreError::Invalid`] with the first that is wrong and what it can be.
pub fn check(config: &BTreeMap<String, String>) -> Result<(), StoreError> {
    for (name, value) in config {
        let known = find(name).ok_or_else(|| {
            StoreError::Invalid(format!("there is no topic setting `{name}`; see docs/topics.md"))
        })?;
        known.check(value).map_err(StoreError::Invalid)?;
    }
    Ok(())
}

/// What holds for a topic on which `set` was set.
pub fn effective(config: &TopicConfig, set: &BTreeMap<String, String>) -> String {
    if let Some(value) = set.get(config.name) {
        return value.clone();
    }
    let number = |name| set.get(name).and_then(|value: &String| value.trim().parse::<u64>().ok());
    match config.name {
        "segment.bytes" => {
            segment_bytes(number("retention.bytes"), SEGMENT_BYTES_DEFAULT).to_string()
        }
        _ => config.default.to_owned(),
    }
}

/// The size at which log segments close when none is set: retention drops whole ones, so a
/// partition that may keep little needs small ones.
pub(crate) fn segment_bytes(retention_bytes: Option<u64>, otherwise: u64) -> u64 {
    otherwise.min(retention_bytes.unwrap_or(u64::MAX) / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_names_are_in_order() {
        for config in TOPIC_CONFIGS {
            assert_eq!(config.check(config.default), Ok(()), "{}", config.name);
            let without = config.doc.starts_with("Without effect: ");
            assert_eq!(without, config.effect == Effect::ForTools, "{}", config.name);
        }
        assert!(TOPIC_CONFIGS.is_sorted_by_key(|config| config.name));
        let milliseconds = find("retention.ms").map(|config| config.default.to_owned());
        assert_eq!(milliseconds, Some(RETENTION_MS_DEFAULT.to_string()));
    }

    #[test]
    fn the_page_for_people_has_every_setting() {
        let page = include_str!("../../../docs/topics.md");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let row = |config: &TopicConfig| {
            let default = if config.default == FOREVER { "no limit" } else { config.default };
            format!("| `{}` | {default} | {} |", config.name, config.doc)
        };
        assert_eq!(rows, TOPIC_CONFIGS.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn values_and_keys_that_cannot_be_are_refused() {
        for (key, value) in [
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("segment.bytes", "0"),
            ("max.message.bytes", "16777217"),
            ("message.timestamp.type", "Never"),
            ("cleanup.policy", ""),
            ("cleanup.policy", "compact,shred"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("min.cleanable.dirty.ratio", "NaN"),
            ("preallocate", "perhaps"),
            ("retention.millis", "5"),
        ] {
            let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert!(matches!(check(&config), Err(StoreError::Invalid(_))), "{key}={value}");
        }
        for (key, value) in [
            ("retention.ms", "-1"),
            ("cleanup.policy", "compact, delete"),
            ("preallocate", "TRUE"),
            ("min.cleanable.dirty.ratio", "0.01"),
        ] {
            let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert_eq!(check(&config), Ok(()), "{key}={value}");
        }
    }

    #[test]
    fn the_size_of_log_segments_follows_retention() {
        let config = find("segment.bytes").expect("it is in the table");
        let with = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            effective(config, &pairs.iter().map(pair).collect())
        };
        assert_eq!(with(&[]), "134217728");
        assert_eq!(with(&[("retention.bytes", "4096")]), "1024");
        assert_eq!(with(&[("retention.bytes", "-1")]), "134217728");
        assert_eq!(with(&[("retention.bytes", "4096"), ("segment.bytes", "99")]), "99");
    }
}
