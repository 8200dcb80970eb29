//! The files of a table at one moment, in the order of their times.
//!
//! Invariant: a manifest never changes; a commit makes the next one. The files of a stretch of
//! time are found without looking at all of them.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

use crate::segment::{Segment, SegmentId};

/// Derefs to the segments, by their smallest time.
#[derive(Debug, Default)]
pub struct Manifest {
    segments: Vec<Arc<Segment>>,
    /// The largest time of the segment at the same place and all before it.
    max_us: Vec<i64>,
}

impl Manifest {
    pub(crate) fn new(mut segments: Vec<Arc<Segment>>) -> Self {
        segments.sort_by_key(|segment| (segment.meta.min_us, segment.meta.id));
        let mut largest = i64::MIN;
        let max_us = segments.iter().map(|segment| {
            largest = largest.max(segment.meta.max_us);
            largest
        });
        let max_us = max_us.collect();
        Self { segments, max_us }
    }

    /// The segments that may hold rows of these times, both ends included.
    pub fn overlapping(&self, min_us: i64, max_us: i64) -> impl Iterator<Item = &Arc<Segment>> {
        let from = self.max_us.partition_point(|largest| *largest < min_us);
        let to = self.segments.partition_point(|segment| segment.meta.min_us <= max_us);
        let some = self.segments.get(from..to.max(from)).unwrap_or_default();
        some.iter().filter(move |segment| segment.meta.max_us >= min_us)
    }

    /// The next manifest.
    pub(crate) fn changed(
        &self,
        removed: &HashSet<SegmentId>,
        added: impl IntoIterator<Item = Arc<Segment>>,
    ) -> Self {
        let kept = self.segments.iter().filter(|segment| !removed.contains(&segment.meta.id));
        Self::new(kept.cloned().chain(added).collect())
    }

    pub(crate) fn of(&self, ids: &HashSet<SegmentId>) -> Vec<Arc<Segment>> {
        let wanted = self.segments.iter().filter(|segment| ids.contains(&segment.meta.id));
        wanted.cloned().collect()
    }
}

impl Deref for Manifest {
    type Target = [Arc<Segment>];

    fn deref(&self) -> &[Arc<Segment>] {
        &self.segments
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::segment::SegmentMeta;
    use yeoul_base::{Rand, SeededRand, SimDisk};

    fn segment(id: u64, min_us: i64, max_us: i64) -> Arc<Segment> {
        let id = SegmentId(id);
        let meta =
            SegmentMeta { id, rows: 1, bytes: 1, min_us, max_us, tail_bytes: 1, tail_crc: 0 };
        Arc::new(Segment::new(Arc::new(SimDisk::new()), Path::new("t"), "t".into(), meta))
    }

    #[test]
    fn what_overlaps_is_found_as_by_looking_at_all() {
        let rand = SeededRand::new(5);
        for _ in 0..50 {
            let segments = (0..30).map(|id| {
                let start = rand.below(1000) as i64 - 500;
                segment(id, start, start + rand.below(100) as i64)
            });
            let manifest = Manifest::new(segments.collect());
            for _ in 0..50 {
                let from = rand.below(1200) as i64 - 600;
                let to = from + rand.below(100) as i64 - 10;
                let meta = |segment: &&Arc<Segment>| segment.meta;
                let found: Vec<_> =
                    manifest.overlapping(from, to).map(|segment| segment.meta.id).collect();
                let all = manifest.iter().filter(|segment| {
                    let meta = meta(segment);
                    meta.min_us <= to && meta.max_us >= from && from <= to
                });
                let all: Vec<_> = all.map(|segment| segment.meta.id).collect();
                if from <= to {
                    assert_eq!(found, all, "{from}..={to}");
                }
            }
        }
    }
}
