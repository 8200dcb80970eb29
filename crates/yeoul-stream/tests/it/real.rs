//! The movies as their repository has them, with the first country of each, against rows made
//! here without any of our parsers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use yeoul_base::{MemStore, RealDisk, Store, SystemClock};
use yeoul_format::{Columns, Decode, Delimited, LineDecoder};
use yeoul_stream::{
    Keep, LookupSpec, Lookups, StreamContext, StreamSpec, TableContext, TableIngest, TimeColumn,
    start, start_table,
};

use crate::node;

const DDL: &str = "time INT, movie STRING, title STRING, title_eng STRING, year INT, grade STRING";

fn folder() -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/psyoblade-movies");
    PathBuf::from(root)
}

/// `movie|year|country` of every line, by hand.
fn expected(movies: &str, countries: &str) -> Vec<String> {
    let mut first = HashMap::new();
    for line in countries.lines().skip(1) {
        let (movie, country) = line.split_once(',').unwrap();
        first.entry(movie).or_insert(country);
    }
    let row = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        let year = fields.get(4).filter(|year| !year.is_empty()).unwrap_or(&"null");
        let country = first.get(fields[1]).unwrap_or(&"null");
        format!("{}|{year}|{country}", fields[1])
    };
    let mut rows: Vec<_> = movies.lines().map(row).collect();
    rows.sort();
    rows
}

fn got(value: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(value).unwrap();
    let text = |name: &str| match &row[name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("{}|{}|{}", text("movie"), text("year"), text("country"))
}

#[test]
fn the_movies_with_their_first_country_are_those_counted_by_hand() {
    let (Ok(movies), Ok(countries)) = (
        std::fs::read_to_string(folder().join("movies.tsv")),
        std::fs::read_to_string(folder().join("countries.csv")),
    ) else {
        println!("skipped: no {}", folder().display());
        return;
    };
    let memory = MemStore::new();
    let store: Arc<dyn Store> = Arc::new(memory);
    node::topic(store.as_ref(), "movies", 1, DDL);
    let columns = Columns::parse(DDL).unwrap();
    let decode = Decode::Tsv(Delimited { columns, ..Delimited::default() });
    let decoder = LineDecoder::new(&decode).unwrap();
    let records = movies.lines().map(|line| {
        let mut record = Vec::new();
        decoder.decode(line.as_bytes(), &mut record).unwrap();
        record
    });
    let records: Vec<_> = records.collect();
    assert_eq!(records.len(), 900);

    let clock = Arc::new(SystemClock::new());
    let lookup = LookupSpec {
        name: "countries".into(),
        path: folder().join("countries.csv"),
        format: None,
        key: vec!["movie".into()],
        keep: Keep::First,
        reload: None,
    };
    let lookups = Arc::new(Lookups::new([lookup], clock.clone()));
    let context = StreamContext { store: Arc::clone(&store), clock: clock.clone(), lookups };
    let sql = "SELECT m.movie, m.title, m.year, m.grade, to_timestamp(m.time) AS ts, c.country \
               FROM movies m LEFT JOIN countries c ON m.movie = c.movie";
    let spec = StreamSpec { key: vec!["movie".into()], ..StreamSpec::new("korean_movies", sql) };
    let stream = start(spec, context).unwrap();
    let disk = tempfile::tempdir().unwrap();
    let context = TableContext {
        store: Arc::clone(&store),
        disk: Arc::new(RealDisk::new(disk.path()).unwrap()),
        clock,
        opened: Arc::new(|_| {}),
    };
    let ingest = TableIngest {
        time: Some(TimeColumn::new("ts")),
        ..TableIngest::new("films", "korean_movies")
    };
    let films = start_table(ingest, context).unwrap();
    for chunk in records.chunks(97) {
        node::put(store.as_ref(), "movies", chunk);
        std::thread::sleep(Duration::from_millis(1));
    }
    let status = node::wait("stream", 900, || stream.status());
    assert_eq!((status.fates.used, status.fates.dead, status.fates.out), (900, 0, 900));
    assert!(status.progress.is_some_and(|progress| progress.sources[0].end_offset == 900));
    let mut rows: Vec<_> =
        node::values(&store, "korean_movies").iter().map(|value| got(value)).collect();
    rows.sort();
    assert_eq!(rows, expected(&movies, &countries));
    let status = node::wait("table", 900, || films.status());
    assert_eq!((status.fates.used, status.fates.dead), (900, 0));
    let stats = films.table().unwrap().stats();
    assert_eq!((stats.rows, stats.min_us), (900, Some(1_658_101_694_000_000)));
    assert_eq!(stats.max_us, Some((1_658_101_694 + 899 * 600) * 1_000_000));
}
