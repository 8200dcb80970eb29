//! Running other programs: what they print goes straight on to the terminal, their last line is
//! kept as the summary of what they did, and a failure names the whole command.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::repo::{Outcome, Repo};

/// Runs a program in the root of the tree with its output untouched.
pub(crate) fn plain(repo: &Repo, words: &[&str], env: &[(&str, &str)]) -> Outcome {
    let mut command = command(repo, words, env)?;
    let status =
        command.status().map_err(|e| format!("`{}` could not start: {e}", words.join(" ")))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("`{}` failed ({status})", words.join(" ")))
}

/// Runs a program, passes its output on, and returns the last line it printed.
pub(crate) fn summarised(
    repo: &Repo,
    words: &[&str],
    env: &[(&str, &str)],
) -> Result<String, String> {
    summarised_by(repo, words, env, "")
}

/// Likewise the last line with `mark` in it, where other lines follow.
pub(crate) fn summarised_by(
    repo: &Repo,
    words: &[&str],
    env: &[(&str, &str)],
    mark: &str,
) -> Result<String, String> {
    let mut child = command(repo, words, env)?
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("`{}` could not start: {e}", words.join(" ")))?;
    let mut last = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            if !line.trim().is_empty() && line.contains(mark) {
                last = line;
            }
        }
    }
    let status = child.wait().map_err(|e| format!("`{}`: {e}", words.join(" ")))?;
    if status.success() {
        return Ok(last);
    }
    let said = last.trim();
    Err(format!("`{}` failed ({status}): {said}", words.join(" ")))
}

fn command(repo: &Repo, words: &[&str], env: &[(&str, &str)]) -> Result<Command, String> {
    let (program, arguments) = words.split_first().ok_or("an empty command")?;
    let program = match *program {
        // The cargo that runs this tool, so that a toolchain chosen with `+` stays chosen.
        "cargo" => std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()),
        other => other.to_owned(),
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(env.iter().copied()).current_dir(&repo.root).stdin(Stdio::null());
    Ok(command)
}

/// The words that run a script: by its ending, or directly when it has none.
pub(crate) fn script_words(path: &str) -> Vec<&str> {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    match ending {
        Some("sh") => vec!["bash", path],
        Some("py") => vec!["python3", path],
        Some("mjs" | "js") => vec!["node", path],
        _ => vec![path],
    }
}

/// Prints a heading, does the work, prints how long it took.
pub(crate) fn timed<T>(name: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    println!("── {name}");
    let start = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    println!("── {name}: {verdict}, {:.1} s", start.elapsed().as_secs_f64());
    result
}
