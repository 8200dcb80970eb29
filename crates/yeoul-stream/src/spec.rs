//! What a continuous query is told: its text, where its rows go, and what it may look at while
//! it is planned.

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use yeoul_format::Schema;

/// A stream as the pipeline file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    pub name: String,
    pub sql: String,
    /// Output columns that make the record's key: one as its text, several as a JSON array.
    pub key: Vec<String>,
    /// The output topic.
    pub to: String,
    /// Partitions of the output topic when it must be made.
    pub partitions: u32,
    /// For functions of local time.
    pub timezone: Tz,
    pub trigger: Trigger,
}

/// When an epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// As soon as the last is committed and input waits.
    #[default]
    Eager,
    /// At most this often.
    Every(Duration),
    /// One epoch, then stop.
    Once,
    /// All that waits at the start, then stop.
    AvailableNow,
}

impl StreamSpec {
    /// A stream into the topic of its own name, in UTC, with one partition and no key.
    pub fn new(name: impl Into<String>, sql: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            to: name.clone(),
            name,
            sql: sql.into(),
            key: Vec::new(),
            partitions: 1,
            timezone: Tz::UTC,
            trigger: Trigger::Eager,
        }
    }

    /// Its name among all components.
    pub fn component(&self) -> String {
        format!("stream/{}", self.name)
    }
}

/// What planning knows of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicSchema {
    Known(Schema),
    /// Nothing declares it and no record was seen yet.
    Unknown,
}

/// What a plan may refer to.
pub trait Inputs {
    /// `None`: there is no such topic.
    fn topic(&self, name: &str) -> Option<TopicSchema>;
    /// `None`: there is no such lookup. `Some(Err)`: it is not loaded, and why.
    fn lookup(&self, name: &str) -> Option<Result<SchemaRef, String>>;
    /// All names of topics and lookups, for suggestions and for names that differ in case.
    fn names(&self) -> Vec<String>;
}

/// Why a query cannot run, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanError {
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Place in the SQL text, from 1.
    pub line: Option<u64>,
    pub column: Option<u64>,
    /// Not wrong, only early: what it waits for (records of a topic, a lookup's file).
    pub waiting: Option<String>,
}

impl PlanError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn waiting(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { waiting: Some(message.clone()), message, ..Self::default() }
    }
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, " (line {line}, column {column})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}
