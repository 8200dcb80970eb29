//! The command line: one struct per command, its help, and where it is carried out.

mod apply;
mod check;
mod demo;
mod doctor;
mod look;
mod ports;
mod run;
mod tables;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::kafka_cli;
use crate::output::{self, Failure, Output};

/// Events from where they happen to a live dashboard, exactly once, in one binary.
#[derive(Debug, Parser)]
#[command(name = "yeoul", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How results are written: a table for people, JSON for scripts
    #[arg(long, global = true, value_enum, default_value = "table")]
    output: Output,
    /// What is logged to stderr: error, warn, info, debug, or a filter such as yeoul_log=debug
    #[arg(long, global = true, env = "YEOUL_LOG", default_value = "warn")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a working pipeline with generated data: one command, one URL
    Demo(demo::DemoArgs),
    /// Run pipeline files (or an empty node) until Ctrl-C
    Run(run::RunArgs),
    /// Make a running node follow a changed pipeline file
    Apply(apply::ApplyArgs),
    /// Check a pipeline file: names, types, SQL, files; nothing is started
    Check(check::CheckArgs),
    /// Run the tests a pipeline file holds
    Test(check::TestArgs),
    /// What a running node's components do
    Status(look::StatusArgs),
    /// Show records as they pass a topic, source, stream or table
    Tap(look::TapArgs),
    /// Ask a running node's tables
    Sql(look::SqlArgs),
    /// Records that could not be used, and why
    Dead(look::DeadArgs),
    /// Tables: what is in them, and removing those that nothing feeds
    Tables(tables::TablesArgs),
    /// Make a table again from its topic: shows the rows before and after, then asks
    Redo(tables::RedoArgs),
    /// Topics of this node, or of any Kafka
    Topics(kafka_cli::TopicsArgs),
    /// Send records, one a line
    Produce(kafka_cli::ProduceArgs),
    /// Read records
    Consume(kafka_cli::ConsumeArgs),
    /// Consumer groups and how far behind they are
    Groups(kafka_cli::GroupsArgs),
    /// Look at a data directory: what is in it, and whether all of it can be read back
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of the pipeline file, for editors
    Schema,
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

pub(crate) use check::drawn;
pub(crate) use run::Listeners;

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(&cli.log);
    match dispatch(cli.command, cli.output) {
        Ok(code) => code,
        Err(failure) if failure.unread => ExitCode::SUCCESS,
        Err(failure) => {
            output::remark(failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn start_logging(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}

fn dispatch(command: Command, output: Output) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Demo(args) => return runtime()?.block_on(demo::demo(args)),
        Command::Run(args) => return runtime()?.block_on(run::run(args)),
        Command::Check(args) => return runtime()?.block_on(check::check(args, output)),
        Command::Test(args) => return runtime()?.block_on(check::test(args, output)),
        Command::Apply(args) => small_runtime()?.block_on(apply::apply(args, output)),
        Command::Status(args) => small_runtime()?.block_on(look::status(args, output)),
        Command::Tap(args) => small_runtime()?.block_on(look::tap(args, output)),
        Command::Sql(args) => small_runtime()?.block_on(look::sql(args, output)),
        Command::Dead(args) => small_runtime()?.block_on(look::dead(args, output)),
        Command::Tables(args) => small_runtime()?.block_on(tables::tables(args, output)),
        Command::Redo(args) => small_runtime()?.block_on(tables::redo(args, output)),
        Command::Topics(args) => return kafka_cli::topics(args, output),
        Command::Produce(args) => return kafka_cli::produce(args, output),
        Command::Consume(args) => return kafka_cli::consume(args, output),
        Command::Groups(args) => return kafka_cli::groups(args, output),
        Command::Doctor(args) => return doctor::doctor(args, output),
        Command::Schema => output::line(yeoul_pipeline::schema_text()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "yeoul", &mut std::io::stdout());
            Ok(())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// For a node: listeners and pages. Queries have threads of their own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).max(2))
        .thread_name("yeoul-io")
        .enable_all()
        .build()?;
    Ok(runtime)
}

/// For a command that only asks a node.
fn small_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
