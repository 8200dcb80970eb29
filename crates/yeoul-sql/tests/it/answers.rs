//! Answers that are kept: found again without a scan, gone with the next row.

use std::time::Duration;

use yeoul_sql::{QueryOptions, QueryOutput};

use super::{World, rows};

async fn ask(world: &World, sql: &str) -> QueryOutput {
    world.engine.query(sql, &QueryOptions::default()).await.unwrap()
}

/// The rows as text, and how many were read for them.
async fn told(world: &World, sql: &str) -> (String, u64) {
    let output = ask(world, sql).await;
    let text = arrow::util::pretty::pretty_format_batches(&output.batches).unwrap().to_string();
    (text, output.rows_scanned)
}

const COUNT: &str = "SELECT count(*) AS c, sum(n) AS s FROM \"bike-station\" WHERE n >= 0";

#[test]
fn an_answer_is_kept_until_a_row_comes() {
    let runtime = super::runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        let (first, scanned) = told(&world, COUNT).await;
        assert!(scanned > 0 && first.contains("120"), "{first}");
        let (again, scanned) = told(&world, COUNT).await;
        assert_eq!((&again, scanned), (&first, 0), "from memory");
        let anew = QueryOptions { kept_answers: false, ..QueryOptions::default() };
        let output = world.engine.query(COUNT, &anew).await.unwrap();
        assert!(output.rows_scanned > 0, "computed for who asks for it");
        // As soon as the append is over, every answer has the row.
        for next in 120..140 {
            world.table.append(rows(next, next + 1)).unwrap();
            let (fresh, scanned) = told(&world, COUNT).await;
            assert!(scanned > 0 && fresh.contains(&format!("{}", next + 1)), "{fresh}");
        }
        // A seal changes no answer.
        let (before, _) = told(&world, COUNT).await;
        world.table.seal().unwrap();
        assert_eq!(told(&world, COUNT).await, (before, 0));
    });
}

#[test]
fn another_question_is_another_answer() {
    let runtime = super::runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        told(&world, COUNT).await;
        let other = COUNT.replace(">= 0", ">= 1");
        let (text, scanned) = told(&world, &other).await;
        assert!(scanned > 0 && text.contains("119"), "{text}");
        let few = QueryOptions { max_rows: 1, ..QueryOptions::default() };
        let all = "SELECT n FROM \"bike-station\"";
        assert_eq!(ask(&world, all).await.rows(), 120);
        for _ in 0..2 {
            let cut = world.engine.query(all, &few).await.unwrap();
            assert_eq!((cut.rows(), cut.truncated), (1, true));
        }
        let hour = "SELECT date_part('hour', __time) AS h FROM \"bike-station\" LIMIT 1";
        told(&world, hour).await;
        let zone = Some("Asia/Seoul".to_owned());
        let there = QueryOptions { zone, ..QueryOptions::default() };
        let output = world.engine.query(hour, &there).await.unwrap();
        assert!(output.rows_scanned > 0, "another zone is another question");
    });
}

#[test]
fn what_changes_by_itself_is_not_kept() {
    let runtime = super::runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        for sql in [
            "SELECT sum(random() + n) FROM \"bike-station\"",
            "SELECT count(*) FROM \"bike-station\" AS b JOIN topic.movies AS m ON b.n = m._offset",
            "SELECT count(*) FROM (SELECT n FROM \"bike-station\" WHERE n > (SELECT random()))",
        ] {
            for _ in 0..2 {
                let (text, scanned) = told(&world, sql).await;
                assert!(scanned > 0, "{sql}: {text}");
            }
        }
        // What is now is a part of the question: one row a minute.
        let past = "SELECT count(*) AS c FROM \"bike-station\" WHERE __time <= now()";
        let (first, _) = told(&world, past).await;
        world.clock.advance(Duration::from_secs(600));
        let (later, _) = told(&world, past).await;
        assert!(first.contains("| 1 ") && later.contains("| 11 "), "{first} {later}");
    });
}

#[test]
fn rows_that_pass_their_retention_leave_kept_answers() {
    let runtime = super::runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        let (before, _) = told(&world, COUNT).await;
        assert!(before.contains("120"), "{before}");
        // An hour of the first rows is over; nothing told the table.
        world.clock.advance(Duration::from_secs(30 * 86_400 + 3_600));
        let (after, scanned) = told(&world, COUNT).await;
        assert!(scanned > 0 && after != before, "{after}");
        world.clock.advance(Duration::from_secs(600));
        let (later, scanned) = told(&world, COUNT).await;
        assert!(scanned > 0 && later != after, "{later}");
    });
}
