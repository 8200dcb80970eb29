//! Where a row's time comes from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, TimestampMicrosecondArray};
use chrono_tz::Tz;
use yeoul_sql::functions::stream::pattern;
use yeoul_sql::functions::stream::time::{EpochUnit, TimeReader};

/// The column that holds the time, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeColumn {
    pub column: String,
    pub format: TimeFormat,
    /// Of text without an offset; `None`: the table's.
    pub zone: Option<Tz>,
    /// The time of records that have none.
    pub missing: Option<Missing>,
}

/// How a time is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// By the column's type: text is ISO or nearly, numbers count seconds to nanoseconds by
    /// their magnitude, arrays are year, month, day, hour ….
    #[default]
    Auto,
    /// As `Auto`, but numbers, also those written as text, count this since 1970.
    Epoch(EpochUnit),
    /// A date pattern with the letters of Java and Spark.
    Pattern(String),
    /// A date pattern with the letters of Joda, which Druid takes.
    Joda(String),
}

impl TimeFormat {
    /// As a pipeline file writes it: a name, or a pattern.
    pub fn named(text: &str) -> Self {
        match text {
            "auto" | "iso" | "array" => Self::Auto,
            "s" | "posix" | "seconds" => Self::Epoch(EpochUnit::Seconds),
            "ms" | "millis" => Self::Epoch(EpochUnit::Millis),
            "us" | "micro" | "micros" => Self::Epoch(EpochUnit::Micros),
            "ns" | "nano" | "nanos" => Self::Epoch(EpochUnit::Nanos),
            pattern => Self::Pattern(pattern.to_owned()),
        }
    }
}

/// A time for records without a usable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Microseconds since 1970, UTC.
    pub micros: i64,
    /// Also where something stands that is not a time; else such a record is dead.
    pub also_unreadable: bool,
}

/// Times with null and a reason (by row) where there is none.
pub(super) type Times = (ArrayRef, Vec<(usize, String)>);

impl TimeColumn {
    pub fn new(column: impl Into<String>) -> Self {
        let format = TimeFormat::default();
        Self { column: column.into(), format, zone: None, missing: None }
    }

    /// # Errors
    /// The pattern is none; for the person who wrote it.
    pub fn reader(&self, zone: Tz) -> Result<TimeReader, String> {
        let zone = self.zone.unwrap_or(zone);
        let (pattern, unit) = match &self.format {
            TimeFormat::Auto => (None, EpochUnit::Auto),
            TimeFormat::Epoch(unit) => (None, *unit),
            TimeFormat::Pattern(text) => (Some(pattern::parse(text)?), EpochUnit::Auto),
            TimeFormat::Joda(text) => (Some(pattern::parse_joda(text)?), EpochUnit::Auto),
        };
        Ok(TimeReader { pattern, zone, unit })
    }

    /// Reads the times of `column`.
    ///
    /// # Errors
    /// The column's type cannot hold times.
    pub(super) fn read(&self, column: &ArrayRef, reader: &TimeReader) -> Result<Times, String> {
        let mut bad = Vec::new();
        let told = |row, reason: String| {
            bad.push((row, format!("column `{}`: {reason}", self.column)));
            Ok(())
        };
        let times = reader.read(column, told).map_err(|error| error.strip_backtrace())?;
        let times = match self.missing {
            Some(missing) => {
                let filled = (0..times.len()).map(|row| {
                    let unreadable = times.is_null(row) && column.is_valid(row);
                    let keep = times.is_valid(row) || unreadable && !missing.also_unreadable;
                    if keep {
                        times.is_valid(row).then(|| times.value(row))
                    } else {
                        Some(missing.micros)
                    }
                });
                let filled: TimestampMicrosecondArray = filled.collect();
                bad.retain(|(row, _)| filled.is_null(*row));
                filled.with_timezone("UTC")
            }
            None => {
                let none = (0..column.len()).filter(|row| column.is_null(*row));
                bad.extend(none.map(|row| (row, format!("column `{}`: no time", self.column))));
                times
            }
        };
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
