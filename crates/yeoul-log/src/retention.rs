//! Retention: closes log segments that were open for long, and moves a partition's start past
//! those that are too old or too many. The move is a frame like any other; the files go when no
//! snapshot needs them.
//!
//! Age is a log segment's newest timestamp, as in Kafka. Whole log segments go, never a part of
//! one. What a component of this node has still to read stays, up to `hold_bytes_max` in all.

use std::collections::BTreeMap;

use yeoul_base::{Offset, PartId, StoreError};

use crate::core::Core;
use crate::holds::{self, Hold};
use crate::plan::{Request, Work};
use crate::state::Lane;

/// What one look at all partitions says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Where partitions should start now.
    pub(crate) starts: Vec<(PartId, Offset)>,
    /// Bytes that would be gone but for a hold.
    pub(crate) held: BTreeMap<PartId, u64>,
}

/// A partition whose start may move.
struct Move {
    part: PartId,
    from: Offset,
    to: Offset,
    /// End and bytes of log segments kept for holds, the newest first.
    held: Vec<(Offset, u64)>,
}

impl Move {
    fn held_bytes(&self) -> u64 {
        self.held.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Core {
    /// Moves starts up; returns how many partitions lost log segments.
    pub(crate) fn enforce_retention(&mut self, now_ms: Option<i64>) -> usize {
        let now_ms = now_ms.unwrap_or_else(|| self.clock.now_ms());
        self.forget_producers(self.clock.now_ms());
        // What is judged is what lies in files.
        self.split();
        roll(self.state.lanes.values(), now_ms);
        // A component that has not started yet could not say what it needs.
        let Some(holds) = self.shared.holds_now(self.options.holds_expected) else { return 0 };
        let due = due(self.state.lanes.values(), now_ms, &holds, self.options.hold_bytes_max);
        self.shared.set_held(due.held);
        let count = due.starts.len();
        if count > 0 {
            let respond = Box::new(|result: Result<_, StoreError>| {
                if let Err(error) = result {
                    tracing::warn!(%error, "retention was not enforced");
                }
            });
            self.run(vec![Request { work: Work::MoveStarts(due.starts), bytes: 0, respond }]);
        }
        count
    }
}

/// Closes newest log segments that have been open for `segment.ms`, so that retention and
/// compaction reach their records although nobody writes any more.
fn roll<'a>(lanes: impl Iterator<Item = &'a Lane>, now_ms: i64) {
    for lane in lanes {
        let config = lane.part.config();
        let jitter = u64::from(lane.part.id.0)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .checked_rem(config.segment_jitter_ms)
            .unwrap_or(0);
        let open_ms = config.segment_ms.saturating_sub(jitter);
        let open_ms = i64::try_from(open_ms).unwrap_or(i64::MAX);
        if let Some(active) = lane.part.active()
            && active.len_bytes() > 0
            && now_ms.saturating_sub(active.created_ms) >= open_ms
        {
            active.close();
        }
    }
}

fn due<'a>(
    lanes: impl Iterator<Item = &'a Lane>,
    now_ms: i64,
    holds: &[Hold],
    hold_bytes_max: u64,
) -> Due {
    let lowest = holds::lowest(holds);
    let mut moves: Vec<_> = lanes
        .map(|lane| due_in(lane, now_ms, lowest.get(&lane.part.id).copied()))
        .filter(|part| part.to > part.from || !part.held.is_empty())
        .collect();
    let mut total: u64 = moves.iter().map(Move::held_bytes).sum();
    // Too much is kept for holds: the oldest of what is held most goes, and no more than needed.
    while total > hold_bytes_max
        && let Some(most) = moves.iter_mut().max_by_key(|part| part.held_bytes())
        && let Some((end, bytes)) = most.held.pop()
    {
        most.to = end;
        total -= bytes;
    }
    let held = moves.iter().filter(|part| !part.held.is_empty());
    Due {
        held: held.map(|part| (part.part, part.held_bytes())).collect(),
        starts: moves
            .iter()
            .filter(|part| part.to > part.from)
            .map(|part| (part.part, part.to))
            .collect(),
    }
}

fn due_in(lane: &Lane, now_ms: i64, hold: Option<Offset>) -> Move {
    let config = lane.part.config();
    let segments = lane.part.segments();
    let mut total: u64 = segments.iter().map(|segment| segment.len_bytes()).sum();
    let mut found = Move { part: lane.part.id, from: lane.start, to: lane.start, held: Vec::new() };
    let too_old_ms = config
        .retention_ms
        .map(|keep| now_ms.saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX)));
    for (index, segment) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|next| next.base);
        let too_old = too_old_ms.is_some_and(|before| segment.max_timestamp_ms() < before);
        // The newest goes by age only: a limit in bytes always leaves something to read.
        let too_many = next.is_some() && config.retention_bytes.is_some_and(|keep| total > keep);
        if !config.delete || segment.len_bytes() == 0 || !(too_old || too_many) {
            break;
        }
        total -= segment.len_bytes();
        // Behind the newest file there may be batches that wait in memory.
        let end = next.unwrap_or(segment.end());
        if found.held.is_empty() && hold.is_none_or(|hold| hold >= end) {
            found.to = end;
        } else {
            found.held.push((end, segment.len_bytes()));
        }
    }
    found.held.reverse();
    found
}
