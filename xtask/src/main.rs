//! `cargo xtask`: every chore of the repository behind one name, so that the gate a change must
//! pass (`ci`) and the slower checks (`interop`, `soak`, `real`, `writeups`, `bench`) are spelt
//! the same on every machine. It knows the tree only by its files and by `cargo metadata`; it
//! links none of the crates it judges, so a crate that does not compile can still be judged.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool for the working tree: it prints its findings and reads files that are in no data directory"
)]

mod ci;
mod examples;
mod fuzz;
mod history;
mod licences;
mod metadata;
mod node;
mod repo;
mod run;
mod scripts;
mod tidy;
mod writeups;

use std::process::ExitCode;

use repo::{Outcome, Repo};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy                    what the compiler does not check: headers, edges, sizes, documents, links
  licences                every dependency's licence, name and origin against deny.toml
  ci                      fmt, clippy, tidy, licences, UI, examples, quick interop (after the tests)
  examples [--check]      write the data of examples/ again (--check: only compare)
  interop [NAME] [--full] real clients against the binary; without NAME every folder
  fuzz [TARGET] [--seconds N | --runs N | --full]
                          hostile input to every decoder; 20 s per target, --full 10,000,000 runs
  crash                   a million images of what crashes may leave of the log, in a release build
  soak | real | bench     the long run; the real files beside the repository; the figures
  history FILE...         judge what clients wrote down: lost, double, reordered, read too early
  writeups                run the ticked steps of docs/writeups.md and count them
  ui-hash [--write]       the hash of the UI's sources, as ui/dist/SOURCE_HASH must hold it

interop, fuzz, soak, real, writeups, bench and crash take --record: the result goes into interop/RESULTS.md.
YEOUL_BIN names the binary they use; without it the debug build is made and used.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = Repo::find().and_then(|repo| dispatch(&repo, &words));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(repo: &Repo, words: &[String]) -> Outcome {
    let Some((command, rest)) = words.split_first() else {
        return Err(format!("no command given\n{USAGE}"));
    };
    if command == "history" {
        return history::run(rest);
    }
    let flags = Flags::parse(rest)?;
    match command.as_str() {
        "tidy" => tidy::run(repo),
        "licences" => licences::run(repo),
        "ci" => ci::run(repo),
        "examples" => examples::run(repo, flags.check),
        "interop" => scripts::interop(repo, flags.name.as_deref(), flags.full, flags.record),
        "fuzz" => fuzz::run(repo, &flags),
        "crash" => scripts::crash(repo, flags.record),
        "soak" => scripts::soak(repo, flags.record),
        "real" => scripts::real(repo, flags.record),
        "bench" => scripts::bench(repo, flags.name.as_deref(), flags.record),
        "writeups" => writeups::run(repo, flags.record),
        "ui-hash" => tidy::ui_hash(repo, flags.write),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`\n{USAGE}")),
    }
}

/// What may follow a command. One set for all commands: they are few, and an option that a
/// command does not read changes nothing.
#[derive(Default)]
struct Flags {
    name: Option<String>,
    check: bool,
    full: bool,
    record: bool,
    write: bool,
    seconds: Option<u64>,
    runs: Option<u64>,
}

impl Flags {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => flags.seconds = Some(number(word, words.next())?),
                "--runs" => flags.runs = Some(number(word, words.next())?),
                "--check" => flags.check = true,
                "--full" => flags.full = true,
                "--record" => flags.record = true,
                "--write" => flags.write = true,
                name if !name.starts_with('-') && flags.name.is_none() => {
                    flags.name = Some(name.to_owned());
                }
                other => return Err(format!("`{other}` is not understood\n{USAGE}")),
            }
        }
        Ok(flags)
    }
}

fn number(flag: &str, word: Option<&String>) -> Result<u64, String> {
    let parsed = word.and_then(|word| word.parse().ok());
    parsed.ok_or_else(|| format!("`{flag}` wants a number behind it\n{USAGE}"))
}
