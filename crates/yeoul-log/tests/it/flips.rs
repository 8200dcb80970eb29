//! Rot: bits, blocks and ends of files change under a log that is not running. Each change must
//! be harmless or noticed: a start refused with the file's name, or a range of offsets that
//! readers are told is lost. Never other bytes, never silence.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use yeoul_base::disk::sim::Image;
use yeoul_base::{Isolation, Rand, SeededRand, SimDisk, Store};
use yeoul_log::{Log, LogError};

use crate::model::Model;
use crate::support::values_and_lost;
use crate::workload::{Workload, open};

/// What came of the changes, by the folder they were in.
pub(crate) type Counts = BTreeMap<(String, &'static str), u64>;

/// Changes one file; says how.
fn change(image: &mut Image, rand: &dyn Rand) -> Option<(PathBuf, String)> {
    let below = |bound: usize| rand.below(bound as u64) as usize;
    let files = image.files.iter().filter(|(path, bytes)| {
        let counts = ["wal", "parts", "snapshots"].iter().any(|dir| path.starts_with(dir));
        counts && bytes.iter().any(|byte| *byte != 0)
    });
    let files: Vec<_> = files.map(|(path, _)| path.clone()).collect();
    let path = files.get(below(files.len()))?.clone();
    let mut bytes = image.files.get(&path)?.to_vec();
    let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let at = below(used);
    let what = match below(20) {
        0 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        1 => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        2 if used > 1024 => {
            let (from, to) = (below(used - 512), below(used - 512));
            bytes.copy_within(from..from + 512, to);
            format!("{from} copied to {to}")
        }
        _ => {
            let bit = below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
    };
    let same = image.files.get(&path).is_some_and(|old| **old == bytes);
    image.files.insert(path.clone(), Arc::new(bytes));
    (!same).then_some((path, what))
}

/// Reads everything: right, or told to be lost. True when something is.
fn readable(log: &Log, model: &Model) -> Result<bool, String> {
    model.check_names(log)?;
    let mut told = false;
    for (id, part) in &model.parts {
        let ends = log.ends(*id).ok_or(format!("{id} is not there"))?;
        let expected = (part.start, model.stable(*id), part.records.len() as i64);
        if (ends.start, ends.stable, ends.high) != expected {
            return Err(format!("{id} has {ends:?}, should be {expected:?}"));
        }
        let (shown, lost) =
            values_and_lost(Arc::new(log.clone()), *id).map_err(|error| error.to_string())?;
        model
            .check_seen(*id, (part.start, Isolation::Committed), &shown, &lost)
            .map_err(|error| format!("{id}: {error}"))?;
        told |= !lost.is_empty();
    }
    Ok(told)
}

/// One change to a data directory; what came of it.
fn judge(image: &Image, history: &[Model], least: u64) -> Result<&'static str, String> {
    let disk = SimDisk::from_image(image);
    let (log, recovered) = match open(&disk) {
        Ok(opened) => opened,
        Err(LogError::Damaged { .. }) => return Ok("refused"),
        Err(error) => return Err(format!("not refused as damaged: {error}")),
    };
    if recovered.sequence < least {
        return Err(format!("{} commits are there, {least} must be", recovered.sequence));
    }
    let model = history.get(recovered.sequence as usize).ok_or("more commits than were made")?;
    let lost = readable(&log, model)?;
    let mut model = model.clone();
    model.commit_one_more(&log).map_err(|error| format!("one more commit: {error}"))?;
    log.close();
    drop(log);
    let (log, _) = open(&disk).map_err(|error| format!("not a second time: {error}"))?;
    readable(&log, &model).map_err(|error| format!("the second time: {error}"))?;
    Ok(if lost { "told" } else { "harmless" })
}

/// Changes a directory of the seed's workload in many ways, closed in order and killed.
pub(crate) fn flip_many(seed: u64, changes: u64, counts: &mut Counts) -> Result<(), String> {
    let mut workload = Workload::quick(seed);
    workload.run()?;
    let killed = workload.disk.image();
    let last = workload.begun();
    let (log, _) = open(&workload.disk).map_err(|error| error.to_string())?;
    log.close();
    drop(log);
    let closed = workload.disk.image();
    // Rot in the very last group cannot be told from a torn write of it.
    let before_last = workload.steps.iter().rev().find(|step| step.sequence < last);
    let before_last = before_last.map_or(0, |step| step.durable);
    let rand = SeededRand::new(seed);
    for n in 0..changes {
        let (begin, least) = if n % 2 == 0 { (&closed, last) } else { (&killed, before_last) };
        let mut image = begin.clone();
        let Some((path, what)) = change(&mut image, &rand) else { continue };
        let outcome = judge(&image, &workload.history, least)
            .map_err(|error| format!("seed {seed}, {}: {what}: {error}", path.display()))?;
        let dir = path.components().next().map(|dir| dir.as_os_str().to_string_lossy().into());
        *counts.entry((dir.unwrap_or_default(), outcome)).or_default() += 1;
    }
    Ok(())
}

#[test]
fn ten_thousand_changes_are_told_or_harmless() {
    let mut counts = Counts::new();
    for seed in 0..25 {
        flip_many(seed, 420, &mut counts).unwrap_or_else(|error| panic!("{error}"));
    }
    let total: u64 = counts.values().sum();
    println!("{total} changes");
    for ((dir, outcome), count) in &counts {
        println!("{count:>6} {dir}: {outcome}");
    }
    assert!(total >= 10_000, "only {total}");
    for (dir, outcome) in [("parts", "told"), ("wal", "told"), ("wal", "refused")] {
        assert!(counts.contains_key(&(dir.to_owned(), outcome)), "{dir} never {outcome}");
    }
}
