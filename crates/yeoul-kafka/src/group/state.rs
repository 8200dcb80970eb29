//! One group: who is in it, in which generation, and who waits for what. Pure: it is told the
//! time and answers through the channels its members left.
//!
//! Invariant: in CompletingRebalance and Stable the members are exactly those that joined the
//! current generation.

mod join;
mod member;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::heartbeat::HeartbeatRequest;
use yeoul_kafka_wire::api::join_group::{JoinGroupMember, JoinGroupResponse};
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

    /// Begins a rebalance unless one is being prepared.
    fn prepare(&mut self, now: Duration) {
        match self.phase {
            Phase::Preparing => return,
            Phase::Empty => {
                let delay = self.terms.initial_rebalance_delay;
                let until = now + self.patience().max(delay);
                self.gathering = Some(Gathering { until, grew: false });
                self.deadline = Some(now + delay);
            }
            Phase::Completing | Phase::Stable => {
                self.gathering = None;
                self.deadline = Some(now + self.patience());
            }
        }
        for member in self.members.values_mut() {
            member.refuse_sync(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.phase = Phase::Preparing;
    }

    /// The longest time that a member may take to come.
    fn patience(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn complete_join_if_ready(&mut self, now: Duration) {
        let all_here = self.members.values().all(Member::is_joining);
        let gathering = self.gathering.is_some();
        if self.phase == Phase::Preparing && all_here && self.pending.is_empty() && !gathering {
            self.complete_join(now);
        }
    }

    /// Ends a wait for members, or lets it go on as long as new ones keep coming.
    fn gathered(&mut self, now: Duration) {
        match &mut self.gathering {
            Some(gathering) if gathering.grew && now < gathering.until => {
                gathering.grew = false;
                let next = now + self.terms.initial_rebalance_delay;
                self.deadline = Some(next.min(gathering.until));
            }
            _ => self.complete_join(now),
        }
    }

    /// The next generation is whoever waits to be in it.
    fn complete_join(&mut self, now: Duration) {
        // Static members keep their place while they are away, until their session ends.
        self.members.retain(|_, member| member.is_joining() || member.instance_id.is_some());
        self.gathering = None;
        if self.members.is_empty() {
            self.next_generation();
            self.become_empty();
            return;
        }
        if !self.elect() {
            // Only static members that are away: nobody could assign anything.
            self.deadline = Some(now + self.patience());
            return;
        }
        self.next_generation();
        self.protocol = self.vote();
        self.phase = Phase::Completing;
        self.deadline = Some(now + self.patience());
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.synced = false;
                member.answer_join(now, answer);
            }
        }
    }

    /// Keeps the leader if it is here, else takes one that is; whether there is any.
    fn elect(&mut self) -> bool {
        let here = |id: &String| self.members.get(id).is_some_and(Member::is_joining);
        if !self.leader.as_ref().is_some_and(here) {
            let first = self.members.iter().find(|(_, member)| member.is_joining());
            match first.map(|(id, _)| id.clone()) {
                Some(id) => self.leader = Some(id),
                None => return false,
            }
        }
        true
    }

    fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    fn become_empty(&mut self) {
        self.phase = Phase::Empty;
        self.gathering = None;
        self.deadline = None;
        self.leader = None;
        self.protocol.clear();
    }

    /// The protocol all support that most prefer.
    fn vote(&self) -> String {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.protocol_names();
            let choice = names.find(|name| self.members.values().all(|other| other.supports(name)));
            if let Some(choice) = choice {
                *votes.entry(choice).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(name, _)| name.to_owned()).unwrap_or_default()
    }

    fn joined(&self, member_id: &str) -> JoinGroupResponse {
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == member_id {
            self.members
                .iter()
                .map(|(id, member)| JoinGroupMember {
                    member_id: id.clone(),
                    group_instance_id: member.instance_id.clone(),
                    metadata: member.metadata(&self.protocol),
                })
                .collect()
        } else {
            Vec::new()
        };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some(self.protocol_type.clone()),
            protocol_name: Some(self.protocol.clone()),
            leader,
            member_id: member_id.to_owned(),
            members,
            ..JoinGroupResponse::default()
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
