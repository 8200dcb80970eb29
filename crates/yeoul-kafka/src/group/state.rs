//! One group: who is in it, in which generation, and who waits for what. Pure: it is told the
//! time and answers through the channels its members left.
//!
//! Invariant: in CompletingRebalance and Stable the members are exactly those that joined the
//! current generation.

mod join;
mod member;
mod rebalance;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::leave_group::LeavingMember;
use yeoul_kafka_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{Claim, GroupInfo, consumer};
use crate::options::GroupOptions;
use member::Member;

/// Who asks to join, beside what the request says.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// The client understands being told its id first.
    pub(crate) member_id_required: bool,
    /// The client understands that it leads but has nothing to assign.
    pub(crate) skips_assignment: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    /// Waiting for the members to join.
    Preparing,
    /// Waiting for the leader's assignment.
    Completing,
    Stable,
}

/// The first joins of an empty group wait for others, so that a group that starts up does not
/// rebalance once per member.
#[derive(Debug, Clone, Copy)]
struct Gathering {
    /// Not longer than this.
    until: Duration,
    /// Somebody came since the deadline was set, so more may.
    grew: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Ids given out and not used yet, until when they hold.
    pending: HashMap<String, Duration>,
    /// When the phase ends by itself; in Stable: until when the last may fetch its assignment.
    deadline: Option<Duration>,
    gathering: Option<Gathering>,
    terms: GroupOptions,
    /// The store has been told that there are members.
    pub(super) recorded: bool,
}

impl Group {
    /// A group without members that goes on after `generation`.
    pub(super) fn new(terms: GroupOptions, generation: i32, protocol_type: String) -> Self {
        Self {
            phase: Phase::Empty,
            generation,
            protocol_type,
            protocol: String::new(),
            leader: None,
            members: BTreeMap::new(),
            pending: HashMap::new(),
            deadline: None,
            gathering: None,
            terms,
            recorded: false,
        }
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Nothing would be lost: no members, no ids given out.
    pub(super) fn is_forgettable(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    /// The topics that its members read, when the group is settled and its members say so in
    /// the form of Kafka's consumers.
    pub(super) fn subscribed(&self) -> Option<BTreeSet<String>> {
        if self.phase != Phase::Stable || self.protocol_type != consumer::PROTOCOL_TYPE {
            return None;
        }
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.extend(consumer::subscribed_topics(&member.metadata(&self.protocol))?);
        }
        Some(all)
    }

    /// As Kafka shows it: protocol and assignments only of a settled group.
    pub(super) fn describe(&self, name: &str) -> GroupInfo {
        let protocol = if self.phase == Phase::Stable { self.protocol.as_str() } else { "" };
        let members = self.members.iter().map(|(id, member)| {
            let mut shown = member.describe(id, protocol);
            if self.phase != Phase::Stable {
                shown.assignment = Bytes::new();
            }
            shown
        });
        GroupInfo {
            name: name.to_owned(),
            state: match self.phase {
                Phase::Empty => "Empty",
                Phase::Preparing => "PreparingRebalance",
                Phase::Completing => "CompletingRebalance",
                Phase::Stable => "Stable",
            },
            protocol_type: self.protocol_type.clone(),
            protocol: protocol.to_owned(),
            generation: self.generation,
            members: members.collect(),
            offsets: Vec::new(),
        }
    }

    /// Keeps `answer` until the assignment is there, or refuses.
    pub(super) fn sync(
        &mut self,
        now: Duration,
        request: &SyncGroupRequest,
        answer: oneshot::Sender<SyncGroupResponse>,
    ) -> Result<(), ErrorCode> {
        let instance = request.group_instance_id.as_deref();
        self.check_member(&request.member_id, instance, request.generation_id)?;
        let other =
            |asked: &Option<String>, ours: &str| asked.as_deref().is_some_and(|a| a != ours);
        if other(&request.protocol_type, &self.protocol_type)
            || other(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.phase {
            Phase::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Phase::Preparing => return Err(ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::Completing | Phase::Stable => {}
        }
        let Some(member) = self.members.get_mut(&request.member_id) else {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        };
        member.seen(now);
        member.syncing = Some(answer);
        member.synced = true;
        if self.phase == Phase::Completing {
            if self.leader.as_ref() != Some(&request.member_id) {
                return Ok(());
            }
            self.assign(request);
        }
        if self.members.values().all(|member| member.synced) {
            self.deadline = None;
        }
        self.answer_syncs(now);
        Ok(())
    }

    fn assign(&mut self, request: &SyncGroupRequest) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for given in &request.assignments {
            if let Some(member) = self.members.get_mut(&given.member_id) {
                // A copy: a slice would keep the leader's whole request alive.
                member.assignment = Bytes::copy_from_slice(&given.assignment);
            }
        }
        self.phase = Phase::Stable;
    }

    fn answer_syncs(&mut self, now: Duration) {
        for member in self.members.values_mut() {
            member.answer_sync(now, &self.protocol_type, &self.protocol);
        }
    }

    fn check_member(
        &self,
        member_id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        match (instance, self.holder(instance)) {
            (_, Some(holder)) if holder != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
            (Some(_), None) => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            _ => {}
        }
        if !self.members.contains_key(member_id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, now: Duration, request: &HeartbeatRequest) -> ErrorCode {
        let instance = request.group_instance_id.as_deref();
        if let Err(code) = self.check_member(&request.member_id, instance, request.generation_id) {
            return code;
        }
        if let Some(member) = self.members.get_mut(&request.member_id) {
            member.seen(now);
        }
        match self.phase {
            Phase::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            Phase::Preparing => ErrorCode::REBALANCE_IN_PROGRESS,
            Phase::Completing | Phase::Stable => ErrorCode::NONE,
        }
    }

    pub(super) fn leave(&mut self, now: Duration, leaving: &LeavingMember) -> ErrorCode {
        let holder = self.holder(leaving.group_instance_id.as_deref());
        let id = match (holder, &leaving.group_instance_id) {
            (Some(holder), _) if leaving.member_id.is_empty() => holder,
            (Some(holder), _) if holder != leaving.member_id => {
                return ErrorCode::FENCED_INSTANCE_ID;
            }
            (None, Some(_)) => return ErrorCode::UNKNOWN_MEMBER_ID,
            _ => leaving.member_id.clone(),
        };
        if self.pending.remove(&id).is_some() {
            self.complete_join_if_ready(now);
            return ErrorCode::NONE;
        }
        if !self.members.contains_key(&id) {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        }
        self.remove(now, &id);
        ErrorCode::NONE
    }

    fn remove(&mut self, now: Duration, id: &str) {
        if let Some(mut member) = self.members.remove(id) {
            member.fence(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
        if self.members.is_empty() {
            self.next_generation();
            self.become_empty();
            return;
        }
        self.prepare(now);
        self.complete_join_if_ready(now);
    }

    /// Whether `claim` may commit offsets now.
    pub(super) fn check_commit(&mut self, now: Duration, claim: &Claim) -> Result<(), ErrorCode> {
        if claim.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let anonymous =
            claim.generation < 0 && claim.member_id.is_empty() && claim.instance.is_none();
        if anonymous && claim.transactional {
            // Producers older than KIP-447 do not say for whom they commit.
            return Ok(());
        }
        self.check_member(&claim.member_id, claim.instance.as_deref(), claim.generation)?;
        if self.phase == Phase::Completing && !claim.transactional {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        if let Some(member) = self.members.get_mut(&claim.member_id) {
            member.seen(now);
        }
        Ok(())
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Duration) {
        let before = self.pending.len();
        self.pending.retain(|_, until| *until > now);
        // We owe them an answer, so their silence means nothing.
        self.members.values_mut().filter(|m| m.is_waiting()).for_each(|m| m.seen(now));
        let silent: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.session_ends <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            tracing::info!(member = %id, "a group member was not heard of in its session timeout");
            self.remove(now, &id);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            match self.phase {
                Phase::Preparing => self.gathered(now),
                // The leader, or a member, did not come for its assignment.
                Phase::Completing | Phase::Stable => self.drop_unsynced(now),
                Phase::Empty => {}
            }
        } else if self.pending.len() < before {
            self.complete_join_if_ready(now);
        }
    }

    fn drop_unsynced(&mut self, now: Duration) {
        let absent: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| !member.synced)
            .map(|(id, _)| id.clone())
            .collect();
        for id in absent {
            self.remove(now, &id);
        }
    }

    /// Moves every deadline.
    pub(super) fn forgive(&mut self, held_up: Duration) {
        self.members.values_mut().for_each(|member| member.session_ends += held_up);
        self.pending.values_mut().for_each(|until| *until += held_up);
        self.deadline = self.deadline.map(|deadline| deadline + held_up);
        if let Some(gathering) = &mut self.gathering {
            gathering.until += held_up;
        }
    }

    /// When the next tick has something to do.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let sessions = self.members.values().map(|member| member.session_ends);
        let pending = self.pending.values().copied();
        sessions.chain(pending).chain(self.deadline).min()
    }
}
