//! `yeoul doctor`: says what of a data directory cannot be read back, what that takes, and, told
//! to, repairs it. Without `--repair` nothing is changed; all judgement is the log's own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use yeoul_base::{Disk, OsRand, RealDisk, SystemClock};
use yeoul_log::doctor::{self, Choice, Diagnosis, Finding, LostOffsets, Repaired};
use yeoul_log::{LogError, LogOptions};

use crate::output::{self, Failure, Output, count};

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The data directory; no node may be using it
    #[arg(long, default_value = "yeoul-data")]
    data_dir: PathBuf,
    /// Give up what cannot be read, so that the next start succeeds; what that loses is shown
    /// first, and copies of it go to quarantine/
    #[arg(long)]
    repair: bool,
    /// Repair without asking
    #[arg(long, requires = "repair")]
    yes: bool,
}

pub(crate) fn doctor(args: DoctorArgs, output: Output) -> Result<ExitCode, Failure> {
    let dir = args.data_dir.display().to_string();
    if !args.data_dir.is_dir() {
        return Err(Failure::new(format!("there is no data directory `{dir}`"))
            .hint("name it with --data-dir"));
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&args.data_dir)?);
    let options = LogOptions::default();
    let failed = |error: LogError| Failure::new(format!("{dir}: {error}"));
    let found = doctor::examine(&disk, &options).map_err(failed)?;
    let can_help = !found.choices().is_empty();
    if !args.repair || !can_help {
        show(&dir, &found, None, output)?;
        if can_help && !args.repair {
            output::remark("yeoul doctor --repair does what is said under `repair`");
        }
        return Ok(code(&found));
    }
    if output == Output::Table {
        show(&dir, &found, None, output)?;
    }
    if !args.yes && !output::confirm("give up what these lines say is lost?")? {
        output::remark("nothing changed");
        return Ok(code(&found));
    }
    let (clock, rand) = (Arc::new(SystemClock::new()), Arc::new(OsRand::new()));
    let repaired =
        doctor::repair(&disk, clock, rand, options.clone(), &Choice::ALL).map_err(failed)?;
    let now = doctor::examine(&disk, &options).map_err(failed)?;
    if output == Output::Table {
        output::line(repaired.text())?;
    }
    show(&dir, &now, Some(&repaired), output)?;
    Ok(code(&now))
}

fn code(found: &Diagnosis) -> ExitCode {
    if found.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(
    dir: &str,
    found: &Diagnosis,
    repaired: Option<&Repaired>,
    output: Output,
) -> Result<(), Failure> {
    if output == Output::Json {
        return output::line(as_json(found, repaired).to_string());
    }
    output::line(format!(
        "{dir} {}: {} commits, {} topics with {} records in {} bytes; {} commits come from the \
         commit log",
        if found.is_healthy() { "is healthy" } else { "is damaged" },
        count(found.commits),
        found.topics,
        count(found.records),
        count(found.bytes),
        count(found.replayed),
    ))?;
    let text = found.text();
    if text.is_empty() { Ok(()) } else { output::line(text) }
}

fn as_json(found: &Diagnosis, repaired: Option<&Repaired>) -> Value {
    let offsets = |lost: &LostOffsets| {
        json!({
            "topic": lost.topic.as_deref(),
            "partition": lost.index,
            "first": lost.first,
            "last": lost.last,
        })
    };
    let finding = |finding: &Finding| {
        let loses = &finding.loses;
        json!({
            "kind": finding.kind.name(),
            "file": finding.file,
            "position": finding.position,
            "what": finding.what,
            "repair": finding.choice.map(|choice| choice.name()),
            "loses": {
                "commits": loses.commits.map(|(first, last)| [first, last]),
                "untold": loses.untold,
                "offsets": loses.offsets.iter().map(offsets).collect::<Vec<_>>(),
                "facts": loses.facts,
                "topics": loses.topics.iter().map(|topic| topic.to_string()).collect::<Vec<_>>(),
            },
        })
    };
    let kept = repaired.map(|repaired| {
        let recovered = repaired.recovered.iter();
        let copies = recovered.flat_map(|recovered| recovered.quarantined.iter());
        repaired.kept.iter().chain(copies).cloned().collect::<Vec<_>>()
    });
    json!({
        "healthy": found.is_healthy(),
        "commits": found.commits,
        "replayed": found.replayed,
        "topics": found.topics,
        "records": found.records,
        "bytes": found.bytes,
        "findings": found.findings.iter().map(finding).collect::<Vec<_>>(),
        "accepted": found.accepted.iter().map(offsets).collect::<Vec<_>>(),
        "torn_groups": found.torn_groups,
        "repaired": kept,
    })
}
