//! What is wrong with pipeline files: where, what, and what to do, drawn with the lines around.
//!
//! Invariant: no text in a report holds a value that came from `${…}`.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use crate::tree::Place;

/// A file's name and text.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// As the user wrote it.
    pub name: String,
    pub text: String,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), text: text.to_owned() })
    }

    /// Line and column, both from 1, the column in characters.
    pub(crate) fn line_column(&self, offset: usize) -> (u32, u32) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text.get(..end).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub source: Arc<Source>,
    /// `None`: the file as a whole.
    pub(crate) place: Option<Place>,
    /// One line, without the place.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// A second place in the same file, and what it is.
    pub(crate) also: Option<(Place, String)>,
}

impl Problem {
    pub(crate) fn new(source: &Arc<Source>, place: Option<Place>, message: &str) -> Self {
        Self {
            source: Arc::clone(source),
            place,
            message: message.to_owned(),
            hint: None,
            also: None,
        }
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn with_also(mut self, place: Place, what: impl Into<String>) -> Self {
        self.also = Some((place, what.into()));
        self
    }

    /// Line and column, both from 1, the column in characters; 1:1 for the file as a whole.
    pub fn line_column(&self) -> (u32, u32) {
        self.source.line_column(self.place.map_or(0, |place| place.start))
    }
}

/// Everything that is wrong, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub problems: Vec<Problem>,
}

impl Report {
    /// As it is shown on a terminal: each problem with the lines around it, then their number.
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme =
            if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false)
            .with_context_lines(1);
        let mut out = String::new();
        for problem in &self.problems {
            if handler.render_report(&mut out, &Shown::new(problem)).is_err() {
                // Writing into a string does not fail; if it did, the bare text still helps.
                let _ = writeln!(out, "{}", problem.message);
            }
            out.push('\n');
        }
        let count = self.problems.len();
        let _ = writeln!(out, "{count} problem{}", if count == 1 { "" } else { "s" });
        out
    }
}

impl fmt::Display for Report {
    /// `file:line:column: message`, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let (line, column) = problem.line_column();
            let end = if index + 1 == self.problems.len() { "" } else { "\n" };
            write!(f, "{}:{line}:{column}: {}{end}", problem.source.name, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// A problem as miette draws it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    code: NamedSource<String>,
}

impl<'a> Shown<'a> {
    fn new(problem: &'a Problem) -> Self {
        let source = &problem.source;
        Self { problem, code: NamedSource::new(&source.name, source.text.clone()) }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problem.place.is_none() {
            write!(f, "{}: ", self.problem.source.name)?;
        }
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.problem.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.place.map(|_| &self.code as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.problem.place?;
        let here = LabeledSpan::new_primary_with_span(None, place.range());
        let also = self
            .problem
            .also
            .iter()
            .map(|(place, what)| LabeledSpan::new_with_span(Some(what.clone()), place.range()));
        Some(Box::new(std::iter::once(here).chain(also)))
    }
}

/// The name of `known` that `typed` most likely means.
pub(crate) fn closest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&typed, &name.to_lowercase()), name))
        // A third of the letters may be wrong: `raed_from` is `read_from`, `sink` is not `tail`.
        .filter(|(distance, name)| distance * 3 <= typed.chars().count().max(name.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `a`, `b` and `c`, each in backticks.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
