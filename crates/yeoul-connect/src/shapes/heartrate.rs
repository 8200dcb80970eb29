//! Heartbeats of watches. `createdAt` is the array of numbers that a common JSON library makes
//! of a local time: seconds are left out when zero, and the seventh number is nanoseconds.

use chrono::{DateTime, Datelike, Timelike};
use yeoul_base::Rand;

use super::dice;

/// Spark's DDL of the records.
pub const COLUMNS: &str = "playerId STRING, heartbeat DOUBLE, createdAt ARRAY<INT>";
const PLAYERS: u64 = 12;
const SEOUL_OFFSET_MS: i64 = 9 * 3_600_000;

/// Record number `number`, made at `time_ms` (Unix): one JSON object.
pub fn record(number: u64, time_ms: i64, seed: u64) -> String {
    let player = number % PLAYERS;
    let calm = 58.0 + dice(seed, player, 0).below(20) as f64;
    let moment = dice(seed, player, number + 1);
    // Each player trains for some minutes of every half hour.
    let minute = (time_ms / 60_000 + player as i64 * 7).rem_euclid(30);
    let effort = if minute < 8 { 45.0 } else { 0.0 };
    let heartbeat = calm + effort + moment.below(120) as f64 / 10.0;

    let local = DateTime::from_timestamp_millis(time_ms.saturating_add(SEOUL_OFFSET_MS));
    let local = local.unwrap_or_default();
    let mut created = format!(
        "{},{},{},{},{}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute()
    );
    let nanos = local.nanosecond();
    if local.second() != 0 || nanos != 0 {
        created.push_str(&format!(",{}", local.second()));
    }
    if nanos != 0 {
        created.push_str(&format!(",{nanos}"));
    }
    format!(
        r#"{{"playerId":"player-{player:02}","heartbeat":{heartbeat:.1},"createdAt":[{created}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_seconds_are_left_out() {
        // 2023-11-23 10:05:00 in Seoul.
        let time_ms = 1_700_701_500_000;
        let ends = |time_ms, end: &str| {
            let record = record(3, time_ms, 1);
            assert!(record.ends_with(end), "{record}");
            let value: serde_json::Value = serde_json::from_str(&record).unwrap();
            assert!((40.0..200.0).contains(&value["heartbeat"].as_f64().unwrap()));
        };
        ends(time_ms, "[2023,11,23,10,5]}");
        ends(time_ms + 5, "[2023,11,23,10,5,0,5000000]}");
        ends(time_ms + 7_000, "[2023,11,23,10,5,7]}");
    }
}
