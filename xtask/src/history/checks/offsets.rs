//! Offsets that may only go forward: what an answer said before a question was asked is the least
//! that the next answer may say. Acknowledgements and records read count as answers too.

use std::collections::HashMap;

use crate::history::anomaly::{Findings, Kind};
use crate::history::model::{History, Outcome};

/// An offset known from a time on.
type Known = (u64, u64);

/// One row of offsets with its answers: asked at, answered at, offset.
#[derive(Default)]
struct Row {
    known: Vec<Known>,
    told: Vec<(u64, u64, u64)>,
}

impl Row {
    fn tell(&mut self, t_inv: u64, t_ret: u64, offset: u64) {
        self.known.push((t_ret, offset));
        self.told.push((t_inv, t_ret, offset));
    }

    /// Finds answers below what was known when they were asked for.
    fn check(mut self, name: impl Fn() -> String, findings: &mut Findings) {
        self.known.sort_unstable();
        self.told.sort_unstable();
        let mut known = self.known.iter().peekable();
        let mut least = 0;
        for (t_inv, t_ret, offset) in self.told {
            while let Some((_, at)) = known.next_if(|(since, _)| *since < t_inv) {
                least = least.max(*at);
            }
            if offset < least {
                findings.add(Kind::WentBack, || {
                    format!("{} is {offset} at {t_ret}, was {least}", name())
                });
            }
        }
    }
}

pub(super) fn check(history: &History, findings: &mut Findings) {
    marks(history, findings);
    groups(history, findings);
    stuck(history, findings);
}

fn marks(history: &History, findings: &mut Findings) {
    let mut rows: HashMap<(u32, usize), Row> = HashMap::new();
    for send in history.sends.iter().filter(|send| send.outcome == Outcome::Ok) {
        let Some(offset) = send.offset else { continue };
        rows.entry((send.part, 0)).or_default().known.push((send.t_ret, offset + 1));
    }
    for poll in &history.polls {
        let records = history.records.get(poll.records.clone()).unwrap_or(&[]);
        let Some(highest) = records.iter().map(|record| record.offset + 1).max() else { continue };
        let fields = if poll.committed_only { 0..2 } else { 0..1 };
        for field in fields {
            rows.entry((poll.part, field)).or_default().known.push((poll.t_ret, highest));
        }
    }
    for delete in history.deletes.iter().filter(|delete| delete.done) {
        rows.entry((delete.part, 2)).or_default().known.push((delete.t_ret, delete.before));
    }
    for marks in &history.marks {
        for (field, offset) in marks.fields.iter().enumerate() {
            let Some(offset) = offset.and_then(|o| u64::try_from(o).ok()) else { continue };
            let row = rows.entry((marks.part, field)).or_default();
            row.tell(marks.t_inv, marks.t_ret, offset);
        }
    }
    for ((part, field), row) in rows {
        let name = ["high watermark", "stable offset", "log start"].get(field).copied();
        row.check(|| format!("{} of {}", name.unwrap_or("?"), history.place(part)), findings);
    }
}

fn groups(history: &History, findings: &mut Findings) {
    let mut rows: HashMap<(u32, u32), Row> = HashMap::new();
    for position in &history.positions {
        let row = rows.entry((position.group, position.part)).or_default();
        if position.asked {
            row.tell(position.t_inv, position.t_ret, position.offset);
        } else if position.done {
            row.known.push((position.t_ret, position.offset));
        }
    }
    for ((group, part), row) in rows {
        let name = history.names.name(group);
        row.check(|| format!("offset of {name} in {}", history.place(part)), findings);
    }
}

/// A stable offset that stays below the high watermark for longer than any transaction may.
fn stuck(history: &History, findings: &mut Findings) {
    let Some(limit) = history.stable_limit_ns else { return };
    let mut all: Vec<_> = history.marks.iter().collect();
    all.sort_by_key(|marks| (marks.part, marks.t_inv));
    let mut since: Option<(u32, i64, u64)> = None;
    for marks in all {
        let [Some(high), Some(stable), _] = marks.fields else { continue };
        if stable >= high {
            since = None;
            continue;
        }
        match since {
            Some((part, at, from)) if (part, at) == (marks.part, stable) => {
                if marks.t_inv.saturating_sub(from) > limit {
                    findings.add(Kind::StableStuck, || {
                        let seconds = (marks.t_inv - from) as f64 / 1e9;
                        format!("{} at {stable} for {seconds:.1} s", history.place(part))
                    });
                    since = Some((part, at, marks.t_inv));
                }
            }
            _ => since = Some((marks.part, stable, marks.t_ret)),
        }
    }
}
