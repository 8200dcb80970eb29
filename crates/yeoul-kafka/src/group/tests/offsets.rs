//! Who may commit, and when what was committed is forgotten.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::{Commit, Done, MemStore, NewTopic, SeededRand, Store, StoreError, StoreLayer};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::join_group::{JoinGroupProtocol, JoinGroupResponse};

use super::{Bench, poll, request};
use crate::group::consumer::subscription;
use crate::group::{Claim, Committed, Groups, OffsetKey};
use crate::options::GroupOptions;

const DAY: u64 = 24 * 3600 * 1000;

/// The store answers at once, so nothing has to be waited for.
fn now<T>(future: impl Future<Output = T>) -> T {
    poll(pin!(future)).expect("ready")
}

fn key(bench: &Bench, name: &str) -> OffsetKey {
    let topics = bench.store.topics();
    let topic = topics.get(name).map(|topic| topic.id);
    let topic = topic.unwrap_or_else(|| {
        let new = NewTopic { name: name.into(), partitions: 1, config: Default::default() };
        bench.store.create_topic(new).expect("a topic").id
    });
    OffsetKey { topic, partition: 0 }
}

fn commit(bench: &Bench, claim: &Claim, topic: &str, offset: i64) -> ErrorCode {
    commit_for(bench, claim, topic, offset, None)
}

fn commit_for(
    bench: &Bench,
    claim: &Claim,
    topic: &str,
    offset: i64,
    kept_ms: Option<u64>,
) -> ErrorCode {
    let value = Committed {
        offset,
        leader_epoch: -1,
        metadata: String::new(),
        committed_ms: bench.groups.clock.now_ms(),
        expires_ms: kept_ms.map(|kept| bench.groups.clock.now_ms() + kept as i64),
    };
    match now(bench.groups.commit_offsets(claim, vec![(key(bench, topic), value)])) {
        Ok(()) => ErrorCode::NONE,
        Err(refused) => refused.code(),
    }
}

fn simple() -> Claim {
    Claim { group: "g".into(), generation: -1, ..Claim::default() }
}

fn of(member: &JoinGroupResponse) -> Claim {
    Claim {
        group: "g".into(),
        member_id: member.member_id.clone(),
        generation: member.generation_id,
        ..Claim::default()
    }
}

fn topics(bench: &Bench) -> Vec<String> {
    let group = bench.groups.describe("g");
    let offsets = group.map(|group| group.offsets).unwrap_or_default();
    offsets.into_iter().map(|offset| offset.topic).collect()
}

fn expire(bench: &Bench) -> usize {
    now(bench.groups.expire()).expect("the store takes it")
}

#[test]
fn a_member_that_lost_its_place_cannot_commit() {
    let bench = Bench::new();
    let first = bench.stable(None);
    assert_eq!(commit(&bench, &of(&first), "t", 5), ErrorCode::NONE);
    let (leader, second) = bench.join_with(&first, None);
    assert_eq!(commit(&bench, &of(&second), "t", 6), ErrorCode::REBALANCE_IN_PROGRESS);
    bench.assign(&leader);
    assert_eq!(commit(&bench, &of(&first), "t", 7), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(commit(&bench, &simple(), "t", 8), ErrorCode::UNKNOWN_MEMBER_ID);
    let stranger = Claim { member_id: "stranger".into(), ..of(&leader) };
    assert_eq!(commit(&bench, &stranger, "t", 9), ErrorCode::UNKNOWN_MEMBER_ID);
    let posing = Claim { instance: Some("static".into()), ..of(&leader) };
    assert_eq!(commit(&bench, &posing, "t", 10), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.groups.offsets("g")[&key(&bench, "t")].offset, 5);
    // Old transactional producers do not say for whom they commit; new ones do.
    let producer = Claim { transactional: true, ..simple() };
    assert_eq!(commit(&bench, &producer, "t", 11), ErrorCode::NONE);
    let zombie = Claim { transactional: true, ..of(&first) };
    assert_eq!(commit(&bench, &zombie, "t", 12), ErrorCode::ILLEGAL_GENERATION);
}

#[test]
fn a_group_without_members_is_reset_by_anybody_and_deleted() {
    let bench = Bench::new();
    assert_eq!(now(bench.groups.delete("g")), Err(ErrorCode::GROUP_ID_NOT_FOUND));
    let member = bench.stable(None);
    assert_eq!(commit(&bench, &of(&member), "t", 5), ErrorCode::NONE);
    assert_eq!(now(bench.groups.delete("g")), Err(ErrorCode::NON_EMPTY_GROUP));
    assert_eq!(bench.leave(&member.member_id, None), ErrorCode::NONE);
    assert_eq!(bench.state(), "Empty");
    assert_eq!(commit(&bench, &simple(), "t", 1), ErrorCode::NONE);
    let late = commit(&bench, &of(&member), "t", 9);
    assert_eq!(late, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.groups.offsets("g")[&key(&bench, "t")].offset, 1);
    assert_eq!(now(bench.groups.delete("g")), Ok(()));
    assert_eq!(bench.state(), "Dead");
    assert!(bench.store.facts(yeoul_base::FactKind::GroupOffset, &[]).is_empty());
}

#[test]
fn offsets_expire_when_the_group_has_been_empty_for_seven_days() {
    let bench = Bench::new();
    let member = bench.stable(None);
    assert_eq!(commit(&bench, &of(&member), "t", 5), ErrorCode::NONE);
    for _ in 0..30 {
        // Committed long ago, but somebody is there.
        bench.clock.advance(Duration::from_millis(DAY));
        bench.heartbeat(&member.member_id, 1);
        assert_eq!(expire(&bench), 0);
    }
    assert_eq!(bench.leave(&member.member_id, None), ErrorCode::NONE);
    bench.pass(7 * DAY - 1);
    assert_eq!((expire(&bench), topics(&bench)), (0, vec!["t".to_owned()]));
    bench.pass(1);
    assert_eq!((expire(&bench), topics(&bench)), (1, vec![]));
    assert!(bench.store.facts(yeoul_base::FactKind::GroupOffset, &[]).is_empty(), "all of it");
}

#[test]
fn an_offset_is_kept_as_long_as_its_client_says() {
    let bench = Bench::new();
    assert_eq!(commit_for(&bench, &simple(), "hour", 5, Some(DAY / 24)), ErrorCode::NONE);
    assert_eq!(commit_for(&bench, &simple(), "month", 5, Some(30 * DAY)), ErrorCode::NONE);
    assert_eq!(commit(&bench, &simple(), "week", 5), ErrorCode::NONE);
    bench.pass(DAY / 24 - 1);
    assert_eq!(expire(&bench), 0);
    let bench = bench.restarted();
    bench.pass(1);
    assert_eq!((expire(&bench), bench.groups.offsets("g").len()), (1, 2));
    bench.pass(8 * DAY);
    assert_eq!((expire(&bench), topics(&bench)), (1, vec!["month".to_owned()]));
    bench.pass(22 * DAY);
    assert_eq!((expire(&bench), topics(&bench)), (1, vec![]));
    // Not while somebody is there.
    let member = bench.stable(None);
    assert_eq!(commit_for(&bench, &of(&member), "t", 5, Some(1)), ErrorCode::NONE);
    bench.clock.advance(Duration::from_millis(2));
    assert_eq!(expire(&bench), 0);
}

#[test]
fn the_time_without_members_is_measured_over_restarts() {
    let bench = Bench::new();
    let member = bench.stable(None);
    assert_eq!(commit(&bench, &of(&member), "t", 5), ErrorCode::NONE);
    bench.clock.advance(Duration::from_millis(30 * DAY));
    // Stopped with its member: it counts as empty since the start, not since its commit.
    let bench = bench.restarted();
    assert_eq!(expire(&bench), 0);
    bench.pass(4 * DAY);
    let bench = bench.restarted();
    assert_eq!(bench.groups.describe("g").map(|g| g.protocol_type), Some("consumer".to_owned()));
    bench.pass(3 * DAY - 1);
    assert_eq!(expire(&bench), 0);
    bench.pass(1);
    assert_eq!(expire(&bench), 1);
}

#[test]
fn a_consumer_that_never_joins_keeps_its_offsets_for_seven_days_after_each_commit() {
    let bench = Bench::new();
    assert_eq!(commit(&bench, &simple(), "old", 5), ErrorCode::NONE);
    bench.pass(5 * DAY);
    assert_eq!(commit(&bench, &simple(), "new", 5), ErrorCode::NONE);
    let bench = bench.restarted();
    bench.pass(2 * DAY);
    assert_eq!((expire(&bench), topics(&bench)), (1, vec!["new".to_owned()]));
    bench.pass(5 * DAY);
    assert_eq!(expire(&bench), 1);
}

#[test]
fn offsets_of_topics_that_a_group_no_longer_reads_expire_too() {
    let bench = Bench::new();
    let mut asked = request("", None);
    let metadata = subscription(["t"].into_iter());
    asked.protocols = vec![JoinGroupProtocol { name: "range".into(), metadata }];
    let mut joining = pin!(bench.join(asked));
    assert!(poll(joining.as_mut()).is_none());
    bench.pass(60);
    let member = poll(joining.as_mut()).expect("alone, so complete");
    bench.assign(&member);
    assert_eq!(commit(&bench, &of(&member), "t", 5), ErrorCode::NONE);
    assert_eq!(commit(&bench, &of(&member), "left", 5), ErrorCode::NONE);
    bench.clock.advance(Duration::from_millis(8 * DAY));
    assert_eq!((expire(&bench), topics(&bench)), (1, vec!["t".to_owned()]));
}

#[test]
fn offsets_of_a_topic_that_is_gone_are_swept() {
    let bench = Bench::new();
    assert_eq!(commit(&bench, &simple(), "t", 5), ErrorCode::NONE);
    bench.store.delete_topic("t").expect("it is there");
    assert_eq!(expire(&bench), 1);
    assert!(bench.groups.offsets("g").is_empty());
}

/// A store whose disk is full.
#[derive(Debug)]
struct Full(Arc<MemStore>);

impl StoreLayer for Full {
    fn beneath(&self) -> &dyn Store {
        &*self.0
    }

    fn on_submit(&self, _: Commit, done: Done) {
        done(Err(StoreError::DiskFull("the last slot is kept".into())));
    }
}

#[test]
fn a_full_disk_is_an_error_that_consumers_retry() {
    let bench = Bench::new();
    let offsets = key(&bench, "t");
    assert_eq!(commit(&bench, &simple(), "t", 5), ErrorCode::NONE);
    let full: Arc<dyn Store> = Arc::new(Full(Arc::clone(&bench.store)));
    let rand = Arc::new(SeededRand::new(9));
    let options = GroupOptions::default();
    let groups = Arc::new(Groups::new(full, bench.clock.clone(), rand, options, None));
    let store = Arc::clone(&bench.store);
    let bench = Bench { groups, clock: bench.clock, store };
    assert_eq!(commit(&bench, &simple(), "t", 6), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(bench.groups.offsets("g")[&offsets].offset, 5);
    let refused = now(bench.groups.delete("g"));
    assert_eq!(refused, Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    bench.clock.advance(Duration::from_millis(8 * DAY));
    assert!(now(bench.groups.expire()).is_err(), "tried again the next time");
}

#[test]
fn nobody_else_than_kafkas_consumers_is_taken_for_one() {
    let bench = Bench::new();
    let member = bench.stable(None);
    // Its metadata is not a subscription, so nothing is known and everything is kept.
    assert_eq!(commit(&bench, &of(&member), "t", 5), ErrorCode::NONE);
    bench.clock.advance(Duration::from_millis(8 * DAY));
    assert_eq!(expire(&bench), 0);
    assert_ne!(Bytes::from_static(b"r"), subscription([].into_iter()));
}
