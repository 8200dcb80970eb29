//! Aborted transactions of a partition: what committed readers leave out. In the order of their
//! markers; each belongs to the log segment its marker lies in and goes when the partition's
//! start has passed the marker.

use yeoul_base::Offset;
use yeoul_base::store::AbortedTxn;

/// An aborted transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first: Offset,
    /// The marker's offset.
    pub(crate) last: Offset,
    /// The last stable offset after it: transactions that were aborted later begin at or after
    /// it, which is where a search ends.
    pub(crate) stable: Offset,
}

/// By `last`; `stable` does not fall either.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AbortedList(Vec<Aborted>);

impl AbortedList {
    pub(crate) fn push(&mut self, txn: Aborted) {
        debug_assert!(self.0.last().is_none_or(|last| last.last < txn.last), "by marker");
        self.0.push(txn);
    }

    /// Those with records from `from` to before `to`; their markers may lie after it.
    pub(crate) fn overlapping(&self, from: Offset, to: Offset) -> Vec<AbortedTxn> {
        let begin = self.0.partition_point(|txn| txn.last < from);
        let mut out = Vec::new();
        for txn in self.0.get(begin..).unwrap_or_default() {
            if txn.first < to {
                out.push(AbortedTxn { producer_id: txn.producer_id, first_offset: txn.first });
            }
            if txn.stable >= to {
                break;
            }
        }
        out
    }

    /// Those with records below `end`.
    pub(crate) fn beginning_before(&self, end: Offset) -> Vec<Aborted> {
        self.0.iter().filter(|txn| txn.first < end).copied().collect()
    }

    /// Forgets those with these markers, which compaction has removed after their records.
    pub(crate) fn forget(&mut self, markers: &[Offset]) {
        if !markers.is_empty() {
            self.0.retain(|txn| markers.binary_search(&txn.last).is_err());
        }
    }

    /// Forgets those whose last offset is below the start.
    pub(crate) fn drop_before(&mut self, start: Offset) {
        let gone = self.0.partition_point(|txn| txn.last < start);
        self.0.drain(..gone);
    }

    /// Those whose marker lies from `from` to before `to`: a log segment's.
    pub(crate) fn ended_in(&self, from: Offset, to: Offset) -> &[Aborted] {
        let begin = self.0.partition_point(|txn| txn.last < from);
        let end = self.0.partition_point(|txn| txn.last < to).max(begin);
        self.0.get(begin..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_finds_what_overlaps_it_and_no_more() {
        let txn = |producer_id, first, last, stable| Aborted { producer_id, first, last, stable };
        // Producer 2's is long: while it is open, nothing after 3 is stable.
        let mut list = AbortedList::default();
        for one in [txn(1, 0, 2, 3), txn(3, 5, 7, 3), txn(2, 3, 9, 10), txn(1, 12, 14, 15)] {
            list.push(one);
        }
        let firsts = |from, to| -> Vec<i64> {
            list.overlapping(from, to).iter().map(|txn| txn.first_offset).collect()
        };
        assert_eq!(firsts(0, 1), [0]);
        assert_eq!(firsts(2, 3), [0]);
        assert_eq!(firsts(3, 4), [3], "the marker lies beyond what is read");
        assert_eq!(firsts(6, 8), [5, 3]);
        assert_eq!(firsts(8, 13), [3, 12]);
        assert_eq!(firsts(10, 12), [0; 0]);
        assert_eq!(firsts(15, 99), [0; 0]);
        assert_eq!(list.ended_in(3, 10).len(), 2);
        list.drop_before(8);
        assert_eq!(list.ended_in(0, 99).iter().map(|t| t.first).collect::<Vec<_>>(), [3, 12]);
    }
}
