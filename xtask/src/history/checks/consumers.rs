//! What one consumer saw in which order, and what transactions consumed. A consumer that placed
//! itself (`assign`) must see every visible record once and in order between two placements; one
//! in a group may lose its place to another, so only inside one poll.

use std::collections::BTreeMap;

use crate::history::anomaly::{Findings, Kind};
use crate::history::model::{History, Poll, Seen};

pub(super) fn polls(history: &History, findings: &mut Findings) {
    let views: Vec<[&[Seen]; 2]> = (0_u32..)
        .zip(&history.parts)
        .map(|(part, _)| [history.seen_in(part, false), history.seen_in(part, true)])
        .collect();
    let mut before: Option<(&Poll, u64)> = None;
    for poll in &history.polls {
        let records = history.records.get(poll.records.clone()).unwrap_or(&[]);
        let Some(first) = records.first() else { continue };
        let visible = views
            .get(poll.part as usize)
            .map_or(&[][..], |both| both[usize::from(poll.committed_only)]);
        let step = Step { history, poll, visible };
        if let Some((earlier, last)) = before
            && poll.assigned
            && (earlier.consumer, earlier.epoch, earlier.part)
                == (poll.consumer, poll.epoch, poll.part)
        {
            step.check(last, first.offset, Kind::PollSkip, Kind::NonmonotonicPoll, findings);
        }
        for pair in records.windows(2) {
            if let [a, b] = pair {
                let (skip, back) = (Kind::IntPollSkip, Kind::IntNonmonotonicPoll);
                step.check(a.offset, b.offset, skip, back, findings);
            }
        }
        before = records.last().map(|last| (poll, last.offset));
    }
}

struct Step<'a> {
    history: &'a History,
    poll: &'a Poll,
    visible: &'a [Seen],
}

impl Step<'_> {
    fn check(&self, last: u64, next: u64, skip: Kind, back: Kind, findings: &mut Findings) {
        let place = || self.history.place(self.poll.part);
        if next <= last {
            findings.add(back, || format!("{}: {next} after {last}", place()));
            return;
        }
        let topic = self.history.topic_of(self.poll.part);
        if next == last + 1 || topic.compact || topic.retention {
            return;
        }
        let from = (last + 1).max(self.deleted_before());
        let at = self.visible.partition_point(|seen| seen.offset < from);
        if let Some(missed) = self.visible.get(at).filter(|seen| seen.offset < next) {
            findings.add(skip, || {
                let (offset, value) = (missed.offset, missed.value);
                format!("{}: {next} after {last}, though {offset} holds {value}", place())
            });
        }
    }

    /// Records below it may have been deleted before the poll answered.
    fn deleted_before(&self) -> u64 {
        let asked = |d: &&crate::history::model::Delete| {
            d.part == self.poll.part && d.t_inv <= self.poll.t_ret
        };
        self.history.deletes.iter().filter(asked).map(|d| d.before).max().unwrap_or(0)
    }
}

/// Every input record below the group's last position belongs to exactly one committed transaction.
pub(super) fn transactions(history: &History, findings: &mut Findings) {
    let mut by_place: BTreeMap<(u32, u32), Vec<u64>> = BTreeMap::new();
    for (group, part, offset, txn) in &history.consumed {
        let offsets = by_place.entry((*group, *part)).or_default();
        if history.txns.get(*txn as usize).is_some_and(|txn| txn.committed()) {
            offsets.push(*offset);
        }
    }
    for ((group, part), mut offsets) in by_place {
        offsets.sort_unstable();
        let said = |offset: u64, what: &str| {
            format!("{} at {offset} by {}: {what}", history.place(part), history.names.name(group))
        };
        for pair in offsets.windows(2) {
            if let [a, b] = pair
                && a == b
            {
                findings.add(Kind::ConsumeCount, || said(*a, "by two committed transactions"));
            }
        }
        let told =
            |p: &&crate::history::model::Position| p.asked && (p.group, p.part) == (group, part);
        let end = history.positions.iter().filter(told).map(|p| p.offset).max().unwrap_or(0);
        let from = offsets.first().copied().unwrap_or(0);
        for seen in history.seen_in(part, true) {
            let inside = (from..end).contains(&seen.offset);
            if inside && offsets.binary_search(&seen.offset).is_err() {
                findings.add(Kind::ConsumeCount, || said(seen.offset, "by no transaction"));
            }
        }
    }
}
