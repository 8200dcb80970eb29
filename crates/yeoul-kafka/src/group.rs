//! The consumer-group coordinator: members and generations in memory, offsets as facts.
//!
//! After a restart a group has no members; theirs are told so, join again, and find their
//! committed offsets. Membership is decided under one lock by [`state::Group`], which knows no
//! sockets and no timers; answers that wait are one-shot channels kept with their members.

mod components;
mod consumer;
mod expiry;
mod facts;
mod forget;
mod offsets;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use yeoul_base::{Clock, Commit, Rand, Store};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};
use yeoul_kafka_wire::api::leave_group::LeavingMember;
use yeoul_kafka_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::options::GroupOptions;
use facts::Record;
use state::Group;

pub use components::{ComponentGroup, ComponentGroups, ComponentOffset};
pub(crate) use facts::{Committed, OffsetKey};
#[cfg(any(test, fuzzing))]
pub(crate) use facts::{fuzz_facts, sample_facts};
pub(crate) use offsets::{Claim, CommitRefused};
pub(crate) use state::Caller;

/// A group's name: with the rest of its keys it must fit a fact's key.
const GROUP_BYTES_MAX: usize = 512;
/// Groups with members at a time.
const GROUPS_MAX: usize = 100_000;

/// Timers this late are a sign that the node did not run; less is jitter.
const HELD_UP_LEAST: Duration = Duration::from_secs(1);

/// A group as people and tools see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    pub name: String,
    /// Kafka's words: Empty, PreparingRebalance, CompletingRebalance, Stable.
    pub state: &'static str,
    /// `consumer` for consumers; empty when there are only offsets.
    pub protocol_type: String,
    /// The assignor the members agreed on.
    pub protocol: String,
    pub generation: i32,
    pub members: Vec<GroupMember>,
    pub offsets: Vec<GroupOffset>,
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// What the client said about itself, in its protocol's own form.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// How far a group has come in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    pub topic: String,
    pub partition: i32,
    pub committed: i64,
    /// Records up to the end; 0 when the offset lies beyond it.
    pub lag: i64,
    pub metadata: String,
    pub committed_ms: i64,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Groups {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    options: GroupOptions,
    components: Option<Arc<dyn ComponentGroups>>,
    groups: Mutex<HashMap<String, Group>>,
    /// A deadline may have come nearer.
    changed: Notify,
    /// Groups that had members when the node stopped are empty since then.
    started_ms: i64,
}

impl Groups {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
        options: GroupOptions,
        components: Option<Arc<dyn ComponentGroups>>,
    ) -> Self {
        Self {
            started_ms: clock.now_ms(),
            store,
            clock,
            rand,
            options,
            components,
            groups: Mutex::new(HashMap::new()),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn component(&self, name: &str) -> Option<ComponentGroup> {
        // Asked with every commit of every group; most are ruled out by their name.
        let possible = name.contains('/');
        self.components.as_ref().filter(|_| possible)?.group(name)
    }

    /// A group without members, going on where the last ones were.
    fn opened(&self, name: &str) -> Group {
        let (generation, protocol_type) = facts::record(&*self.store, name)
            .map_or((0, String::new()), |kept| (kept.generation, kept.protocol_type));
        Group::new(self.options, generation, protocol_type)
    }

    /// Tells the store when a group got its first member or lost its last: offsets are kept for
    /// so long after that, also over a restart. Nobody waits for it; when it is lost in a crash,
    /// the group counts as empty from the restart on.
    fn record(&self, name: &str, group: &mut Group) {
        let has_members = !group.is_empty();
        if has_members == group.recorded {
            return;
        }
        group.recorded = has_members;
        let kept = Record {
            protocol_type: group.protocol_type().to_owned(),
            generation: group.generation(),
            empty_since_ms: (!has_members).then(|| self.clock.now_ms()),
        };
        // Without offsets there is nothing to keep it for.
        let wanted = has_members || facts::has_offsets(&*self.store, name);
        let fact = (Record::fact(name), wanted.then(|| kept.encode()));
        let name = name.to_owned();
        self.store.submit(
            Commit { facts: vec![fact], ..Commit::default() },
            Box::new(move |done| {
                if let Err(error) = done {
                    tracing::warn!(group = %name, %error, "whether a group has members was not kept");
                }
            }),
        );
    }

    pub(crate) async fn join(
        &self,
        caller: Caller,
        request: JoinGroupRequest,
    ) -> JoinGroupResponse {
        let refuse = |error_code| JoinGroupResponse {
            error_code,
            member_id: request.member_id.clone(),
            ..JoinGroupResponse::default()
        };
        if request.group_id.is_empty() || request.group_id.len() > GROUP_BYTES_MAX {
            return refuse(ErrorCode::INVALID_GROUP_ID);
        }
        if self.component(&request.group_id).is_some() {
            return refuse(ErrorCode::GROUP_AUTHORIZATION_FAILED);
        }
        // A known member or an id that was given out has its group.
        if !request.member_id.is_empty() && !self.lock().contains_key(&request.group_id) {
            return refuse(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let (send, receive) = oneshot::channel();
        {
            let mut groups = self.lock();
            if groups.len() >= GROUPS_MAX && !groups.contains_key(&request.group_id) {
                return refuse(ErrorCode::GROUP_MAX_SIZE_REACHED);
            }
            let group = groups
                .entry(request.group_id.clone())
                .or_insert_with(|| self.opened(&request.group_id));
            let fresh_id = fresh_member_id(&caller, &request, &*self.rand);
            group.join(self.clock.monotonic(), caller, &request, fresh_id, send);
            self.record(&request.group_id, group);
        }
        self.changed.notify_one();
        receive.await.unwrap_or_else(|_| refuse(ErrorCode::UNKNOWN_MEMBER_ID))
    }

    pub(crate) async fn sync(&self, request: SyncGroupRequest) -> SyncGroupResponse {
        let (send, receive) = oneshot::channel();
        let code = match self.lock().get_mut(&request.group_id) {
            Some(group) => group.sync(self.clock.monotonic(), &request, send).err(),
            None => Some(ErrorCode::UNKNOWN_MEMBER_ID),
        };
        self.changed.notify_one();
        let refuse = |error_code| SyncGroupResponse { error_code, ..SyncGroupResponse::default() };
        match code {
            Some(code) => refuse(code),
            None => receive.await.unwrap_or_else(|_| refuse(ErrorCode::UNKNOWN_MEMBER_ID)),
        }
    }

    pub(crate) fn heartbeat(&self, request: &HeartbeatRequest) -> ErrorCode {
        match self.lock().get_mut(&request.group_id) {
            Some(group) => group.heartbeat(self.clock.monotonic(), request),
            None => ErrorCode::UNKNOWN_MEMBER_ID,
        }
    }

    pub(crate) fn leave(&self, name: &str, member: &LeavingMember) -> ErrorCode {
        let code = match self.lock().get_mut(name) {
            Some(group) => {
                let code = group.leave(self.clock.monotonic(), member);
                self.record(name, group);
                code
            }
            None => ErrorCode::UNKNOWN_MEMBER_ID,
        };
        self.changed.notify_one();
        code
    }

    /// One group, or `None` when it has neither members nor offsets.
    pub(crate) fn describe(&self, name: &str) -> Option<GroupInfo> {
        if let Some(component) = self.component(name) {
            return Some(component.describe(&*self.store));
        }
        let offsets = self.offsets(name);
        let live = self.lock().get(name).map(|group| group.describe(name));
        let mut info = match live {
            Some(info) => info,
            None if offsets.is_empty() => return None,
            None => self.opened(name).describe(name),
        };
        info.offsets = self.readable(offsets);
        Some(info)
    }

    /// Every group with members or offsets, by name.
    pub(crate) fn list(&self) -> Vec<GroupInfo> {
        let mut names: BTreeSet<String> = facts::names(&*self.store);
        names.extend(self.lock().keys().cloned());
        let components = self.components.as_ref().map(|from| from.groups()).unwrap_or_default();
        names.extend(components.into_iter().map(|component| component.name));
        names.iter().filter_map(|name| self.describe(name)).collect()
    }

    /// Ends sessions and rebalances that are due; returns how long nothing is.
    pub(crate) fn tick(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut groups = self.lock();
        // A group without members is only its offsets, which are facts.
        groups.retain(|name, group| {
            group.tick(now);
            self.record(name, group);
            !group.is_forgettable()
        });
        let next = groups.values().filter_map(Group::next_deadline).min();
        next.map(|next| next.saturating_sub(now))
    }

    /// Ticks when something is due, for as long as the node runs.
    pub(crate) async fn run_timers(&self) {
        // Not more often than this, so that many near deadlines are handled together.
        const PAUSE: Duration = Duration::from_millis(5);
        loop {
            let began = self.clock.monotonic();
            let changed = self.changed.notified();
            let next = self.tick();
            let ticked = self.clock.monotonic();
            let wait = match next {
                None => {
                    changed.await;
                    Duration::MAX
                }
                Some(wait) => {
                    let wait = wait.max(PAUSE);
                    // Either way the next tick looks at the clock itself.
                    let _ = tokio::time::timeout(wait, changed).await;
                    wait
                }
            };
            let slept = self.clock.monotonic().saturating_sub(ticked);
            self.forgive(ticked.saturating_sub(began) + slept.saturating_sub(wait));
        }
    }

    /// A node that was held up, by a disk that stalls say, did not hear its members either: all
    /// deadlines move by as long, or a whole group would be taken for gone.
    fn forgive(&self, held_up: Duration) {
        if held_up < HELD_UP_LEAST {
            return;
        }
        tracing::warn!(?held_up, "the node was held up; group members get as much more time");
        self.lock().values_mut().for_each(|group| group.forgive(held_up));
    }
}

/// A name nobody has: readable by its first part, unique by its second.
fn fresh_member_id(caller: &Caller, request: &JoinGroupRequest, rand: &dyn Rand) -> String {
    let name = request.group_instance_id.as_deref().unwrap_or(&caller.client_id);
    let short: String = name.chars().take(64).collect();
    format!("{short}-{:016x}{:016x}", rand.next_u64(), rand.next_u64())
}
