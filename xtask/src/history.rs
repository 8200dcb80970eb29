//! `cargo xtask history`: the outside judge of what a broker did. It reads what clients wrote down
//! (a line per operation, `history/lines.rs`), knows nothing of the broker and links none of its
//! crates, and names every anomaly: a record lost, doubled, reordered, read too early or after its
//! transaction was aborted, an offset that went back. Sorting is the most expensive thing it does.

mod anomaly;
mod checks;
mod lines;
mod model;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader};
use std::time::Instant;

use anomaly::Findings;
use model::History;

use crate::repo::Outcome;

/// Judges the files as one history. The last line printed is one JSON object with the counts; any
/// anomaly is a failure.
pub(crate) fn run(files: &[String]) -> Outcome {
    if files.is_empty() {
        return Err("name the files of the history: cargo xtask history FILE...".to_owned());
    }
    let began = Instant::now();
    let mut history = History::default();
    for file in files {
        read_file(&mut history, file)?;
    }
    let findings = judge(&mut history);
    for line in findings.examples() {
        println!("{line}");
    }
    let summary = serde_json::json!({
        "lines": history.line_count,
        "sends": history.sends.len(),
        "records_polled": history.records.len(),
        "transactions": history.txns.len(),
        "drains": history.drains.len(),
        "anomalies": findings.total(),
        "by_kind": findings.by_kind(),
        "seconds": began.elapsed().as_secs_f64(),
    });
    println!("{summary}");
    match findings.total() {
        0 => Ok(()),
        count => Err(format!("the history has {count} anomalies")),
    }
}

/// Every check over a history that was read completely.
fn judge(history: &mut History) -> Findings {
    history.finish();
    let mut findings = Findings::default();
    checks::all(history, &mut findings);
    findings
}

fn read_file(history: &mut History, file: &str) -> Outcome {
    let opened = std::fs::File::open(file).map_err(|e| format!("{file}: {e}"))?;
    let mut reader = BufReader::with_capacity(1 << 20, opened);
    let mut text = String::new();
    let mut number = 0_u64;
    loop {
        text.clear();
        if reader.read_line(&mut text).map_err(|e| format!("{file}: {e}"))? == 0 {
            return Ok(());
        }
        number += 1;
        if !text.trim().is_empty() {
            lines::add(history, &text).map_err(|e| format!("{file}:{number}: {e}"))?;
        }
    }
}
