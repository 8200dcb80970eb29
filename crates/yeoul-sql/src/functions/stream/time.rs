//! Functions of time: reading instants from what pipelines meet (epoch numbers, text in many
//! shapes, Java's arrays) and writing them as local text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ReturnFieldArgs;

use super::pattern::{self, Pattern, local_to_utc, read_offset};
use super::{Call, Definition, instant_type};

/// Seconds of 9999-12-31T23:59:59Z: a larger number is another unit, not a later time.
const SECONDS_MAX: i64 = 253_402_300_799;
/// Spark's pattern when none is given.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "to_timestamp",
        arguments: (1, 2),
        gives: instant_of_time,
        invoke: |call| to_timestamp(call, false),
    },
    Definition {
        name: "try_to_timestamp",
        arguments: (1, 2),
        gives: instant_of_time,
        invoke: |call| to_timestamp(call, true),
    },
    Definition {
        name: "timestamp_from_array",
        arguments: (1, 1),
        gives: instant_of_list,
        invoke: |call| to_timestamp(call, false),
    },
    Definition {
        name: "timestamp_seconds",
        arguments: (1, 1),
        gives: instant_of_number,
        invoke: |call| to_timestamp(call, false),
    },
    Definition {
        name: "timestamp_millis",
        arguments: (1, 1),
        gives: instant_of_number,
        invoke: |call| scaled(call, 1_000),
    },
    Definition {
        name: "timestamp_micros",
        arguments: (1, 1),
        gives: instant_of_number,
        invoke: |call| scaled(call, 1),
    },
    Definition {
        name: "date_format",
        arguments: (2, 2),
        gives: text_of_time,
        invoke: |call| written(call, None),
    },
    Definition {
        name: "from_unixtime",
        arguments: (1, 2),
        gives: |args| instant_of_number(args).map(|_| DataType::Utf8),
        invoke: |call| written(call, Some(DEFAULT_PATTERN)),
    },
    Definition {
        name: "unix_timestamp",
        arguments: (1, 2),
        gives: |args| instant_of_time(args).map(|_| DataType::Int64),
        invoke: unix_timestamp,
    },
    Definition {
        name: "to_date",
        arguments: (1, 2),
        gives: |args| instant_of_time(args).map(|_| DataType::Date32),
        invoke: to_date,
    },
    Definition {
        name: "year",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.year())),
    },
    Definition {
        name: "month",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.month())),
    },
    Definition {
        name: "day",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.day())),
    },
    Definition {
        name: "dayofmonth",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.day())),
    },
    Definition {
        name: "dayofyear",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.ordinal())),
    },
    Definition {
        name: "dayofweek",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.weekday().number_from_sunday())),
    },
    Definition {
        name: "hour",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.hour())),
    },
    Definition {
        name: "minute",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.minute())),
    },
    Definition {
        name: "second",
        arguments: (1, 1),
        gives: number,
        invoke: |call| part(call, |t| i64::from(t.second())),
    },
];

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) | DataType::LargeList(item) if item.data_type().is_numeric())
}

fn first_type<'a>(args: &'a ReturnFieldArgs<'_>) -> &'a DataType {
    args.arg_fields.first().map_or(&DataType::Null, |field| field.data_type())
}

fn instant_of_time(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    let given = first_type(args);
    let readable = given.is_numeric()
        || given.is_null()
        || is_text(given)
        || is_list(given)
        || matches!(given, DataType::Timestamp(..) | DataType::Date32);
    if !readable {
        return plan_err!("a time cannot be read from {given}");
    }
    Ok(instant_type())
}

fn instant_of_list(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    let given = first_type(args);
    if !is_list(given) && !given.is_null() {
        return plan_err!(
            "timestamp_from_array takes an array of numbers (year, month, day, hour, minute …), \
             not {given}"
        );
    }
    Ok(instant_type())
}

fn instant_of_number(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    let given = first_type(args);
    if !given.is_numeric() && !given.is_null() {
        return plan_err!("an epoch number is expected, not {given}");
    }
    Ok(instant_type())
}

fn text_of_time(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    instant_of_time(args).map(|_| DataType::Utf8)
}

fn number(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    instant_of_time(args).map(|_| DataType::Int64)
}

/// How values become instants.
#[derive(Debug, Clone)]
pub struct TimeReader {
    /// For text; without one ISO 8601 and its looser relatives are read.
    pub pattern: Option<Pattern>,
    /// The zone of text without an offset.
    pub zone: Tz,
    /// What an epoch number counts.
    pub unit: EpochUnit,
}

/// What an epoch number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    Seconds,
    Millis,
    Micros,
    /// Digits beyond the microsecond are cut.
    Nanos,
    /// By magnitude: below 10¹¹ seconds, below 10¹⁴ milliseconds, below 10¹⁷ microseconds, else
    /// nanoseconds.
    Auto,
}

impl EpochUnit {
    /// µs of one epoch number; `None` beyond the year 9999.
    pub fn micros(self, value: i64) -> Option<i64> {
        let factor = match self {
            Self::Seconds => 1_000_000,
            Self::Millis => 1_000,
            Self::Micros => 1,
            Self::Nanos => return Some(value.div_euclid(1_000)),
            Self::Auto => match value.unsigned_abs() {
                0..100_000_000_000 => 1_000_000,
                100_000_000_000..100_000_000_000_000 => 1_000,
                100_000_000_000_000..100_000_000_000_000_000 => 1,
                _ => return Some(value.div_euclid(1_000)),
            },
        };
        value.checked_mul(factor).filter(|micros| micros.unsigned_abs() <= max_micros())
    }
}

fn max_micros() -> u64 {
    SECONDS_MAX.unsigned_abs() * 1_000_000 + 999_999
}

impl TimeReader {
    /// Spark's meaning: numbers are seconds, text is ISO or nearly.
    pub fn spark(zone: Tz) -> Self {
        Self { pattern: None, zone, unit: EpochUnit::Seconds }
    }

    /// Reads a whole column. `bad` is told the row and the reason of each value that is not a
    /// time; it gives null when `bad` lets it pass. Null stays null.
    ///
    /// # Errors
    /// What `bad` answers, or a column type that cannot hold times.
    pub fn read(
        &self,
        column: &ArrayRef,
        mut bad: impl FnMut(usize, String) -> Result<()>,
    ) -> Result<TimestampMicrosecondArray> {
        let mut instants = Vec::with_capacity(column.len());
        match column.data_type() {
            DataType::Null => return Ok(nulls(column.len())),
            given if given.is_integer() => {
                let numbers = cast(column, &DataType::Int64)?;
                for (row, number) in numbers.as_primitive::<Int64Type>().iter().enumerate() {
                    let instant = number.and_then(|number| self.unit.micros(number));
                    if instant.is_none()
                        && let Some(number) = number
                    {
                        bad(row, self.out_of_range(number))?;
                    }
                    instants.push(instant);
                }
            }
            given if given.is_numeric() => {
                let numbers = cast(column, &DataType::Float64)?;
                let numbers: &Float64Array = numbers.as_primitive();
                for (row, number) in numbers.iter().enumerate() {
                    let instant = number.and_then(|number| self.float(number));
                    if instant.is_none()
                        && let Some(number) = number
                    {
                        bad(row, format!("{number} is not an epoch time"))?;
                    }
                    instants.push(instant);
                }
            }
            given if is_text(given) => {
                let texts = cast(column, &DataType::Utf8)?;
                for (row, text) in texts.as_string::<i32>().iter().enumerate() {
                    let instant = text.and_then(|text| self.text(text));
                    if instant.is_none()
                        && let Some(text) = text
                    {
                        bad(row, format!("`{}` is not a time", shortened(text)))?;
                    }
                    instants.push(instant);
                }
            }
            given if is_list(given) => return self.lists(column, bad),
            DataType::Timestamp(_, Some(_)) => {
                return Ok(cast(column, &instant_type())?.as_primitive().clone());
            }
            DataType::Timestamp(_, None) | DataType::Date32 => {
                let local = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                for (row, micros) in
                    local.as_primitive::<TimestampMicrosecondType>().iter().enumerate()
                {
                    let instant = micros
                        .and_then(DateTime::from_timestamp_micros)
                        .and_then(|local| local_to_utc(local.naive_utc(), self.zone));
                    if instant.is_none() && micros.is_some() {
                        bad(row, "the time is outside the calendar".into())?;
                    }
                    instants.push(instant);
                }
            }
            given => return exec_err!("a time cannot be read from {given}"),
        }
        Ok(TimestampMicrosecondArray::from(instants).with_timezone("UTC"))
    }

    fn out_of_range(&self, number: i64) -> String {
        match self.unit {
            EpochUnit::Seconds => format!(
                "{number} seconds is beyond the year 9999: for milliseconds use timestamp_millis"
            ),
            _ => format!("{number} is beyond the year 9999"),
        }
    }

    fn float(&self, number: f64) -> Option<i64> {
        let factor = match self.unit {
            EpochUnit::Seconds => 1e6,
            EpochUnit::Millis => 1e3,
            EpochUnit::Micros => 1.0,
            EpochUnit::Nanos => 1e-3,
            EpochUnit::Auto => match number.abs() {
                magnitude if magnitude < 1e11 => 1e6,
                magnitude if magnitude < 1e14 => 1e3,
                magnitude if magnitude < 1e17 => 1.0,
                _ => 1e-3,
            },
        };
        let micros = (number * factor).round();
        (micros.is_finite() && micros.abs() <= max_micros() as f64).then_some(micros as i64)
    }

    /// One text as µs since 1970 UTC.
    pub fn text(&self, text: &str) -> Option<i64> {
        match &self.pattern {
            Some(pattern) => pattern.read(text, self.zone),
            None => iso(text.trim(), self.zone).or_else(|| self.digits(text.trim())),
        }
    }

    /// An epoch number that came as text. Seconds, and where the unit is to be guessed, have nine
    /// and more digits: fewer could be a date.
    fn digits(&self, text: &str) -> Option<i64> {
        let bare = text.strip_prefix('-').unwrap_or(text);
        let plain = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
        let told = !matches!(self.unit, EpochUnit::Auto | EpochUnit::Seconds) || text.len() >= 9;
        if plain && told { self.unit.micros(text.parse().ok()?) } else { None }
    }

    fn lists(
        &self,
        column: &ArrayRef,
        mut bad: impl FnMut(usize, String) -> Result<()>,
    ) -> Result<TimestampMicrosecondArray> {
        let item = Arc::new(arrow::datatypes::Field::new_list_field(DataType::Int64, true));
        let lists = cast(column, &DataType::List(item))?;
        let lists: &ListArray = lists.as_list();
        let mut instants = Vec::with_capacity(lists.len());
        for (row, list) in lists.iter().enumerate() {
            let Some(list) = list else {
                instants.push(None);
                continue;
            };
            let numbers: &Int64Array = list.as_primitive();
            let instant = if numbers.null_count() > 0 {
                None
            } else {
                from_parts(numbers.values(), self.zone)
            };
            if instant.is_none() {
                let shown = numbers.iter().take(8).collect::<Vec<_>>();
                bad(row, format!("{shown:?} is not year, month, day, hour, minute …"))?;
            }
            instants.push(instant);
        }
        Ok(TimestampMicrosecondArray::from(instants).with_timezone("UTC"))
    }
}

fn nulls(rows: usize) -> TimestampMicrosecondArray {
    TimestampMicrosecondArray::from(vec![None; rows]).with_timezone("UTC")
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Java's array of a LocalDateTime: seconds and nanoseconds are left out when they are zero, and
/// the seventh number is nanoseconds as they are, not a fraction's digits.
fn from_parts(parts: &[i64], zone: Tz) -> Option<i64> {
    if !(3..=7).contains(&parts.len()) {
        return None;
    }
    let part = |index: usize| u32::try_from(parts.get(index).copied().unwrap_or(0)).ok();
    let date = NaiveDate::from_ymd_opt(i32::try_from(*parts.first()?).ok()?, part(1)?, part(2)?)?;
    let time = NaiveTime::from_hms_nano_opt(part(3)?, part(4)?, part(5)?, part(6)?)?;
    local_to_utc(NaiveDateTime::new(date, time), zone)
}

/// `2023-11-23`, `2023-11-23 10:05`, `2023-11-23T10:05:00.123456+09:00` and what lies between.
fn iso(text: &str, zone: Tz) -> Option<i64> {
    let number = |from: usize, digits: usize| -> Option<u32> {
        let part = text.get(from..from + digits)?;
        if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
    };
    let sign = |at: usize, sign: u8| text.as_bytes().get(at).copied() == Some(sign);
    let year = i32::try_from(number(0, 4)?).ok()?;
    if !sign(4, b'-') || !sign(7, b'-') {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year, number(5, 2)?, number(8, 2)?)?;
    if text.len() == 10 {
        return local_to_utc(date.and_time(NaiveTime::MIN), zone);
    }
    if !(sign(10, b'T') || sign(10, b' ')) || !sign(13, b':') {
        return None;
    }
    let (hour, minute) = (number(11, 2)?, number(14, 2)?);
    let mut rest = text.get(16..)?;
    let mut second = 0;
    let mut nanos = 0;
    if rest.starts_with(':') {
        second = number(17, 2)?;
        rest = text.get(19..)?;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            let (fraction, after) = fraction.split_at_checked(digits)?;
            nanos = fraction.parse::<u32>().ok()? * 10u32.pow(9 - u32::try_from(digits).ok()?);
            rest = after;
        }
    }
    let local = date.and_time(NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?);
    let rest = rest.trim_start();
    if rest.is_empty() {
        return local_to_utc(local, zone);
    }
    match read_offset(rest)? {
        (east, "") => Some(local.and_utc().timestamp_micros() - i64::from(east) * 1_000_000),
        _ => None,
    }
}

fn reader(call: &Call) -> Result<TimeReader> {
    let pattern = match call.constant_text(1)? {
        Some(pattern) => match pattern::parse(pattern) {
            Ok(pattern) => Some(pattern),
            Err(problem) => return exec_err!("{}: {problem}", call.name),
        },
        None => None,
    };
    Ok(TimeReader { pattern, ..TimeReader::spark(call.zone) })
}

fn instants(call: &Call, reader: &TimeReader, lenient: bool) -> Result<TimestampMicrosecondArray> {
    reader.read(call.argument(0)?, |_, problem| {
        if lenient { Ok(()) } else { exec_err!("{}: {problem}", call.name) }
    })
}

fn to_timestamp(call: &Call, lenient: bool) -> Result<ArrayRef> {
    Ok(Arc::new(instants(call, &reader(call)?, lenient)?))
}

fn scaled(call: &Call, factor: i64) -> Result<ArrayRef> {
    let unit = if factor == 1 { EpochUnit::Micros } else { EpochUnit::Millis };
    let reader = TimeReader { unit, ..TimeReader::spark(call.zone) };
    Ok(Arc::new(instants(call, &reader, false)?))
}

fn unix_timestamp(call: &Call) -> Result<ArrayRef> {
    let instants = instants(call, &reader(call)?, false)?;
    let seconds: Int64Array =
        instants.iter().map(|micros| micros.map(|micros| micros.div_euclid(1_000_000))).collect();
    Ok(Arc::new(seconds))
}

fn written(call: &Call, default: Option<&str>) -> Result<ArrayRef> {
    let Some(pattern) = call.constant_text(1)?.or(default) else {
        return exec_err!("{}: a pattern is missing", call.name);
    };
    let pattern = match pattern::parse(pattern) {
        Ok(pattern) => pattern,
        Err(problem) => return exec_err!("{}: {problem}", call.name),
    };
    let instants = instants(call, &TimeReader::spark(call.zone), false)?;
    let mut texts = StringBuilder::with_capacity(instants.len(), instants.len() * 20);
    let mut text = String::new();
    for micros in &instants {
        text.clear();
        match micros.map(|micros| pattern.format(micros, call.zone, &mut text)) {
            Some(Some(())) => texts.append_value(&text),
            Some(None) => return exec_err!("{}: a time outside the calendar", call.name),
            None => texts.append_null(),
        }
    }
    let texts: StringArray = texts.finish();
    Ok(Arc::new(texts))
}

/// Local times of the call's first argument.
fn locals(call: &Call, reader: &TimeReader) -> Result<Vec<Option<NaiveDateTime>>> {
    let instants = instants(call, reader, false)?;
    let local = |micros: i64| {
        let utc = DateTime::from_timestamp_micros(micros)?;
        Some(call.zone.from_utc_datetime(&utc.naive_utc()).naive_local())
    };
    Ok(instants.iter().map(|micros| micros.and_then(local)).collect())
}

fn to_date(call: &Call) -> Result<ArrayRef> {
    let argument = call.argument(0)?;
    if argument.data_type() == &DataType::Date32 {
        return Ok(Arc::clone(argument));
    }
    let days = locals(call, &reader(call)?)?
        .into_iter()
        .map(|local| {
            let since = local?.date().signed_duration_since(NaiveDate::default());
            i32::try_from(since.num_days()).ok()
        })
        .collect::<arrow::array::Date32Array>();
    Ok(Arc::new(days))
}

fn part(call: &Call, part: fn(NaiveDateTime) -> i64) -> Result<ArrayRef> {
    let locals = locals(call, &TimeReader::spark(call.zone))?;
    Ok(Arc::new(locals.into_iter().map(|local| local.map(part)).collect::<Int64Array>()))
}
