//! `TIME_FLOOR`, `TIME_CEIL`, `TIME_SHIFT`, `TIME_EXTRACT`, `TIME_FORMAT`, `TIME_PARSE`,
//! `TIME_IN_INTERVAL`, `MILLIS_TO_TIMESTAMP`, `TIMESTAMP_TO_MILLIS`, `TIMESTAMPDIFF`.
//!
//! Invariant: all arguments but the first (and a shift's count) are constants, so a wrong period
//! or zone is one error for the query, not a null in each row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, Timelike, Utc};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility, lit,
};

use super::call::{instant_type, session_zone};
use super::period::{Period, instant, local};

/// Which of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Function {
    Floor,
    Ceil,
    Shift,
    Extract,
    Format,
    Parse,
    FromMillis,
    ToMillis,
    /// Periods between two times.
    Diff,
    InInterval,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "time_floor",
            Self::Ceil => "time_ceil",
            Self::Shift => "time_shift",
            Self::Extract => "time_extract",
            Self::Format => "time_format",
            Self::Parse => "time_parse",
            Self::FromMillis => "millis_to_timestamp",
            Self::ToMillis => "timestamp_to_millis",
            Self::Diff => "timestamp_diff",
            Self::InInterval => "time_in_interval",
        }
    }
}

pub(super) const FUNCTIONS: [Function; 10] = [
    Function::Floor,
    Function::Ceil,
    Function::Shift,
    Function::Extract,
    Function::Format,
    Function::Parse,
    Function::FromMillis,
    Function::ToMillis,
    Function::Diff,
    Function::InInterval,
];

/// One of them as DataFusion sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeFunction {
    function: Function,
    signature: Signature,
}

impl TimeFunction {
    pub(super) fn new(function: Function) -> Self {
        Self { function, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// Fewest and most arguments.
    fn arity(&self) -> (usize, usize) {
        match self.function {
            Function::Floor | Function::Ceil => (2, 4),
            Function::Shift => (3, 4),
            Function::Extract => (2, 3),
            Function::Format | Function::Parse => (1, 3),
            Function::FromMillis | Function::ToMillis => (1, 1),
            Function::Diff => (3, 3),
            Function::InInterval => (2, 2),
        }
    }
}

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.function {
            Function::Extract | Function::ToMillis | Function::Diff => DataType::Int64,
            Function::InInterval => DataType::Boolean,
            Function::Format => DataType::Utf8,
            _ => instant_type(),
        })
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let (least, most) = self.arity();
        if given.len() < least || given.len() > most {
            let name = self.function.name().to_uppercase();
            return plan_err!("{name} takes {least} to {most} arguments, not {}", given.len());
        }
        let first = match self.function {
            Function::Parse | Function::Diff => DataType::Utf8,
            Function::FromMillis => DataType::Int64,
            _ => instant_type(),
        };
        let rest = (1..given.len()).map(|at| match (self.function, at) {
            (Function::Shift, 2) => DataType::Int64,
            (Function::Floor | Function::Ceil, 2) | (Function::Diff, _) => instant_type(),
            _ => DataType::Utf8,
        });
        Ok(std::iter::once(first).chain(rest).collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = session_zone(&args.config_options);
        let constants = Constants { name: self.function.name(), args: &args.args, zone };
        let scalar = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)))
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let Some(first) = args.args.first() else {
            return exec_err!("{} without arguments", self.name());
        };
        let input = first.to_array(if scalar { 1 } else { args.number_rows })?;
        let output: ArrayRef = match self.function {
            Function::Floor | Function::Ceil => self.floor(&input, &constants)?,
            Function::Shift => shift(&input, &constants)?,
            Function::Extract => extract(&input, &constants)?,
            Function::Format => format(&input, &constants)?,
            Function::Parse => parse(&input, &constants)?,
            Function::FromMillis => map(&input, |ms| ms.checked_mul(1_000))?,
            Function::Diff => diff(&constants)?,
            Function::InInterval => in_interval(&input, &constants)?,
            Function::ToMillis => {
                let input = cast(&input, &instant_type())?;
                let times = input.as_primitive::<TimestampMicrosecondType>();
                Arc::new(times.unary::<_, Int64Type>(|us| us.div_euclid(1_000)))
            }
        };
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&output, 0)?));
        }
        Ok(ColumnarValue::Array(output))
    }

    /// An interval becomes two comparisons, so that only what lies in it is read.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let (Function::InInterval, [time, Expr::Literal(text, _)]) =
            (self.function, args.as_slice())
        else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let zone = session_zone(info.config_options());
        let (from, to) = interval_of(text.try_as_str().flatten(), zone)?;
        let at = |us| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
        let inside = time.clone().gt_eq(at(from)).and(time.clone().lt(at(to)));
        Ok(ExprSimplifyResult::Simplified(inside))
    }
}

impl TimeFunction {
    fn floor(&self, input: &ArrayRef, constants: &Constants<'_>) -> Result<ArrayRef> {
        let period = constants.period(1)?;
        if !period.can_floor() {
            return exec_err!("{}: a period of one unit is needed", constants.name);
        }
        let origin = constants.instant(2)?;
        let zone = constants.zone(3)?;
        let up = self.function == Function::Ceil;
        // Rows come mostly in the order of time: the last period answers most of them.
        let mut last: Option<(i64, i64)> = None;
        times(input, |us| {
            let (start, end) = match last {
                Some((start, end)) if us >= start && us < end => (start, end),
                _ => {
                    let start = period.floor(us, origin, zone)?;
                    let end = period.shift(start, 1, zone)?;
                    last = Some((start, end));
                    (start, end)
                }
            };
            Some(if up && us > start { end } else { start })
        })
    }
}

/// The arguments that must be constants.
struct Constants<'a> {
    name: &'static str,
    args: &'a [ColumnarValue],
    /// The session's zone, where the call says none.
    zone: Tz,
}

impl Constants<'_> {
    /// `None` when the argument is absent or null.
    fn text(&self, at: usize) -> Result<Option<String>> {
        match self.args.get(at) {
            None => Ok(None),
            Some(ColumnarValue::Scalar(value)) => match value.try_as_str() {
                Some(text) => Ok(text.map(str::to_owned)),
                None => exec_err!("{}: argument {} must be text", self.name, at + 1),
            },
            Some(ColumnarValue::Array(_)) => {
                exec_err!("{}: argument {} must be a constant", self.name, at + 1)
            }
        }
    }

    fn period(&self, at: usize) -> Result<Period> {
        let text = self.text(at)?.unwrap_or_default();
        match Period::parse(&text) {
            Some(period) => Ok(period),
            None => exec_err!("{}: `{text}` is not a period such as PT1M or P1D", self.name),
        }
    }

    fn zone(&self, at: usize) -> Result<Tz> {
        match self.text(at)? {
            None => Ok(self.zone),
            Some(name) => match zone(&name) {
                Some(zone) => Ok(zone),
                None => exec_err!("{}: no time zone `{name}`", self.name),
            },
        }
    }

    fn instant(&self, at: usize) -> Result<Option<i64>> {
        match self.args.get(at) {
            None | Some(ColumnarValue::Scalar(ScalarValue::Null)) => Ok(None),
            Some(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(us, _))) => Ok(*us),
            Some(_) => exec_err!("{}: argument {} must be a constant time", self.name, at + 1),
        }
    }
}

/// Each instant through `change`; what has no answer is null.
fn times(input: &ArrayRef, mut change: impl FnMut(i64) -> Option<i64>) -> Result<ArrayRef> {
    let input = cast(input, &instant_type())?;
    let times = input.as_primitive::<TimestampMicrosecondType>();
    let output: TimestampMicrosecondArray =
        times.iter().map(|us| us.and_then(&mut change)).collect();
    Ok(Arc::new(output.with_timezone("UTC")))
}

fn map(input: &ArrayRef, change: impl Fn(i64) -> Option<i64>) -> Result<ArrayRef> {
    let input = cast(input, &DataType::Int64)?;
    let output: TimestampMicrosecondArray =
        input.as_primitive::<Int64Type>().iter().map(|value| value.and_then(&change)).collect();
    Ok(Arc::new(output.with_timezone("UTC")))
}

fn shift(input: &ArrayRef, constants: &Constants<'_>) -> Result<ArrayRef> {
    let period = constants.period(1)?;
    let zone = constants.zone(3)?;
    let Some(counts) = constants.args.get(2) else {
        return exec_err!("{}: no count", constants.name);
    };
    let counts = cast(&counts.to_array(input.len())?, &DataType::Int64)?;
    let mut counts = counts.as_primitive::<Int64Type>().iter();
    // Null times take a count too, so that both stay in step.
    let input = cast(input, &instant_type())?;
    let output: TimestampMicrosecondArray = input
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|us| {
            let count = counts.next().flatten();
            period.shift(us?, count?, zone)
        })
        .collect();
    Ok(Arc::new(output.with_timezone("UTC")))
}

/// Whole units from the second argument to the third; the calendar's in the session's zone.
fn diff(constants: &Constants<'_>) -> Result<ArrayRef> {
    let unit = match constants.text(0)?.as_deref().and_then(unit_period) {
        Some(period) => period,
        None => return exec_err!("{}: no such unit", constants.name),
    };
    let rows = match constants.args {
        [_, ColumnarValue::Array(from), _] => from.len(),
        [_, _, ColumnarValue::Array(to)] => to.len(),
        _ => 1,
    };
    let side = |at: usize| match constants.args.get(at) {
        Some(value) => Ok(cast(&value.to_array(rows)?, &instant_type())?),
        None => exec_err!("{}: argument {} is missing", constants.name, at + 1),
    };
    let (from, to) = (side(1)?, side(2)?);
    let pairs = from
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .zip(to.as_primitive::<TimestampMicrosecondType>());
    let counts = pairs.map(|(from, to)| unit.between(from?, to?, constants.zone));
    Ok(Arc::new(counts.collect::<Int64Array>()))
}

fn unit_period(unit: &str) -> Option<Period> {
    Period::parse(match unit.strip_suffix('S').unwrap_or(unit) {
        "MILLISECOND" => "PT0.001S",
        "SECOND" => "PT1S",
        "MINUTE" => "PT1M",
        "HOUR" => "PT1H",
        "DAY" => "P1D",
        "WEEK" => "P1W",
        "MONTH" => "P1M",
        "QUARTER" => "P3M",
        "YEAR" => "P1Y",
        _ => return None,
    })
}

/// `start/end`, `start/period` or `period/end`; the end is not in it.
fn interval(text: &str, zone: Tz) -> Option<(i64, i64)> {
    let (from, to) = text.split_once('/')?;
    match (parse_iso(from, zone), parse_iso(to, zone)) {
        (Some(from), Some(to)) => Some((from, to)),
        (Some(from), None) => Some((from, Period::parse(to)?.shift(from, 1, zone)?)),
        (None, Some(to)) => Some((Period::parse(from)?.shift(to, -1, zone)?, to)),
        (None, None) => None,
    }
}

fn interval_of(text: Option<&str>, zone: Tz) -> Result<(i64, i64)> {
    match text.and_then(|text| interval(text, zone)) {
        Some(interval) => Ok(interval),
        None => exec_err!(
            "TIME_IN_INTERVAL: `{}` is not an interval such as `2026-11-01/P1M`",
            text.unwrap_or("NULL")
        ),
    }
}

fn in_interval(input: &ArrayRef, constants: &Constants<'_>) -> Result<ArrayRef> {
    let (from, to) = interval_of(constants.text(1)?.as_deref(), constants.zone)?;
    let input = cast(input, &instant_type())?;
    let inside = input
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|us| Some(us? >= from && us? < to));
    Ok(Arc::new(inside.collect::<BooleanArray>()))
}

/// By its name, or by an offset of whole hours such as `+09:00`.
pub(crate) fn zone(text: &str) -> Option<Tz> {
    if let Ok(zone) = text.parse() {
        return Some(zone);
    }
    if text == "Z" {
        return Some(Tz::UTC);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ('+', digits),
        // POSIX counts these west of Greenwich.
        None => ('-', text.strip_prefix('+')?),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let hours: u8 = hours.parse().ok()?;
    if minutes != "00" {
        return None;
    }
    format!("Etc/GMT{sign}{hours}").parse().ok()
}

fn extract(input: &ArrayRef, constants: &Constants<'_>) -> Result<ArrayRef> {
    let unit = constants.text(1)?.unwrap_or_default().to_uppercase();
    let zone = constants.zone(2)?;
    let read: fn(i64, NaiveDateTime) -> i64 = match unit.as_str() {
        "EPOCH" => |us, _| us.div_euclid(1_000_000),
        "MICROSECOND" => |_, at| i64::from(at.nanosecond() / 1_000),
        "MILLISECOND" => |_, at| i64::from(at.nanosecond() / 1_000_000),
        "SECOND" => |_, at| i64::from(at.second()),
        "MINUTE" => |_, at| i64::from(at.minute()),
        "HOUR" => |_, at| i64::from(at.hour()),
        "DAY" => |_, at| i64::from(at.day()),
        // Monday is 1.
        "DOW" | "ISODOW" => |_, at| i64::from(at.weekday().number_from_monday()),
        "DOY" => |_, at| i64::from(at.ordinal()),
        "WEEK" => |_, at| i64::from(at.iso_week().week()),
        "MONTH" => |_, at| i64::from(at.month()),
        "QUARTER" => |_, at| i64::from(at.month0() / 3 + 1),
        "YEAR" => |_, at| i64::from(at.year()),
        "ISOYEAR" => |_, at| i64::from(at.iso_week().year()),
        _ => return exec_err!("{}: no unit `{unit}`", constants.name),
    };
    let input = cast(input, &instant_type())?;
    let output: Int64Array = input
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|us| us.and_then(|us| Some(read(us, local(us, zone)?))))
        .collect();
    Ok(Arc::new(output))
}

/// Joda's letters → the ones chrono knows. `None` for a letter that has no counterpart.
fn strftime(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(letter) = chars.next() {
        let mut count = 1;
        while letter != '\'' && chars.next_if_eq(&letter).is_some() {
            count += 1;
        }
        let found = match (letter, count) {
            ('y' | 'Y', 2) => "%y",
            ('y' | 'Y', _) => "%Y",
            ('x', _) => "%G",
            ('M', 1) => "%-m",
            ('M', 2) => "%m",
            ('M', 3) => "%b",
            ('M', _) => "%B",
            ('d', 1) => "%-d",
            ('d', _) => "%d",
            ('D', _) => "%j",
            ('E', 1..=3) => "%a",
            ('E', _) => "%A",
            ('e', _) => "%u",
            ('w', _) => "%V",
            ('H', 1) => "%-H",
            ('H', _) => "%H",
            ('h', 1) => "%-I",
            ('h', _) => "%I",
            ('m', 1) => "%-M",
            ('m', _) => "%M",
            ('s', 1) => "%-S",
            ('s', _) => "%S",
            ('S', 1..=3) => "%3f",
            ('S', 4..=6) => "%6f",
            ('S', _) => "%9f",
            ('a', _) => "%p",
            ('z', _) => "%Z",
            ('Z', 1) => "%z",
            ('Z', _) => "%:z",
            ('\'', _) => {
                // Quoted text; the closing quote may be missing.
                out.extend(chars.by_ref().take_while(|c| *c != '\'').flat_map(escaped));
                continue;
            }
            (other, _) if other.is_ascii_alphabetic() => return None,
            (other, count) => {
                (0..count).for_each(|_| out.extend(escaped(other)));
                continue;
            }
        };
        out.push_str(found);
    }
    Some(out)
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    std::iter::repeat_n(c, if c == '%' { 2 } else { 1 })
}

fn joda(constants: &Constants<'_>, at: usize) -> Result<Option<String>> {
    let Some(pattern) = constants.text(at)? else { return Ok(None) };
    match strftime(&pattern) {
        Some(format) if StrftimeItems::new(&format).all(|item| !matches!(item, Item::Error)) => {
            Ok(Some(format))
        }
        _ => exec_err!("{}: cannot use the pattern `{pattern}`", constants.name),
    }
}

fn format(input: &ArrayRef, constants: &Constants<'_>) -> Result<ArrayRef> {
    let zone = constants.zone(2)?;
    let pattern = joda(constants, 1)?.unwrap_or_else(|| {
        let offset = if zone == Tz::UTC { "Z" } else { "%:z" };
        format!("%Y-%m-%dT%H:%M:%S%.3f{offset}")
    });
    let input = cast(input, &instant_type())?;
    let mut out = StringBuilder::new();
    for us in input.as_primitive::<TimestampMicrosecondType>() {
        let at = us.and_then(DateTime::<Utc>::from_timestamp_micros);
        out.append_option(at.map(|at| at.with_timezone(&zone).format(&pattern).to_string()));
    }
    Ok(Arc::new(out.finish()))
}

fn parse(input: &ArrayRef, constants: &Constants<'_>) -> Result<ArrayRef> {
    let pattern = joda(constants, 1)?;
    let zone = constants.zone(2)?;
    let input = cast(input, &DataType::Utf8)?;
    let Some(texts) = input.as_any().downcast_ref::<StringArray>() else {
        return exec_err!("{}: text is needed", constants.name);
    };
    let output: TimestampMicrosecondArray = texts
        .iter()
        .map(|text| match &pattern {
            Some(pattern) => parse_as(text?, pattern, zone),
            None => parse_iso(text?, zone),
        })
        .collect();
    Ok(Arc::new(output.with_timezone("UTC")))
}

/// What the pattern does not ask for is the start: of the year, of the day, of the hour.
fn parse_as(text: &str, pattern: &str, zone: Tz) -> Option<i64> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, StrftimeItems::new(pattern)).ok()?;
    if let (Some(_), None, None, None) =
        (parsed.year(), parsed.month(), parsed.ordinal(), parsed.isoweek())
    {
        parsed.set_month(1).ok()?;
    }
    if parsed.month().is_some() && parsed.day().is_none() {
        parsed.set_day(1).ok()?;
    }
    if parsed.isoweek().is_some() && parsed.weekday().is_none() && parsed.day().is_none() {
        parsed.set_weekday(chrono::Weekday::Mon).ok()?;
    }
    if parsed.hour_mod_12().is_some() && parsed.minute().is_none() {
        parsed.set_minute(0).ok()?;
    }
    if let Some(second) = parsed.timestamp() {
        return second.checked_mul(1_000_000);
    }
    let date = parsed.to_naive_date().ok()?;
    let time = match parsed.hour_mod_12() {
        Some(_) => parsed.to_naive_time().ok()?,
        None => NaiveTime::MIN,
    };
    let local = date.and_time(time);
    match parsed.offset() {
        Some(seconds) => {
            let us = local.and_utc().timestamp_micros();
            us.checked_sub(i64::from(seconds).checked_mul(1_000_000)?)
        }
        None => instant(local, zone),
    }
}

/// A date, or a date and a time with `T` or a blank between, with or without an offset.
pub(super) fn parse_iso(text: &str, zone: Tz) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"]
        .into_iter()
        .find_map(|pattern| parse_as(text, pattern, zone))
        .or_else(|| parse_as(text.strip_suffix('Z')?, "%Y-%m-%dT%H:%M", Tz::UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joda_patterns_are_translated_or_refused() {
        assert_eq!(strftime("yyyy-MM-dd HH:mm:ss").as_deref(), Some("%Y-%m-%d %H:%M:%S"));
        assert_eq!(strftime("yyyy-MM-dd'T'HH:mm:ss'Z").as_deref(), Some("%Y-%m-%dT%H:%M:%SZ"));
        assert_eq!(strftime("100%"), Some("100%%".into()));
        assert_eq!(strftime("qq"), None);
    }

    #[test]
    fn iso_texts_are_read_in_the_zone_unless_they_have_one() {
        let day = 1_795_132_800_000_000; // 2026-11-20T00:00:00Z
        assert_eq!(parse_iso("2026-11-20", Tz::UTC), Some(day));
        assert_eq!(parse_iso("2026-11-20T00:00:00.000Z", Tz::Asia__Seoul), Some(day));
        assert_eq!(parse_iso("2026-11-20 09:00:00", Tz::Asia__Seoul), Some(day));
        assert_eq!(parse_iso("2026-11-20T00:00Z", Tz::Asia__Seoul), Some(day));
        assert_eq!(parse_iso("yesterday", Tz::UTC), None);
    }
}
