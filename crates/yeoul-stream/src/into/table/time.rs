//! Where a row's time comes from.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use chrono_tz::Tz;
use yeoul_format::Schema;
use yeoul_sql::functions::stream::pattern;
use yeoul_sql::functions::stream::time::{EpochUnit, TimeReader};

/// The column that holds the time, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeColumn {
    pub column: String,
    /// `None` or `auto`: by the column's type, numbers by their magnitude. `iso`, `s`, `ms`,
    /// `us`, `array`, or a pattern such as `yyyy-MM-dd HH:mm:ss`.
    pub format: Option<String>,
    /// Of text without an offset; `None`: the table's.
    pub zone: Option<Tz>,
}

/// Times with null and a reason (by row) where there is none.
pub(super) type Times = (ArrayRef, Vec<(usize, String)>);

impl TimeColumn {
    pub fn new(column: impl Into<String>) -> Self {
        Self { column: column.into(), format: None, zone: None }
    }

    /// # Errors
    /// The topic has no such column, or the pattern is none; for the person who wrote it.
    pub fn check(&self, schema: &Schema) -> Result<(), String> {
        self.reader(Tz::UTC)?;
        if schema.column(&self.column).is_some() {
            return Ok(());
        }
        let names: Vec<_> = schema.columns.iter().map(|column| column.name.as_str()).collect();
        Err(format!(
            "`time:` names the column `{}`, which the topic does not have; it has: {}",
            self.column,
            names.join(", ")
        ))
    }

    fn reader(&self, zone: Tz) -> Result<TimeReader, String> {
        let zone = self.zone.unwrap_or(zone);
        let (pattern, unit) = match self.format.as_deref() {
            None | Some("auto" | "iso" | "array") => (None, EpochUnit::Auto),
            Some("s") => (None, EpochUnit::Seconds),
            Some("ms") => (None, EpochUnit::Millis),
            Some("us") => (None, EpochUnit::Micros),
            Some(text) => (Some(pattern::parse(text)?), EpochUnit::Auto),
        };
        Ok(TimeReader { pattern, zone, unit })
    }

    pub(super) fn read(&self, rows: &RecordBatch, zone: Tz) -> Result<Times, String> {
        let column = rows
            .column_by_name(&self.column)
            .ok_or_else(|| format!("there is no column `{}`", self.column))?;
        let mut bad = Vec::new();
        let times = self.reader(zone)?.read(column, |row, reason| {
            bad.push((row, format!("column `{}`: {reason}", self.column)));
            Ok(())
        });
        let times = times.map_err(|error| error.strip_backtrace())?;
        for row in 0..column.len() {
            if column.is_null(row) {
                bad.push((row, format!("column `{}`: no time", self.column)));
            }
        }
        bad.sort_by_key(|(row, _)| *row);
        Ok((Arc::new(times), bad))
    }
}

/// The records' own timestamps; one outside the calendar is none.
pub(super) fn of_records(stamps_ms: impl Iterator<Item = i64>) -> Times {
    let micros: Vec<_> = stamps_ms.map(|stamp| stamp.checked_mul(1_000)).collect();
    let outside = micros.iter().enumerate().filter(|(_, micros)| micros.is_none());
    let bad = outside.map(|(row, _)| (row, "its timestamp is outside the calendar".to_owned()));
    let bad = bad.collect();
    (Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")), bad)
}
