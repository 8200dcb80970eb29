//! What one query may say beside its text: parameters, zone, limits, and plans built in code.

use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{ident, lit};
use yeoul_sql::encode::{Rows, Style};
use yeoul_sql::{ErrorKind, Parameter, QueryOptions, QueryOutput};

use super::{World, runtime};

fn csv(output: &QueryOutput) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in &output.batches {
        let rows = Rows::new(batch, Style::default()).unwrap();
        for row in 0..rows.len() {
            let mut line = String::new();
            rows.csv(row, &mut line);
            lines.push(line);
        }
    }
    lines
}

#[test]
fn parameters_go_where_they_stand_in_the_text() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let ask = |sql: &str, parameters: Vec<Parameter>| {
        let options = QueryOptions { parameters, ..QueryOptions::default() };
        runtime.block_on(world.engine.query(sql, &options)).map(|output| csv(&output))
    };
    let sql = r#"SELECT ? AS a, n, ? AS b FROM "bike-station"
        WHERE stationName = ? AND __time >= ? AND n IN (?, ?) ORDER BY n DESC LIMIT ?"#;
    let given = vec![
        Parameter::Text("it's \"?\"".into()),
        Parameter::Double(-0.5),
        Parameter::Text("망원역".into()),
        Parameter::Instant(1_795_212_000_000),
        Parameter::Long(3),
        Parameter::Long(6),
        Parameter::Long(1),
    ];
    assert_eq!(ask(sql, given.clone()).unwrap(), [r#""it's ""?""",6,-0.5"#]);
    let error = ask(sql, given[1..].to_vec()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("7 places for parameters, 6 were given"), "{error}");
    let values = vec![
        Parameter::Null,
        Parameter::Bool(true),
        Parameter::Long(i64::MIN + 1),
        Parameter::Double(1e300),
        Parameter::Date("2026-11-20".into()),
        Parameter::Array(vec![Parameter::Long(1), Parameter::Long(2)]),
    ];
    let shown = ask("SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f", values).unwrap();
    assert_eq!(shown, [",true,-9223372036854775807,1e300,2026-11-20,\"[1,2]\""]);
    assert!(ask("SELECT '?' AS q -- ?", Vec::new()).is_ok(), "not a place");
}

#[test]
fn an_outer_limit_is_not_a_cut() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions { outer_limit: Some(7), ..QueryOptions::default() };
    let sql = r#"SELECT n FROM "bike-station" ORDER BY n LIMIT 50"#;
    let output = runtime.block_on(world.engine.query(sql, &options)).unwrap();
    assert_eq!((output.rows(), output.truncated), (7, false));
}

#[test]
fn distinct_values_are_estimated_when_that_is_allowed() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions { approximate_count_distinct: true, ..QueryOptions::default() };
    let sql = r#"SELECT count(DISTINCT stationName) AS d FROM "bike-station""#;
    let output = runtime.block_on(world.engine.query(sql, &options)).unwrap();
    assert_eq!(csv(&output), ["2"]);
    let explain = format!("EXPLAIN {sql}");
    let plan = runtime.block_on(world.engine.query(&explain, &options)).unwrap();
    assert!(csv(&plan).concat().contains("approx"), "{:?}", csv(&plan));
}

#[test]
fn an_unknown_zone_is_an_error() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions { zone: Some("Asia/Soul".into()), ..QueryOptions::default() };
    let error = runtime.block_on(world.engine.query("SELECT 1", &options)).unwrap_err();
    assert!(error.message.contains("no time zone `Asia/Soul`"), "{error}");
}

#[test]
fn a_built_plan_answers_as_sql_does() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions { query_id: Some("built".into()), ..QueryOptions::default() };
    let built = world.engine.query_built(
        "groupBy over bike-station",
        &["bike-station"],
        |state, tables| {
            assert!(state.scalar_functions().contains_key("time_floor"));
            assert_eq!(tables.schema("bike-station")?.fields().len(), 4);
            assert!(tables.scan("movies").is_err(), "not pinned");
            let scan = tables.scan("bike-station")?.filter(ident("n").lt(lit(60)))?;
            let groups = [ident("stationName")];
            let sums = [sum(ident("n")).alias("s"), count(lit(1)).alias("c")];
            let sorted = scan.aggregate(groups, sums)?.sort([ident("s").sort(true, true)])?;
            Ok(sorted.build()?)
        },
        &options,
    );
    let built = runtime.block_on(built).unwrap();
    let sql = r#"SELECT "stationName", sum(n) AS s, count(*) AS c FROM "bike-station"
        WHERE n < 60 GROUP BY 1 ORDER BY s"#;
    let asked = runtime.block_on(world.engine.query(sql, &QueryOptions::default())).unwrap();
    assert_eq!(csv(&built), csv(&asked));
    assert_eq!(csv(&built).len(), 3);
    let log = world.engine.queries();
    assert!(log.iter().any(|entry| entry.id == "built" && entry.rows == 3), "{log:?}");
    let missing = world.engine.query_built("x", &["nope"], |_, _| unreachable!(), &options);
    assert!(runtime.block_on(missing).unwrap_err().message.contains("no table `nope`"));
}

/// What SQL may not do, a built plan may not do either.
#[test]
fn a_built_plan_only_reads() {
    use datafusion::logical_expr::{LogicalPlanBuilder, dml::InsertOp};
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions::default();
    let built = world.engine.query_built(
        "a write",
        &["bike-station"],
        |_, tables| {
            let scan = tables.scan("bike-station")?.build()?;
            let datafusion::logical_expr::LogicalPlan::TableScan(target) = &scan else {
                panic!("{scan:?}");
            };
            let (source, name) = (target.source.clone(), target.table_name.clone());
            Ok(LogicalPlanBuilder::insert_into(scan, name, source, InsertOp::Append)?.build()?)
        },
        &options,
    );
    let error = runtime.block_on(built).unwrap_err();
    assert!(error.message.contains("DML"), "{error}");
}

/// In Seoul a day starts at 15:00 UTC, and text without an offset is Seoul's.
#[test]
fn the_zone_of_a_query_moves_its_days_and_its_texts() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let ask = |zone: &str, sql: &str| {
        let options = QueryOptions { zone: Some(zone.into()), ..QueryOptions::default() };
        csv(&runtime.block_on(world.engine.query(sql, &options)).unwrap()).join(" ")
    };
    let seoul = |sql: &str| ask("Asia/Seoul", sql);
    let of = |what: &str| seoul(&format!(r#"SELECT {what} FROM "bike-station" WHERE n = 0"#));
    assert_eq!(of("TIME_FLOOR(__time, 'P1D') AS d"), "2026-11-20T15:00:00.000Z");
    assert_eq!(of("FLOOR(__time TO MONTH) AS d"), "2026-10-31T15:00:00.000Z");
    assert_eq!(of("TIME_FLOOR(__time, 'P1D', NULL, 'UTC') AS d"), "2026-11-20T00:00:00.000Z");
    assert_eq!(of("EXTRACT(HOUR FROM __time) AS h"), "7");
    assert_eq!(of("CAST(__time AS DATE) AS d, CURRENT_DATE AS c"), "2026-11-21,2026-11-21");
    assert_eq!(of("CAST(__time AS VARCHAR) AS t"), "2026-11-21 07:00:00");
    assert_eq!(of("TIME_FORMAT(__time) AS t"), "2026-11-21T07:00:00.000+09:00");
    assert_eq!(of("TIMESTAMP '2026-11-21 07:00:00' AS t"), "2026-11-20T22:00:00.000Z");
    assert_eq!(of("CAST(DATE '2026-11-21' AS TIMESTAMP) AS t"), "2026-11-20T15:00:00.000Z");
    for range in [
        "__time >= '2026-11-21 08:00:00' AND __time < '2026-11-21T08:30'",
        "__time BETWEEN '2026-11-21 08:00:00' AND TIMESTAMP '2026-11-21 08:29:00'",
        "TIME_IN_INTERVAL(__time, '2026-11-21T08:00/PT30M')",
        "__time >= '2026-11-20T23:00:00Z' AND __time < '2026-11-21T08:30:00+09:00'",
    ] {
        let sql = format!(r#"SELECT COUNT(*) AS c FROM "bike-station" WHERE {range}"#);
        assert_eq!(seoul(&sql), "30", "{range}");
    }
    let date = r#"SELECT COUNT(*) AS c FROM "bike-station" WHERE __time >= DATE '2026-11-21'"#;
    assert_eq!((seoul(date), ask("UTC", date)), ("120".into(), "0".into()));
    // Clocks in New York went back on 2026-11-01: that day had 25 hours.
    let york = |sql: &str| ask("America/New_York", sql);
    let day = "SELECT TIMESTAMP '2026-11-01 00:00:00' + INTERVAL '1' DAY AS d";
    assert_eq!(york(day), "2026-11-02T05:00:00.000Z");
    assert_eq!(
        ask("+09:00", "SELECT TIMESTAMP '2026-11-21 07:00:00' AS t"),
        "2026-11-20T22:00:00.000Z"
    );
}
