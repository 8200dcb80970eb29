//! Places in a topic as people write them: an end, an offset, a time, or how long ago.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use yeoul_base::{Clock, SystemClock};
use yeoul_kafka_wire::api::list_offsets::{EARLIEST, LATEST};
use yeoul_kafka_wire::api::metadata::MetadataTopic;

use super::client::Cluster;
use crate::output::Failure;

/// What [`parse_place`] takes, for help and errors.
const FORMS: &str =
    "beginning, end, an offset, a time such as 2026-11-21T09:00:00Z, or how long ago such as 90m";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Beginning,
    End,
    Offset(i64),
    /// Milliseconds since 1970.
    Time(i64),
    /// Milliseconds before now.
    Ago(i64),
}

/// Reads a place. A time without an offset is UTC.
pub(super) fn parse_place(text: &str) -> Result<Place, String> {
    match text {
        "beginning" | "earliest" => return Ok(Place::Beginning),
        "end" | "latest" => return Ok(Place::End),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>() {
        return if offset >= 0 {
            Ok(Place::Offset(offset))
        } else {
            Err(format!("an offset is not negative; give {FORMS}"))
        };
    }
    if let Some(ago) = duration_ms(text) {
        return Ok(Place::Ago(ago));
    }
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).ok();
    let local = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
            .map(|time| time.and_utc().timestamp_millis())
    };
    time.or_else(local).map(Place::Time).ok_or_else(|| format!("give {FORMS}"))
}

/// `90s`, `15m`, `2h`, `7d`.
fn duration_ms(text: &str) -> Option<i64> {
    let (unit_at, unit) = text.char_indices().last()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    text.get(..unit_at)?.parse::<i64>().ok().filter(|n| *n >= 0)?.checked_mul(unit_ms)
}

/// Where a place is in each partition of a topic, within what there is.
pub(super) struct Places {
    pub(super) earliest: HashMap<i32, i64>,
    pub(super) latest: HashMap<i32, i64>,
    by_time: Option<HashMap<i32, i64>>,
    place: Place,
}

impl Places {
    pub(super) fn find(
        cluster: &mut Cluster,
        topic: &MetadataTopic,
        place: Place,
    ) -> Result<Self, Failure> {
        let by_time = match place {
            Place::Time(time_ms) => Some(cluster.offsets(topic, time_ms)?),
            Place::Ago(ms) => {
                let at = SystemClock::new().now_ms().saturating_sub(ms);
                Some(cluster.offsets(topic, at)?)
            }
            Place::Beginning | Place::End | Place::Offset(_) => None,
        };
        let earliest = cluster.offsets(topic, EARLIEST)?;
        let latest = cluster.offsets(topic, LATEST)?;
        Ok(Self { earliest, latest, by_time, place })
    }

    pub(super) fn first(&self, partition: i32) -> i64 {
        self.earliest.get(&partition).copied().unwrap_or(0)
    }

    pub(super) fn end(&self, partition: i32) -> i64 {
        self.latest.get(&partition).copied().unwrap_or(0)
    }

    /// The place's offset. Where nothing is as late as a time, the end.
    pub(super) fn offset(&self, partition: i32) -> i64 {
        let (first, end) = (self.first(partition), self.end(partition));
        match self.place {
            Place::Beginning => first,
            Place::End => end,
            Place::Offset(offset) => offset.clamp(first, end.max(first)),
            Place::Time(_) | Place::Ago(_) => {
                let found = self.by_time.as_ref().and_then(|found| found.get(&partition));
                found.copied().filter(|offset| *offset >= 0).unwrap_or(end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let nine = 1_795_251_600_000;
        let cases = [
            ("beginning", Place::Beginning),
            ("latest", Place::End),
            ("17", Place::Offset(17)),
            ("90m", Place::Ago(5_400_000)),
            ("7d", Place::Ago(604_800_000)),
            ("2026-11-21T09:00:00Z", Place::Time(nine)),
            ("2026-11-21T18:00:00+09:00", Place::Time(nine)),
            ("2026-11-21 09:00", Place::Time(nine)),
            ("2026-11-21 09:00:00.250", Place::Time(nine + 250)),
            ("2026-11-21", Place::Time(nine - 9 * 3_600_000)),
        ];
        for (text, place) in cases {
            assert_eq!(parse_place(text), Ok(place), "{text}");
        }
        for text in ["", "-1", "m", "-5m", "tomorrow", "2026-13-01", "99999999999999999999d", "분"]
        {
            assert!(parse_place(text).is_err(), "{text}");
        }
    }
}
