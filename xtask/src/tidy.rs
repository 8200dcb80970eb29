//! What neither the compiler nor clippy checks. Every finding names a file, a line where there is
//! one, and what to do; all of them are collected, so one run shows everything. A warning is
//! printed and passes: it marks where a file or a function is about to become too long.

mod docs;
mod edges;
mod lexer;
mod sources;
mod ui;
mod words;

use crate::metadata::Graph;
use crate::repo::{Outcome, Repo};

pub(crate) use ui::ui_hash;

/// Something to mend (or, as a warning, to watch).
pub(crate) struct Finding {
    file: String,
    /// 1-based; 0 when the finding is about the whole file.
    line: usize,
    what: String,
    warning: bool,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), warning: false }
    }

    fn warning(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(file, line, what) }
    }
}

/// Runs every check and prints what it found.
pub(crate) fn run(repo: &Repo) -> Outcome {
    let files = repo.committed_files()?;
    let mut findings = sources::check(repo, &files);
    findings.extend(edges::check(&Graph::load(repo)?));
    findings.extend(docs::check(repo, &files));
    findings.extend(ui::check(repo));
    findings.extend(words::check(repo, &files));
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let mut failures = 0;
    for finding in &findings {
        let place = match finding.line {
            0 => finding.file.clone(),
            line => format!("{}:{line}", finding.file),
        };
        let kind = if finding.warning { "warning" } else { "error" };
        failures += usize::from(!finding.warning);
        println!("{kind}: {place}: {}", finding.what);
    }
    let warnings = findings.len() - failures;
    println!("tidy: {} files, {failures} errors, {warnings} warnings", files.len());
    if failures == 0 {
        return Ok(());
    }
    Err(format!("tidy found {failures} things to mend (above)"))
}
