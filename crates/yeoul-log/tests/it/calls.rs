//! Every call to the disk fails once: the first, the second, and so on until a workload runs
//! through untouched. Whatever the log answers then, nothing acknowledged may be gone or changed,
//! and a log that did not close itself goes on.

use std::collections::BTreeMap;

use yeoul_base::disk::sim::{CallFault, Crash, Image};
use yeoul_base::{FactKind, SeededRand, SimDisk, Store, StoreError};
use yeoul_log::Log;

use crate::workload::{Workload, open};

/// Outcomes by fault and what came of it.
pub(crate) type Counts = BTreeMap<(CallFault, &'static str), u64>;

/// Until no call is left to fail.
pub(crate) fn fail_each(seed: u64, counts: &mut Counts) -> Result<u64, String> {
    let mut calls = 0;
    for fault in CallFault::ALL {
        for nth in 0.. {
            let mut workload = Workload::quick(seed);
            workload.disk.fail_call(nth, fault);
            let ended = workload.run();
            let failed = workload.disk.take_failed_call();
            let said = |error| format!("seed {seed}, {fault:?} in call {nth}: {error}");
            let outcome = judge(&mut workload, &ended).map_err(said)?;
            *counts.entry((fault, outcome)).or_default() += 1;
            if !failed {
                ended.map_err(|error| format!("seed {seed}, no fault: {error}"))?;
                break;
            }
            calls += 1;
        }
    }
    Ok(calls)
}

fn judge(workload: &mut Workload, ended: &Result<(), String>) -> Result<&'static str, String> {
    if workload.is_mixed() {
        return Ok("mixed");
    }
    let outcome = match (ended, workload.take_log()) {
        (Ok(()), _) => "went on",
        (Err(_), None) => "did not open",
        (Err(error), Some(log)) => {
            live(workload, &log).map_err(|e| format!("{error}, then {e}"))?
        }
    };
    let last = workload.steps.last();
    let (acked, durable) = last.map_or((0, 0), |last| (last.sequence, last.durable));
    let mut replay = workload.disk.replay();
    while replay.step() {}
    let rand = SeededRand::new(0);
    // A failed sync may have dropped what the process still reads: then a kill is a power cut.
    recover(workload, &replay.image(Crash::PowerCut, &rand), durable)?;
    let as_it_is = workload.disk.image();
    recover(workload, &as_it_is, if ended.is_ok() { acked } else { durable })?;
    Ok(outcome)
}

/// The log still runs: what it shows is right, and it goes on or says that it is closed.
fn live(workload: &Workload, log: &Log) -> Result<&'static str, String> {
    let sequence = log.stats().sequence;
    let acked = workload.steps.last().map_or(0, |last| last.sequence);
    // Before the first commit of an incarnation the figure is not there.
    let known = [sequence, acked, workload.begun()];
    let models = known.iter().filter_map(|at| workload.history.get(*at as usize));
    let mut why = String::new();
    let mut model = None;
    for candidate in models {
        match candidate.check_reads(log) {
            Ok(()) => model = model.or(Some(candidate)),
            Err(error) => why = format!("{why}; {error}"),
        }
    }
    let Some(model) = model else {
        // A change of topics or starts whose outcome the workload did not get to know.
        let what = format!("{known:?}{why}");
        return if sequence > workload.begun() { Ok("unknown") } else { Err(what) };
    };
    let closed = log.fatal().is_some();
    match model.clone().commit_one_more(log) {
        Ok(()) if !closed => Ok("went on"),
        Err(StoreError::Closed(_)) if closed => Ok("closed"),
        other => Err(format!("closed: {closed}, and one more commit gives {other:?}")),
    }
}

fn recover(workload: &Workload, image: &Image, acked: u64) -> Result<(), String> {
    let (log, recovered) = open(&SimDisk::from_image(image)).map_err(|error| error.to_string())?;
    if recovered.sequence < acked {
        return Err(format!("{} commits are there, {acked} were acked", recovered.sequence));
    }
    match workload.history.get(recovered.sequence as usize) {
        Some(model) => {
            // One more commit of the test's own may be the last.
            let own = log.fact(FactKind::SourcePosition, b"after").is_some();
            if own { Ok(()) } else { model.check(&log) }
        }
        None => Ok(()),
    }
}

#[test]
fn each_call_to_the_disk_may_fail_once() {
    let mut counts = Counts::new();
    let mut calls = 0;
    for seed in 0..4 {
        calls += fail_each(seed, &mut counts).unwrap_or_else(|error| panic!("{error}"));
    }
    let mixed: u64 = CallFault::ALL.iter().filter_map(|fault| counts.get(&(*fault, "mixed"))).sum();
    assert!(mixed * 100 < calls, "{mixed} of {calls} were not judged");
    println!("{calls} calls failed, each in a workload of its own");
    for ((fault, outcome), count) in &counts {
        println!("{count:>6} {fault:?}: {outcome}");
    }
    for fault in CallFault::ALL {
        assert!(counts.contains_key(&(fault, "went on")), "{fault:?} never survived");
    }
    assert!(!counts.contains_key(&(CallFault::Emfile, "closed")), "no file is no reason");
    assert!(counts.contains_key(&(CallFault::Eio, "closed")), "no failed write closed the log");
}
