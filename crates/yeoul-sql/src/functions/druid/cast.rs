//! Casts with Druid's meaning: text that is no number or time is null, BIGINT is milliseconds,
//! days start where the session is.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use chrono::{NaiveDate, Timelike};
use datafusion::common::{Result, exec_err};

use super::call::{Call, Definition, Gives, Takes};
use super::period::{instant, local};
use super::time::parse_iso;

const fn one(
    name: &'static str,
    takes: &'static [Takes],
    gives: Gives,
    invoke: fn(&Call) -> Result<ArrayRef>,
) -> Definition {
    Definition { name, aliases: &[], least: 1, takes, endless: false, gives, invoke }
}

/// These are put into plans by [`super::meaning`]; nobody calls them by name.
pub(super) static TEXT_TO_INSTANT: Definition =
    one("cast_text_to_timestamp", &[Takes::Text], Gives::Instant, text_to_instant);
pub(super) static TEXT_TO_LONG: Definition =
    one("cast_text_to_bigint", &[Takes::Text], Gives::Long, text_to_long);
pub(super) static TEXT_TO_DOUBLE: Definition =
    one("cast_text_to_double", &[Takes::Text], Gives::Double, text_to_double);
pub(super) static LONG_TO_INSTANT: Definition =
    one("cast_bigint_to_timestamp", &[Takes::Long], Gives::Instant, long_to_instant);
pub(super) static INSTANT_TO_LONG: Definition =
    one("cast_timestamp_to_bigint", &[Takes::Instant], Gives::Long, instant_to_long);
pub(super) static INSTANT_TO_TEXT: Definition =
    one("cast_timestamp_to_text", &[Takes::Instant], Gives::Text, instant_to_text);
pub(super) static INSTANT_TO_DATE: Definition =
    one("cast_timestamp_to_date", &[Takes::Instant], Gives::Date, instant_to_date);
pub(super) static TEXT_TO_DATE: Definition =
    one("cast_text_to_date", &[Takes::Text], Gives::Date, text_to_date);
pub(super) static DATE_TO_INSTANT: Definition =
    one("cast_date_to_timestamp", &[Takes::Any], Gives::Instant, date_to_instant);

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn times(call: &Call) -> Result<&TimestampMicrosecondArray> {
    match call.argument(0)?.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Ok(times),
        None => exec_err!("{}: a time is needed", call.shown()),
    }
}

fn text_to_instant(call: &Call) -> Result<ArrayRef> {
    Ok(instants(call.text(0)?.iter().map(|text| parse_iso(text?, call.zone))))
}

/// What a number's text is worth; a fraction is cut.
pub(super) fn long_of(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        // Between the two ends the cast is exact but for the fraction.
        (value.abs() < 9.2e18).then_some(value as i64)
    })
}

pub(super) fn double_of(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

fn text_to_long(call: &Call) -> Result<ArrayRef> {
    let values = call.text(0)?.iter().map(|text| long_of(text?));
    Ok(Arc::new(values.collect::<Int64Array>()))
}

fn text_to_double(call: &Call) -> Result<ArrayRef> {
    let values = call.text(0)?.iter().map(|text| double_of(text?));
    Ok(Arc::new(values.collect::<Float64Array>()))
}

fn long_to_instant(call: &Call) -> Result<ArrayRef> {
    Ok(instants(call.longs(0)?.iter().map(|ms| ms?.checked_mul(1_000))))
}

fn instant_to_long(call: &Call) -> Result<ArrayRef> {
    let values = times(call)?.iter().map(|us| Some(us?.div_euclid(1_000)));
    Ok(Arc::new(values.collect::<Int64Array>()))
}

/// `2026-11-20 22:00:00`, with milliseconds when there are any.
fn instant_to_text(call: &Call) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    for us in times(call)? {
        let at = us.and_then(|us| local(us, call.zone));
        out.append_option(at.map(|at| {
            let pattern = match at.nanosecond() {
                0 => "%Y-%m-%d %H:%M:%S",
                _ => "%Y-%m-%d %H:%M:%S%.3f",
            };
            at.format(pattern).to_string()
        }));
    }
    Ok(Arc::new(out.finish()))
}

fn days(date: NaiveDate) -> Option<i32> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}

fn instant_to_date(call: &Call) -> Result<ArrayRef> {
    let values = times(call)?.iter().map(|us| days(local(us?, call.zone)?.date()));
    Ok(Arc::new(values.collect::<Date32Array>()))
}

fn text_to_date(call: &Call) -> Result<ArrayRef> {
    let values = call.text(0)?.iter();
    let values = values.map(|text| days(local(parse_iso(text?, call.zone)?, call.zone)?.date()));
    Ok(Arc::new(values.collect::<Date32Array>()))
}

fn date_to_instant(call: &Call) -> Result<ArrayRef> {
    let dates = cast(call.argument(0)?, &DataType::Date32)?;
    Ok(instants(dates.as_primitive::<Date32Type>().iter().map(|days| {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
        let date = epoch.checked_add_signed(chrono::TimeDelta::days(i64::from(days?)))?;
        instant(date.and_hms_opt(0, 0, 0)?, call.zone)
    })))
}
