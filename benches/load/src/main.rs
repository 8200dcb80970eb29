//! Loads a Kafka broker and measures what it does: the same bytes to ours and to any other.
//!
//! `produce` and `consume` send as fast as the broker takes, with batches built beforehand, so
//! that the client costs next to nothing and the broker is what is measured. `latency` sends one
//! record at a time at a fixed rate and counts from when each *should* have been sent: a broker
//! that stalls is charged for all that queued up meanwhile. Each prints one JSON line.

#![expect(clippy::disallowed_methods, reason = "real time is what this program measures")]

mod connection;
mod consume;
mod first_ack;
mod latency;
mod produce;
mod quantiles;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a topic; one that is there is left
    Create {
        #[command(flatten)]
        target: Target,
        /// A setting (repeatable)
        #[arg(long, value_name = "KEY=VALUE")]
        config: Vec<String>,
    },
    /// Send batches until so many bytes of records are acknowledged
    Produce {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        load: produce::Load,
    },
    /// Read everything from the start
    Consume {
        #[command(flatten)]
        target: Target,
        #[arg(long, default_value_t = 1)]
        connections: usize,
        /// Stop after so many bytes of batches; 0 reads to the end
        #[arg(long, default_value_t = 0)]
        bytes: u64,
    },
    /// Wait for a broker that is being started to acknowledge one record
    FirstAck {
        #[command(flatten)]
        target: Target,
    },
    /// One record at a time at a fixed rate: acknowledged and seen by a waiting consumer
    Latency {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        load: latency::Load,
    },
}

/// Where the load goes.
#[derive(Debug, Clone, Args)]
struct Target {
    /// host:port
    #[arg(long)]
    addr: String,
    #[arg(long, default_value = "load")]
    topic: String,
    #[arg(long, default_value_t = 1)]
    partitions: i32,
}

/// Anything that ends a measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Retention judges by what records say: an old time would have them deleted under the load.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

fn run(cli: Cli) -> Result<Value, Failure> {
    match cli.command {
        Command::Create { target, config } => connection::create(&target, &config),
        Command::Produce { target, load } => produce::run(&target, &load),
        Command::Consume { target, connections, bytes } => {
            consume::run(&target, connections.max(1), bytes)
        }
        Command::FirstAck { target } => first_ack::run(&target),
        Command::Latency { target, load } => latency::run(&target, &load),
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
