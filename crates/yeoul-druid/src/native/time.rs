//! Intervals and granularities as clients spell them.
//!
//! Invariant: an interval includes its start and not its end; a bound outside the calendar of the
//! engine is no bound.

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat};
use chrono_tz::Tz;
use serde::Deserialize;
use yeoul_sql::functions::druid::Period;

use crate::text::{Sql, Ty, joined};

/// Milliseconds since 1970; `None` is endless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
}

/// Instants beyond these years are no bounds; microseconds hold more.
const YEAR_MAX: i64 = 200_000;

impl Interval {
    pub(crate) const ETERNITY: Self = Self { start: None, end: None };

    /// `start/end`, `start/period` or `period/end`; times are UTC unless they say otherwise.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.trim().split_once('/')?;
        match (start.starts_with('P'), end.starts_with('P')) {
            (false, false) => {
                let interval = Self { start: instant(start)?, end: instant(end)? };
                let ordered = match (interval.start, interval.end) {
                    (Some(start), Some(end)) => start <= end,
                    _ => true,
                };
                ordered.then_some(interval)
            }
            (false, true) => {
                let start = instant(start)?;
                Some(Self { start, end: moved(start, end, 1)? })
            }
            (true, false) => {
                let end = instant(end)?;
                Some(Self { start: moved(end, start, -1)?, end })
            }
            (true, true) => None,
        }
    }

    /// The condition that `time`, an SQL instant, lies within.
    fn condition(self, time: &str) -> String {
        let start = self.start.and_then(Sql::millis).map(|at| format!("{time} >= {}", at.text));
        let end = self.end.and_then(Sql::millis).map(|at| format!("{time} < {}", at.text));
        match (start, end) {
            (Some(start), Some(end)) => format!("({start} AND {end})"),
            (Some(one), None) | (None, Some(one)) => format!("({one})"),
            (None, None) => "TRUE".to_owned(),
        }
    }
}

/// The condition that `time` lies within one of the intervals; `None` when it always does.
pub(crate) fn within(intervals: &[Interval], time: &str) -> Option<String> {
    if intervals.contains(&Interval::ETERNITY) {
        return None;
    }
    let each = intervals.iter().map(|interval| interval.condition(time)).collect();
    Some(joined(each, "OR", "FALSE"))
}

fn moved(at: Option<i64>, period: &str, count: i64) -> Option<Option<i64>> {
    let Some(at) = at else { return Some(None) };
    let us = Period::parse(period)?.shift(at.checked_mul(1_000)?, count, Tz::UTC)?;
    Some(Some(us.div_euclid(1_000)))
}

/// Reads ISO 8601 with any of its ends left out (`2026`, `2026-11`, `2026-11-20T18Z`); the inner
/// `None` for a time outside the calendar.
pub(crate) fn instant(text: &str) -> Option<Option<i64>> {
    let text = text.trim();
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time),
        None => (text.strip_suffix('Z').unwrap_or(text), ""),
    };
    let (sign, digits) = match date.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, date.strip_prefix('+').unwrap_or(date)),
    };
    let mut parts = digits.split('-');
    let year = sign * number(parts.next()?, 1, 9)?;
    let month = parts.next().map_or(Some(1), |part| number(part, 1, 2))?;
    let day = parts.next().map_or(Some(1), |part| number(part, 1, 2))?;
    if parts.next().is_some() {
        return None;
    }
    let ms_of_day = time_of_day(time)?;
    if year.abs() > YEAR_MAX {
        return Some(None);
    }
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    Some(Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis() + ms_of_day))
}

fn number(text: &str, least: usize, most: usize) -> Option<i64> {
    let right = (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if right { text.parse().ok() } else { None }
}

/// `18`, `18:30`, `18:30:15.123` with `Z`, `+09:00`, `+0900` or nothing behind: milliseconds
/// from midnight UTC.
fn time_of_day(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (clock, east) = match text.find(['Z', '+', '-']) {
        None => (text, 0),
        Some(at) => {
            let (clock, zone) = text.split_at_checked(at)?;
            (clock, offset(zone)?)
        }
    };
    let (clock, millis) = match clock.split_once(['.', ',']) {
        None => (clock, 0),
        Some((clock, fraction)) => {
            number(fraction, 1, 9)?;
            let digits: String = fraction.chars().chain("00".chars()).take(3).collect();
            (clock, digits.parse::<i64>().ok()?)
        }
    };
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 1, 2)?;
    let minute = parts.next().map_or(Some(0), |part| number(part, 1, 2))?;
    let second = parts.next().map_or(Some(0), |part| number(part, 1, 2))?;
    if parts.next().is_some() || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    Some((hour * 3_600 + minute * 60 + second) * 1_000 + millis - east)
}

/// Milliseconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.get(1..)?.chars().filter(|letter| *letter != ':').collect();
    let minutes = match digits.len() {
        2 => number(&digits, 2, 2)? * 60,
        4 => number(digits.get(..2)?, 2, 2)? * 60 + number(digits.get(2..)?, 2, 2)?,
        _ => return None,
    };
    Some(sign * minutes * 60_000)
}

/// `"intervals"`: a text, texts, or `{"type":"intervals","intervals":[..]}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Intervals {
    One(String),
    Many(Vec<String>),
    Typed {
        #[serde(alias = "segments")]
        intervals: Vec<serde_json::Value>,
    },
}

/// Each interval is one condition of the plan.
const INTERVALS_MAX: usize = 200;

impl Intervals {
    pub(crate) fn read(&self) -> Result<Vec<Interval>, String> {
        let texts: Vec<&str> = match self {
            // One text may hold several, with commas between.
            Self::One(text) => text.split(',').collect(),
            Self::Many(texts) => texts.iter().map(String::as_str).collect(),
            Self::Typed { intervals } => {
                let texts = intervals.iter().map(|each| {
                    each.as_str().or_else(|| each.get("itvl").and_then(|each| each.as_str()))
                });
                texts.collect::<Option<_>>().ok_or("`intervals` must hold texts")?
            }
        };
        if texts.len() > INTERVALS_MAX {
            return Err(format!("{} intervals, at most {INTERVALS_MAX} are allowed", texts.len()));
        }
        let read = |text: &&str| {
            Interval::parse(text)
                .ok_or_else(|| format!("`{text}` is not an interval such as 2026-01-01/P1D"))
        };
        texts.iter().map(read).collect()
    }
}

/// How times are put into buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Granularity {
    All,
    /// Milliseconds.
    None,
    Period {
        text: String,
        period: Period,
        origin: Option<i64>,
        zone: Tz,
    },
    Duration {
        ms: i64,
        origin: i64,
    },
}

/// As clients write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum GranularitySpec {
    Name(String),
    Typed {
        #[serde(rename = "type")]
        kind: String,
        period: Option<String>,
        #[serde(rename = "timeZone")]
        zone: Option<String>,
        origin: Option<serde_json::Value>,
        duration: Option<serde_json::Value>,
    },
}

const NAMED: [(&str, &str); 14] = [
    ("second", "PT1S"),
    ("minute", "PT1M"),
    ("five_minute", "PT5M"),
    ("ten_minute", "PT10M"),
    ("fifteen_minute", "PT15M"),
    ("thirty_minute", "PT30M"),
    ("hour", "PT1H"),
    ("six_hour", "PT6H"),
    ("eight_hour", "PT8H"),
    ("day", "P1D"),
    ("week", "P1W"),
    ("month", "P1M"),
    ("quarter", "P3M"),
    ("year", "P1Y"),
];

impl GranularitySpec {
    pub(crate) fn read(&self) -> Result<Granularity, String> {
        match self {
            Self::Name(name) => named(name),
            Self::Typed { kind, period, zone, origin, duration } => match kind.as_str() {
                "period" => {
                    let period = period.as_deref().ok_or("a granularity without `period`")?;
                    granularity(period, origin.as_ref(), zone.as_deref())
                }
                "duration" => {
                    let ms = duration.as_ref().and_then(millis).filter(|ms| *ms > 0);
                    let ms = ms.ok_or("`duration` must be a number of milliseconds")?;
                    Ok(Granularity::Duration {
                        ms,
                        origin: origin_of(origin.as_ref())?.unwrap_or(0),
                    })
                }
                other => named(other),
            },
        }
    }
}

fn named(name: &str) -> Result<Granularity, String> {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "all" => return Ok(Granularity::All),
        "none" => return Ok(Granularity::None),
        _ => {}
    }
    match NAMED.iter().find(|(known, _)| *known == lower) {
        Some((_, period)) => granularity(period, None, None),
        None => Err(format!("no granularity `{name}`")),
    }
}

fn granularity(
    text: &str,
    origin: Option<&serde_json::Value>,
    zone: Option<&str>,
) -> Result<Granularity, String> {
    let period = Period::parse(text).filter(Period::can_floor);
    let period = period.ok_or_else(|| format!("`{text}` is not a period of one unit"))?;
    let zone = zone.unwrap_or("UTC");
    let zone = zone.parse().map_err(|_| format!("no time zone `{zone}`"))?;
    Ok(Granularity::Period { text: text.to_owned(), period, origin: origin_of(origin)?, zone })
}

fn millis(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn origin_of(origin: Option<&serde_json::Value>) -> Result<Option<i64>, String> {
    match origin {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(value) => {
            let found = millis(value).or_else(|| instant(value.as_str()?).flatten());
            found.map(Some).ok_or_else(|| format!("`{value}` is not an origin"))
        }
    }
}

impl Granularity {
    /// The start of the bucket of `time`, an SQL instant; `None` for one bucket of all.
    pub(crate) fn bucket(&self, time: &str) -> Option<Sql> {
        match self {
            Self::All => None,
            Self::None => {
                let ms = Sql::new(time, Ty::Time).as_long();
                Some(Sql::new(format!("MILLIS_TO_TIMESTAMP({ms})"), Ty::Time))
            }
            Self::Period { text, origin, zone, .. } => {
                let origin = origin.and_then(Sql::millis).map(|at| at.text);
                Some(crate::expression::floor(
                    "TIME_FLOOR",
                    time,
                    text,
                    origin.as_deref(),
                    Some(zone.name()),
                ))
            }
            Self::Duration { ms, origin } => {
                let at = Sql::new(time, Ty::Time).as_long();
                let (ms, origin) = (Sql::long(*ms).text, Sql::long(*origin).text);
                // The remainder of a time before the origin is negative.
                let text = format!(
                    "MILLIS_TO_TIMESTAMP({at} - ((({at} - {origin}) % {ms}) + {ms}) % {ms})"
                );
                Some(Sql::new(text, Ty::Time))
            }
        }
    }

    /// The start of the bucket of an instant, in milliseconds.
    pub(crate) fn floor(&self, ms: i64) -> Option<i64> {
        match self {
            Self::All | Self::None => Some(ms),
            Self::Period { period, origin, zone, .. } => {
                let origin = origin.and_then(|origin| origin.checked_mul(1_000));
                let us = period.floor(ms.checked_mul(1_000)?, origin, *zone)?;
                Some(us.div_euclid(1_000))
            }
            Self::Duration { ms: length, origin } => {
                Some(ms - ms.checked_sub(*origin)?.rem_euclid(*length))
            }
        }
    }

    /// The start of the bucket after the one that starts at `ms`; `None` when buckets are not
    /// counted out.
    pub(crate) fn next(&self, ms: i64) -> Option<i64> {
        match self {
            Self::All | Self::None => None,
            Self::Period { period, zone, .. } => {
                let us = period.shift(ms.checked_mul(1_000)?, 1, *zone)?;
                Some(us.div_euclid(1_000)).filter(|next| *next > ms)
            }
            Self::Duration { ms: length, .. } => ms.checked_add(*length),
        }
    }

    fn zone(&self) -> Tz {
        match self {
            Self::Period { zone, .. } => *zone,
            _ => Tz::UTC,
        }
    }

    /// A time as answers of this granularity write it: in its zone, with its offset.
    pub(crate) fn written(&self, ms: i64) -> String {
        written(ms, self.zone())
    }
}

/// `2026-11-20T22:00:00.000Z`, or with the offset of a zone that is not UTC.
pub(crate) fn written(ms: i64, zone: Tz) -> String {
    let Some(at) = DateTime::from_timestamp_millis(ms) else { return ms.to_string() };
    // Readers expect years of four digits or a sign.
    if at.year() > 9_999 || at.year() < 0 {
        return at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    }
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(text: &str) -> Option<(Option<i64>, Option<i64>)> {
        Interval::parse(text).map(|interval| (interval.start, interval.end))
    }

    const DAY: i64 = 86_400_000;

    #[test]
    fn every_spelling_of_an_interval_is_read() {
        let day = 1_795_132_800_000; // 2026-11-20T00:00Z
        let one_day = Some((Some(day), Some(day + DAY)));
        for text in [
            "2026-11-20/2026-11-21",
            "2026-11-20T00Z/2026-11-21T00Z",
            "2026-11-20T00:00Z/2026-11-21T00:00Z",
            "2026-11-20T00:00/2026-11-21T00:00",
            "2026-11-20T00:00:00.000Z/2026-11-21T00:00:00.000Z",
            "2026-11-20T09:00:00+09:00/2026-11-21T09:00:00+0900",
            "2026-11-20/P1D",
            "P1D/2026-11-21",
            "2026-11-20 00:00:00/PT24H",
        ] {
            assert_eq!(interval(text), one_day, "{text}");
        }
        assert_eq!(interval("1970/1971"), Some((Some(0), Some(365 * DAY))));
        assert!(interval("1000/3000").is_some());
        assert_eq!(
            interval("-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"),
            Some((None, None))
        );
        for bad in ["", "2026", "2026/", "P1D/P1D", "2026-13-01/2027", "2027/2026", "a/b"] {
            assert_eq!(interval(bad), None, "{bad}");
        }
    }

    #[test]
    fn buckets_follow_the_zone() {
        let seoul = granularity("P1D", None, Some("Asia/Seoul")).unwrap();
        let at = instant("2026-11-20T18:30Z").unwrap().unwrap();
        let start = seoul.floor(at).unwrap();
        assert_eq!(seoul.written(start), "2026-11-21T00:00:00.000+09:00");
        assert_eq!(seoul.next(start).unwrap() - start, DAY);
        assert_eq!(named("hour").unwrap().written(at), "2026-11-20T18:30:00.000Z");
        let spec = r#"{"type":"duration","duration":7200000,"origin":"2026-01-01T01:00Z"}"#;
        let spec: GranularitySpec = serde_json::from_str(spec).unwrap();
        let two_hours = spec.read().unwrap();
        assert_eq!(two_hours.written(two_hours.floor(at).unwrap()), "2026-11-20T17:00:00.000Z");
        assert!(named("fortnight").is_err());
    }
}
