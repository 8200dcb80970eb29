//! How far a stream has read each input partition: one fact per partition, changed only in the
//! commit of the epoch that moves it. Bytes: `docs/formats/stream.md`.

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, Offset, TopicId};

const VERSION: u8 = 1;

/// Where a stream stands in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which topic of that name: one that was made again is read from its start.
    pub topic: TopicId,
    /// The next offset to read.
    pub next: Offset,
    /// Records that retention removed before they were read.
    pub lost: u64,
}

impl Position {
    /// The key: stream, topic and partition number, divided by zero bytes (which none of the
    /// names can hold) and in big-endian, so that a stream's positions lie together.
    pub fn key(stream: &str, topic: &str, partition: u32) -> FactKey {
        let mut key = prefix(stream);
        key.extend_from_slice(topic.as_bytes());
        key.push(0);
        key.extend_from_slice(&partition.to_be_bytes());
        FactKey::new(FactKind::StreamPosition, key)
    }

    pub fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.id16(&self.topic.0).i64(self.next).u64(self.lost);
        out.finish()
    }

    /// # Errors
    /// The bytes are not a position.
    pub fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let topic = TopicId(input.id16("topic")?);
        let next = input.i64("next")?;
        let lost = input.u64("lost")?;
        input.end()?;
        Ok(Self { topic, next, lost })
    }
}

/// Of all positions of a stream.
pub fn prefix(stream: &str) -> Vec<u8> {
    let mut key = stream.as_bytes().to_vec();
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden bytes of `docs/formats/stream.md`.
    #[test]
    fn positions_keep_their_bytes() {
        let position = Position { topic: TopicId([7; 16]), next: 900, lost: 3 };
        let mut golden = vec![1];
        golden.extend_from_slice(&[7; 16]);
        golden.extend_from_slice(&[0x88, 0x0e, 3]);
        assert_eq!(position.encode(), golden);
        assert_eq!(Position::decode(&golden), Ok(position));
        assert!(Position::decode(&golden[..18]).is_err());
        golden.push(0);
        assert!(Position::decode(&golden).is_err());
        let key = Position::key("s", "movies", 258);
        assert_eq!(key.key.as_ref(), b"s\0movies\0\0\0\x01\x02");
        assert!(key.key.starts_with(&prefix("s")));
    }
}
