//! What became of every record a component read: the counts add up, or something was lost.
//!
//! A component keeps its fates as one fact, written in the same commit as the work they count,
//! so they are as exact as the records themselves.

use bytes::Bytes;

use crate::fields::{FieldError, FieldReader, FieldWriter};
use crate::store::{FactKey, FactKind};

const VERSION: u8 = 1;

/// Counts since the component was made. `read` is the sum of all fates but `out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fates {
    /// Records taken from the input.
    pub read: u64,
    /// Became part of the output (or of a table, or of state).
    pub used: u64,
    /// Left out by the query's condition.
    pub filtered: u64,
    /// Came after the watermark had closed their window.
    pub late: u64,
    /// Seen before by key.
    pub deduplicated: u64,
    /// Offsets passed without a record for anybody: of an aborted transaction, of a control
    /// record, or compacted away.
    pub aborted: u64,
    /// Could not be used; kept in the dead-letter topic.
    pub dead: u64,
    /// Rows given out: more than `used` where one record makes several.
    pub out: u64,
}

impl Fates {
    /// Whether each record read has exactly one fate.
    pub fn balanced(&self) -> bool {
        self.read
            == self.used + self.filtered + self.late + self.deduplicated + self.aborted + self.dead
    }

    /// The fact that holds them: `component` is `kind/name`, such as `stream/korean_movies`.
    pub fn key(component: &str) -> FactKey {
        FactKey::new(FactKind::Fates, component.as_bytes().to_vec())
    }

    pub fn encode(&self) -> Bytes {
        debug_assert!(self.balanced(), "fates do not add up: {self:?}");
        let mut out = FieldWriter::versioned(VERSION);
        for count in [
            self.read,
            self.used,
            self.filtered,
            self.late,
            self.deduplicated,
            self.aborted,
            self.dead,
            self.out,
        ] {
            out.u64(count);
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let fates = Self {
            read: input.u64("read")?,
            used: input.u64("used")?,
            filtered: input.u64("filtered")?,
            late: input.u64("late")?,
            deduplicated: input.u64("deduplicated")?,
            aborted: input.u64("aborted")?,
            dead: input.u64("dead")?,
            out: input.u64("out")?,
        };
        input.end()?;
        Ok(fates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_survive_their_bytes() {
        let fates = Fates { read: 900, used: 858, dead: 42, out: 858, ..Fates::default() };
        assert!(fates.balanced());
        assert_eq!(Fates::decode(&fates.encode()), Ok(fates));
    }
}
