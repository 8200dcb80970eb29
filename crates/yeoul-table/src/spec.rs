//! What a table is: its columns, how its files are cut, when rows are sealed and dropped.
//!
//! Invariant: the first column is [`TIME`], and the two columns of origin follow all others.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::TableError;
use crate::rollup::{OFFSETS, Rollup};

/// The time column: microseconds, UTC, never null.
pub const TIME: &str = "__time";
/// Kafka's partition number of the record a row came from.
pub const PARTITION: &str = "_partition";
/// The offset of the record a row came from.
pub const OFFSET: &str = "_offset";

/// So that a folder's name (three bytes per escaped byte) fits every file system.
const NAME_BYTES_MAX: usize = 80;

/// The field every table's columns start with.
pub fn time_field() -> Field {
    Field::new(TIME, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
}

/// The intervals at whose boundaries files may be cut, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Granularity {
    Hour,
    #[default]
    Day,
    /// From Monday.
    Week,
    Month,
    Year,
    All,
}

impl Granularity {
    /// A number that is equal for times of the same interval and grows with time.
    pub fn interval(self, time_us: i64) -> i64 {
        const HOUR_US: i64 = 3_600_000_000;
        let day = time_us.div_euclid(24 * HOUR_US);
        match self {
            Self::Hour => time_us.div_euclid(HOUR_US),
            Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => {
                let (year, month) = year_month(day);
                year * 12 + month - 1
            }
            Self::Year => year_month(day).0,
            Self::All => 0,
        }
    }

    /// The first µs of an interval; the smallest or largest time when it lies beyond them.
    pub fn start(self, interval: i64) -> i64 {
        const DAY_US: i64 = 86_400_000_000;
        let day = match self {
            Self::Hour => return interval.saturating_mul(DAY_US / 24),
            Self::Day => interval,
            Self::Week => interval.saturating_mul(7).saturating_sub(3),
            Self::Month => first_day(interval.div_euclid(12), interval.rem_euclid(12) + 1),
            Self::Year => first_day(interval, 1),
            Self::All => 0,
        };
        day.saturating_mul(DAY_US)
    }
}

/// The first day of a month (1 to 12), counted from 1970-01-01; undoes [`year_month`].
fn first_day(year: i64, month: i64) -> i64 {
    // Years that times in µs can reach, and a little more.
    let year = year.clamp(-400_000, 400_000) - i64::from(month <= 2);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year and month (1 to 12) of a day counted from 1970-01-01. Years are counted from March
/// inside, so that the leap day is the last of its year; 146,097 days are 400 years.
fn year_month(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month)
}

/// When rows in memory become a file: whichever is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealLimits {
    /// Of Arrow memory.
    pub bytes: usize,
    pub rows: usize,
    /// Since the oldest unsealed append.
    pub age: Duration,
}

impl Default for SealLimits {
    fn default() -> Self {
        Self { bytes: 32 << 20, rows: 1_000_000, age: Duration::from_secs(60) }
    }
}

/// How compaction folds files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactLimits {
    /// No file is made larger than this by folding, and files this large are left alone.
    pub rows: u64,
    /// The same, of the files' lengths.
    pub bytes: u64,
    /// Files are cut at intervals only where each side keeps this many rows.
    pub cut_rows_min: u64,
    /// Memory for the files that are read at once, about.
    pub memory_bytes: u64,
}

impl Default for CompactLimits {
    fn default() -> Self {
        Self { rows: 5_000_000, bytes: 128 << 20, cut_rows_min: 65_536, memory_bytes: 128 << 20 }
    }
}

/// A table's definition.
#[derive(Debug, Clone)]
pub struct TableSpec {
    pub name: String,
    /// The topic that feeds it; only for people, the rows come by [`crate::Table::append`].
    pub topic: String,
    /// [`time_field`] first; no column named [`PARTITION`] or [`OFFSET`].
    pub columns: SchemaRef,
    /// Columns that rows of one hour are sorted by; low cardinality first.
    pub sort_by: Vec<String>,
    pub granularity: Granularity,
    pub limits: SealLimits,
    pub compact: CompactLimits,
    /// Rows whose time is older than now minus this are dropped; `None` keeps all.
    pub retention: Option<Duration>,
    /// Files of more bytes than this are dropped, those with the oldest rows first; `None` keeps
    /// all.
    pub retention_bytes: Option<u64>,
    /// `Some`: `columns` are what is appended; what is stored and queried is
    /// [`Rollup::stored`]: `__time`, dimensions, states of metrics.
    pub rollup: Option<Rollup>,
}

impl TableSpec {
    /// With the defaults for all but name, topic and columns.
    pub fn new(name: impl Into<String>, topic: impl Into<String>, columns: SchemaRef) -> Self {
        Self {
            name: name.into(),
            topic: topic.into(),
            columns,
            sort_by: Vec::new(),
            granularity: Granularity::default(),
            limits: SealLimits::default(),
            compact: CompactLimits::default(),
            retention: None,
            retention_bytes: None,
            rollup: None,
        }
    }

    /// Checks the definition and adds the columns of origin.
    pub(crate) fn full_schema(&self) -> Result<SchemaRef, TableError> {
        let refuse = |what: String| Err(TableError::Spec { table: self.name.clone(), what });
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || self.name.contains('\0') {
            return refuse(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no zero byte"));
        }
        if self.columns.fields().first().map(AsRef::as_ref) != Some(&time_field()) {
            return refuse(format!("the first column must be `{TIME}`, a UTC timestamp in µs"));
        }
        let mut fields = self.columns.fields().to_vec();
        for (index, field) in fields.iter().enumerate() {
            if [PARTITION, OFFSET, OFFSETS].contains(&field.name().as_str()) {
                return refuse(format!("the column name `{}` is taken", field.name()));
            }
            if fields.iter().take(index).any(|other| other.name() == field.name()) {
                return refuse(format!("the column `{}` is there twice", field.name()));
            }
        }
        let stored = match &self.rollup {
            Some(rollup) => rollup.full_schema(&self.name, &self.columns)?,
            None => {
                fields.push(Arc::new(Field::new(PARTITION, DataType::Int32, false)));
                fields.push(Arc::new(Field::new(OFFSET, DataType::Int64, false)));
                Arc::new(Schema::new(fields))
            }
        };
        for name in &self.sort_by {
            match stored.field_with_name(name) {
                Ok(field) if !field.data_type().is_nested() => {}
                Ok(_) => return refuse(format!("cannot sort by `{name}`: it is nested")),
                Err(_) => return refuse(format!("cannot sort by `{name}`: no such column")),
            }
        }
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    #[test]
    fn months_and_years_follow_the_calendar() {
        // 2024-02-29, 2024-03-01, 1969-12-31, 2000-01-01
        assert_eq!(year_month(19_782), (2024, 2));
        assert_eq!(year_month(19_783), (2024, 3));
        assert_eq!(year_month(-1), (1969, 12));
        assert_eq!(year_month(10_957), (2000, 1));
    }

    #[test]
    fn an_interval_starts_where_its_number_changes() {
        use Granularity::{All, Day, Hour, Month, Week, Year};
        for granularity in [Hour, Day, Week, Month, Year] {
            for day in (-800_000..800_000).step_by(997) {
                let time = day * DAY_US + 12_345;
                let interval = granularity.interval(time);
                let start = granularity.start(interval);
                assert!(start <= time, "{granularity:?} {day}");
                assert_eq!(granularity.interval(start), interval, "{granularity:?} {day}");
                assert_eq!(granularity.interval(start - 1), interval - 1, "{granularity:?} {day}");
            }
            assert!(granularity.start(granularity.interval(i64::MIN)) <= granularity.start(0));
        }
        assert_eq!(All.start(All.interval(5)), 0);
    }

    #[test]
    fn a_week_starts_on_monday() {
        // 2026-11-15 was a Sunday, day 20,772.
        let sunday = 20_772 * DAY_US;
        assert_ne!(Granularity::Week.interval(sunday), Granularity::Week.interval(sunday + DAY_US));
        assert_eq!(
            Granularity::Week.interval(sunday),
            Granularity::Week.interval(sunday - 6 * DAY_US)
        );
    }
}
