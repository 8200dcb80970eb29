//! What people and scripts read: aligned tables on a terminal, JSON where asked, errors with
//! their remedy on stderr.

use std::fmt;
use std::io::{BufRead, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// How results are written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns.
    Table,
    /// One JSON document (or one a line, where rows keep coming).
    Json,
}

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The message is already laid out for people, with its own heading.
    drawn: bool,
    /// The reader of stdout went away (`| head`): there is nobody to tell, and nothing is wrong.
    pub(crate) unread: bool,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, drawn: false, unread: false }
    }

    /// A report that was laid out by whoever found the problems.
    pub(crate) fn drawn(report: String) -> Self {
        Self { message: report, hint: None, drawn: true, unread: false }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = if self.drawn { "" } else { "error: " };
        write!(f, "{heading}{}", self.message.trim_end())?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  help: {hint}")?;
        }
        Ok(())
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// Writes a line to stdout; a reader that went away (`| head`) ends the process quietly.
pub(crate) fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n"));
    written.map_err(|error| Failure {
        unread: error.kind() == std::io::ErrorKind::BrokenPipe,
        ..Failure::from(error)
    })
}

/// Writes a remark to stderr, so that stdout stays clean for scripts.
pub(crate) fn remark(text: impl AsRef<str>) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// Asks on the terminal; where nobody can answer, the command must say so itself.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(
            Failure::new(format!("{question} Nobody is here to say yes")).hint("give --yes")
        );
    }
    remark(format!("{question} [y/N]"));
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(crate) fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Rows under their headings.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    // Without borders each cell still has a blank before it.
    let line = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A JSON value as a cell: strings without quotes, null as nothing.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A count with thousands separated.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
    }

    #[test]
    fn a_table_is_aligned_by_display_width() {
        let text = table(&["name", "n"], [vec!["여울".into(), "1".into()]]);
        assert_eq!(text, "NAME  N\n여울  1");
    }
}
