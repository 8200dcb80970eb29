//! Who may join a group, and under which id.

use std::time::Duration;

use tokio::sync::oneshot;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};

use super::member::{self, Member};
use super::{Caller, Group, Phase};

/// Members of one group, those that only have an id so far included.
const MEMBERS_MAX: usize = 10_000;
/// What all members of a group may have given in metadata, so that a group stays small.
const METADATA_BYTES_MAX: usize = 16 << 20;
/// As Kafka's `group.max.session.timeout.ms`.
const SESSION_MAX: Duration = Duration::from_secs(1800);

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
            Ok(member_id) => member_id,
            Err((error_code, member_id)) => {
                let refused =
                    JoinGroupResponse { error_code, member_id, ..JoinGroupResponse::default() };
                // A receiver that has gone wanted no answer.
                let _ = answer.send(refused);
                return;
            }
        };
        self.protocol_type.clone_from(&request.protocol_type);
        self.pending.remove(&member_id);
        let is_leader = self.leader.as_ref() == Some(&member_id);
        let new = Member::new(now, caller, request);
        let changed = match self.members.get_mut(&member_id) {
            Some(member) => member.rejoin(new),
            None => {
                self.members.insert(member_id.clone(), new);
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
        if let Some(member) = self.members.get_mut(&member_id) {
            member.joining = Some(answer);
        }
        self.prepare(now);
        self.complete_join_if_ready(now);
    }

    /// Finds the id under which the member joins, or the error and the id to answer with.
    fn admit(
        &mut self,
        now: Duration,
        caller: &Caller,
        request: &JoinGroupRequest,
        fresh_id: String,
    ) -> Result<String, (ErrorCode, String)> {
        let asked = request.member_id.clone();
        let session = member::millis(request.session_timeout_ms);
        if session.is_zero() || session > SESSION_MAX {
            return Err((ErrorCode::INVALID_SESSION_TIMEOUT, asked));
        }
        if !self.fits_protocols(&asked, request) {
            return Err((ErrorCode::INCONSISTENT_GROUP_PROTOCOL, asked));
        }
        if self.members.len() + self.pending.len() >= MEMBERS_MAX && asked.is_empty()
            || self.metadata_bytes() + member::metadata_bytes(request) > METADATA_BYTES_MAX
        {
            return Err((ErrorCode::GROUP_MAX_SIZE_REACHED, asked));
        }
        let holder = self.holder(request.group_instance_id.as_deref());
        if asked.is_empty() {
            return match (&request.group_instance_id, holder) {
                (Some(_), Some(old)) => {
                    self.replace(&old, &fresh_id);
                    Ok(fresh_id)
                }
                (None, _) if caller.member_id_required => {
                    self.pending.insert(fresh_id.clone(), now + session);
                    Err((ErrorCode::MEMBER_ID_REQUIRED, fresh_id))
                }
                _ => Ok(fresh_id),
            };
        }
        if self.members.contains_key(&asked) || self.pending.contains_key(&asked) {
            return match holder {
                Some(holder) if holder != asked => Err((ErrorCode::FENCED_INSTANCE_ID, asked)),
                _ => Ok(asked),
            };
        }
        match holder {
            Some(_) => Err((ErrorCode::FENCED_INSTANCE_ID, asked)),
            None => Err((ErrorCode::UNKNOWN_MEMBER_ID, asked)),
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

    /// A static member came back under a new id; whoever still uses the old one is told.
    fn replace(&mut self, old: &str, new: &str) {
        if let Some(mut member) = self.members.remove(old) {
            member.fence(ErrorCode::FENCED_INSTANCE_ID);
            if self.leader.as_deref() == Some(old) {
                self.leader = Some(new.to_owned());
            }
            self.members.insert(new.to_owned(), member);
        }
    }
}
