//! Dead letters: records that could not be used, kept with their bytes, the reason and where they
//! came from, in a topic per component. Header names are those of Kafka Connect's dead-letter
//! queue, so tools that know it read ours.

use bytes::Bytes;
use yeoul_base::{NewTopic, PartId, Store, StoreError};

use crate::batch::{BatchBuilder, Header};

/// A reason is for people; a hostile record must not make it long.
const REASON_BYTES_MAX: usize = 1 << 10;

/// A record that could not be used.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// `kind/name`, such as `stream/korean_movies`.
    pub component: &'a str,
    /// What was being done: `decode`, `cast`, `row` …
    pub stage: &'a str,
    pub reason: &'a str,
    /// Where the record was read, when it came from a topic.
    pub topic: Option<&'a str>,
    pub partition: Option<u32>,
    /// Offset in the topic, or the byte position in a file.
    pub offset: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl DeadLetter<'_> {
    /// Adds the letter to the batch its component commits together with the work it belongs to.
    pub fn push(&self, out: &mut BatchBuilder, timestamp_ms: i64) {
        let mut headers = Vec::with_capacity(6);
        let mut header = |name: &'static str, value: &str| {
            headers.push(Header {
                name: Bytes::from_static(name.as_bytes()),
                value: Some(Bytes::copy_from_slice(value.as_bytes())),
            });
        };
        header("yeoul.component", self.component);
        if let Some(topic) = self.topic {
            header("__connect.errors.topic", topic);
        }
        if let Some(partition) = self.partition {
            header("__connect.errors.partition", &partition.to_string());
        }
        if let Some(offset) = self.offset {
            header("__connect.errors.offset", &offset.to_string());
        }
        header("__connect.errors.stage", self.stage);
        let end = self.reason.floor_char_boundary(REASON_BYTES_MAX);
        header("__connect.errors.exception.message", self.reason.get(..end).unwrap_or_default());
        out.push(timestamp_ms, self.key, self.value, &headers);
    }
}

/// `stream/korean_movies` → `dead.stream.korean_movies`. Characters a topic name cannot have
/// become `_`.
pub fn topic_name(component: &str) -> String {
    let legal = |c: char| match c {
        '/' => '.',
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => c,
        _ => '_',
    };
    let room = yeoul_base::limits::TOPIC_NAME_BYTES_MAX;
    "dead.".chars().chain(component.chars().map(legal)).take(room).collect()
}

/// The partition of a component's dead letters; makes the topic when it is missing. Waits.
pub fn partition(store: &dyn Store, component: &str) -> Result<PartId, StoreError> {
    let name = topic_name(component);
    let topic = match store.topics().get(&name) {
        Some(topic) => std::sync::Arc::clone(topic),
        None => {
            let new = NewTopic { name: name.clone(), partitions: 1, config: Default::default() };
            match store.create_topic(new) {
                Ok(topic) => topic,
                // Another thread of the same component was faster.
                Err(StoreError::TopicExists(_)) => store
                    .topics()
                    .get(&name)
                    .map(std::sync::Arc::clone)
                    .ok_or(StoreError::UnknownTopic(name))?,
                Err(error) => return Err(error),
            }
        }
    };
    topic
        .partitions
        .first()
        .copied()
        .ok_or_else(|| StoreError::Invalid(format!("topic `{}` has no partitions", topic.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Codec, decode};
    use yeoul_base::MemStore;

    #[test]
    fn a_letter_keeps_bytes_reason_and_origin() -> Result<(), Box<dyn std::error::Error>> {
        let mut out = BatchBuilder::new(Codec::None);
        let long = "가".repeat(2_000);
        DeadLetter {
            component: "stream/korean_movies",
            stage: "cast",
            reason: &long,
            topic: Some("movies"),
            partition: Some(0),
            offset: Some(17),
            key: None,
            value: Some(b"\xff\x00not text"),
        }
        .push(&mut out, 5);
        let records = decode(&out.finish().ok_or("empty")?)?;
        let [record] = records.as_slice() else { panic!("one record, not {records:?}") };
        assert_eq!(record.value.as_deref(), Some(&b"\xff\x00not text"[..]));
        let header = |name: &str| {
            let found = record.headers.iter().find(|header| header.name == name.as_bytes());
            found.and_then(|header| header.value.clone()).unwrap_or_default()
        };
        assert_eq!(header("yeoul.component"), "stream/korean_movies");
        assert_eq!(header("__connect.errors.topic"), "movies");
        assert_eq!(header("__connect.errors.partition"), "0");
        assert_eq!(header("__connect.errors.offset"), "17");
        assert_eq!(header("__connect.errors.stage"), "cast");
        assert_eq!(header("__connect.errors.exception.message"), "가".repeat(341));
        Ok(())
    }

    #[test]
    fn its_topic_is_named_after_the_component_and_made_once() -> Result<(), StoreError> {
        assert_eq!(topic_name("stream/korean_movies"), "dead.stream.korean_movies");
        assert_eq!(topic_name("source/영화 x"), "dead.source.___x");
        assert_eq!(topic_name(&"x".repeat(400)).len(), 249);
        let store = MemStore::new();
        let part = partition(&store, "source/movies")?;
        assert_eq!(partition(&store, "source/movies")?, part);
        Ok(())
    }
}
