//! Retention: moves a partition's start past log segments that are too old or too many. The move
//! is a frame like any other; the files go when no snapshot needs them.

use yeoul_base::{Offset, PartId};

use crate::state::Lane;

/// Closes newest log segments that have been open for `segment.ms`, so that retention and
/// compaction reach their records although nobody writes any more.
pub(crate) fn roll<'a>(lanes: impl Iterator<Item = &'a Lane>, now_ms: i64) {
    for lane in lanes {
        let config = lane.part.config();
        let jitter = u64::from(lane.part.id.0)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .checked_rem(config.segment_jitter_ms)
            .unwrap_or(0);
        let open_ms = config.segment_ms.saturating_sub(jitter);
        if let Some(active) = lane.part.active()
            && active.len_bytes() > 0
            && now_ms.saturating_sub(active.created_ms)
                >= i64::try_from(open_ms).unwrap_or(i64::MAX)
        {
            active.close();
        }
    }
}

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
            let newest = segment.max_timestamp_ms();
            newest < now_ms.saturating_sub(keep)
        });
        // The newest goes by age only: a limit in bytes always leaves something to read.
        let too_many = next.is_some() && config.retention_bytes.is_some_and(|keep| total > keep);
        if segment.len_bytes() == 0 || !(too_old || too_many) {
            break;
        }
        total -= segment.len_bytes();
        // Behind the newest file there may be batches that wait in memory.
        start = next.unwrap_or(segment.end());
    }
    (start > lane.start).then_some(start)
}
