//! The records behind a rolled-up row: ranges of offsets with the number of rows they gave.
//!
//! Invariant: every row counted lies in exactly one range, and a range holds as many of its
//! group's rows as it says; where it spans more offsets than that, others of them belong to other
//! groups. Bytes: `docs/formats/table.md`.

use crate::error::TableError;

const VERSION: u8 = 1;
/// More ranges than this are joined across the smallest gaps, within a partition.
const RANGES_MAX: usize = 8;
/// Ranges gather up to this many before they are joined.
const GATHERED_MAX: usize = 32;

/// Some records of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetRange {
    pub partition: i32,
    /// The smallest offset.
    pub first: i64,
    /// The largest.
    pub last: i64,
    /// Rows that came from these records.
    pub rows: u64,
}

impl OffsetRange {
    fn meets(&self, next: &Self) -> bool {
        self.partition == next.partition && next.first <= self.last.saturating_add(1)
    }

    /// Offsets that a join of both would add; `None`: they cannot be joined.
    fn gap(&self, next: &Self) -> Option<i64> {
        (self.partition == next.partition).then(|| next.first.saturating_sub(self.last))
    }

    fn join(&mut self, next: &Self) {
        self.last = self.last.max(next.last);
        self.rows = self.rows.saturating_add(next.rows);
    }
}

/// The ranges of one group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges {
    ranges: Vec<OffsetRange>,
}

impl Ranges {
    pub(crate) fn add_row(&mut self, partition: i32, offset: i64) {
        self.add(OffsetRange { partition, first: offset, last: offset, rows: 1 });
    }

    fn add(&mut self, range: OffsetRange) {
        if let Some(last) = self.ranges.last_mut()
            && range.first >= last.first
            && last.meets(&range)
        {
            last.join(&range);
            return;
        }
        self.ranges.push(range);
        if self.ranges.len() > GATHERED_MAX {
            self.settle();
        }
    }

    pub(crate) fn add_encoded(&mut self, bytes: &[u8]) -> Result<(), TableError> {
        decode(bytes)?.into_iter().for_each(|range| self.add(range));
        Ok(())
    }

    fn settle(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, before| {
            let meet = before.meets(next);
            if meet {
                before.join(next);
            }
            meet
        });
        while self.ranges.len() > RANGES_MAX {
            let gaps = self.ranges.windows(2).enumerate();
            let gaps = gaps.filter_map(|(at, pair)| match pair {
                [before, next] => before.gap(next).map(|gap| (gap, at)),
                _ => None,
            });
            // One range per partition is as few as there can be.
            let Some((_, at)) = gaps.min() else { return };
            let next = self.ranges.remove(at + 1);
            if let Some(before) = self.ranges.get_mut(at) {
                before.join(&next);
            }
        }
    }

    pub(crate) fn encode(&mut self) -> Vec<u8> {
        self.settle();
        let mut out = vec![VERSION];
        for range in &self.ranges {
            varint(&mut out, u64::from(range.partition.cast_unsigned()));
            varint(&mut out, range.first.cast_unsigned());
            varint(&mut out, range.last.wrapping_sub(range.first).cast_unsigned());
            varint(&mut out, range.rows);
        }
        out
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads the value of a row's `_offsets`.
///
/// # Errors
/// The bytes are not what [`OffsetRange`]s are written as.
pub fn decode(bytes: &[u8]) -> Result<Vec<OffsetRange>, TableError> {
    let corrupt = || TableError::Corrupt("the offset ranges of a rolled-up row".to_owned());
    let Some((&VERSION, mut rest)) = bytes.split_first() else { return Err(corrupt()) };
    let next = |rest: &mut &[u8]| -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, after) = rest.split_first()?;
            *rest = after;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    let mut ranges = Vec::new();
    while !rest.is_empty() {
        let range = (|| {
            let partition = i32::try_from(next(&mut rest)?).ok()?;
            let first = i64::try_from(next(&mut rest)?).ok()?;
            let last = first.checked_add(i64::try_from(next(&mut rest)?).ok()?)?;
            Some(OffsetRange { partition, first, last, rows: next(&mut rest)? })
        })();
        ranges.push(range.ok_or_else(corrupt)?);
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_the_documented_bytes() {
        let mut ranges = Ranges::default();
        for offset in [300, 301, 302, 310] {
            ranges.add_row(2, offset);
        }
        ranges.add_row(0, 5);
        let bytes = ranges.encode();
        assert_eq!(bytes, b"\x01\0\x05\0\x01\x02\xac\x02\x02\x03\x02\xb6\x02\0\x01");
        let range = |partition, first, last, rows| OffsetRange { partition, first, last, rows };
        let read = decode(&bytes).unwrap();
        assert_eq!(read, [range(0, 5, 5, 1), range(2, 300, 302, 3), range(2, 310, 310, 1)]);
        for cut in [0, 2, 3, 4, 6, 14] {
            assert!(decode(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(decode(b"\x02").is_err());
        assert!(decode(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn many_ranges_are_joined_and_none_is_lost() {
        let mut all = Ranges::default();
        for part in 0..10 {
            let mut some = Ranges::default();
            for row in 0..100 {
                some.add_row(part % 3, i64::from(row) * 7 + i64::from(part));
            }
            all.add_encoded(&some.encode()).unwrap();
        }
        let ranges = decode(&all.encode()).unwrap();
        assert!(ranges.len() <= RANGES_MAX);
        assert_eq!(ranges.iter().map(|range| range.rows).sum::<u64>(), 1_000);
        for part in 0..3 {
            let of_part: Vec<_> = ranges.iter().filter(|range| range.partition == part).collect();
            assert_eq!(of_part[0].first, i64::from(part));
            assert!(of_part[of_part.len() - 1].last >= 99 * 7);
        }
    }

    #[test]
    fn more_partitions_than_ranges_keep_one_each() {
        let mut all = Ranges::default();
        for partition in 0..100 {
            all.add_row(partition, 1);
            all.add_row(partition, 100);
        }
        let ranges = decode(&all.encode()).unwrap();
        assert_eq!(ranges.len(), 100);
        assert!(ranges.iter().all(|range| range.rows == 2));
    }
}
