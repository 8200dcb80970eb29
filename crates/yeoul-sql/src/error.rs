//! One error for everything that can go wrong with a query, made for people: what, where in the
//! text, what to do.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use thiserror::Error;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The query is wrong: change it.
    Invalid,
    /// The query asks for something that is not offered.
    Unsupported,
    /// The query or its answer is larger than a limit.
    TooLarge,
    Timeout,
    /// The memory for queries is used up: later, or a smaller query.
    Memory,
    /// Too many queries run or wait, or ingestion needs the machine: later.
    Capacity,
    /// Somebody stopped the query.
    Cancelled,
    /// Damaged data or a defect.
    Internal,
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}{}", self.place())]
pub struct SqlError {
    pub kind: ErrorKind,
    pub message: String,
    /// From 1.
    pub line: Option<u64>,
    /// From 1, in characters.
    pub column: Option<u64>,
    /// What to do.
    pub hint: Option<String>,
}

impl SqlError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), line: None, column: None, hint: None }
    }

    #[must_use]
    pub fn at(mut self, line: u64, column: u64) -> Self {
        if line > 0 {
            (self.line, self.column) = (Some(line), Some(column));
        }
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For names that are close to `wanted`, or the whole list when it is short.
    #[must_use]
    pub fn did_you_mean<'a>(self, wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        match closest(wanted, &known) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None if known.is_empty() => self.hint("there is none yet"),
            None if known.len() <= 12 => self.hint(format!("there is: {}", known.join(", "))),
            None => self,
        }
    }

    fn place(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
            _ => String::new(),
        }
    }
}

fn closest<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), *name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        let made = from_root(error.find_root());
        match span {
            Some(span) => made.at(span.start.line, span.start.column),
            None => made,
        }
    }
}

fn from_root(root: &DataFusionError) -> SqlError {
    let text = root.strip_backtrace();
    match root {
        DataFusionError::SQL(parse, _) => {
            let text = parse.to_string();
            let text = text.trim_start_matches("sql parser error: ");
            let (text, place) = split_place(text);
            let error = SqlError::new(ErrorKind::Invalid, text);
            place.map_or(error.clone(), |(line, column)| error.at(line, column))
        }
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names = valid_fields.iter().map(|column| column.name.as_str());
                SqlError::new(ErrorKind::Invalid, format!("no column `{}`", field.name))
                    .did_you_mean(&field.name, names)
            }
            SchemaError::AmbiguousReference { field } => {
                let text = format!("column `{}` is in more than one input", field.name);
                SqlError::new(ErrorKind::Invalid, text).hint("write the table's name before it")
            }
            _ => SqlError::new(ErrorKind::Invalid, text),
        },
        DataFusionError::NotImplemented(text) => SqlError::new(ErrorKind::Unsupported, text),
        DataFusionError::ResourcesExhausted(text) => {
            SqlError::new(ErrorKind::Memory, format!("not enough memory for this query: {text}"))
                .hint("narrow the time range, group by fewer values, or raise the memory limit")
        }
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::Configuration(text) => SqlError::new(ErrorKind::Invalid, text),
        DataFusionError::IoError(error) => of_io(error),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::IoError(_, error) => of_io(error),
            error => SqlError::new(ErrorKind::Invalid, error.to_string()),
        },
        DataFusionError::External(error) => match error.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => SqlError::new(ErrorKind::Internal, error.to_string()),
        },
        _ => SqlError::new(ErrorKind::Internal, text),
    }
}

/// Only a query's own files and those of tables are read and written.
fn of_io(error: &std::io::Error) -> SqlError {
    if error.kind() == std::io::ErrorKind::QuotaExceeded {
        return SqlError::new(ErrorKind::Memory, format!("the query is too large: {error}"))
            .hint("narrow the time range, or group by fewer values");
    }
    SqlError::new(ErrorKind::Internal, error.to_string())
}

/// The parser puts the place into its text: ` at Line: 1, Column: 8`.
fn split_place(text: &str) -> (&str, Option<(u64, u64)>) {
    let Some((before, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let numbers = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.trim().parse().ok()?, column.trim().parse().ok()?)));
    if numbers.is_some() { (before, numbers) } else { (text, None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_place_is_taken_out_of_its_text() {
        assert_eq!(
            split_place("Expected: x at Line: 2, Column: 14"),
            ("Expected: x", Some((2, 14)))
        );
        assert_eq!(split_place("Expected: x"), ("Expected: x", None));
    }

    #[test]
    fn a_near_name_is_offered() {
        let error = SqlError::new(ErrorKind::Invalid, "no column `stationame`")
            .did_you_mean("stationame", ["stationName", "stationId", "n"]);
        assert_eq!(error.hint.as_deref(), Some("did you mean `stationName`?"));
    }
}
