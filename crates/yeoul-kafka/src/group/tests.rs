//! The coordinator under a clock that the test moves.

mod model;
mod offsets;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use yeoul_base::{ManualClock, MemStore, SeededRand, Store};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse};
use yeoul_kafka_wire::api::leave_group::LeavingMember;
use yeoul_kafka_wire::api::sync_group::{SyncGroupAssignment, SyncGroupRequest};

use super::{Caller, Groups};
use crate::options::GroupOptions;

const DELAY: Duration = Duration::from_millis(50);

struct Bench {
    groups: Arc<Groups>,
    clock: Arc<ManualClock>,
    store: Arc<MemStore>,
}

impl Bench {
    fn new() -> Self {
        Self::with(GroupOptions::default())
    }

    fn with(options: GroupOptions) -> Self {
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let store = Arc::new(MemStore::new());
        Self { groups: coordinator(&store, &clock, options, 7), clock, store }
    }

    /// The same store after a restart.
    fn restarted(&self) -> Self {
        Self {
            groups: coordinator(&self.store, &self.clock, GroupOptions::default(), 8),
            clock: Arc::clone(&self.clock),
            store: Arc::clone(&self.store),
        }
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
            skips_assignment: true,
        };
        self.groups.join(caller, request)
    }

    /// Another member joins while the first joins again: the answers of both.
    fn join_with(
        &self,
        first: &JoinGroupResponse,
        instance: Option<&str>,
    ) -> (JoinGroupResponse, JoinGroupResponse) {
        let mut joining = pin!(self.join(request("", instance)));
        assert!(poll(joining.as_mut()).is_none());
        let mut rejoining = pin!(self.join(request(&first.member_id, None)));
        let first = poll(rejoining.as_mut()).expect("everybody is here");
        (first, poll(joining.as_mut()).expect("everybody is here"))
    }

    fn leave(&self, member_id: &str, instance: Option<&str>) -> ErrorCode {
        let member = LeavingMember {
            member_id: member_id.into(),
            group_instance_id: instance.map(str::to_owned),
            ..LeavingMember::default()
        };
        self.groups.leave("g", &member)
    }

    fn state(&self) -> &'static str {
        self.groups.list().first().map_or("Dead", |group| group.state)
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

fn coordinator(
    store: &Arc<MemStore>,
    clock: &Arc<ManualClock>,
    options: GroupOptions,
    seed: u64,
) -> Arc<Groups> {
    let store: Arc<dyn Store> = Arc::<MemStore>::clone(store);
    let rand = Arc::new(SeededRand::new(seed));
    Arc::new(Groups::new(store, Arc::<ManualClock>::clone(clock), rand, options, None))
}

fn poll<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
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
fn a_node_that_was_held_up_does_not_take_its_members_for_gone() {
    let bench = Bench::new();
    let member = bench.stable(None);
    let held_up = Duration::from_secs(25);
    bench.clock.advance(held_up);
    bench.groups.forgive(held_up);
    bench.groups.tick();
    bench.pass(9_000);
    assert_eq!(bench.heartbeat(&member.member_id, 1), ErrorCode::NONE);
    // What is not worth a word changes nothing.
    bench.groups.forgive(Duration::from_millis(999));
    bench.pass(10_001);
    assert_eq!(bench.heartbeat(&member.member_id, 1), ErrorCode::UNKNOWN_MEMBER_ID);
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
    let (leader, before) = bench.join_with(&leader, Some("static"));
    bench.assign(&leader);

    let mut returning = pin!(bench.join(request("", Some("static"))));
    let after = poll(returning.as_mut()).expect("at once");
    assert_eq!(after.generation_id, before.generation_id);
    assert_ne!(after.member_id, before.member_id);
    assert_eq!(bench.heartbeat(&leader.member_id, leader.generation_id), ErrorCode::NONE);
    let double = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: before.generation_id,
        member_id: before.member_id.clone(),
        group_instance_id: Some("static".into()),
    };
    assert_eq!(bench.groups.heartbeat(&double), ErrorCode::FENCED_INSTANCE_ID);
    let again =
        poll(pin!(bench.join(request(&before.member_id, Some("static"))))).expect("at once");
    assert_eq!(again.error_code, ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(bench.leave(&before.member_id, Some("static")), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(bench.leave("", Some("nobody")), ErrorCode::UNKNOWN_MEMBER_ID);
    // An administrator removes it by its name alone.
    assert_eq!(bench.leave("", Some("static")), ErrorCode::NONE);
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn a_static_leader_that_comes_back_keeps_the_assignment_as_it_is() {
    for skips_assignment in [true, false] {
        let bench = Bench::new();
        let before = bench.stable(Some("static"));
        let caller = Caller {
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            member_id_required: true,
            skips_assignment,
        };
        let returning = pin!(bench.groups.join(caller, request("", Some("static"))));
        let after = poll(returning).expect("at once");
        assert_eq!((after.error_code, after.generation_id), (ErrorCode::NONE, 1));
        assert_eq!(after.skip_assignment, skips_assignment);
        // One that cannot be told so must not believe that it leads.
        let leads = after.leader == after.member_id;
        assert_eq!((leads, after.members.len()), (skips_assignment, usize::from(leads)));
        assert!(leads || after.leader == before.member_id);
        let mut asking = sync_request(&after);
        asking.assignments.clear();
        let synced = poll(pin!(bench.groups.sync(asking))).expect("at once");
        assert_eq!(synced.assignment, Bytes::from_static(b"all"));
    }
}

#[test]
fn a_static_member_keeps_its_place_until_its_session_ends() {
    let bench = Bench::new();
    let leader = bench.stable(None);
    let (leader, away) = bench.join_with(&leader, Some("static"));
    bench.assign(&leader);
    // It asks for its assignment and is not heard of again.
    poll(pin!(bench.groups.sync(sync_request(&away)))).expect("at once");
    for _ in 0..3 {
        bench.pass(3_000);
        let code = bench.heartbeat(&leader.member_id, leader.generation_id);
        assert_eq!(code, ErrorCode::NONE, "its partitions wait for it");
    }
    bench.pass(1_100);
    let code = bench.heartbeat(&leader.member_id, leader.generation_id);
    assert_eq!(code, ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_static_leader_that_is_away_keeps_its_place_but_does_not_lead() {
    let bench = Bench::new();
    let long = |member_id: &str, instance: Option<&str>| JoinGroupRequest {
        session_timeout_ms: 600_000,
        ..request(member_id, instance)
    };
    let mut joining = pin!(bench.join(long("", Some("static"))));
    assert!(poll(joining.as_mut()).is_none());
    bench.pass(60);
    let away = poll(joining.as_mut()).expect("alone, so complete");
    bench.assign(&away);
    let mut joining = pin!(bench.join(long("", None)));
    assert!(poll(joining.as_mut()).is_none());
    bench.pass(30_000);
    let joined = poll(joining.as_mut()).expect("the rebalance timeout has passed");
    assert_eq!((joined.generation_id, &joined.leader), (2, &joined.member_id));
    let members: Vec<_> = joined.members.iter().map(|m| m.member_id.as_str()).collect();
    assert_eq!(members.len(), 2);
    assert!(members.contains(&away.member_id.as_str()), "its partitions wait for it");
}

#[test]
fn who_never_asks_for_its_assignment_is_dropped_after_the_rebalance_timeout() {
    let bench = Bench::new();
    let leader = bench.stable(None);
    let (leader, lazy) = bench.join_with(&leader, None);
    bench.assign(&leader);
    for _ in 0..6 {
        bench.pass(4_900);
        assert_eq!(bench.heartbeat(&lazy.member_id, lazy.generation_id), ErrorCode::NONE);
        assert_eq!(bench.heartbeat(&leader.member_id, leader.generation_id), ErrorCode::NONE);
    }
    bench.pass(700);
    assert_eq!(bench.heartbeat(&lazy.member_id, lazy.generation_id), ErrorCode::UNKNOWN_MEMBER_ID);
    let code = bench.heartbeat(&leader.member_id, leader.generation_id);
    assert_eq!(code, ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_session_is_within_kafkas_bounds() {
    let bench = Bench::new();
    for (session_timeout_ms, code) in [
        (0, ErrorCode::INVALID_SESSION_TIMEOUT),
        (5_999, ErrorCode::INVALID_SESSION_TIMEOUT),
        (1_800_001, ErrorCode::INVALID_SESSION_TIMEOUT),
        (-1, ErrorCode::INVALID_SESSION_TIMEOUT),
    ] {
        let asked = JoinGroupRequest { session_timeout_ms, ..request("", None) };
        let answer = poll(pin!(bench.join(asked))).expect("at once");
        assert_eq!(answer.error_code, code);
    }
    for session_timeout_ms in [6_000, 1_800_000] {
        let asked = JoinGroupRequest { session_timeout_ms, ..request("", None) };
        assert!(poll(pin!(bench.join(asked))).is_none(), "it waits for others");
    }
}

#[test]
fn a_full_group_takes_nobody_but_a_static_member_that_comes_back() {
    let bench = Bench::with(GroupOptions { size_max: 1, ..GroupOptions::default() });
    bench.stable(Some("static"));
    let answer = poll(pin!(bench.join(request("", None)))).expect("at once");
    assert_eq!(answer.error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    let answer = poll(pin!(bench.join(request("", Some("other"))))).expect("at once");
    assert_eq!(answer.error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    let answer = poll(pin!(bench.join(request("", Some("static"))))).expect("at once");
    assert_eq!(answer.error_code, ErrorCode::NONE);
}

#[test]
fn the_first_generation_waits_as_long_as_members_keep_coming() {
    let bench = Bench::new();
    let mut first = pin!(bench.join(request("", None)));
    assert!(poll(first.as_mut()).is_none());
    bench.pass(40);
    let mut second = pin!(bench.join(request("", None)));
    assert!(poll(second.as_mut()).is_none());
    bench.pass(20);
    assert!(poll(first.as_mut()).is_none(), "somebody came, so more may");
    bench.pass(51);
    let joined = poll(first.as_mut()).expect("nobody else came");
    assert_eq!((joined.generation_id, poll(second.as_mut()).is_some()), (1, true));
    assert!(DELAY < Duration::from_millis(51));
}

#[test]
fn the_assignor_is_one_that_all_have_and_most_prefer() {
    let bench = Bench::new();
    let with = |names: &[&str]| JoinGroupRequest {
        protocols: names
            .iter()
            .map(|name| JoinGroupProtocol { name: (*name).into(), metadata: Bytes::new() })
            .collect(),
        ..request("", None)
    };
    // As a rolling upgrade from an eager to a cooperative assignor has it.
    let mut joining: Vec<_> = [
        with(&["cooperative-sticky", "range"]),
        with(&["range"]),
        with(&["cooperative-sticky", "range"]),
    ]
    .map(|asked| Box::pin(bench.join(asked)))
    .into();
    assert!(joining.iter_mut().all(|one| poll(one.as_mut()).is_none()));
    bench.pass(51);
    bench.pass(51);
    for one in &mut joining {
        let joined = poll(one.as_mut()).expect("joined");
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    }
    let odd = poll(pin!(bench.join(with(&["roundrobin"])))).expect("at once");
    assert_eq!(odd.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn only_a_settled_group_shows_what_its_members_have() {
    let bench = Bench::new();
    let member = bench.stable(None);
    let shown = bench.groups.describe("g").expect("it has a member");
    assert_eq!((shown.state, shown.protocol.as_str()), ("Stable", "range"));
    assert_eq!(shown.members[0].assignment, Bytes::from_static(b"all"));
    let mut joining = pin!(bench.join(request("", None)));
    assert!(poll(joining.as_mut()).is_none());
    let shown = bench.groups.describe("g").expect("it has members");
    assert_eq!((shown.state, shown.protocol.as_str()), ("PreparingRebalance", ""));
    assert!(shown.members.iter().all(|m| m.assignment.is_empty() && m.metadata.is_empty()));
    let mut rejoining = pin!(bench.join(request(&member.member_id, None)));
    assert!(poll(rejoining.as_mut()).is_some());
    assert_eq!(bench.state(), "CompletingRebalance");
}

#[test]
fn the_leader_leaving_hands_the_lead_on() {
    let bench = Bench::new();
    let leader = bench.stable(None);
    let (leader, follower) = bench.join_with(&leader, None);
    assert_eq!(follower.leader, leader.member_id);
    bench.assign(&leader);
    assert_eq!(bench.leave(&leader.member_id, None), ErrorCode::NONE);
    let mut again = pin!(bench.join(request(&follower.member_id, None)));
    let joined = poll(again.as_mut()).expect("nobody else is there");
    assert_eq!((&joined.leader, joined.members.len()), (&follower.member_id, 1));
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
        skips_assignment: true,
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
