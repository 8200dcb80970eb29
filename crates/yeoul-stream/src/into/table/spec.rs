//! A table as whoever starts it describes it: the pipeline file, or a spec of Druid's.
//!
//! The order in which a record becomes a row is Druid's: the value is read, the time found, the
//! transforms computed (each from what was read, not from another), rows filtered, and then
//! dimensions and the metrics' inputs taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema as ArrowSchema;
use chrono_tz::Tz;
use yeoul_agg::Aggregate;
use yeoul_base::{TopicId, TopicInfo};
use yeoul_format::{ColumnType, Decode, Extract, Schema, Step};
use yeoul_table::{Granularity, RollupBy, SealLimits};

use super::expression::{names_in, parse};
use super::reading::Reading;
use super::time::TimeColumn;

/// How a topic becomes a table.
#[derive(Debug, Clone)]
pub struct TableIngest {
    pub name: String,
    pub topic: String,
    /// `None`: the column `__time` where the topic has one, else the record's timestamp.
    pub time: Option<TimeColumn>,
    /// Of text without an offset, in any column.
    pub timezone: Tz,
    pub granularity: Granularity,
    pub limits: SealLimits,
    pub retention: Option<Duration>,
    /// Files of more bytes than this are dropped, the oldest rows first.
    pub retention_bytes: Option<u64>,
    /// What a record's value is.
    pub value: ValueFormat,
    pub reads: Reads,
    /// In the order of the columns they make; one named `__time` gives the time.
    pub transforms: Vec<Transform>,
    /// SQL: rows for which it is not true are left out.
    pub filter: Option<String>,
    pub functions: FunctionSet,
    /// What the expressions and conditions are written in; `None`: SQL.
    pub language: Option<Arc<dyn Language>>,
    /// How far times are rounded down where rows are not rolled up.
    pub round: RollupBy,
    /// Records before these offsets, by partition, are not read by a table that has read none.
    pub start: Vec<i64>,
    /// The columns the table has, in this order; `None`: all that are read and made.
    pub select: Option<Vec<String>>,
    pub rollup: Option<RollupIngest>,
    /// The table is there for queries and takes no records.
    pub suspended: bool,
}

/// A column that is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    pub name: String,
    /// An expression over the columns that are read.
    pub sql: String,
    /// What its values are converted to.
    pub ty: Option<ColumnType>,
}

/// Another language than SQL.
pub trait Language: std::fmt::Debug + Send + Sync {
    /// The columns an expression or a condition names.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn columns(&self, text: &str) -> Result<Vec<String>, String>;

    /// An expression over these columns as SQL.
    ///
    /// # Errors
    /// As [`Language::columns`].
    fn expression(&self, text: &str, columns: &ArrowSchema) -> Result<String, String>;

    /// A condition over these columns as SQL.
    ///
    /// # Errors
    /// As [`Language::columns`].
    fn condition(&self, text: &str, columns: &ArrowSchema) -> Result<String, String>;
}

/// What the bytes of a record's value are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ValueFormat {
    /// One JSON object.
    #[default]
    Json,
    /// One line of fields.
    Line(Decode),
    /// Text with groups.
    Pattern { regex: String, columns: Vec<String> },
}

/// What is read out of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    /// The topic's columns; of a topic nobody described also the frequent places within its
    /// documents, and `_rest`. `declared` come besides.
    Topic { declared: Vec<Extract> },
    /// These. A value that breaks its column's type is null.
    Exactly(Vec<ReadField>),
    /// Every member of the records but these; `text`: as text, whatever it is.
    Members { text: bool, except: Vec<String> },
}

impl Default for Reads {
    fn default() -> Self {
        Self::Topic { declared: Vec::new() }
    }
}

/// A column that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadField {
    pub name: String,
    pub place: Vec<Step>,
    /// `None`: as the topic's records have it, text when they do not tell.
    pub ty: Option<ColumnType>,
}

/// Whose functions the expressions use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FunctionSet {
    /// Those of streams: Spark's names.
    #[default]
    Stream,
    /// Those of queries: Druid's names.
    Druid,
}

/// How rows are rolled up when they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupIngest {
    pub by: RollupBy,
    /// `None`: all columns that are read and made.
    pub dimensions: Option<Vec<String>>,
    pub metrics: Vec<MetricInput>,
}

/// One metric and what goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricInput {
    pub name: String,
    pub aggregate: Aggregate,
    /// SQL over what is read and made; `None`: rows are counted.
    pub sql: Option<String>,
    /// Rows for which it is not true do not count, in the spec's language.
    pub condition: Option<String>,
    /// What its values are read or converted to.
    pub ty: Option<ColumnType>,
}

/// What of a spec cannot work, and under which fields of the pipeline file it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    pub fields: Vec<String>,
    /// For the person who wrote it.
    pub message: String,
}

impl SpecProblem {
    pub(super) fn at(fields: &[&str]) -> impl Fn(String) -> Self + use<> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        move |message| Self { fields: fields.clone(), message }
    }
}

impl std::fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {}", self.fields.join("."), self.message)
    }
}

impl TableIngest {
    /// The columns an expression names.
    pub(super) fn names(&self, text: &str) -> Result<Vec<String>, String> {
        match &self.language {
            Some(language) => language.columns(text),
            None => Ok(names_in(&parse(text)?).into_iter().collect()),
        }
    }

    /// An expression as SQL.
    pub(super) fn sql(&self, text: &str, columns: &ArrowSchema) -> Result<String, String> {
        match &self.language {
            Some(language) => language.expression(text, columns),
            None => Ok(text.to_owned()),
        }
    }

    /// A condition as SQL.
    pub(super) fn condition(&self, text: &str, columns: &ArrowSchema) -> Result<String, String> {
        match &self.language {
            Some(language) => language.condition(text, columns),
            None => Ok(text.to_owned()),
        }
    }

    /// Looks for what cannot work. `columns`: of the topic, where they are known before records
    /// come; without them names and types are not looked at.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, columns: Option<&Schema>) -> Result<(), SpecProblem> {
        match columns {
            Some(columns) => {
                let topic = TopicInfo {
                    name: self.topic.as_str().into(),
                    id: TopicId([0; 16]),
                    partitions: Arc::from([]),
                    config: BTreeMap::new(),
                    created_ms: 0,
                };
                let columns = self.reads.columns(&topic, columns, &[]);
                Reading::plan(self, &columns).map(drop)
            }
            None => Reading::parse(self),
        }
    }

    /// With the defaults for all but name and topic.
    pub fn new(name: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            topic: topic.into(),
            time: None,
            timezone: Tz::UTC,
            granularity: Granularity::default(),
            limits: SealLimits::default(),
            retention: None,
            retention_bytes: None,
            value: ValueFormat::default(),
            reads: Reads::default(),
            transforms: Vec::new(),
            filter: None,
            functions: FunctionSet::default(),
            language: None,
            round: RollupBy::None,
            start: Vec::new(),
            select: None,
            rollup: None,
            suspended: false,
        }
    }
}

/// A place's name: its keys joined with dots.
pub(super) fn dotted(place: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
    };
    place.iter().map(step).collect::<Vec<_>>().join(".")
}
