//! The coordinator under a clock that the test moves.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::{ManualClock, MemStore, SeededRand};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse};
use yeoul_kafka_wire::api::leave_group::LeavingMember;
use yeoul_kafka_wire::api::sync_group::{SyncGroupAssignment, SyncGroupRequest};

use super::{Caller, Groups};

const DELAY: Duration = Duration::from_millis(50);

struct Bench {
    groups: Groups,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let store = Arc::new(MemStore::new());
        let rand = Arc::new(SeededRand::new(7));
        Self { groups: Groups::new(store, clock.clone(), rand, DELAY), clock }
    }

    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
        self.groups.tick();
    }

    fn heartbeat(&self, member_id: &str, generation_id: i32) -> ErrorCode {
        self.groups.heartbeat(&HeartbeatRequest {
            group_id: "g".into(),
            generation_id,
            member_id: member_id.into(),
            group_instance_id: None,
        })
    }

    /// Joins without the round for an id; the answer is ready after `DELAY`.
    fn join(&self, request: JoinGroupRequest) -> impl Future<Output = JoinGroupResponse> {
        let caller = Caller {
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            member_id_required: false,
        };
        self.groups.join(caller, request)
    }

    /// The only member of a stable group.
    fn stable(&self, instance: Option<&str>) -> JoinGroupResponse {
        let mut joining = pin!(self.join(request("", instance)));
        assert!(poll(joining.as_mut()).is_none());
        self.pass(60);
        let joined = poll(joining.as_mut()).expect("alone, so complete");
        self.assign(&joined);
        joined
    }

    fn assign(&self, joined: &JoinGroupResponse) {
        let mut syncing = pin!(self.groups.sync(sync_request(joined)));
        let synced = poll(syncing.as_mut()).expect("the leader is answered at once");
        assert_eq!(synced.error_code, ErrorCode::NONE);
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn request(member_id: &str, instance: Option<&str>) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        member_id: member_id.into(),
        group_instance_id: instance.map(str::to_owned),
        protocol_type: "consumer".into(),
        protocols: vec![
            JoinGroupProtocol { name: "range".into(), metadata: Bytes::from_static(b"r") },
            JoinGroupProtocol { name: "roundrobin".into(), metadata: Bytes::from_static(b"o") },
        ],
        ..JoinGroupRequest::default()
    }
}

fn sync_request(joined: &JoinGroupResponse) -> SyncGroupRequest {
    let assignments = joined.members.iter().map(|member| SyncGroupAssignment {
        member_id: member.member_id.clone(),
        assignment: Bytes::from_static(b"all"),
    });
    SyncGroupRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: assignments.collect(),
        ..SyncGroupRequest::default()
    }
}

#[test]
fn a_silent_member_is_dropped_after_its_session_and_not_before() {
    let bench = Bench::new();
    let member = bench.stable(None);
    bench.pass(9_000);
    assert_eq!(bench.heartbeat(&member.member_id, 1), ErrorCode::NONE);
    bench.pass(9_000);
    assert_eq!(bench.heartbeat(&member.member_id, 1), ErrorCode::NONE);
    bench.pass(10_001);
    assert_eq!(bench.heartbeat(&member.member_id, 1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert!(bench.groups.list().is_empty(), "nothing is left to list");
}

#[test]
fn a_rebalance_ends_without_those_who_do_not_come() {
    let bench = Bench::new();
    let absent = bench.stable(None);
    let mut joining = pin!(bench.join(request("", None)));
    assert!(poll(joining.as_mut()).is_none());
    // The first keeps its session alive but does not join.
    for _ in 0..5 {
        bench.pass(5_900);
        let code = bench.heartbeat(&absent.member_id, 1);
        assert_eq!(code, ErrorCode::REBALANCE_IN_PROGRESS);
        assert!(poll(joining.as_mut()).is_none());
    }
    bench.pass(600);
    let joined = poll(joining.as_mut()).expect("the rebalance timeout has passed");
    assert_eq!((joined.generation_id, joined.members.len()), (2, 1));
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(bench.heartbeat(&absent.member_id, 1), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_leader_that_never_assigns_is_replaced() {
    let bench = Bench::new();
    let mut first = pin!(bench.join(request("", None)));
    let mut second = pin!(bench.join(request("", None)));
    assert!(poll(first.as_mut()).is_none() && poll(second.as_mut()).is_none());
    bench.pass(60);
    let both = [poll(first.as_mut()), poll(second.as_mut())].map(|one| one.expect("joined"));
    let (leader, follower) = match both {
        [a, b] if a.leader == a.member_id => (a, b),
        [a, b] => (b, a),
    };
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    let mut waiting = pin!(bench.groups.sync(sync_request(&follower)));
    assert!(poll(waiting.as_mut()).is_none());
    bench.pass(10_001);
    let told = poll(waiting.as_mut()).expect("the leader's session has ended");
    assert_eq!(told.error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    let mut again = pin!(bench.join(request(&follower.member_id, None)));
    let joined = poll(again.as_mut()).expect("everybody is here");
    assert_eq!((joined.generation_id, joined.leader), (2, follower.member_id));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_double() {
    let bench = Bench::new();
    let leader = bench.stable(None);
    let mut joining = pin!(bench.join(request("", Some("static"))));
    assert!(poll(joining.as_mut()).is_none());
    let mut rejoining = pin!(bench.join(request(&leader.member_id, None)));
    let leader = poll(rejoining.as_mut()).expect("everybody is here");
    let before = poll(joining.as_mut()).expect("everybody is here");
    bench.assign(&leader);

    let mut returning = pin!(bench.join(request("", Some("static"))));
    let after = poll(returning.as_mut()).expect("at once");
    assert_eq!(after.generation_id, before.generation_id);
    assert_ne!(after.member_id, before.member_id);
    assert_eq!(bench.heartbeat(&leader.member_id, leader.generation_id), ErrorCode::NONE);
    let double = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: before.generation_id,
        member_id: before.member_id,
        group_instance_id: Some("static".into()),
    };
    assert_eq!(bench.groups.heartbeat(&double), ErrorCode::FENCED_INSTANCE_ID);
}

#[test]
fn members_that_cannot_agree_are_refused() {
    let bench = Bench::new();
    bench.stable(None);
    let mut other = request("", None);
    other.protocols = vec![JoinGroupProtocol { name: "odd".into(), metadata: Bytes::new() }];
    let answer = poll(pin!(bench.join(other))).expect("at once");
    assert_eq!(answer.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let mut nameless = request("", None);
    nameless.group_id = String::new();
    let answer = poll(pin!(bench.join(nameless))).expect("at once");
    assert_eq!(answer.error_code, ErrorCode::INVALID_GROUP_ID);
    let stranger = poll(pin!(bench.join(request("stranger", None)))).expect("at once");
    assert_eq!(stranger.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn an_id_that_was_given_but_not_used_holds_up_nobody_for_ever() {
    let bench = Bench::new();
    let member = bench.stable(None);
    let caller = Caller {
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        member_id_required: true,
    };
    let told = poll(pin!(bench.groups.join(caller, request("", None)))).expect("at once");
    assert_eq!(told.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    // The one who is there joins again and waits for the id to be used.
    let mut joining = pin!(bench.join(request(&member.member_id, None)));
    assert!(poll(joining.as_mut()).is_none());
    bench.pass(10_001);
    assert_eq!(poll(joining.as_mut()).map(|joined| joined.generation_id), Some(2));
}

#[test]
fn leaving_empties_the_group_at_once() {
    let bench = Bench::new();
    let member = bench.stable(None);
    let leaving = LeavingMember { member_id: member.member_id, ..LeavingMember::default() };
    assert_eq!(bench.groups.leave("g", &leaving), ErrorCode::NONE);
    assert_eq!(bench.groups.leave("g", &leaving), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.groups.tick(), None, "no timer is left");
}
