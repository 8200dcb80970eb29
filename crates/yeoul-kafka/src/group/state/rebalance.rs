//! From one generation to the next: who is waited for, who leads, which assignor, and what each
//! member is told.

use std::collections::BTreeMap;
use std::time::Duration;

use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::join_group::{JoinGroupMember, JoinGroupResponse};

use super::member::Member;
use super::{Gathering, Group, Phase};

impl Group {
    /// Begins a rebalance unless one is being prepared.
    pub(super) fn prepare(&mut self, now: Duration) {
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

    pub(super) fn complete_join_if_ready(&mut self, now: Duration) {
        let all_here = self.members.values().all(Member::is_joining);
        let gathering = self.gathering.is_some();
        if self.phase == Phase::Preparing && all_here && self.pending.is_empty() && !gathering {
            self.complete_join(now);
        }
    }

    /// Ends a wait for members, or lets it go on as long as new ones keep coming.
    pub(super) fn gathered(&mut self, now: Duration) {
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
    pub(super) fn complete_join(&mut self, now: Duration) {
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

    pub(super) fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    pub(super) fn become_empty(&mut self) {
        self.phase = Phase::Empty;
        self.gathering = None;
        self.deadline = None;
        self.leader = None;
        self.protocol.clear();
    }

    /// The protocol all support that most prefer.
    pub(super) fn vote(&self) -> String {
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

    pub(super) fn joined(&self, member_id: &str) -> JoinGroupResponse {
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
}
