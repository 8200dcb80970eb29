//! One member of a group, with the answers it waits for.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};
use yeoul_kafka_wire::api::sync_group::SyncGroupResponse;

use super::Caller;
use crate::group::GroupMember;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<String>,
    pub(super) rebalance_timeout: Duration,
    /// When it is taken for gone, unless it is heard of or waits for an answer of ours.
    pub(super) session_ends: Duration,
    pub(super) assignment: Bytes,
    pub(super) joining: Option<oneshot::Sender<JoinGroupResponse>>,
    pub(super) syncing: Option<oneshot::Sender<SyncGroupResponse>>,
    /// Asked for its assignment in the current generation.
    pub(super) synced: bool,
    caller: Caller,
    session_timeout: Duration,
    /// Name and metadata, the preferred first.
    protocols: Vec<(String, Bytes)>,
}

/// A protocol's milliseconds; negative ones are none.
pub(super) fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}

/// What the request would make a group keep.
pub(super) fn metadata_bytes(request: &JoinGroupRequest) -> usize {
    request.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum()
}

impl Member {
    pub(super) fn new(now: Duration, caller: Caller, request: &JoinGroupRequest) -> Self {
        let session_timeout = millis(request.session_timeout_ms);
        let rebalance_timeout = match request.rebalance_timeout_ms {
            none if none < 0 => session_timeout,
            given => millis(given),
        };
        // Copies: slices would keep the whole request alive.
        let protocols = request
            .protocols
            .iter()
            .map(|protocol| (protocol.name.clone(), Bytes::copy_from_slice(&protocol.metadata)))
            .collect();
        Self {
            instance_id: request.group_instance_id.clone(),
            rebalance_timeout,
            session_ends: now + session_timeout,
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            synced: false,
            caller,
            session_timeout,
            protocols,
        }
    }

    /// Takes over what a new join says; whether that calls for a rebalance.
    pub(super) fn rejoin(&mut self, new: Self) -> bool {
        let changed = self.protocols != new.protocols;
        self.session_ends = new.session_ends;
        self.session_timeout = new.session_timeout;
        self.rebalance_timeout = new.rebalance_timeout;
        self.caller = new.caller;
        self.protocols = new.protocols;
        changed
    }

    pub(super) fn describe(&self, id: &str, protocol: &str) -> GroupMember {
        GroupMember {
            member_id: id.to_owned(),
            instance_id: self.instance_id.clone(),
            client_id: self.caller.client_id.clone(),
            client_host: self.caller.client_host.clone(),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }

    pub(super) fn protocol_names(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocol_names().any(|name| name == protocol)
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub(super) fn metadata_bytes(&self) -> usize {
        self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
    }

    pub(super) fn seen(&mut self, now: Duration) {
        self.session_ends = now + self.session_timeout;
    }

    /// Waits to join, its connection still there.
    pub(super) fn is_joining(&self) -> bool {
        self.joining.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    /// Waits for an answer of ours.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_joining() || self.syncing.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    pub(super) fn answer_join(&mut self, now: Duration, answer: JoinGroupResponse) {
        self.seen(now);
        if let Some(waiting) = self.joining.take() {
            // A receiver that has gone wanted no answer.
            let _ = waiting.send(answer);
        }
    }

    pub(super) fn answer_sync(&mut self, now: Duration, protocol_type: &str, protocol: &str) {
        if let Some(waiting) = self.syncing.take() {
            self.seen(now);
            let _ = waiting.send(SyncGroupResponse {
                protocol_type: Some(protocol_type.to_owned()),
                protocol_name: Some(protocol.to_owned()),
                assignment: self.assignment.clone(),
                ..SyncGroupResponse::default()
            });
        }
    }

    pub(super) fn refuse_sync(&mut self, error_code: ErrorCode) {
        if let Some(waiting) = self.syncing.take() {
            let _ = waiting.send(SyncGroupResponse { error_code, ..SyncGroupResponse::default() });
        }
    }

    /// Tells whoever waits under this member's id that it is not the member any more.
    pub(super) fn fence(&mut self, error_code: ErrorCode) {
        self.refuse_sync(error_code);
        if let Some(waiting) = self.joining.take() {
            let _ = waiting.send(JoinGroupResponse { error_code, ..JoinGroupResponse::default() });
        }
    }
}
