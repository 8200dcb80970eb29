//! The coordinator over a store in memory: races by hand, time by hand.

mod crash;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use yeoul_base::{
    Commit, Done, FactKind, ManualClock, MemStore, NewTopic, PartId, Store, StoreError, StoreLayer,
};
use yeoul_kafka_wire::ErrorCode;

use super::{Identity, Status, Transactions, facts};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Done to the store beneath, once.
type Before = Box<dyn FnMut(&MemStore) + Send>;

/// A store before which something may happen to each commit.
struct Raced {
    beneath: MemStore,
    before: Mutex<Option<Before>>,
    full: AtomicUsize,
}

impl std::fmt::Debug for Raced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Raced")
    }
}

impl StoreLayer for Raced {
    fn beneath(&self) -> &dyn Store {
        &self.beneath
    }

    fn on_submit(&self, commit: Commit, done: Done) {
        let taken = self.before.lock().expect("not poisoned").take();
        if let Some(mut before) = taken {
            before(&self.beneath);
        }
        if self.full.load(Ordering::Relaxed) > 0 {
            self.full.fetch_sub(1, Ordering::Relaxed);
            return done(Err(StoreError::DiskFull("for the test".into())));
        }
        self.beneath.submit(commit, done);
    }
}

struct World {
    store: Arc<Raced>,
    clock: Arc<ManualClock>,
    transactions: Transactions,
    parts: BTreeSet<PartId>,
}

fn world() -> World {
    let beneath = MemStore::new();
    let new = NewTopic { name: "t".into(), partitions: 2, config: BTreeMap::new() };
    let topic = beneath.create_topic(new).expect("created");
    let store = Arc::new(Raced { beneath, before: Mutex::default(), full: AtomicUsize::default() });
    let clock = Arc::new(ManualClock::at_ms(1_000_000));
    let transactions = Transactions::new(store.clone(), clock.clone());
    World { store, clock, transactions, parts: topic.partitions.iter().copied().collect() }
}

impl World {
    async fn begun(&self, id: &str) -> Identity {
        let producer = self.transactions.init(id, 10_000, None).await.expect("given");
        self.transactions.add_partitions(id, producer, &self.parts).await.expect("added");
        producer
    }

    fn status(&self, id: &str) -> Option<Status> {
        self.transactions.describe(id).expect("decodes").map(|found| found.status)
    }

    fn markers(&self) -> i64 {
        let part = self.parts.first().expect("a partition");
        self.store.ends(*part).expect("there").high
    }
}

#[tokio::test]
async fn the_end_is_a_marker_for_every_partition_and_no_fact_is_left() {
    let world = world();
    let producer = world.begun("a").await;
    let other = world.begun("b").await;
    for part in &world.parts {
        assert!(world.transactions.admit("a", producer, *part).is_ok());
        assert!(world.transactions.has_part(producer.producer_id, *part));
    }
    world.transactions.end("a", producer, true).await.expect("ended");
    for part in &world.parts {
        assert_eq!(world.store.ends(*part).expect("there").high, 1);
        let refused = world.transactions.admit("a", producer, *part).err();
        assert_eq!(refused, Some(ErrorCode::INVALID_TXN_STATE));
        assert!(world.transactions.admit("b", other, *part).is_ok(), "another's are let be");
    }
    let left = world.store.facts(FactKind::TransactionPart, &[]);
    assert_eq!(left.len(), world.parts.len());
}

/// Between looking and committing somebody else took the id over.
#[tokio::test]
async fn a_commit_on_what_is_no_longer_so_is_planned_again() {
    let world = world();
    let producer = world.begun("a").await;
    let epoch = producer.epoch + 1;
    let takeover = move |beneath: &MemStore| {
        let key = facts::transaction_key("a");
        let bytes = beneath.fact(key.kind, &key.key).expect("there");
        let mut taken = super::Transaction::decode(&bytes).expect("decodes");
        taken.epoch = epoch;
        let facts = vec![(key, Some(taken.encode()))];
        beneath.commit(Commit { facts, ..Commit::default() }).expect("committed");
    };
    *world.store.before.lock().expect("not poisoned") = Some(Box::new(takeover));
    let ended = world.transactions.end("a", producer, true).await;
    assert_eq!(ended, Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(world.markers(), 0, "it ended all the same");
    assert_eq!(world.status("a"), Some(Status::Ongoing));
}

#[tokio::test]
async fn a_topic_that_goes_at_the_last_moment_is_left_out() {
    let world = world();
    let producer = world.begun("a").await;
    let delete = |beneath: &MemStore| beneath.delete_topic("t").expect("deleted");
    *world.store.before.lock().expect("not poisoned") = Some(Box::new(delete));
    world.transactions.end("a", producer, true).await.expect("ended");
    assert_eq!(world.status("a"), Some(Status::Committed));
    assert!(world.store.facts(FactKind::TransactionPart, &[]).is_empty());
}

#[tokio::test]
async fn time_is_counted_from_the_beginning_also_by_a_node_that_starts() {
    let world = world();
    assert_eq!(world.transactions.tick().await, None);
    let producer = world.begun("a").await;
    world.clock.advance(Duration::from_secs(4));
    assert_eq!(world.transactions.tick().await, Some(Duration::from_secs(6)));
    // A node that starts now.
    let transactions = Transactions::new(world.store.clone(), world.clock.clone());
    assert_eq!(transactions.tick().await, Some(Duration::from_secs(6)));
    world.clock.advance(Duration::from_secs(6));
    world.store.full.store(1, Ordering::Relaxed);
    let retry = transactions.tick().await.expect("not done");
    assert!(retry <= Duration::from_secs(2), "a full disk is not for ever: {retry:?}");
    assert_eq!(world.status("a"), Some(Status::Ongoing));
    world.clock.advance(retry);
    transactions.tick().await;
    assert_eq!(world.status("a"), Some(Status::Aborted));
    assert_eq!(world.markers(), 1);
    let fenced = transactions.end("a", producer, true).await;
    assert_eq!(fenced, Err(ErrorCode::PRODUCER_FENCED));
    // The node before it, had it gone on, would do nothing.
    world.transactions.tick().await;
    assert_eq!(world.markers(), 1);
}

#[tokio::test]
async fn an_id_that_nobody_used_for_a_week_is_forgotten_and_one_that_is_open_is_not() {
    let world = world();
    let producer = world.begun("used").await;
    world.transactions.end("used", producer, true).await.expect("ended");
    world.transactions.init("idle", 10_000, None).await.expect("given");
    world.clock.advance(DAY * 6);
    world.transactions.tick().await;
    assert_eq!(world.transactions.list().len(), 2);
    world.transactions.add_partitions("used", producer, &world.parts).await.expect("added");
    world.clock.advance(DAY * 2);
    // The open one is aborted first, which is a use.
    world.transactions.tick().await;
    assert_eq!(world.status("used"), Some(Status::Aborted));
    assert_eq!(world.status("idle"), None);
    world.clock.advance(DAY * 8);
    world.transactions.tick().await;
    assert!(world.transactions.list().is_empty());
    assert_eq!(world.transactions.tick().await, None);
    let unknown = world.transactions.end("used", producer, true).await;
    assert_eq!(unknown, Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
}

#[tokio::test]
async fn a_partition_aborted_by_hand_leaves_the_rest_of_the_transaction() {
    let world = world();
    let producer = world.begun("a").await;
    let part = *world.parts.first().expect("a partition");
    let stale = Identity { epoch: producer.epoch + 1, ..producer };
    let refused = world.transactions.abort_part(stale, part).await;
    assert_eq!(refused, Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    assert_eq!(world.transactions.abort_part(producer, part).await, Ok(()));
    let again = world.transactions.abort_part(producer, part).await;
    assert_eq!(again, Err(ErrorCode::INVALID_TXN_STATE));
    let refused = world.transactions.admit("a", producer, part).err();
    assert_eq!(refused, Some(ErrorCode::INVALID_TXN_STATE));
    world.transactions.end("a", producer, true).await.expect("ended");
    assert_eq!(world.markers(), 1, "the marker by hand, and no other");
}
