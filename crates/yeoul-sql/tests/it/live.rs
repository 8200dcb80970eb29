//! Live queries: the first answer, the changed ones, none for a change that changes nothing.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use yeoul_sql::{LiveAnswer, QueryOptions, Subscription};

use super::{World, produce, rows, runtime};

async fn next(subscription: &mut Subscription) -> std::sync::Arc<LiveAnswer> {
    timeout(Duration::from_secs(20), subscription.next()).await.unwrap().unwrap()
}

fn shown(answer: &LiveAnswer) -> String {
    format!("{:?}", answer.result.as_ref().unwrap().batches[0].columns())
}

#[test]
fn an_answer_comes_again_when_it_changed_and_once_for_all() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        let sql = r#"SELECT count(*) AS c FROM "bike-station" WHERE n >= 110"#;
        let options = QueryOptions::default();
        let mut one = world.engine.live(sql, &options).await.unwrap();
        let first = next(&mut one).await;
        assert!(first.sequence == 1 && shown(&first).contains("10,"), "{first:?}");
        let mut two = world.engine.live(sql, &options).await.unwrap();
        assert_eq!(next(&mut two).await.sequence, 1, "the answer at hand, not a run of its own");

        // A seal moves rows from memory to a file: the answer is the same and is not sent.
        world.table.seal().unwrap();
        assert!(timeout(Duration::from_millis(700), one.next()).await.is_err());
        world.table.append(rows(120, 125)).unwrap();
        let second = next(&mut one).await;
        assert!(second.sequence == 2 && shown(&second).contains("15,"), "{second:?}");
        assert_eq!(next(&mut two).await.sequence, 2);
    });
}

#[test]
fn many_changes_give_few_answers_and_the_last_is_the_newest() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        let sql = "SELECT count(*) AS c FROM topic.movies";
        let mut live = world.engine.live(sql, &QueryOptions::default()).await.unwrap();
        next(&mut live).await;
        let started = Instant::now();
        let mut answers = 0;
        for _ in 0..20 {
            produce(&world.store, "movies", &["{}"]);
            while let Ok(Some(_)) = timeout(Duration::from_millis(50), live.next()).await {
                answers += 1;
            }
        }
        let allowed = started.elapsed().as_millis() / 250 + 1;
        assert!(answers > 0 && answers <= allowed, "{answers} answers, {allowed} allowed");
        loop {
            let answer = next(&mut live).await;
            if shown(&answer).contains("23,") {
                break;
            }
        }
    });
}

#[test]
fn a_table_that_goes_is_an_error_until_it_comes_back() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        let sql = r#"SELECT count(*) AS c FROM "bike-station""#;
        let mut live = world.engine.live(sql, &QueryOptions::default()).await.unwrap();
        next(&mut live).await;
        let table = world.engine.catalog().remove_table("bike-station").unwrap();
        assert!(next(&mut live).await.result.is_err());
        world.engine.catalog().put_table(table);
        assert!(next(&mut live).await.result.is_ok());
        assert!(world.engine.live("SELECT nope", &QueryOptions::default()).await.is_err());
    });
}

#[test]
fn a_live_query_ends_with_its_last_listener() {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    runtime.block_on(async {
        let sql = r#"SELECT count(*) AS c FROM "bike-station""#;
        let live = world.engine.live(sql, &QueryOptions::default()).await.unwrap();
        assert!(runtime.metrics().num_alive_tasks() > 0);
        drop(live);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
    });
}
