//! Tables made again while they are fed: seen as before until the switch, then whole.

use std::sync::mpsc::sync_channel;

use super::*;

fn ask(feeder: &mut Feeder, request: RedoRequest) -> Result<(), String> {
    let (send, receive) = sync_channel(1);
    feeder.asked = Some((request, send));
    feeder.step();
    feeder.answered.take().unwrap().tell();
    receive.try_recv().unwrap()
}

fn begin(switch: bool) -> RedoRequest {
    RedoRequest::Begin { switch, lossy: false }
}

fn status(feeder: &Feeder) -> Option<RedoStatus> {
    let mut shared = Shared::default();
    feeder.tell(&Step::Idle, &mut shared);
    shared.redo
}

fn put(node: &Node, ids: std::ops::Range<i64>) {
    let records: Vec<_> =
        ids.map(|id| format!(r#"{{"id":{id},"at":{}}}"#, 1_658_042_294 + id)).collect();
    node.put(&records.iter().map(String::as_str).collect::<Vec<_>>());
}

fn small_seals() -> TableIngest {
    TableIngest { limits: SealLimits { rows: 10, ..SealLimits::default() }, ..spec(Some("at")) }
}

/// The ids of all rows, sealed or not.
fn ids(feeder: &Feeder) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let snapshot = feeder.table().unwrap().snapshot();
    let mut batches: Vec<_> = snapshot.chunks.iter().map(|chunk| chunk.batch.clone()).collect();
    for segment in snapshot.segments.iter() {
        let file = segment.open().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    let mut ids: Vec<_> = batches
        .iter()
        .flat_map(|batch| {
            let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
            ids.values().to_vec()
        })
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_is_made_again_waits_for_a_word_and_then_takes_the_place() {
    let node = Node::new("id INT, at INT");
    let mut feeder = node.feeder(small_seals());
    put(&node, 0..60);
    to_end(&mut feeder);
    assert_eq!(status(&feeder), None);
    assert!(ask(&mut feeder, RedoRequest::Confirm).is_err());
    ask(&mut feeder, begin(false)).unwrap();
    assert!(ask(&mut feeder, begin(false)).unwrap_err().contains("already"));
    to_end(&mut feeder);
    let made = status(&feeder).unwrap();
    assert!(made.caught_up && !made.switch);
    assert_eq!((made.rows_before, made.rows_after, made.lag), (60, 60, 0));
    // It goes on with what comes, out of sight.
    put(&node, 60..80);
    to_end(&mut feeder);
    assert_eq!(status(&feeder).unwrap().rows_after, 80);
    assert_eq!(ids(&feeder), (0..80).collect::<Vec<_>>());
    let generation = feeder.table().unwrap().generation();
    ask(&mut feeder, RedoRequest::Confirm).unwrap();
    to_end(&mut feeder);
    assert_eq!(status(&feeder), None);
    assert!(feeder.table().unwrap().generation() > generation);
    assert_eq!(ids(&feeder), (0..80).collect::<Vec<_>>());
    put(&node, 80..90);
    to_end(&mut feeder);
    assert_eq!(ids(&feeder), (0..90).collect::<Vec<_>>());
    assert_eq!(feeder.table().unwrap().fates().used, 90);
    drop(feeder);
    let mut feeder = node.feeder(small_seals());
    to_end(&mut feeder);
    assert_eq!(ids(&feeder), (0..90).collect::<Vec<_>>());
}

#[test]
fn a_restart_in_the_middle_goes_on_and_a_word_given_before_counts() {
    let node = Node::new("id INT, at INT");
    let mut feeder = node.feeder(small_seals());
    put(&node, 0..90);
    to_end(&mut feeder);
    ask(&mut feeder, begin(true)).unwrap();
    for _ in 0..6 {
        feeder.step();
    }
    let made = status(&feeder).unwrap();
    assert!(!made.caught_up && made.rows_after > 10, "{made:?}");
    drop(feeder);
    let mut feeder = node.feeder(small_seals());
    feeder.step();
    let again = status(&feeder).unwrap();
    assert!(again.switch && again.rows_after >= 10, "what was sealed is not read again: {again:?}");
    to_end(&mut feeder);
    assert_eq!(status(&feeder), None, "switched by itself");
    assert_eq!(ids(&feeder), (0..90).collect::<Vec<_>>());
}

#[test]
fn given_up_it_leaves_the_table_and_no_file() {
    let node = Node::new("id INT, at INT");
    let mut feeder = node.feeder(small_seals());
    put(&node, 0..90);
    to_end(&mut feeder);
    ask(&mut feeder, begin(false)).unwrap();
    to_end(&mut feeder);
    ask(&mut feeder, RedoRequest::Cancel).unwrap();
    to_end(&mut feeder);
    assert_eq!(status(&feeder), None);
    assert_eq!(ids(&feeder), (0..90).collect::<Vec<_>>());
    let files = node.disk.list(std::path::Path::new("tables/films")).unwrap().len();
    assert_eq!(files, feeder.table().unwrap().snapshot().segments.len());
    // And it can be begun again.
    ask(&mut feeder, begin(true)).unwrap();
    to_end(&mut feeder);
    assert_eq!(ids(&feeder), (0..90).collect::<Vec<_>>());
}

#[test]
fn records_that_are_gone_must_be_let_go_by_name() {
    let node = Node::new("id INT, at INT");
    let mut feeder = node.feeder(small_seals());
    put(&node, 0..40);
    to_end(&mut feeder);
    let part = node.store.topics().get("movies").unwrap().partitions[0];
    node.store.delete_records(part, 5).unwrap();
    let refused = ask(&mut feeder, begin(true)).unwrap_err();
    assert!(refused.contains("no longer has its first 5 records"), "{refused}");
    assert_eq!(status(&feeder), None);
    ask(&mut feeder, RedoRequest::Begin { switch: true, lossy: true }).unwrap();
    to_end(&mut feeder);
    assert_eq!(ids(&feeder).len(), 35);
}

#[test]
fn a_damaged_file_is_made_good_from_the_topic_once() {
    let node = Node::new("id INT, at INT");
    let mut feeder = node.feeder(small_seals());
    put(&node, 0..60);
    to_end(&mut feeder);
    let segment = Arc::clone(&feeder.table().unwrap().snapshot().segments[0]);
    let hurt = |path: &std::path::Path| {
        let file = node.disk.open(path, yeoul_base::Open::Write).unwrap();
        file.write_all_at(b"rot", 40).unwrap();
    };
    hurt(segment.path());
    drop((segment, feeder));
    let mut feeder = node.feeder(small_seals());
    to_end(&mut feeder);
    let table = Arc::clone(feeder.table().unwrap());
    let hurt_one = table.snapshot().segments.iter().find(|it| it.open().is_err()).cloned();
    assert!(hurt_one.is_some() && table.is_damaged());
    to_end(&mut feeder);
    assert!(!table.is_damaged());
    assert_eq!(ids(&feeder), (0..60).collect::<Vec<_>>());
    // A second time it is said, and left to people.
    let segment = Arc::clone(&table.snapshot().segments[0]);
    hurt(segment.path());
    assert!(segment.open().unwrap().read(0..10).is_err());
    for _ in 0..3 {
        feeder.step();
    }
    let mut shared = Shared::default();
    feeder.tell(&Step::Idle, &mut shared);
    assert_eq!(shared.redo, None);
    let message = shared.status.message.unwrap();
    assert!(message.contains("is damaged") && message.contains("yeoul redo films"), "{message}");
}
