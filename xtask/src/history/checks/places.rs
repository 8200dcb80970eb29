//! What lies where: one value per offset, one offset per value, every value where it was sent,
//! with its payload whole, and no value that must not be visible.

use crate::history::anomaly::{Findings, Kind};
use crate::history::model::{Fate, History, NONE, Seen};

pub(super) fn check(history: &History, findings: &mut Findings) {
    one_value_per_offset(history, findings);
    one_offset_per_value(history, findings);
    visibility(history, findings);
    for record in history.records.iter().filter(|record| record.value.is_none()) {
        findings.add(Kind::BrokenPayload, || {
            format!("{} at {}", history.place(record.part), record.offset)
        });
    }
}

/// What was polled and what acknowledgements said must agree.
fn one_value_per_offset(history: &History, findings: &mut Findings) {
    let mut all: Vec<(u32, u64, u64)> =
        history.seen.iter().map(|seen| (seen.part, seen.offset, seen.value)).collect();
    let acked = history.sends.iter().filter_map(|s| Some((s.part, s.offset?, s.value)));
    all.extend(acked);
    all.sort_unstable();
    all.dedup();
    for pair in all.windows(2) {
        if let [a, b] = pair
            && (a.0, a.1) == (b.0, b.1)
        {
            findings.add(Kind::InconsistentOffset, || {
                format!("{} at {}: {} and {}", history.place(a.0), a.1, a.2, b.2)
            });
        }
    }
}

fn one_offset_per_value(history: &History, findings: &mut Findings) {
    let mut by_value: Vec<&Seen> = history.seen.iter().collect();
    by_value.sort_unstable_by_key(|seen| (seen.value, seen.part, seen.offset));
    for pair in by_value.windows(2) {
        if let [a, b] = pair
            && a.value == b.value
            && !history.send(a.send).is_some_and(|send| send.retries)
        {
            findings.add(Kind::Duplicate, || {
                let (here, there) = (history.place(a.part), history.place(b.part));
                format!("{} in {here} at {} and in {there} at {}", a.value, a.offset, b.offset)
            });
        }
    }
}

fn visibility(history: &History, findings: &mut Findings) {
    for poll in &history.polls {
        for record in history.records.get(poll.records.clone()).unwrap_or(&[]) {
            let Some(value) = record.value else { continue };
            let said = |what: &str| {
                let at = format!("{} at {}", history.place(record.part), record.offset);
                format!("{at}: {value} {what}, read at {}", poll.t_ret)
            };
            if record.send == NONE {
                findings.add(Kind::UnknownValue, || said("was sent by nobody"));
                continue;
            }
            let Some(send) = history.send(record.send) else { continue };
            if send.part != record.part {
                let sent = history.place(send.part);
                findings.add(Kind::WrongTopic, || said(&format!("was sent to {sent}")));
            }
            match history.fate(send) {
                Fate::Never => findings.add(Kind::AbortedRead, || said("was refused")),
                Fate::Aborted if poll.committed_only => {
                    findings.add(Kind::AbortedRead, || said("is of an aborted transaction"));
                }
                _ => {}
            }
            let early = history.txn_of(send).is_some_and(|t| t.commit && t.end_inv > poll.t_ret);
            if early && poll.committed_only {
                findings.add(Kind::PrecommittedRead, || said("was not yet to be committed"));
            }
        }
    }
}
