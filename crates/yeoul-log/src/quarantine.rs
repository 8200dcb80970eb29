//! Ranges of offsets that were acknowledged and cannot be read any more. Each is a fact: readers
//! get an error that names the range instead of wrong bytes or silence, and everything around it
//! stays readable. The damaged bytes are kept in `quarantine/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{Disk, FactKey, FactKind, Offset, Open, PartId, StoreError};

use crate::paths::{self, FileId};

const VERSION: u8 = 1;

/// A range that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub part: PartId,
    pub first: Offset,
    pub last: Offset,
    /// What was found, where.
    pub reason: String,
    /// Somebody has decided to go on without it: readers pass over it.
    pub accepted: bool,
    /// Bytes of a log segment that lead nowhere; `None` when only records are damaged and the
    /// batches' headers still lead on.
    pub(crate) hole: Option<(FileId, Hole)>,
}

impl Lost {
    /// Records whose batch still says which offsets they had.
    pub(crate) fn of_records(part: PartId, range: (Offset, Offset), reason: String) -> Self {
        Self { part, first: range.0, last: range.1, reason, accepted: false, hole: None }
    }

    pub(crate) fn key(&self) -> FactKey {
        key(self.part, self.first)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.i64(self.last).bool(self.accepted).str(&self.reason);
        out.bool(self.hole.is_some());
        if let Some((file, hole)) = &self.hole {
            out.i64(file.base).u64(file.generation.into()).u64(hole.from).u64(hole.to);
        }
        out.finish()
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, FieldError> {
        let bad = FieldError { field: "key", what: "not a partition and an offset" };
        let (part, first) = key.split_first_chunk::<4>().ok_or(bad.clone())?;
        let first: [u8; 8] = first.try_into().map_err(|_| bad)?;
        let mut input = FieldReader::versioned(value, VERSION)?;
        let last = input.i64("last")?;
        let accepted = input.bool("accepted")?;
        let reason = input.str("reason")?.to_owned();
        let (part, first) = (PartId(u32::from_be_bytes(*part)), i64::from_be_bytes(first));
        let mut hole = None;
        if input.bool("hole")? {
            let (base, generation) = (input.i64("log segment")?, input.u32("generation")?);
            let (from, to) = (input.u64("from")?, input.u64("to")?);
            let next = last.saturating_add(1);
            hole = Some((FileId { part, base, generation }, Hole { from, to, next }));
        }
        input.end()?;
        Ok(Self { part, first, last, reason, accepted, hole })
    }

    pub(crate) fn error(&self) -> StoreError {
        let (part, first, last) = (self.part, self.first, self.last);
        StoreError::Quarantined { part, first, last, reason: self.reason.clone() }
    }
}

fn key(part: PartId, first: Offset) -> FactKey {
    let mut key = part.0.to_be_bytes().to_vec();
    // Offsets are never negative, so their order is that of their bytes.
    key.extend_from_slice(&first.to_be_bytes());
    FactKey::new(FactKind::Quarantine, key)
}

/// Where a partition's ranges are among the facts.
pub(crate) fn prefix(part: PartId) -> Vec<u8> {
    part.0.to_be_bytes().to_vec()
}

/// A partition's ranges, by first offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges(BTreeMap<Offset, Lost>);

impl Ranges {
    pub(crate) fn put(&mut self, lost: Lost) {
        self.0.insert(lost.first, lost);
    }

    pub(crate) fn holding(&self, offset: Offset) -> Option<&Lost> {
        let (_, lost) = self.0.range(..=offset).next_back()?;
        (lost.last >= offset).then_some(lost)
    }

    pub(crate) fn next_after(&self, offset: Offset) -> Option<&Lost> {
        self.0.range(offset..).next().map(|(_, lost)| lost)
    }
}

/// Bytes of a log segment that are passed over, and the offset after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) next: Offset,
}

/// Keeps damaged bytes for people; returns where. What stands there already is kept: it is from
/// when the damage was first seen.
pub(crate) fn keep(
    disk: &dyn Disk,
    part: PartId,
    (first, last): (Offset, Offset),
    bytes: &[u8],
) -> std::io::Result<PathBuf> {
    let name = format!("part-{:010}-{first:020}-{last:020}.bad", part.0);
    let path = Path::new(paths::QUARANTINE_DIR).join(name);
    if !disk.exists(&path)? {
        let file = disk.open(&path, Open::Create)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        disk.sync_dir(Path::new(paths::QUARANTINE_DIR))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Lost {
        Lost {
            part: PartId(3),
            first: 5,
            last: 9,
            reason: "why".into(),
            accepted: false,
            hole: Some((
                FileId { part: PartId(3), base: 4, generation: 2 },
                Hole { from: 100, to: 300, next: 10 },
            )),
        }
    }

    #[test]
    fn golden_bytes_of_a_range() -> Result<(), FieldError> {
        let lost = sample();
        assert_eq!(&lost.key().key[..], b"\0\0\0\x03\0\0\0\0\0\0\0\x05");
        let bytes = lost.encode();
        assert_eq!(&bytes[..], b"\x01\x12\0\x03why\x01\x08\x02\x64\xac\x02");
        assert_eq!(Lost::decode(&lost.key().key, &bytes)?, lost);
        for cut in 0..bytes.len() {
            assert!(Lost::decode(&lost.key().key, &bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Lost::decode(b"short", &bytes).is_err());
        Ok(())
    }

    #[test]
    fn a_range_holds_its_offsets_and_no_others() {
        let mut ranges = Ranges::default();
        ranges.put(sample());
        for (offset, inside) in [(4, false), (5, true), (9, true), (10, false)] {
            assert_eq!(ranges.holding(offset).is_some(), inside, "{offset}");
        }
    }
}
