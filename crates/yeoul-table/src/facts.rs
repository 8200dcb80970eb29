//! The names and bytes of a table's facts, but for those of its segments.
//!
//! Invariant: a table and the one that is being made in its place share a folder and nothing
//! else: their keys, components and file ids never meet.

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, Fates, Offset, PartId};

use crate::error::TableError;
use crate::segment::{SegmentId, SegmentMeta};

const POSITION_VERSION: u8 = 1;

/// How a table is called among facts and files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Naming {
    /// Of its fence and its fates.
    pub(crate) component: String,
    /// What all keys of its segments and positions start with; a name holds no zero byte and is
    /// not empty, so no prefix is another's.
    pub(crate) prefix: Vec<u8>,
    id_base: u64,
}

impl Naming {
    pub(crate) fn of(table: &str) -> Self {
        let mut prefix = table.as_bytes().to_vec();
        prefix.push(0);
        Self { component: format!("table/{table}"), prefix, id_base: 0 }
    }

    /// Of the table that is being made to take the place of `table`.
    pub(crate) fn of_redo(table: &str) -> Self {
        let mut prefix = vec![0];
        prefix.extend_from_slice(table.as_bytes());
        prefix.push(0);
        Self { component: format!("redo/{table}"), prefix, id_base: 1 << 63 }
    }

    /// The id of the `count`-th file that was written since the table was opened. Generations of
    /// a component grow with each opening and are never taken back.
    pub(crate) fn id(&self, generation: u64, count: u32) -> SegmentId {
        SegmentId(self.id_base | (generation << 32) | u64::from(count))
    }

    pub(crate) fn segment(&self, id: SegmentId) -> FactKey {
        SegmentMeta::key(&self.prefix, id)
    }

    pub(crate) fn position(&self, part: PartId) -> FactKey {
        let mut key = self.prefix.clone();
        key.extend_from_slice(&part.0.to_be_bytes());
        FactKey::new(FactKind::TablePosition, key)
    }

    pub(crate) fn fates(&self) -> FactKey {
        Fates::key(&self.component)
    }
}

pub(crate) fn encode_position(next: Offset) -> Bytes {
    let mut out = FieldWriter::versioned(POSITION_VERSION);
    out.i64(next);
    out.finish()
}

pub(crate) fn decode_position(key: &[u8], value: &[u8]) -> Result<(PartId, Offset), TableError> {
    let part = key
        .last_chunk::<4>()
        .map(|bytes| PartId(u32::from_be_bytes(*bytes)))
        .ok_or_else(|| TableError::Corrupt("a position's key is too short".into()))?;
    let fields = || -> Result<Offset, FieldError> {
        let mut input = FieldReader::versioned(value, POSITION_VERSION)?;
        let next = input.i64("next")?;
        input.end()?;
        Ok(next)
    };
    let next = fields()
        .map_err(|error| TableError::Corrupt(format!("position of partition {part}: {error}")))?;
    Ok((part, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_the_documented_bytes() {
        let key = Naming::of("films").position(PartId(258));
        assert_eq!(key.key, &b"films\0\0\0\x01\x02"[..]);
        let value = encode_position(300);
        assert_eq!(value, &b"\x01\xd8\x04"[..]);
        assert_eq!(decode_position(&key.key, &value).unwrap(), (PartId(258), 300));
    }

    #[test]
    fn a_table_being_made_again_shares_no_name() {
        let (table, redo) = (Naming::of("films"), Naming::of_redo("films"));
        assert_eq!(redo.position(PartId(1)).key, &b"\0films\0\0\0\0\x01"[..]);
        assert_eq!(redo.id(1, 2), SegmentId(0x8000_0001_0000_0002));
        assert_eq!(table.id(1, 2), SegmentId(0x0000_0001_0000_0002));
        assert_ne!(table.component, redo.component);
    }
}
