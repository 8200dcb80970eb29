//! Random members against the coordinator: they join, assign, commit, fall silent, come back,
//! leave; whatever they do, these hold:
//!
//! - a generation has one assignment, and no partition has two owners in it;
//! - only members of the newest generation may heartbeat or commit, so what a replaced member
//!   sends cannot move an offset;
//! - a group without members, and only that, takes commits of anybody;
//! - once all behave, all get out of the rebalance and every partition has an owner.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{NewTopic, Rand, SeededRand, Store};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupProtocol, JoinGroupResponse};
use yeoul_kafka_wire::api::sync_group::{SyncGroupAssignment, SyncGroupRequest, SyncGroupResponse};

use super::{Bench, poll, request};
use crate::group::{Caller, Claim, Committed, Groups, OffsetKey};

const ACTORS: usize = 5;
const PARTITIONS: u8 = 7;

type Answer<T> = Pin<Box<dyn Future<Output = T>>>;

enum Doing {
    Nothing,
    Joining(Answer<JoinGroupResponse>),
    Joined(JoinGroupResponse),
    Syncing(Answer<SyncGroupResponse>),
    Reading,
}

struct Actor {
    instance: Option<String>,
    member_id: String,
    generation: i32,
    doing: Doing,
    /// Does nothing for so many turns, holding on to what it believes.
    frozen: u64,
}

impl Actor {
    fn name(&self) -> &str {
        self.instance.as_deref().unwrap_or(&self.member_id)
    }

    fn forget(&mut self) {
        self.member_id.clear();
        self.generation = -1;
        self.doing = Doing::Nothing;
    }

    /// What a client does about a refusal.
    fn told(&mut self, code: ErrorCode) {
        match code {
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => self.forget(),
            _ => self.doing = Doing::Nothing,
        }
    }
}

struct World {
    bench: Bench,
    rand: SeededRand,
    actors: Vec<Actor>,
    newest: i32,
    /// Generation → member → its partitions.
    seen: BTreeMap<i32, BTreeMap<String, Bytes>>,
    key: OffsetKey,
    committed: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let bench = Bench::new();
        let new = NewTopic { name: "t".into(), partitions: 1, config: Default::default() };
        let topic = bench.store.create_topic(new).expect("a topic").id;
        let actor = |at: usize| Actor {
            instance: (at.is_multiple_of(2)).then(|| format!("static-{at}")),
            member_id: String::new(),
            generation: -1,
            doing: Doing::Nothing,
            frozen: 0,
        };
        let mut world = Self {
            bench,
            rand: SeededRand::new(seed),
            actors: (0..ACTORS).map(actor).collect(),
            newest: 0,
            seen: BTreeMap::new(),
            key: OffsetKey { topic, partition: 0 },
            committed: 0,
        };
        // So that the group is remembered, with its generation, whenever it is empty.
        assert!(world.commit(&Claim { group: "g".into(), generation: -1, ..Claim::default() }));
        world
    }

    fn below(&self, limit: u64) -> u64 {
        self.rand.next_u64() % limit
    }

    fn groups(&self) -> Arc<Groups> {
        Arc::clone(&self.bench.groups)
    }

    /// Delivers every answer that is there.
    fn deliver(&mut self) {
        for at in 0..self.actors.len() {
            let doing = std::mem::replace(&mut self.actors[at].doing, Doing::Nothing);
            self.actors[at].doing = match doing {
                Doing::Joining(mut answer) => match poll(answer.as_mut()) {
                    None => Doing::Joining(answer),
                    Some(joined) => {
                        self.joined(at, joined);
                        continue;
                    }
                },
                Doing::Syncing(mut answer) => match poll(answer.as_mut()) {
                    None => Doing::Syncing(answer),
                    Some(synced) => {
                        self.synced(at, &synced);
                        continue;
                    }
                },
                other => other,
            };
        }
    }

    fn joined(&mut self, at: usize, joined: JoinGroupResponse) {
        let actor = &mut self.actors[at];
        match joined.error_code {
            ErrorCode::NONE => {
                assert!(joined.generation_id >= self.newest, "generations only grow");
                self.newest = joined.generation_id;
                actor.member_id.clone_from(&joined.member_id);
                actor.generation = joined.generation_id;
                actor.doing = Doing::Joined(joined);
            }
            ErrorCode::MEMBER_ID_REQUIRED => actor.member_id = joined.member_id,
            code => actor.told(code),
        }
    }

    fn synced(&mut self, at: usize, synced: &SyncGroupResponse) {
        let actor = &mut self.actors[at];
        if !synced.error_code.is_ok() {
            return actor.told(synced.error_code);
        }
        actor.doing = Doing::Reading;
        let name = actor.name().to_owned();
        let of_generation = self.seen.entry(actor.generation).or_default();
        let before = of_generation.insert(name, synced.assignment.clone());
        assert!(before.is_none_or(|before| before == synced.assignment), "a second assignment");
        let mut owned: Vec<u8> = of_generation.values().flat_map(|bytes| bytes.to_vec()).collect();
        owned.sort_unstable();
        assert!(owned.windows(2).all(|pair| pair[0] != pair[1]), "a partition has two owners");
    }

    fn join(&mut self, at: usize) {
        let groups = self.groups();
        let odd = self.below(8) == 0;
        let actor = &mut self.actors[at];
        let caller = Caller {
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            member_id_required: !at.is_multiple_of(3),
            skips_assignment: at.is_multiple_of(4),
        };
        let mut asked = request(&actor.member_id, actor.instance.as_deref());
        if odd {
            // A client that was configured anew.
            let metadata = Bytes::from(vec![1; at]);
            asked.protocols[0] = JoinGroupProtocol { name: "sticky".into(), metadata };
        }
        actor.doing = Doing::Joining(Box::pin(async move { groups.join(caller, asked).await }));
    }

    fn sync(&mut self, at: usize, joined: &JoinGroupResponse) {
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let mut given = vec![Vec::new(); joined.members.len().max(1)];
        for partition in 0..PARTITIONS {
            let to = self.below(given.len() as u64);
            given[to as usize].push(partition);
        }
        let members = joined.members.iter().zip(given).filter(|_| leads);
        let assignments = members.map(|(member, partitions)| SyncGroupAssignment {
            member_id: member.member_id.clone(),
            assignment: partitions.into(),
        });
        let asked = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            group_instance_id: self.actors[at].instance.clone(),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        let groups = self.groups();
        self.actors[at].doing = Doing::Syncing(Box::pin(async move { groups.sync(asked).await }));
    }

    fn heartbeat(&mut self, at: usize) {
        let actor = &mut self.actors[at];
        let code = self.bench.groups.heartbeat(&HeartbeatRequest {
            group_id: "g".into(),
            generation_id: actor.generation,
            member_id: actor.member_id.clone(),
            group_instance_id: actor.instance.clone(),
        });
        if code.is_ok() {
            assert_eq!(actor.generation, self.newest, "a replaced member is not told so");
        } else {
            actor.told(code);
        }
    }

    /// Commits one more than was ever committed; whether it was taken.
    fn commit(&mut self, claim: &Claim) -> bool {
        let offset = self.committed + 1;
        let value = Committed {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
            committed_ms: 0,
            expires_ms: None,
        };
        let groups = self.groups();
        let done = std::pin::pin!(groups.commit_offsets(claim, vec![(self.key, value)]));
        let taken = poll(done).expect("the store answers at once").is_ok();
        if taken {
            self.committed = offset;
        }
        let stored = groups.offsets("g").get(&self.key).map_or(0, |value| value.offset);
        assert_eq!(stored, self.committed, "an offset moved that nobody was allowed to move");
        taken
    }

    fn commit_of(&mut self, at: usize) {
        let actor = &self.actors[at];
        let claim = Claim {
            group: "g".into(),
            member_id: actor.member_id.clone(),
            instance: actor.instance.clone(),
            generation: actor.generation,
            transactional: false,
        };
        let believed = actor.generation;
        if self.commit(&claim) && believed >= 0 {
            assert_eq!(believed, self.newest, "a replaced member committed");
        }
    }

    /// The next thing a client that behaves would do.
    fn behave(&mut self, at: usize) {
        match std::mem::replace(&mut self.actors[at].doing, Doing::Nothing) {
            Doing::Nothing => self.join(at),
            Doing::Joined(joined) => self.sync(at, &joined),
            Doing::Reading => {
                self.actors[at].doing = Doing::Reading;
                self.heartbeat(at);
            }
            waiting => self.actors[at].doing = waiting,
        }
    }

    fn act(&mut self) {
        let at = self.below(ACTORS as u64) as usize;
        if self.actors[at].frozen > 0 {
            self.actors[at].frozen -= 1;
            if self.below(8) == 0 {
                self.commit_of(at);
            }
            return;
        }
        match self.below(40) {
            // Its process died: it starts again without its id.
            0 | 1 => self.actors[at].forget(),
            2 => self.actors[at].frozen = self.below(30),
            3 => {
                let (id, instance) =
                    (self.actors[at].member_id.clone(), self.actors[at].instance.clone());
                self.bench.leave(&id, instance.as_deref());
                self.actors[at].forget();
            }
            4 => {
                let empty = self.bench.state() == "Empty";
                let simple = Claim { group: "g".into(), generation: -1, ..Claim::default() };
                assert_eq!(self.commit(&simple), empty);
            }
            5..=9 => self.commit_of(at),
            10..=12 => {
                let ms = self.below(6_000);
                self.bench.pass(ms);
            }
            13..=20 => {
                let ms = self.below(100);
                self.bench.pass(ms);
            }
            _ => self.behave(at),
        }
    }

    /// All behave from now on: they must come to rest as soon as the last of those who fell
    /// silent is taken for gone, which is one session timeout.
    fn settle(&mut self) {
        for actor in &mut self.actors {
            actor.frozen = 0;
        }
        for _ in 0..(12_000 / 500) {
            for at in 0..ACTORS {
                self.behave(at);
                self.deliver();
            }
            self.bench.pass(500);
            self.deliver();
        }
        assert_eq!(self.bench.state(), "Stable");
        for actor in &self.actors {
            assert!(matches!(actor.doing, Doing::Reading), "{} is stuck", actor.name());
            assert_eq!(actor.generation, self.newest);
        }
        let owned = &self.seen[&self.newest];
        let count: usize = owned.values().map(Bytes::len).sum();
        assert_eq!(count, usize::from(PARTITIONS), "a partition has no owner");
    }
}

#[test]
fn random_members_never_share_a_partition_and_always_come_to_rest() {
    let mut generations = 0;
    for seed in 0..100 {
        let mut world = World::new(seed);
        for _ in 0..1_500 {
            world.act();
            world.deliver();
        }
        world.settle();
        generations += world.newest;
    }
    assert!(generations > 1_000, "only {generations} generations: too quiet to show anything");
}
