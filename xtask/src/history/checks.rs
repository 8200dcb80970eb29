//! The checks, one file per question asked of a history.

mod consumers;
mod drains;
mod offsets;
mod places;
mod producers;

use super::anomaly::Findings;
use super::model::History;

pub(super) fn all(history: &History, findings: &mut Findings) {
    places::check(history, findings);
    consumers::polls(history, findings);
    consumers::transactions(history, findings);
    producers::check(history, findings);
    drains::check(history, findings);
    offsets::check(history, findings);
}
