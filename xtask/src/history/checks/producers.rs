//! The order of one producer's records: in its acknowledgements and in the log.

use std::collections::HashMap;

use crate::history::anomaly::{Findings, Kind};
use crate::history::model::History;

pub(super) fn check(history: &History, findings: &mut Findings) {
    let mut last: HashMap<(u32, u32), (u64, u64)> = HashMap::new();
    // Sends are sorted by value, and a producer's values ascend.
    for send in history.sends.iter().filter(|send| !send.retries) {
        let Some(offset) = send.offset else { continue };
        let before = last.insert((send.producer, send.part), (offset, send.value));
        if let Some((earlier, value)) = before.filter(|(earlier, _)| *earlier >= offset) {
            findings.add(Kind::NonmonotonicSend, || {
                let place = history.place(send.part);
                format!("{place}: {} acked at {offset}, {value} before it at {earlier}", send.value)
            });
        }
    }
    let mut newest: HashMap<(u32, u32), u64> = HashMap::new();
    for seen in &history.seen {
        let Some(send) = history.send(seen.send).filter(|send| !send.retries) else { continue };
        let before = newest.insert((send.producer, seen.part), seen.value);
        if let Some(value) = before.filter(|value| *value > seen.value) {
            findings.add(Kind::NonmonotonicSend, || {
                let place = history.place(seen.part);
                format!("{place}: {} at {} lies behind {value}", seen.value, seen.offset)
            });
        }
    }
}
