//! The consumer-group coordinator: members and generations in memory, offsets as facts.
//!
//! After a restart a group has no members; theirs are told so, join again, and find their
//! committed offsets. Membership is decided under one lock by [`state::Group`], which knows no
//! sockets and no timers; answers that wait are one-shot channels kept with their members.

mod facts;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use yeoul_base::{Clock, Commit, Rand, Store, StoreError, TopicId};
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};
use yeoul_kafka_wire::api::leave_group::LeavingMember;
use yeoul_kafka_wire::api::offset_commit::OffsetCommitRequest;
use yeoul_kafka_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::broker::commit_on;
use state::Group;

pub(crate) use facts::{Committed, OffsetKey};
pub(crate) use state::Caller;

/// A group's name: with the rest of its keys it must fit a fact's key.
const GROUP_BYTES_MAX: usize = 512;
/// Groups with members at a time.
const GROUPS_MAX: usize = 100_000;

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
    initial_delay: Duration,
    groups: Mutex<HashMap<String, Group>>,
    /// A deadline may have come nearer.
    changed: Notify,
}

impl Groups {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
        initial_delay: Duration,
    ) -> Self {
        let groups = Mutex::new(HashMap::new());
        Self { store, clock, rand, initial_delay, groups, changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Err(code) = check_group_id(&request.group_id) {
            return refuse(code);
        }
        let (send, receive) = oneshot::channel();
        {
            let mut groups = self.lock();
            if groups.len() >= GROUPS_MAX && !groups.contains_key(&request.group_id) {
                return refuse(ErrorCode::GROUP_MAX_SIZE_REACHED);
            }
            let group = groups
                .entry(request.group_id.clone())
                .or_insert_with(|| Group::new(self.initial_delay));
            let fresh_id = fresh_member_id(&caller, &request, &*self.rand);
            group.join(self.clock.monotonic(), caller, &request, fresh_id, send);
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

    pub(crate) fn leave(&self, group: &str, member: &LeavingMember) -> ErrorCode {
        let code = match self.lock().get_mut(group) {
            Some(group) => group.leave(self.clock.monotonic(), member),
            None => ErrorCode::UNKNOWN_MEMBER_ID,
        };
        self.changed.notify_one();
        code
    }

    /// Whether the sender may commit: a member of the current generation, or anybody while the
    /// group has no members.
    pub(crate) fn check_commit(&self, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        check_group_id(&request.group_id)?;
        match self.lock().get_mut(&request.group_id) {
            Some(group) => group.check_commit(self.clock.monotonic(), request),
            None if request.generation_id < 0 => Ok(()),
            None => Err(ErrorCode::ILLEGAL_GENERATION),
        }
    }

    pub(crate) async fn commit_offsets(
        &self,
        group: &str,
        entries: Vec<(OffsetKey, Committed)>,
    ) -> Result<(), StoreError> {
        let facts = entries
            .into_iter()
            .map(|(key, value)| (key.fact(group), Some(value.encode())))
            .collect();
        commit_on(&*self.store, Commit { facts, ..Commit::default() }).await.map(|_| ())
    }

    /// What a group committed, ordered by topic id and partition.
    pub(crate) fn offsets(&self, group: &str) -> BTreeMap<OffsetKey, Committed> {
        facts::of_group(&*self.store, group)
    }

    /// Forgets a group without members, with its offsets.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), ErrorCode> {
        let known = {
            let mut groups = self.lock();
            match groups.get(name) {
                Some(group) if !group.is_empty() => return Err(ErrorCode::NON_EMPTY_GROUP),
                _ => groups.remove(name).is_some(),
            }
        };
        let keys: Vec<_> = self.offsets(name).into_keys().collect();
        if keys.is_empty() && !known {
            return Err(ErrorCode::GROUP_ID_NOT_FOUND);
        }
        let facts = keys.into_iter().map(|key| (key.fact(name), None)).collect();
        let done = commit_on(&*self.store, Commit { facts, ..Commit::default() }).await;
        done.map(|_| ()).map_err(|error| crate::errors::of_store(&error))
    }

    /// Drops all offsets of a deleted topic. Failing leaves facts nobody can reach: the topic's
    /// id is never given again.
    pub(crate) async fn forget_topic(&self, topic: TopicId) {
        let facts: Vec<_> =
            facts::of_topic(&*self.store, topic).into_iter().map(|key| (key, None)).collect();
        if facts.is_empty() {
            return;
        }
        if let Err(error) = commit_on(&*self.store, Commit { facts, ..Commit::default() }).await {
            tracing::warn!(%topic, %error, "offsets of a deleted topic stay behind");
        }
    }

    /// One group, or `None` when it has neither members nor offsets.
    pub(crate) fn describe(&self, name: &str) -> Option<GroupInfo> {
        let offsets = self.offsets(name);
        let live = self.lock().get(name).map(|group| group.describe(name));
        let mut info = match live {
            Some(info) => info,
            None if offsets.is_empty() => return None,
            None => Group::new(self.initial_delay).describe(name),
        };
        info.offsets = self.readable(offsets);
        Some(info)
    }

    fn readable(&self, offsets: BTreeMap<OffsetKey, Committed>) -> Vec<GroupOffset> {
        let topics = self.store.topics();
        offsets
            .into_iter()
            .filter_map(|(key, value)| {
                let topic = topics.by_id(key.topic)?;
                let part = crate::broker::partition(topic, key.partition)?;
                let end = self.store.ends(part)?.high;
                Some(GroupOffset {
                    topic: topic.name.to_string(),
                    partition: key.partition,
                    committed: value.offset,
                    lag: end.saturating_sub(value.offset).max(0),
                    metadata: value.metadata,
                    committed_ms: value.committed_ms,
                })
            })
            .collect()
    }

    /// Every group with members or offsets, by name.
    pub(crate) fn list(&self) -> Vec<GroupInfo> {
        let mut names: BTreeSet<String> = facts::names(&*self.store);
        names.extend(self.lock().keys().cloned());
        names.iter().filter_map(|name| self.describe(name)).collect()
    }

    /// Ends sessions and rebalances that are due; returns how long nothing is.
    pub(crate) fn tick(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut groups = self.lock();
        // A group without members is only its offsets, which are facts.
        groups.retain(|_, group| {
            group.tick(now);
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
            let changed = self.changed.notified();
            match self.tick() {
                None => changed.await,
                Some(wait) => {
                    // Either way the next tick looks at the clock itself.
                    let _ = tokio::time::timeout(wait.max(PAUSE), changed).await;
                }
            }
        }
    }
}

fn check_group_id(group: &str) -> Result<(), ErrorCode> {
    if group.is_empty() || group.len() > GROUP_BYTES_MAX {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    Ok(())
}

/// A name nobody has: readable by its first part, unique by its second.
fn fresh_member_id(caller: &Caller, request: &JoinGroupRequest, rand: &dyn Rand) -> String {
    let name = request.group_instance_id.as_deref().unwrap_or(&caller.client_id);
    let short: String = name.chars().take(64).collect();
    format!("{short}-{:016x}{:016x}", rand.next_u64(), rand.next_u64())
}
