//! Limits, cancellation, pruning.

use std::time::Duration;

use yeoul_sql::{ErrorKind, QueryOptions};

use super::{World, rows, runtime};

const ENDLESS: &str = "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r)";

#[test]
fn rows_beyond_the_limit_are_cut_and_said() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions { max_rows: 7, ..QueryOptions::default() };
    let sql = r#"SELECT n FROM "bike-station""#;
    let output = runtime.block_on(world.engine.query(sql, &options)).unwrap();
    assert_eq!((output.rows(), output.truncated), (7, true));
    let options = QueryOptions { max_rows: 120, ..QueryOptions::default() };
    let output = runtime.block_on(world.engine.query(sql, &options)).unwrap();
    assert_eq!((output.rows(), output.truncated, output.rows_scanned), (120, false, 120));
}

#[test]
fn a_query_without_end_is_stopped_by_its_time() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions { timeout: Duration::from_millis(300), ..QueryOptions::default() };
    let sql = format!("{ENDLESS} SELECT count(*) FROM r");
    let error = runtime.block_on(world.engine.query(&sql, &options)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
}

#[test]
fn a_query_beyond_its_memory_is_an_error_and_the_next_one_runs() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let options = QueryOptions::default();
    let sql = r#"WITH t AS (SELECT n, load FROM "bike-station")
                 SELECT a.n, b.n, c.n, d.n, array_agg(a.load) FROM t a, t b, t c, t d
                 GROUP BY a.n, b.n, c.n, d.n ORDER BY 5"#;
    let error = runtime.block_on(world.engine.query(sql, &options)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
    runtime.block_on(world.engine.query("SELECT 1", &options)).unwrap();
}

#[test]
fn a_time_range_reads_only_the_files_it_needs() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let sql = r#"SELECT n FROM "bike-station" WHERE __time >= TIMESTAMP '2026-11-20 23:45:00'"#;
    let output = runtime.block_on(world.engine.query(sql, &QueryOptions::default())).unwrap();
    assert_eq!((output.rows(), output.rows_scanned), (15, 20), "only the rows in memory");
}

#[test]
fn rows_past_their_retention_are_hidden() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    world.clock.advance(Duration::from_secs(30 * 86_400 + 90 * 60));
    let sql = r#"SELECT min(n) AS lo, count(*) AS c FROM "bike-station" WHERE n < 115"#;
    let output = runtime.block_on(world.engine.query(sql, &QueryOptions::default())).unwrap();
    let shown = format!("{:?}", output.batches);
    assert!(shown.contains("90,") && shown.contains("25,"), "{shown}");
}

#[test]
fn a_check_plans_without_running() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let sql = r#"SELECT b.n, m.movie FROM "bike-station" b JOIN topic.movies m ON b.n = m.year"#;
    let checked = runtime.block_on(world.engine.check(sql)).unwrap();
    assert_eq!(checked.tables, ["bike-station"]);
    assert_eq!(checked.topics, ["movies"]);
    assert_eq!(checked.schema.fields().len(), 2);
    assert!(runtime.block_on(world.engine.check("SELECT nope")).is_err());
}

#[test]
fn a_stream_that_is_dropped_stops_its_query() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let sql = format!("{ENDLESS} SELECT i FROM r");
    let options = QueryOptions { max_rows: usize::MAX, ..QueryOptions::default() };
    runtime.block_on(async {
        let mut stream = world.engine.stream(&sql, &options).await.unwrap();
        stream.next().await.unwrap().unwrap();
        assert!(runtime.metrics().num_alive_tasks() > 0);
        drop(stream);
        for _ in 0..100 {
            if runtime.metrics().num_alive_tasks() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} tasks are left", runtime.metrics().num_alive_tasks());
    });
}

#[test]
fn a_query_sees_one_state_of_a_table() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let sql = r#"SELECT n FROM "bike-station" ORDER BY n"#;
    runtime.block_on(async {
        let mut stream = world.engine.stream(sql, &QueryOptions::default()).await.unwrap();
        world.table.append(rows(120, 200)).unwrap();
        world.table.seal().unwrap();
        let mut seen = 0;
        while let Some(batch) = stream.next().await {
            seen += batch.unwrap().num_rows();
        }
        assert_eq!(seen, 120);
    });
}

/// The planner recurses; that must not end the process by the end of a stack.
#[test]
fn texts_just_within_the_limits_are_planned_or_refused() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let table = r#" FROM "bike-station""#;
    let names: Vec<String> = (0..1_900).map(|index| format!("'s{index}'")).collect();
    let cases = [
        format!("SELECT n{}{table}", "+1".repeat(190)),
        format!("SELECT n{table} WHERE n = 0{}", " OR n = 1".repeat(190)),
        format!("SELECT n{table} WHERE stationName IN ({})", names.join(",")),
        format!("SELECT {}n{}{table}", "(".repeat(90), ")".repeat(90)),
        format!("SELECT {}n{}{table}", "abs(".repeat(40), ")".repeat(40)),
        format!("SELECT {}n{}{table}", "CASE WHEN n > 1 THEN ".repeat(40), " END".repeat(40)),
        format!("{}SELECT n{table}{}", "SELECT * FROM (".repeat(23), ") AS q".repeat(23)),
        format!("SELECT n{table}{}", format!(" UNION ALL SELECT n{table}").repeat(45)),
        format!("SELECT {}1{table}", "NOT ".repeat(100)),
        format!("SELECT {}1{table}", "- ".repeat(100)),
        format!("SELECT n{}{table}", "::BIGINT".repeat(190)),
        format!("SELECT n{table} WHERE {}n = 1{}", "NOT (".repeat(80), ")".repeat(80)),
    ];
    for sql in cases {
        match runtime.block_on(world.engine.query(&sql, &QueryOptions::default())) {
            Ok(_) => {}
            Err(error) => assert_ne!(error.kind, ErrorKind::Internal, "{sql}\n{error}"),
        }
    }
}
