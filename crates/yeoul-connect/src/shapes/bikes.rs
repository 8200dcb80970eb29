//! Seoul's public bikes, as the city's open API sends them: all values are text. Stations fill
//! and empty with the hour: homes in the night, offices by day, parks on the way back.
//!
//! Stations are `ST-1` to `ST-2700`, spread evenly over the districts in the order of
//! [`DISTRICTS`]; `examples/bikes/data/stations.csv` repeats that rule.

use chrono::{DateTime, FixedOffset, Timelike};
use yeoul_base::Rand;

use super::{dice, pick};

/// About as many as the city has.
pub const STATIONS: usize = 2_700;

/// Spark's DDL of the records; `timestamp` is Seoul's time, without an offset.
pub const COLUMNS: &str = "rackTotCnt STRING, stationName STRING, parkingBikeTotCnt STRING, \
    shared STRING, stationLatitude STRING, stationLongitude STRING, stationId STRING, \
    timestamp STRING";

/// Name, part of the city, latitude and longitude (in 1/10,000 degrees) of its middle.
pub const DISTRICTS: [(&str, &str, i32, i32); 25] = [
    ("강남구", "동남권", 375_000, 1_270_500),
    ("강동구", "동남권", 375_450, 1_271_370),
    ("강북구", "동북권", 376_340, 1_270_200),
    ("강서구", "서남권", 375_560, 1_268_250),
    ("관악구", "서남권", 374_700, 1_269_450),
    ("광진구", "동북권", 375_430, 1_270_850),
    ("구로구", "서남권", 374_950, 1_268_580),
    ("금천구", "서남권", 374_600, 1_269_000),
    ("노원구", "동북권", 376_500, 1_270_750),
    ("도봉구", "동북권", 376_650, 1_270_320),
    ("동대문구", "동북권", 375_800, 1_270_550),
    ("동작구", "서남권", 375_000, 1_269_500),
    ("마포구", "서북권", 375_600, 1_269_080),
    ("서대문구", "서북권", 375_780, 1_269_390),
    ("서초구", "동남권", 374_750, 1_270_200),
    ("성동구", "동북권", 375_510, 1_270_410),
    ("성북구", "동북권", 376_050, 1_270_170),
    ("송파구", "동남권", 375_050, 1_271_150),
    ("양천구", "서남권", 375_250, 1_268_550),
    ("영등포구", "서남권", 375_200, 1_269_100),
    ("용산구", "도심권", 375_310, 1_269_800),
    ("은평구", "서북권", 376_180, 1_269_270),
    ("종로구", "도심권", 375_940, 1_269_770),
    ("중구", "도심권", 375_600, 1_269_950),
    ("중랑구", "동북권", 375_980, 1_270_930),
];

const STEMS: [&str; 24] = [
    "여울",
    "한빛",
    "새터",
    "솔밭",
    "은하",
    "다래",
    "버들",
    "느티",
    "햇살",
    "무지개",
    "돌담",
    "옹달샘",
    "미리내",
    "가온",
    "누리",
    "별내",
    "하늘",
    "달빛",
    "참새",
    "단풍",
    "나루",
    "봄내",
    "청솔",
    "모래",
];
const PLACES: [&str; 12] = [
    "역 1번출구 앞",
    "역 3번출구 앞",
    "역 5번출구 뒤",
    "초등학교 정문",
    "중학교 건너편",
    "공원 입구",
    "공원 앞",
    "시장 공영주차장",
    "아파트 정문",
    "주민센터 옆",
    "도서관 앞",
    "교차로 북측",
];
const SEOUL_OFFSET_S: i32 = 9 * 3_600;

/// What a station's bikes are used for; decides its day.
#[derive(Clone, Copy)]
enum Use {
    Homes,
    Offices,
    Leisure,
}

/// The district of a station, counted from 0.
pub fn district(station: usize) -> (&'static str, &'static str) {
    let (name, region, ..) = place(station);
    (name, region)
}

fn place(station: usize) -> (&'static str, &'static str, i32, i32) {
    let at = station * DISTRICTS.len() / STATIONS;
    DISTRICTS.get(at).copied().unwrap_or(("", "", 0, 0))
}

/// `stationId,district,region`, with a header: the table to join the records with.
pub fn district_csv() -> String {
    let mut csv = String::from("stationId,district,region\n");
    for station in 0..STATIONS {
        let (district, region) = district(station);
        csv.push_str(&format!("ST-{},{district},{region}\n", station + 1));
    }
    csv
}

/// What station number `station` (from 0) reports at `time_s` (Unix seconds): one JSON object.
pub fn record(station: usize, time_s: i64, seed: u64) -> String {
    let fixed = dice(seed, station as u64, 0);
    let (district, _, latitude, longitude) = place(station);
    let name = format!("{}{}", pick(&fixed, &STEMS), pick(&fixed, &PLACES));
    let racks = 5 + fixed.below(21);
    let kind = match fixed.below(10) {
        0..=3 if matches!(district, "강남구" | "영등포구" | "종로구" | "중구") => {
            Use::Offices
        }
        0..=1 => Use::Offices,
        8.. => Use::Leisure,
        _ => Use::Homes,
    };
    let spread = |middle: i32, by: u64| {
        let shift = fixed.below(2 * by * 10_000) as f64 / 10_000.0 - by as f64;
        (f64::from(middle) + shift) / 10_000.0
    };
    let (latitude, longitude) = (spread(latitude, 180), spread(longitude, 220));

    let local = local_time(time_s);
    let hour = f64::from(local.num_seconds_from_midnight()) / 3_600.0;
    // Every few minutes somebody comes or goes, each station at its own moments.
    let phase = fixed.below(300) as i64;
    let moment = dice(seed, station as u64, 1 + (time_s + phase).div_euclid(300) as u64);
    let swing = moment.below(5) as f64 - 2.0;
    let bikes = (racks as f64 * fill(kind, hour) + swing).clamp(0.0, racks as f64 * 1.6) as u64;
    format!(
        r#"{{"rackTotCnt":"{racks}","stationName":"{}. {name}","parkingBikeTotCnt":"{bikes}","shared":"{}","stationLatitude":"{latitude:.8}","stationLongitude":"{longitude:.8}","stationId":"ST-{}","timestamp":"{}"}}"#,
        station + 101,
        bikes * 100 / racks,
        station + 1,
        local.format("%Y-%m-%d %H:%M:%S"),
    )
}

fn local_time(time_s: i64) -> DateTime<FixedOffset> {
    let utc = DateTime::from_timestamp(time_s, 0).unwrap_or_default();
    match FixedOffset::east_opt(SEOUL_OFFSET_S) {
        Some(zone) => utc.with_timezone(&zone),
        None => utc.fixed_offset(),
    }
}

/// The part of its racks that is full at this hour.
fn fill(kind: Use, hour: f64) -> f64 {
    // 0 in the night, 1 from about 9 to 18 o'clock, smooth between.
    let rise = |at: f64| 1.0 / (1.0 + (-(hour - at) * 1.6).exp());
    let working = rise(8.2) - rise(18.6);
    let evening = rise(17.5) - rise(21.5);
    match kind {
        Use::Homes => 0.95 - 0.6 * working,
        Use::Offices => 0.2 + 0.9 * working,
        Use::Leisure => 0.75 - 0.3 * working - 0.4 * evening,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// 2024-04-25 00:00:00 in Seoul.
    const MIDNIGHT: i64 = 1_713_970_800;

    fn bikes(time_s: i64) -> u64 {
        (0..STATIONS)
            .map(|station| {
                let record: serde_json::Value =
                    serde_json::from_str(&record(station, time_s, 1)).unwrap();
                record["parkingBikeTotCnt"].as_str().unwrap().parse::<u64>().unwrap()
            })
            .sum()
    }

    #[test]
    fn records_have_the_citys_shape() {
        let mut ids = BTreeSet::new();
        for station in 0..STATIONS {
            let text = record(station, MIDNIGHT + 4_827, 1);
            let record: serde_json::Value = serde_json::from_str(&text).unwrap();
            let columns: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
            let declared: Vec<_> = COLUMNS
                .split(", ")
                .map(|column| column.trim().split(' ').next().unwrap())
                .collect();
            assert_eq!(columns, declared);
            let text = |key: &str| record[key].as_str().unwrap().to_owned();
            let latitude: f64 = text("stationLatitude").parse().unwrap();
            let longitude: f64 = text("stationLongitude").parse().unwrap();
            assert!((37.4..37.72).contains(&latitude), "{latitude}");
            assert!((126.78..127.2).contains(&longitude), "{longitude}");
            assert_eq!(text("timestamp"), "2024-04-25 01:20:27");
            ids.insert(text("stationId"));
        }
        assert_eq!(ids.len(), STATIONS);
        assert_eq!(record(7, MIDNIGHT, 1), record(7, MIDNIGHT, 1));
        assert_ne!(record(7, MIDNIGHT, 1), record(7, MIDNIGHT, 2));
    }

    #[test]
    fn the_city_empties_by_day() {
        let (night, noon) = (bikes(MIDNIGHT + 3 * 3_600), bikes(MIDNIGHT + 12 * 3_600));
        assert!(noon * 10 < night * 9, "{noon} bikes parked at noon, {night} in the night");
    }

    #[test]
    fn the_lookup_is_that_of_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/bikes/data/stations.csv");
        assert_eq!(district_csv(), std::fs::read_to_string(path).unwrap());
    }
}
