//! Retention: moves a partition's start past log segments that are too old or too many. The move
//! is a frame like any other; the files go when no snapshot needs them.

use yeoul_base::{Offset, PartId};

use crate::state::Lane;

/// Where partitions should start now.
pub(crate) fn due<'a>(lanes: impl Iterator<Item = &'a Lane>, now_ms: i64) -> Vec<(PartId, Offset)> {
    lanes.filter_map(|lane| Some((lane.part.id, due_in(lane, now_ms)?))).collect()
}

fn due_in(lane: &Lane, now_ms: i64) -> Option<Offset> {
    let config = lane.part.config();
    let segments = lane.part.segments();
    let mut total: u64 = segments.iter().map(|segment| segment.len_bytes()).sum();
    let mut start = lane.start;
    for (index, segment) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|next| next.base);
        let too_old = config.retention_ms.is_some_and(|keep| {
            let keep = i64::try_from(keep).unwrap_or(i64::MAX);
            // Records without a time have no age.
            let newest = segment.max_timestamp_ms();
            newest > 0 && newest < now_ms.saturating_sub(keep)
        });
        // The newest goes by age only: a limit in bytes always leaves something to read.
        let too_many = next.is_some() && config.retention_bytes.is_some_and(|keep| total > keep);
        if segment.len_bytes() == 0 || !(too_old || too_many) {
            break;
        }
        total -= segment.len_bytes();
        start = next.unwrap_or(lane.next);
    }
    (start > lane.start).then_some(start)
}
