//! `yeoul doctor`: opens a data directory as a start would and says what it finds. What cannot be
//! read back is named with file and position; nothing that was acknowledged is changed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use yeoul_base::{Disk, OsRand, RealDisk, Store, SystemClock};
use yeoul_log::{Log, LogError, LogOptions};

use crate::output::{self, Failure, Output, count};

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The data directory; no node may be using it
    #[arg(long, default_value = "yeoul-data")]
    data_dir: PathBuf,
}

pub(crate) fn doctor(args: DoctorArgs, output: Output) -> Result<ExitCode, Failure> {
    let dir = args.data_dir.display();
    if !args.data_dir.is_dir() {
        return Err(Failure::new(format!("there is no data directory `{dir}`"))
            .hint("name it with --data-dir"));
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&args.data_dir)?);
    let opened = Log::open(
        disk,
        Arc::new(SystemClock::new()),
        Arc::new(OsRand::new()),
        LogOptions::default(),
    );
    let (log, recovered) = match opened {
        Ok(opened) => opened,
        Err(LogError::Damaged { file, position, what }) => {
            let message = format!("{dir}/{file} is damaged at byte {position}: {what}");
            return Err(Failure::new(message).hint(
                "acknowledged data cannot be read back. Copy the directory before anything else; \
                 restore this file from a backup, or start anew with another --data-dir",
            ));
        }
        Err(error) => return Err(Failure::new(format!("{dir}: {error}"))),
    };
    let topics = log.topics();
    let mut records = 0;
    let mut bytes = 0;
    for part in topics.by_name.values().flat_map(|topic| topic.partitions.iter()) {
        let ends = log.ends(*part).unwrap_or_default();
        records += u64::try_from(ends.high - ends.start).unwrap_or(0);
        bytes += ends.bytes;
    }
    let lost = log.lost();
    log.close();
    if output == Output::Json {
        let found = json!({
            "healthy": lost.is_empty(),
            "commits": recovered.sequence,
            "replayed": recovered.replayed,
            "topics": topics.by_name.len(),
            "records": records,
            "bytes": bytes,
            "cut": recovered.cut,
            "quarantined": recovered.quarantined,
            "lost": lost.iter().map(|lost| json!({
                "partition": lost.part.0,
                "first": lost.first,
                "last": lost.last,
                "reason": lost.reason,
            })).collect::<Vec<_>>(),
        });
        output::line(found.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!(
        "{dir} {}: {} commits, {} topics with {} records in {} bytes; {} commits came from \
         the commit log",
        if lost.is_empty() { "is healthy" } else { "can be used, but records are lost" },
        count(recovered.sequence),
        topics.by_name.len(),
        count(records),
        count(bytes),
        count(recovered.replayed),
    ))?;
    for lost in &lost {
        output::line(format!(
            "partition {}, offsets {} to {} are lost: {}",
            lost.part, lost.first, lost.last, lost.reason
        ))?;
    }
    for file in &recovered.cut {
        output::line(format!("a group that was never acknowledged was cut off; it is in {file}"))?;
    }
    for file in &recovered.quarantined {
        output::line(format!("a snapshot that could not be read was put aside into {file}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
