//! Text → number, truth value, time: the one meaning of each column type's text, for lines and
//! for JSON strings alike.
//!
//! Errors are a clause that follows a column's name, such as "`x` is not an int".

use chrono::{MappedLocalTime, NaiveDate, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::types::{ColumnType, EpochUnit};

const MICROS: i64 = 1_000_000;
/// 0001-01-01 and the last microsecond of 9999, the range in which times can be written back.
const TIME_MIN: i64 = -62_135_596_800 * MICROS;
const TIME_MAX: i64 = 253_402_300_800 * MICROS - 1;
/// Above it a double no longer tells neighbouring integers apart.
const EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;

/// "`text` is not an int", with long texts cut.
pub(crate) fn not_a(text: &str, ty: &ColumnType) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let ty = ty.to_string();
    let article = if ty.starts_with(['a', 'e', 'i']) { "an" } else { "a" };
    format!("`{shown}` is not {article} {ty}")
}

/// An integer, also written as `3.0` or `1e3`.
pub(crate) fn int(text: &str) -> Result<i64, String> {
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{} is beyond 64 bits", text.chars().take(60).collect::<String>()));
    }
    match double(text) {
        Ok(value) if value.fract() == 0.0 && value.abs() <= EXACT_DOUBLE => Ok(value as i64),
        _ => Err(not_a(text, &ColumnType::Int)),
    }
}

/// A finite number, or exactly what Spark writes for the others.
pub(crate) fn double(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(f64::INFINITY),
        "-Infinity" => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    // The standard parser also takes `inf`, `nan` and `infinity`.
    let numeric =
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    match text.parse::<f64>() {
        Ok(value) if numeric && value.is_finite() => Ok(value),
        Ok(_) if numeric => Err(format!("{text} is beyond a double")),
        _ => Err(not_a(text, &ColumnType::Double)),
    }
}

pub(crate) fn bool(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(not_a(text, &ColumnType::Bool))
    }
}

/// Days since 1970 of `yyyy-MM-dd`.
pub(crate) fn date(text: &str) -> Result<i32, String> {
    let mut rest = text.as_bytes();
    read_date(&mut rest)
        .filter(|_| rest.is_empty())
        .and_then(days)
        .ok_or_else(|| not_a(text, &ColumnType::Date))
}

/// A number that counts from 1970.
pub(crate) fn epoch(text: &str, unit: EpochUnit) -> Result<i64, String> {
    let scale = match unit {
        EpochUnit::Seconds => MICROS,
        EpochUnit::Millis => 1_000,
        EpochUnit::Micros => 1,
    };
    let wrong = || not_a(text, &ColumnType::Epoch(unit));
    let micros = match text.parse::<i64>() {
        Ok(count) => count.checked_mul(scale),
        Err(_) => {
            let micros = (double(text).map_err(|_| wrong())? * scale as f64).round();
            (micros.abs() <= TIME_MAX as f64).then_some(micros as i64)
        }
    };
    micros
        .filter(|micros| (TIME_MIN..=TIME_MAX).contains(micros))
        .ok_or_else(|| format!("{text} is not a time within the years 1 to 9999"))
}

/// Microseconds since 1970: RFC 3339, or date and time (or a date alone) without an offset, then
/// in `zone`. Digits beyond the microsecond are cut.
pub(crate) fn timestamp(text: &str, zone: Tz) -> Result<i64, String> {
    read_timestamp(text.as_bytes(), zone)
        .filter(|micros| (TIME_MIN..=TIME_MAX).contains(micros))
        .ok_or_else(|| {
            let mut what = not_a(text, &ColumnType::Timestamp);
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                what.push_str("; for a number declare epoch_s, epoch_ms or epoch_us");
            }
            what
        })
}

fn read_timestamp(mut rest: &[u8], zone: Tz) -> Option<i64> {
    let date = read_date(&mut rest)?;
    let (mut seconds, mut micros) = (i64::from(days(date)?) * 86_400, 0);
    let mut offset = None;
    if let Some((b'T' | b't' | b' ', after)) = rest.split_first() {
        rest = after;
        let hour = number(&mut rest, 2)?;
        let minute = eat(&mut rest, b':').then(|| number(&mut rest, 2))??;
        let second = if eat(&mut rest, b':') { number(&mut rest, 2)? } else { 0 };
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        if eat(&mut rest, b'.') {
            micros = fraction(&mut rest)?;
        }
        seconds += hour * 3_600 + minute * 60 + second;
        offset = read_offset(&mut rest)?;
    }
    if !rest.is_empty() {
        return None;
    }
    let seconds = match offset {
        Some(offset) => seconds - offset,
        None if zone == Tz::UTC => seconds,
        None => local_to_utc(seconds, zone)?,
    };
    Some(seconds * MICROS + micros)
}

/// `Some(None)`: no offset is written.
fn read_offset(rest: &mut &[u8]) -> Option<Option<i64>> {
    let sign = match rest.split_first() {
        None => return Some(None),
        Some((b'Z' | b'z', after)) => {
            *rest = after;
            return Some(Some(0));
        }
        Some((b'+', after)) => {
            *rest = after;
            1
        }
        Some((b'-', after)) => {
            *rest = after;
            -1
        }
        Some(_) => return None,
    };
    let hours = number(rest, 2)?;
    let minutes = if eat(rest, b':') || !rest.is_empty() { number(rest, 2)? } else { 0 };
    (hours <= 23 && minutes <= 59).then_some(Some(sign * (hours * 3_600 + minutes * 60)))
}

/// A local time that comes twice (clocks go back) means the first; one that is skipped is read
/// with the offset from before the gap, as Spark does.
fn local_to_utc(local_seconds: i64, zone: Tz) -> Option<i64> {
    let local = chrono::DateTime::from_timestamp(local_seconds, 0)?.naive_utc();
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => {
            Some(time.timestamp())
        }
        MappedLocalTime::None => {
            let day = TimeDelta::days(1);
            let before = zone.from_local_datetime(&(local - day)).earliest()?;
            Some((before + day).timestamp())
        }
    }
}

fn read_date(rest: &mut &[u8]) -> Option<(i64, i64, i64)> {
    let year = number(rest, 4)?;
    let month = eat(rest, b'-').then(|| number(rest, 2))??;
    let day = eat(rest, b'-').then(|| number(rest, 2))??;
    Some((year, month, day))
}

fn days((year, month, day): (i64, i64, i64)) -> Option<i32> {
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    i32::try_from((date - NaiveDate::default()).num_days()).ok()
}

fn eat(rest: &mut &[u8], wanted: u8) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == wanted => {
            *rest = after;
            true
        }
        _ => false,
    }
}

/// Exactly so many digits.
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (head, after) = rest.split_at_checked(digits)?;
    *rest = after;
    head.iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// One to nine digits as microseconds.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let value = number(rest, len)?;
    let scale = 10_i64.pow(len.abs_diff(6) as u32);
    Some(if len <= 6 { value * scale } else { value / scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(int("-42"), Ok(-42));
        assert_eq!(int("3.0"), Ok(3));
        assert_eq!(int("1e3"), Ok(1000));
        assert_eq!(int("9223372036854775807"), Ok(i64::MAX));
        assert!(int("9223372036854775808").unwrap_err().contains("beyond 64 bits"));
        assert_eq!(int("time").unwrap_err(), "`time` is not an int");
        assert!(int("2.5").is_err());
        assert!(int("inf").is_err());
        assert_eq!(double("126.94494910647887"), Ok(126.94494910647887));
        assert!(double("1e400").unwrap_err().contains("beyond"));
        assert!(double("inf").is_err());
        assert!(double("nan").is_err());
        assert!(double("NaN").is_ok_and(f64::is_nan));
        assert_eq!(bool("TRUE"), Ok(true));
        assert!(bool("1").is_err());
    }

    #[test]
    fn times() {
        let utc = Tz::UTC;
        let seoul = chrono_tz::Asia::Seoul;
        let want = 1_658_042_294 * MICROS;
        assert_eq!(timestamp("2022-07-17T07:18:14Z", utc), Ok(want));
        assert_eq!(timestamp("2022-07-17T16:18:14+09:00", utc), Ok(want));
        assert_eq!(timestamp("2022-07-17T16:18:14+0900", utc), Ok(want));
        assert_eq!(timestamp("2022-07-17 16:18:14", seoul), Ok(want));
        assert_eq!(timestamp("2022-07-17 16:18:14.5", seoul), Ok(want + 500_000));
        assert_eq!(timestamp("2022-07-17T07:18:14.123456789Z", seoul), Ok(want + 123_456));
        assert_eq!(timestamp("2022-07-17", utc), Ok(1_658_016_000 * MICROS));
        assert_eq!(timestamp("1969-12-31T23:59:59.999999Z", utc), Ok(-1));
        for wrong in [
            "",
            "x",
            "2022-13-01",
            "2022-02-30",
            "2022-07-17T24:00:00Z",
            "2022-07-17T1:00",
            "2022-07-17T10:00:00.Z",
            "2022-07-17T10:00:00Zx",
            "0000-01-01",
            "2022-07-17T10",
            "2022",
        ] {
            assert!(timestamp(wrong, utc).is_err(), "{wrong}");
        }
        assert!(timestamp("1658042294", utc).unwrap_err().contains("epoch_s"));
    }

    #[test]
    fn local_times_at_the_clock_changes() {
        let berlin = chrono_tz::Europe::Berlin;
        // 2024-03-31 02:30 does not exist, 2024-10-27 02:30 comes twice.
        assert_eq!(
            timestamp("2024-03-31 02:30:00", berlin),
            timestamp("2024-03-31T01:30:00Z", berlin)
        );
        assert_eq!(
            timestamp("2024-10-27 02:30:00", berlin),
            timestamp("2024-10-27T00:30:00Z", berlin)
        );
    }

    #[test]
    fn epochs_and_dates() {
        assert_eq!(epoch("1658042294", EpochUnit::Seconds), Ok(1_658_042_294_000_000));
        assert_eq!(epoch("1658042294.25", EpochUnit::Seconds), Ok(1_658_042_294_250_000));
        assert_eq!(epoch("1658042294001", EpochUnit::Millis), Ok(1_658_042_294_001_000));
        assert_eq!(epoch("-1", EpochUnit::Micros), Ok(-1));
        assert!(epoch("9223372036854775807", EpochUnit::Seconds).is_err());
        assert!(epoch("1e300", EpochUnit::Millis).is_err());
        assert_eq!(epoch("x", EpochUnit::Seconds).unwrap_err(), "`x` is not an epoch_s");
        assert_eq!(date("1970-01-02"), Ok(1));
        assert!(date("1970-1-2").is_err());
        assert!(date("1970-01-02T00:00").is_err());
    }
}
