//! Who may join a group, and under which id.

use std::time::Duration;

use tokio::sync::oneshot;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};

use super::member::{self, Member};
use super::{Caller, Group, Phase};

/// What all members of a group may have given in metadata, so that a group stays small.
const METADATA_BYTES_MAX: usize = 16 << 20;

/// How somebody comes into the group.
enum Admitted {
    /// As the member of this id, new or known.
    As(String),
    /// A static member that lost its id: it gets `new` and the place of `old`.
    Back { old: String, new: String },
}

impl Group {
    /// Answers through `answer`, at once or when the generation is complete.
    pub(in crate::group) fn join(
        &mut self,
        now: Duration,
        caller: Caller,
        request: &JoinGroupRequest,
        fresh_id: String,
        answer: oneshot::Sender<JoinGroupResponse>,
    ) {
        let member_id = match self.admit(now, &caller, request, fresh_id) {
            Ok(Admitted::As(member_id)) => member_id,
            Ok(Admitted::Back { old, new }) => {
                return self.come_back(now, caller, request, (&old, &new), answer);
            }
            Err((error_code, member_id)) => {
                let refused =
                    JoinGroupResponse { error_code, member_id, ..JoinGroupResponse::default() };
                // A receiver that has gone wanted no answer.
                let _ = answer.send(refused);
                return;
            }
        };
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
        }
        self.pending.remove(&member_id);
        let is_leader = self.leader.as_ref() == Some(&member_id);
        let new = Member::new(now, caller, request);
        let changed = match self.members.get_mut(&member_id) {
            Some(member) => member.rejoin(new),
            None => {
                self.members.insert(member_id.clone(), new);
                if let Some(gathering) = &mut self.gathering {
                    gathering.grew = true;
                }
                true
            }
        };
        let settled = match self.phase {
            Phase::Empty | Phase::Preparing => false,
            // The answer to an earlier join was lost on its way.
            Phase::Completing => !changed,
            // A leader that joins again wants the partitions assigned anew.
            Phase::Stable => !changed && !is_leader,
        };
        if settled {
            let _ = answer.send(self.joined(&member_id));
            return;
        }
        self.wait_for_others(now, &member_id, answer);
    }

    fn wait_for_others(
        &mut self,
        now: Duration,
        member_id: &str,
        answer: oneshot::Sender<JoinGroupResponse>,
    ) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.joining = Some(answer);
        }
        self.prepare(now);
        self.complete_join_if_ready(now);
    }

    /// A static member is back under a new id; whoever still uses the old one is told. In a
    /// settled group it goes on with the assignment it had, unless another assignor must be
    /// chosen because of it.
    fn come_back(
        &mut self,
        now: Duration,
        caller: Caller,
        request: &JoinGroupRequest,
        (old, new): (&str, &str),
        answer: oneshot::Sender<JoinGroupResponse>,
    ) {
        let Some(mut member) = self.members.remove(old) else { return };
        member.fence(ErrorCode::FENCED_INSTANCE_ID);
        let skips_assignment = caller.skips_assignment;
        member.rejoin(Member::new(now, caller, request));
        self.members.insert(new.to_owned(), member);
        let led = self.leader.as_deref() == Some(old);
        if led {
            self.leader = Some(new.to_owned());
        }
        if self.phase != Phase::Stable || self.vote() != self.protocol {
            return self.wait_for_others(now, new, answer);
        }
        let mut joined = self.joined(new);
        if led && skips_assignment {
            joined.skip_assignment = true;
        } else if led {
            // An older client that heard it leads would assign; the assignment stands, so it is
            // told of a leader that is gone.
            joined.leader = old.to_owned();
            joined.members.clear();
        }
        // A receiver that has gone wanted no answer.
        let _ = answer.send(joined);
    }

    /// Finds how the member joins, or the error and the id to answer with.
    fn admit(
        &mut self,
        now: Duration,
        caller: &Caller,
        request: &JoinGroupRequest,
        fresh_id: String,
    ) -> Result<Admitted, (ErrorCode, String)> {
        let asked = request.member_id.clone();
        let session = member::millis(request.session_timeout_ms);
        if !(self.terms.session_min..=self.terms.session_max).contains(&session) {
            return Err((ErrorCode::INVALID_SESSION_TIMEOUT, asked));
        }
        let holder = self.holder(request.group_instance_id.as_deref());
        let known = self.members.contains_key(&asked)
            || self.pending.contains_key(&asked)
            || (asked.is_empty() && holder.is_some());
        if !known && !asked.is_empty() {
            let fenced = holder.is_some();
            let code =
                if fenced { ErrorCode::FENCED_INSTANCE_ID } else { ErrorCode::UNKNOWN_MEMBER_ID };
            return Err((code, asked));
        }
        let full = self.members.len() + self.pending.len() >= self.terms.size_max;
        if (full && !known)
            || self.metadata_bytes() + member::metadata_bytes(request) > METADATA_BYTES_MAX
        {
            return Err((ErrorCode::GROUP_MAX_SIZE_REACHED, asked));
        }
        if !self.fits_protocols(&asked, request) {
            return Err((ErrorCode::INCONSISTENT_GROUP_PROTOCOL, asked));
        }
        match (asked.is_empty(), holder) {
            (true, Some(old)) => Ok(Admitted::Back { old, new: fresh_id }),
            (true, None) if request.group_instance_id.is_none() && caller.member_id_required => {
                self.pending.insert(fresh_id.clone(), now + session);
                Err((ErrorCode::MEMBER_ID_REQUIRED, fresh_id))
            }
            (true, None) => Ok(Admitted::As(fresh_id)),
            (false, Some(holder)) if holder != asked => Err((ErrorCode::FENCED_INSTANCE_ID, asked)),
            (false, None) if request.group_instance_id.is_some() => {
                Err((ErrorCode::UNKNOWN_MEMBER_ID, asked))
            }
            (false, _) => Ok(Admitted::As(asked)),
        }
    }

    /// Whether the others of the group can agree with this member on a protocol.
    fn fits_protocols(&self, member_id: &str, request: &JoinGroupRequest) -> bool {
        if request.protocols.is_empty() || request.protocol_type.is_empty() {
            return false;
        }
        let replaced = self.holder(request.group_instance_id.as_deref());
        let mut others = self
            .members
            .iter()
            .filter(|(id, _)| *id != member_id && Some(*id) != replaced.as_ref())
            .map(|(_, member)| member)
            .peekable();
        if others.peek().is_none() {
            return true;
        }
        let others: Vec<_> = others.collect();
        self.protocol_type == request.protocol_type
            && request
                .protocols
                .iter()
                .any(|protocol| others.iter().all(|other| other.supports(&protocol.name)))
    }

    fn metadata_bytes(&self) -> usize {
        self.members.values().map(Member::metadata_bytes).sum()
    }

    /// The member that a static member's name belongs to.
    pub(super) fn holder(&self, instance: Option<&str>) -> Option<String> {
        let instance = instance?;
        let mut members = self.members.iter();
        members.find(|(_, m)| m.instance_id.as_deref() == Some(instance)).map(|(id, _)| id.clone())
    }
}
