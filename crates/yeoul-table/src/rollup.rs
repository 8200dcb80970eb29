//! Rollup: rows of the same time bucket and dimensions become one row of partial states.
//!
//! A rolled-up table is appended raw columns and holds stored ones: `__time` floored, the
//! dimensions, one column of states per metric, and [`OFFSETS`], the ranges of records behind a
//! row. Rows are grouped inside each append and merged again whenever chunks or files meet.
//!
//! Invariant: states are merged, never recomputed, so the same rows give the same finished values
//! however they were split (doubles up to rounding, quantiles within their error).

mod group;
mod ranges;
mod roll;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use yeoul_agg::Aggregate;

use crate::error::TableError;
use crate::spec::{Granularity, OFFSET, PARTITION, TIME, time_field};

pub use ranges::{OffsetRange, decode as decode_offsets};

/// The ranges of records a rolled-up row came from: encoded, see `docs/formats/table.md`.
pub const OFFSETS: &str = "_offsets";

/// Grouping takes memory per column and row.
const COLUMNS_MAX: usize = 1_024;

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// How far times are rounded down, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RollupBy {
    /// Times stay as they are.
    #[default]
    None,
    Second,
    Minute,
    FiveMinutes,
    TenMinutes,
    FifteenMinutes,
    ThirtyMinutes,
    Hour,
    SixHours,
    EightHours,
    Day,
    /// From Monday.
    Week,
    Month,
    Quarter,
    Year,
    /// To the start of the table's own interval, as Druid's: a table cut by day keeps days.
    All,
}

impl RollupBy {
    const NAMES: [(Self, &'static str); 16] = [
        (Self::None, "none"),
        (Self::Second, "second"),
        (Self::Minute, "minute"),
        (Self::FiveMinutes, "five_minute"),
        (Self::TenMinutes, "ten_minute"),
        (Self::FifteenMinutes, "fifteen_minute"),
        (Self::ThirtyMinutes, "thirty_minute"),
        (Self::Hour, "hour"),
        (Self::SixHours, "six_hour"),
        (Self::EightHours, "eight_hour"),
        (Self::Day, "day"),
        (Self::Week, "week"),
        (Self::Month, "month"),
        (Self::Quarter, "quarter"),
        (Self::Year, "year"),
        (Self::All, "all"),
    ];

    /// Rounds a time down. `interval`: the table's, for [`Self::All`].
    pub fn floor(self, time_us: i64, interval: Granularity) -> i64 {
        let step = |us: i64| time_us.saturating_sub(time_us.rem_euclid(us));
        match self {
            Self::None => time_us,
            Self::Second => step(SECOND_US),
            Self::Minute => step(MINUTE_US),
            Self::FiveMinutes => step(5 * MINUTE_US),
            Self::TenMinutes => step(10 * MINUTE_US),
            Self::FifteenMinutes => step(15 * MINUTE_US),
            Self::ThirtyMinutes => step(30 * MINUTE_US),
            Self::Hour => step(HOUR_US),
            Self::SixHours => step(6 * HOUR_US),
            Self::EightHours => step(8 * HOUR_US),
            Self::Day => step(DAY_US),
            Self::Week => Granularity::Week.start(Granularity::Week.interval(time_us)),
            Self::Month => Granularity::Month.start(Granularity::Month.interval(time_us)),
            Self::Quarter => {
                let month = Granularity::Month.interval(time_us);
                Granularity::Month.start(month - month.rem_euclid(3))
            }
            Self::Year => Granularity::Year.start(Granularity::Year.interval(time_us)),
            Self::All => interval.start(interval.interval(time_us)),
        }
    }
}

impl fmt::Display for RollupBy {
    /// Druid's names of granularities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(by, _)| by == self).map_or("none", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for RollupBy {
    type Err = String;

    /// Druid's names in any case, and ISO periods such as `PT5M`.
    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let name = match lower.as_str() {
            "pt1s" => "second",
            "pt1m" => "minute",
            "pt5m" => "five_minute",
            "pt10m" => "ten_minute",
            "pt15m" => "fifteen_minute",
            "pt30m" => "thirty_minute",
            "pt1h" => "hour",
            "pt6h" => "six_hour",
            "pt8h" => "eight_hour",
            "p1d" | "pt24h" => "day",
            "p1w" | "p7d" => "week",
            "p1m" => "month",
            "p3m" => "quarter",
            "p1y" => "year",
            other => other,
        };
        let found = Self::NAMES.iter().find(|(_, known)| *known == name).map(|(by, _)| *by);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(_, name)| *name).collect();
            format!("no rollup by `{text}`: it is one of {}", names.join(", "))
        })
    }
}

/// One column of states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    pub name: String,
    pub aggregate: Aggregate,
    /// For people and for comparing definitions: the expression or column that gave the raw
    /// values. `Some`: the rows appended have a column named like the metric that holds them.
    pub input: Option<String>,
}

/// How a table's rows are rolled up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rollup {
    pub by: RollupBy,
    pub dimensions: Vec<String>,
    pub metrics: Vec<Metric>,
}

impl Rollup {
    /// The columns that are stored and queried, from the columns that are appended.
    ///
    /// # Errors
    /// What is wrong with the definition, for people.
    pub fn stored(&self, appended: &Schema) -> Result<SchemaRef, String> {
        if self.dimensions.len() + self.metrics.len() > COLUMNS_MAX {
            return Err(format!("a rollup has at most {COLUMNS_MAX} dimensions and metrics"));
        }
        let mut fields = vec![Arc::new(time_field())];
        let mut add = |field: Field| {
            let name = field.name();
            if [TIME, PARTITION, OFFSET, OFFSETS].contains(&name.as_str()) {
                return Err(format!("the column name `{name}` is taken"));
            }
            if fields.iter().any(|other| other.name() == name) {
                return Err(format!("the column `{name}` is there twice"));
            }
            fields.push(Arc::new(field));
            Ok(())
        };
        for name in &self.dimensions {
            let field = appended.field_with_name(name);
            let field = field.map_err(|_| format!("no column for the dimension `{name}`"))?;
            // Lists are compared as a whole.
            if !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]) {
                let found = field.data_type();
                return Err(format!("`{name}` cannot be a dimension: its type is {found}"));
            }
            add(field.clone())?;
        }
        for metric in &self.metrics {
            let input = match &metric.input {
                Some(_) => Some(appended.field_with_name(&metric.name).map_err(|_| {
                    format!("no column with the values of the metric `{}`", metric.name)
                })?),
                None => None,
            };
            let input: Option<&DataType> = input.map(Field::data_type);
            let field = metric.aggregate.state_field(&metric.name, input);
            add(field.map_err(|error| format!("metric `{}`: {error}", metric.name))?)?;
        }
        fields.push(Arc::new(Field::new(OFFSETS, DataType::Binary, false)));
        Ok(Arc::new(Schema::new(fields)))
    }

    /// What rows of an hour are sorted by: what was asked for, then the other dimensions, so that
    /// the order is one.
    pub(crate) fn order(&self, sort_by: &[String]) -> Vec<String> {
        let others = self.dimensions.iter().filter(|name| !sort_by.contains(name));
        sort_by.iter().chain(others).cloned().collect()
    }

    pub(crate) fn full_schema(
        &self,
        table: &str,
        appended: &Schema,
    ) -> Result<SchemaRef, TableError> {
        let refuse = |what: String| TableError::Spec { table: table.to_owned(), what };
        self.stored(appended).map_err(refuse)
    }
}
