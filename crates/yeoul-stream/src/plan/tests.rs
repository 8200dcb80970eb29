//! Queries against a few topics and lookups: rows, dead letters, and the text of every refusal.

use std::collections::BTreeMap;
use std::sync::Arc;

use yeoul_base::ManualClock;
use yeoul_format::Columns;
use yeoul_log::batch::Record;

use super::*;
use crate::{Keep, LookupSpec, Lookups, Taken};

struct Given {
    topics: BTreeMap<String, TopicSchema>,
    lookups: Lookups,
    _folder: tempfile::TempDir,
}

impl Inputs for Given {
    fn topic(&self, name: &str) -> Option<TopicSchema> {
        self.topics.get(name).cloned()
    }

    fn lookup(&self, name: &str) -> Option<Result<SchemaRef, String>> {
        self.lookups.schema(name)
    }

    fn names(&self) -> Vec<String> {
        self.topics.keys().cloned().chain(self.lookups.names()).collect()
    }
}

fn declared(ddl: &str) -> TopicSchema {
    let columns = Columns::parse(ddl).unwrap().into_vec();
    TopicSchema::Known(Schema::new(columns, Origin::Declared))
}

#[expect(clippy::disallowed_methods, reason = "a test's own files")]
fn given() -> Given {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, key: &[&str]| {
        let path = folder.path().join(format!("{name}.csv"));
        std::fs::write(&path, text).unwrap();
        let key = key.iter().map(|name| (*name).to_owned()).collect();
        LookupSpec { name: name.into(), path, format: None, key, keep: Keep::First, reload: None }
    };
    let specs = [
        file("countries", "movie,country\n10225,한국\n10225,US\n777,JP\n", &["movie"]),
        file("genres", "movie,genre,rank\n10225,SF,1\n10225,Drama,2\n", &[]),
    ];
    let lookups = Lookups::new(specs, Arc::new(ManualClock::default()));
    let topics = [
        (
            "movies",
            declared(
                "time INT, movie STRING, title STRING, Year INT, tags ARRAY<INT>, at STRUCT<Lat: DOUBLE>",
            ),
        ),
        ("heart-raw", declared("createdAt ARRAY<INT>")),
        ("empty", TopicSchema::Unknown),
    ];
    let topics = topics.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    Given { topics, lookups, _folder: folder }
}

fn spec(sql: &str) -> StreamSpec {
    StreamSpec { timezone: chrono_tz::Asia::Seoul, ..StreamSpec::new("s", sql) }
}

fn taken(topic_offset: i64, value: &str) -> Taken {
    let record = Record {
        offset: topic_offset,
        timestamp_ms: 1_658_042_294_123,
        key: Some("k".into()),
        value: Some(value.to_owned().into()),
        headers: Vec::new(),
    };
    Taken { partition: 3, record }
}

/// The rows and dead letters that records of the query's topic become, one a line.
fn rows_of(spec: &StreamSpec, records: &[&str]) -> String {
    let given = given();
    let plan = match plan(spec, &given) {
        Ok(plan) => plan,
        Err(error) => return error.to_string(),
    };
    let records: Vec<_> = (0..).zip(records).map(|(at, value)| taken(at, value)).collect();
    let made = plan.run_batch(&plan.inputs[0], &records, &given.lookups).unwrap();
    assert_eq!(
        u64::from(made.records),
        made.used + made.filtered + made.dead.len() as u64,
        "each record has one fate"
    );
    let rows = made.rows.iter().map(|row| {
        let key = row.key.as_ref().map(|key| format!("{}: ", String::from_utf8_lossy(key)));
        format!("{}{}", key.unwrap_or_default(), String::from_utf8_lossy(&row.value))
    });
    let dead = made.dead.iter().map(|dead| format!("dead {}: {}", dead.origin, dead.reason));
    rows.chain(dead).collect::<Vec<_>>().join("\n")
}

fn check(sql: &str, records: &[&str], expected: &str) {
    assert_eq!(rows_of(&spec(sql), records), expected, "{sql}");
}

#[test]
fn columns_are_chosen_computed_and_filtered() {
    let records =
        [r#"{"movie":"10225","Year":1999,"time":1658042294}"#, r#"{"movie":"5","time":0}"#];
    check(
        "SELECT movie, Year + 1 AS y FROM movies",
        &records,
        "{\"movie\":\"10225\",\"y\":2000}\n{\"movie\":\"5\",\"y\":null}",
    );
    check("SELECT movie FROM movies WHERE Year > 1990", &records, r#"{"movie":"10225"}"#);
    check("SELECT movie FROM movies WHERE 1 = 2", &records, "");
    check(
        "SELECT m.movie, to_timestamp(m.time) AS ts FROM movies m WHERE m.time > 0",
        &records,
        r#"{"movie":"10225","ts":"2022-07-17T07:18:14Z"}"#,
    );
    check(
        "WITH y AS (SELECT movie, Year FROM movies) SELECT movie FROM (SELECT * FROM y) z WHERE year = 1999",
        &records,
        r#"{"movie":"10225"}"#,
    );
}

#[test]
fn a_star_leaves_out_the_system_columns_which_can_be_asked_for() {
    let records = [r#"{"movie":"1","x":[1]}"#];
    check(
        "SELECT * FROM movies",
        &records,
        r#"{"time":null,"movie":"1","title":null,"Year":null,"tags":null,"at":null}"#,
    );
    check(
        "SELECT _key, _topic, _partition, _offset, _timestamp, _value, _rest, _headers FROM movies",
        &records,
        r#"{"_key":"k","_topic":"movies","_partition":3,"_offset":0,"_timestamp":"2022-07-17T07:18:14.123Z","_value":"{\"movie\":\"1\",\"x\":[1]}","_rest":{"x":[1]},"_headers":"[]"}"#,
    );
    // Nobody asks for a field: the value need not be JSON.
    check("SELECT upper(_value) AS v FROM movies", &["plain"], r#"{"v":"PLAIN"}"#);
}

#[test]
fn unquoted_names_find_their_case() {
    let records = [r#"{"movie":"1","Year":7,"at":{"Lat":1.5}}"#];
    check("SELECT YEAR, Movie FROM MOVIES", &records, r#"{"Year":7,"movie":"1"}"#);
    check("SELECT M.year AS Y FROM movies m", &records, r#"{"Y":7}"#);
    check("SELECT at.lat AS lat FROM movies", &records, r#"{"lat":1.5}"#);
    let error = rows_of(&spec("SELECT \"YEAR\" FROM movies"), &records);
    assert!(error.contains("YEAR") && error.contains("line 1"), "{error}");
}

#[test]
fn a_bad_row_is_a_dead_letter_and_takes_no_other_with_it() {
    let mut records = vec![r#"{"title":"7"}"#; 100];
    records[40] = r#"{"title":"seven"}"#;
    records[41] = "no json";
    records[97] = r#"{"title":"8x"}"#;
    let text = rows_of(&spec("SELECT CAST(title AS INT) AS n FROM movies"), &records);
    assert_eq!(text.lines().filter(|line| *line == r#"{"n":7}"#).count(), 97);
    let dead: Vec<_> = text.lines().filter(|line| line.starts_with("dead")).collect();
    assert_eq!(dead.len(), 3, "{dead:?}");
    assert!(dead[0].starts_with("dead 40:") && dead[0].contains("seven"), "{dead:?}");
    assert!(dead[1].starts_with("dead 41: not a JSON object"), "{dead:?}");
    assert!(dead[2].starts_with("dead 97:") && dead[2].contains("8x"), "{dead:?}");
}

#[test]
fn lookups_join_by_key_or_by_every_match() {
    let records = [r#"{"movie":"10225"}"#, r#"{"movie":"none"}"#, "{}"];
    check(
        "SELECT m.movie, c.country FROM movies m LEFT JOIN countries c ON m.movie = c.movie",
        &records,
        "{\"movie\":\"10225\",\"country\":\"한국\"}\n{\"movie\":\"none\",\"country\":null}\n{\"movie\":null,\"country\":null}",
    );
    check(
        "SELECT m.movie, g.genre FROM movies m JOIN genres g ON m.movie = g.movie",
        &records,
        "{\"movie\":\"10225\",\"genre\":\"SF\"}\n{\"movie\":\"10225\",\"genre\":\"Drama\"}",
    );
    check(
        "SELECT m.movie, g.genre FROM movies m LEFT JOIN genres g ON m.movie = g.movie AND g.rank > 1",
        &records,
        "{\"movie\":\"10225\",\"genre\":\"Drama\"}\n{\"movie\":\"none\",\"genre\":null}\n{\"movie\":null,\"genre\":null}",
    );
    check(
        "SELECT movie FROM movies WHERE movie IN (SELECT movie FROM countries)",
        &records,
        r#"{"movie":"10225"}"#,
    );
    check(
        "SELECT m.movie, c.country, g.genre FROM movies m LEFT JOIN countries c ON m.movie = c.movie JOIN genres g ON g.movie = c.movie WHERE genre = 'SF'",
        &records,
        r#"{"movie":"10225","country":"한국","genre":"SF"}"#,
    );
}

#[test]
fn branches_of_a_union_are_one_stream() {
    check(
        "SELECT movie FROM movies UNION ALL SELECT title AS movie FROM movies WHERE title IS NOT NULL",
        &[r#"{"movie":"1","title":"a"}"#, r#"{"movie":"2"}"#],
        "{\"movie\":\"1\"}\n{\"movie\":\"a\"}\n{\"movie\":\"2\"}",
    );
}

#[test]
fn keys_are_text_or_an_array() {
    let records = [r#"{"movie":"1","Year":7}"#];
    let keyed = |key: &[&str]| StreamSpec {
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        ..spec("SELECT movie, Year, title FROM movies")
    };
    let value = r#"{"movie":"1","Year":7,"title":null}"#;
    assert_eq!(rows_of(&keyed(&["movie"]), &records), format!("1: {value}"));
    assert_eq!(rows_of(&keyed(&["Year"]), &records), format!("7: {value}"));
    assert_eq!(rows_of(&keyed(&["title"]), &records), value);
    assert_eq!(
        rows_of(&keyed(&["movie", "Year", "title"]), &records),
        format!("[\"1\",7,null]: {value}")
    );
    assert_eq!(
        rows_of(&keyed(&["film"]), &records),
        "`key:` names `film`, which the query does not give; it gives: movie, Year, title"
    );
}

#[test]
fn times_are_local_to_the_pipeline() {
    let records = [r#"{"time":1658042294}"#];
    check(
        "SELECT date_trunc('day', to_timestamp(time)) AS d, extract(hour FROM to_timestamp(time)) AS h, CAST(to_timestamp(time) AS BIGINT) AS s FROM movies",
        &records,
        r#"{"d":"2022-07-16T15:00:00Z","h":16,"s":1658042294}"#,
    );
    check(
        "SELECT CAST('2022-07-17 16:18:14' AS TIMESTAMP) AS t, CAST(time AS TIMESTAMP) AS u FROM movies",
        &records,
        r#"{"t":"2022-07-17T07:18:14Z","u":"2022-07-17T07:18:14Z"}"#,
    );
    check(
        "SELECT timestamp_from_array(createdAt) AS t FROM \"heart-raw\"",
        &[r#"{"createdAt":[2023,11,23,10,5]}"#],
        r#"{"t":"2023-11-23T01:05:00Z"}"#,
    );
}

#[test]
fn json_goes_in_and_out() {
    check(
        "SELECT d.playerId AS p, d.beat AS b FROM (SELECT from_json(_value, 'playerId STRING, beat DOUBLE') AS d FROM movies)",
        &[r#"{"playerId":"a","beat":7}"#, "x"],
        "{\"p\":\"a\",\"b\":7.0}\n{\"p\":null,\"b\":null}",
    );
    check(
        "SELECT to_json(struct(movie, m.Year, 1 + 1)) AS v FROM movies m",
        &[r#"{"movie":"1","Year":7}"#],
        r#"{"v":"{\"movie\":\"1\",\"Year\":7,\"col3\":2}"}"#,
    );
    let all = r#"{"v":"{\"time\":null,\"movie\":\"1\",\"title\":null,\"Year\":null,\"tags\":null,\"at\":null}"}"#;
    check("SELECT to_json(struct(*)) AS v FROM movies", &[r#"{"movie":"1"}"#], all);
    check("SELECT to_json(struct(m.*)) AS v FROM movies m", &[r#"{"movie":"1"}"#], all);
    check(
        "SELECT from_json(_value, 'user STRUCT<Id: INT>').user.Id AS v FROM movies",
        &[r#"{"user":{"Id":3}}"#],
        r#"{"v":3}"#,
    );
}

#[test]
fn what_cannot_be_is_said_with_what_can() {
    for (sql, expected) in [
        ("SELEC 1", "Expected: an SQL statement, found: SELEC (line 1, column 1)"),
        (
            "SELECT movie FROM moviez",
            "there is no topic or lookup `moviez`; did you mean `movies`?",
        ),
        (
            "SELECT a FROM empty",
            "topic `empty` has no records yet, so its columns are not known; declare them: topics: { empty: { schema: \"column TYPE, …\" } }",
        ),
        (
            "SELECT count(*) AS n FROM movies",
            "GROUP BY and aggregates over a stream need state, which streams do not keep yet; send the rows to a table (`tables:`) and ask it in a query",
        ),
        (
            "SELECT movie FROM movies ORDER BY movie",
            "ORDER BY over a stream, which has no end; leave it out: rows keep the order of their partition",
        ),
        (
            "SELECT movie FROM movies LIMIT 5",
            "LIMIT over a stream, which has no end; leave it out; `yeoul sql` queries a table with LIMIT",
        ),
        (
            "SELECT now() AS n FROM movies",
            "`now` gives another answer each time it is asked, so a replay would change rows; the time a record entered Yeoul is its column `_timestamp`",
        ),
        (
            "SELECT country FROM countries",
            "the query reads no topic; a stream selects FROM a topic; lookups are joined to it",
        ),
        (
            "SELECT movie, title AS movie FROM movies",
            "two columns are named `movie`; give one another name with AS",
        ),
        (
            "SELECT 1; SELECT 2",
            "a stream is one SELECT; write one stream for each and let them read each other's topics",
        ),
        ("DROP TABLE movies", "a stream is a SELECT"),
    ] {
        assert_eq!(rows_of(&spec(sql), &[]), expected, "{sql}");
    }
    let error =
        rows_of(&spec("SELECT m.movie FROM movies m JOIN movies n ON m.movie = n.movie"), &[]);
    assert!(error.starts_with("two topics are joined, which needs state"), "{error}");
    let error = rows_of(&spec("SELECT movie,\n  titel FROM movies"), &[]);
    assert!(error.contains("titel") && error.contains("line 2, column 3"), "{error}");
    let deep = format!("SELECT {}1{} AS x FROM movies", "(".repeat(5_000), ")".repeat(5_000));
    assert!(!rows_of(&spec(&deep), &[]).contains('{'));
}
