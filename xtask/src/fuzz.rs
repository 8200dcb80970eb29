//! Fuzzing with libFuzzer on the stable compiler: `fuzz/` is built with the coverage passes that
//! LLVM has anyway, seeded by the code under test, and run for some seconds or executions. What
//! it learns stays below the build folder; what it finds is a file there and fails the run.
//!
//! The instrumented build has a folder and a lock file of its own, so nothing else waits for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::repo::{Outcome, Repo};
use crate::{Flags, run, scripts};

/// The same names as in `fuzz/src/main.rs`, and the longest input that makes sense for each.
const TARGETS: [(&str, u32); 8] = [
    ("frames", 4096),
    ("requests", 4096),
    ("batches", 4096),
    ("unpack", 4096),
    ("commitlog", 4096),
    ("facts", 1024),
    ("directory", 256),
    ("listener", 8192),
];
/// Per target, in CI and when nothing is said.
const QUICK_SECONDS: u64 = 20;
/// Per target with `--full`.
const FULL_RUNS: u64 = 10_000_000;

/// What `cargo fuzz` would ask a nightly compiler for, without the sanitizers: our code has no
/// `unsafe`, so that panics, hangs and memory are what there is to find.
const RUSTFLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// Memory of one process; of one allocation; time of one input. An input may unpack a batch to
/// its budget of 64 MiB and decode it, which on an instrumented build takes a second or two.
const RSS_MB_MAX: u32 = 1024;
const MALLOC_MB_MAX: u32 = 256;
const SECONDS_PER_INPUT_MAX: u32 = 20;

/// How long a target runs.
#[derive(Clone, Copy)]
enum Until {
    Seconds(u64),
    Runs(u64),
}

pub(crate) fn run(repo: &Repo, flags: &Flags) -> Outcome {
    let until = match (flags.seconds, flags.runs) {
        (_, Some(runs)) => Until::Runs(runs),
        (Some(seconds), None) => Until::Seconds(seconds),
        (None, None) if flags.full => Until::Runs(FULL_RUNS),
        (None, None) => Until::Seconds(QUICK_SECONDS),
    };
    let wanted: Vec<_> = TARGETS
        .iter()
        .filter(|(name, _)| flags.name.as_deref().is_none_or(|wanted| wanted == *name))
        .collect();
    if wanted.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "there is no fuzz target of that name; there are {}",
            names.join(", ")
        ));
    }
    let folder = folder(repo);
    let binary = build(repo, &folder)?;
    let results = all(&wanted, |(name, longest)| one(&folder, &binary, name, *longest, until));
    let mut failed = Vec::new();
    for ((name, _), result) in wanted.iter().zip(results) {
        let title = format!("fuzz {name}");
        match &result {
            Ok(said) => println!("{title}: {said}"),
            Err(message) => {
                println!("{title}: FAILED\n{message}");
                failed.push(*name);
            }
        }
        if flags.record {
            scripts::write_result(repo, &title, &result)?;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("fuzz: {} failed", failed.join(", "))) }
}

/// `target/fuzz`, or beside what `CARGO_TARGET_DIR` names.
fn folder(repo: &Repo) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repo.path("target"), PathBuf::from)
        .join("fuzz")
}

fn build(repo: &Repo, folder: &Path) -> Result<PathBuf, String> {
    let triple = host()?;
    let flags = RUSTFLAGS.split_whitespace().collect::<Vec<_>>().join(" ");
    let built = folder.display().to_string();
    // With a triple the flags reach the targets only, not build scripts and macros.
    let manifest = repo.path("fuzz/Cargo.toml").display().to_string();
    let words = ["cargo", "build", "--release", "--manifest-path", &manifest, "--target", &triple];
    run::plain(repo, &words, &[("RUSTFLAGS", &flags), ("CARGO_TARGET_DIR", &built)])?;
    Ok(folder.join(triple).join("release/fuzz"))
}

fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// Runs the work over as many threads as there are cores; results in the order of the items.
fn all<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = Mutex::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..cores.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = {
                        let Ok(mut next) = next.lock() else { return };
                        *next += 1;
                        *next - 1
                    };
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// One target to its end; what it did, or what it found and how to see it again.
fn one(
    folder: &Path,
    binary: &Path,
    name: &str,
    longest: u32,
    until: Until,
) -> Result<String, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    let corpus = folder.join("corpus").join(name);
    let seeds = folder.join("seeds").join(name);
    let found = folder.join("found").join(name);
    for path in [&corpus, &seeds, &found] {
        fs::create_dir_all(path).map_err(fail)?;
    }
    let seeding =
        Command::new(binary).env("YEOUL_FUZZ", name).env("YEOUL_FUZZ_SEEDS", &seeds).output();
    let seeding = seeding.map_err(fail)?;
    if !seeding.status.success() {
        let said = String::from_utf8_lossy(&seeding.stderr);
        return Err(format!("writing the seeds failed: {}", said.trim()));
    }
    let log = folder.join(format!("{name}.log"));
    let mut command = Command::new(binary);
    command.env("YEOUL_FUZZ", name).arg(&corpus).arg(&seeds);
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command
        .arg(format!("-max_len={longest}"))
        .arg("-print_final_stats=1")
        .arg("-use_value_profile=0");
    command
        .arg(format!("-rss_limit_mb={RSS_MB_MAX}"))
        .arg(format!("-malloc_limit_mb={MALLOC_MB_MAX}"));
    command.arg(format!("-timeout={SECONDS_PER_INPUT_MAX}"));
    command.arg(match until {
        Until::Seconds(seconds) => format!("-max_total_time={seconds}"),
        Until::Runs(runs) => format!("-runs={runs}"),
    });
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).map_err(fail)?);
    let status = command.status().map_err(fail)?;
    let text = fs::read(&log).map_err(fail)?;
    let text = String::from_utf8_lossy(&text);
    if !status.success() {
        return Err(what_was_found(&text, binary, name, &log));
    }
    Ok(summary(&text))
}

/// The panic's own lines, and the command that runs the input again.
fn what_was_found(text: &str, binary: &Path, name: &str, log: &Path) -> String {
    let told = |line: &&str| {
        ["panicked at", "ERROR: libFuzzer", "SUMMARY", "Test unit written"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let mut lines: Vec<&str> = Vec::new();
    let mut all = text.lines().peekable();
    while let Some(line) = all.next() {
        if told(&line) {
            lines.push(line);
            // A panic's message is the line below its place.
            if line.contains("panicked at")
                && let Some(message) = all.peek()
            {
                lines.push(message);
            }
        }
    }
    format!(
        "{}\nagain: YEOUL_FUZZ={name} {} FILE; the whole log: {}",
        lines.join("\n"),
        binary.display(),
        log.display()
    )
}

/// From libFuzzer's own counts.
fn summary(text: &str) -> String {
    let stat = |name: &str| {
        let found = text.lines().rev().find_map(|line| line.strip_prefix(name));
        found.map_or("?", str::trim).to_owned()
    };
    let coverage = text
        .lines()
        .rev()
        .find_map(|line| line.split("cov: ").nth(1))
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("?");
    format!(
        "{} executions, {}/s, {coverage} edges, peak {} MiB, nothing found",
        stat("stat::number_of_executed_units:"),
        stat("stat::average_exec_per_sec:"),
        stat("stat::peak_rss_mb:")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_counts_become_one_line() {
        let text = "#2\tINITED cov: 5 ft: 9\n#9\tDONE   cov: 12 ft: 9\n\
            stat::number_of_executed_units: 900\nstat::average_exec_per_sec:     45\n\
            stat::peak_rss_mb:              60\n";
        assert_eq!(summary(text), "900 executions, 45/s, 12 edges, peak 60 MiB, nothing found");
    }

    #[test]
    fn a_finding_names_the_panic_and_how_to_see_it_again() {
        let text = "INFO: Seed: 1\nthread 'main' panicked at src/a.rs:1:1:\nwhy\nmore\n\
            SUMMARY: libFuzzer: deadly signal\n";
        let said = what_was_found(text, Path::new("/b"), "facts", Path::new("/l"));
        assert!(said.contains("src/a.rs:1:1:\nwhy\nSUMMARY"), "{said}");
        assert!(said.contains("YEOUL_FUZZ=facts /b FILE"), "{said}");
    }

    #[test]
    fn work_keeps_the_order_of_its_items() {
        let items: Vec<u32> = (0..50).collect();
        assert_eq!(all(&items, |item| item * 2), items.iter().map(|i| i * 2).collect::<Vec<_>>());
    }
}
