//! Scripts that drive the built binary from outside: real clients (`interop/NAME`), the real
//! files beside the repository, the long run, the figures. Each is an ordinary program that is
//! told the binary by `YEOUL_BIN`, fails by its exit code, and says in its last line what it saw.

use crate::repo::{Outcome, Repo};
use crate::{node, run};

const RESULTS: &str = "interop/RESULTS.md";
/// Real files of the field, kept beside the repository and never inside it.
const REAL_DATA: &str = "../shared/data";

/// Real clients. Without a name: every folder that has such a part.
pub(crate) fn interop(repo: &Repo, name: Option<&str>, full: bool, record: bool) -> Outcome {
    let part = if full { "full" } else { "quick" };
    let mut folders = folders_with(repo, part);
    if let Some(name) = name {
        if !folders.iter().any(|(folder, _)| folder == name) {
            let there: Vec<&str> = folders.iter().map(|(f, _)| f.as_str()).collect();
            return Err(format!(
                "interop/{name} has no {part} part; those that have one: {}",
                there.join(", ")
            ));
        }
        folders.retain(|(folder, _)| folder == name);
    }
    let binary = node::binary(repo)?;
    run_folders(repo, &folders, part, &binary, record)
}

/// The quick part of every folder against a binary that is there already.
pub(crate) fn interop_with(repo: &Repo, binary: &str) -> Outcome {
    run_folders(repo, &folders_with(repo, "quick"), "quick", binary, false)
}

fn run_folders(
    repo: &Repo,
    folders: &[(String, String)],
    part: &str,
    binary: &str,
    record: bool,
) -> Outcome {
    let mut failed = Vec::new();
    for (folder, script) in folders {
        let title = format!("interop {folder} ({part})");
        let result = run::timed(&title, || one(repo, folder, script, binary));
        if let Err(message) = &result {
            println!("{message}");
            failed.push(folder.as_str());
        }
        if record {
            write_result(repo, &title, &result)?;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("interop failed: {}", failed.join(", ")))
}

fn one(repo: &Repo, folder: &str, script: &str, binary: &str) -> Result<String, String> {
    let install = format!("interop/{folder}/install.sh");
    if repo.path(&install).is_file() {
        run::plain(repo, &["bash", &install], &[])?;
    }
    // A script may want another command of this tool, such as `history`.
    let xtask = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    // Building the workspace may have put the same program anew in this one's place.
    let xtask = xtask.to_string_lossy();
    let xtask = xtask.trim_end_matches(" (deleted)");
    let env = [("YEOUL_BIN", binary), ("YEOUL_XTASK", xtask)];
    run::summarised(repo, &run::script_words(script), &env)
}

/// The folders of `interop/` with a script called `part` (any ending), in byte order.
fn folders_with(repo: &Repo, part: &str) -> Vec<(String, String)> {
    let is_part = |path: &str| {
        let mut words = path.split('/').skip(2);
        let name = words.next().unwrap_or("");
        words.next().is_none() && name.split('.').next() == Some(part)
    };
    let scripts = repo.files("interop", is_part);
    scripts
        .into_iter()
        .filter_map(|script| Some((script.split('/').nth(1)?.to_owned(), script)))
        .collect()
}

/// The real files: tests whose name holds `real` must not skip, then the whole node on them.
pub(crate) fn real(repo: &Repo, record: bool) -> Outcome {
    if !repo.path(REAL_DATA).is_dir() {
        return Err(format!(
            "{REAL_DATA} is not beside this repository, and without it nothing real can be read"
        ));
    }
    let must = [("YEOUL_REQUIRE_REAL", "1")];
    run::timed("tests on real files", || {
        run::plain(repo, &["cargo", "test", "--workspace", "--", "real"], &must)
    })?;
    let binary = node::binary(repo)?;
    // The other engine, which answers are compared with.
    run::plain(repo, &["bash", "interop/real/install.sh"], &[])?;
    let env = [("YEOUL_REQUIRE_REAL", "1"), ("YEOUL_BIN", &binary)];
    script(repo, "real", "interop/real/quick.py", &env, record)
}

/// Seeds that no other run has, crashed everywhere: minutes.
pub(crate) fn crash(repo: &Repo, record: bool) -> Outcome {
    let words =
        "cargo test --release -p yeoul-log --test it -- --ignored --nocapture a_million_images";
    let words: Vec<_> = words.split(' ').collect();
    let result = run::summarised_by(repo, &words, &[], "distinct images");
    if record {
        write_result(repo, "crash", &result)?;
    }
    result.map(drop)
}

/// The long run: writers and readers for minutes, killed again and again, everything counted.
pub(crate) fn soak(repo: &Repo, record: bool) -> Outcome {
    let binary = node::binary(repo)?;
    script(repo, "soak", "interop/soak/soak.py", &[("YEOUL_BIN", &binary)], record)
}

/// The figures of `benches/`. They mean something for a release build only, so one must be named.
pub(crate) fn bench(repo: &Repo, only: Option<&str>, record: bool) -> Outcome {
    if std::env::var_os("YEOUL_BIN").is_none() {
        return Err(
            "figures are taken from a release build: run `cargo build --release` and set YEOUL_BIN to it"
                .to_owned(),
        );
    }
    let binary = node::binary(repo)?;
    run::plain(repo, &["cargo", "build", "--quiet", "--release", "--package", "broker-load"], &[])?;
    let env = [("YEOUL_BIN", binary.as_str())];
    let of = |name: &str| {
        let path = format!("benches/{name}/run.py");
        script(repo, &format!("bench {name}"), &path, &env, record)
    };
    match only {
        Some(name) => of(name),
        None => of("first-light").and_then(|()| of("broker")).and_then(|()| of("olap")),
    }
}

fn script(repo: &Repo, title: &str, path: &str, env: &[(&str, &str)], record: bool) -> Outcome {
    let result = run::timed(title, || run::summarised(repo, &run::script_words(path), env));
    if record {
        write_result(repo, title, &result)?;
    }
    result.map(|_| ())
}

/// Puts the last result of a check into its row of the results table, or adds the row.
pub(crate) fn write_result(repo: &Repo, title: &str, result: &Result<String, String>) -> Outcome {
    let said = match result {
        Ok(summary) => format!("ok: {summary}"),
        Err(message) => format!("FAILED: {message}"),
    };
    let said = said.replace('|', "/").replace('\n', " ");
    let row = format!("| {title} | {} | {} | {} |", today()?, commit(repo)?, said.trim());
    let text = repo.read(RESULTS)?;
    repo.write(RESULTS, &with_row(&text, title, &row))
}

fn with_row(text: &str, title: &str, row: &str) -> String {
    let mine = format!("| {title} |");
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter_mut().find(|line| line.starts_with(&mine)) {
        Some(line) => *line = row,
        None => {
            let last = lines.iter().rposition(|line| line.starts_with('|'));
            lines.insert(last.map_or(lines.len(), |at| at + 1), row);
        }
    }
    lines.join("\n") + "\n"
}

fn today() -> Result<String, String> {
    let output = std::process::Command::new("date")
        .args(["-u", "+%F"])
        .output()
        .map_err(|e| format!("date: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The commit that was judged; a `+` says that the tree held more than the commit.
fn commit(repo: &Repo) -> Result<String, String> {
    let hash = repo.git(&["rev-parse", "--short", "HEAD"])?;
    let changed = repo.git(&["status", "--porcelain", "--untracked-files=no"])?;
    let edited = changed.lines().any(|line| !line.ends_with(RESULTS));
    Ok(format!("{}{}", hash.trim(), if edited { "+" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::with_row;

    #[test]
    fn a_row_is_replaced_or_added_behind_the_table() {
        let text = "# R\n\n| a | b |\n|---|---|\n| x | 1 |\n\nend\n";
        let replaced = with_row(text, "x", "| x | 2 |");
        assert!(replaced.contains("| x | 2 |") && !replaced.contains("| x | 1 |"));
        let added = with_row(text, "y", "| y | 3 |");
        assert!(added.contains("| x | 1 |\n| y | 3 |\n\nend\n"), "{added}");
    }
}
