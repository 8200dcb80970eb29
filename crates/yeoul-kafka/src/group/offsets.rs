//! Committed offsets: who may commit, and what a group has committed.
//!
//! Whether a commit is allowed is decided under the lock of all groups and the commit is handed
//! to the store before the lock is let go. So a member that lost its place cannot come in after
//! one that took it over: whoever joined later commits later.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use yeoul_base::{Commit, Committed as Durable, FactKey, StoreError, TopicId};
use yeoul_kafka_wire::ErrorCode;

use super::facts::Record;
use super::{Committed, GROUP_BYTES_MAX, GroupOffset, Groups, OffsetKey, facts};
use crate::broker::{commit_on, partition};
use crate::errors;

/// In whose name offsets are committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) group: String,
    /// Empty: not a member.
    pub(crate) member_id: String,
    pub(crate) instance: Option<String>,
    /// −1: not a member.
    pub(crate) generation: i32,
    /// Part of a producer's transaction.
    pub(crate) transactional: bool,
}

/// Why nothing was committed.
#[derive(Debug)]
pub(crate) enum CommitRefused {
    /// The sender is not, or no longer, who may.
    Claim(ErrorCode),
    Store(StoreError),
}

impl CommitRefused {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Claim(code) => *code,
            Self::Store(error) => errors::of_coordinator(error),
        }
    }
}

impl Groups {
    /// Commits in a member's name, or in anybody's while the group has no members. The commit
    /// is in the store's order before anything that happens to the group afterwards.
    pub(crate) async fn commit_as(
        &self,
        claim: &Claim,
        commit: Commit,
    ) -> Result<Durable, CommitRefused> {
        let receive = self.submit_as(claim, commit).map_err(CommitRefused::Claim)?;
        let dropped = || StoreError::Closed("the commit was dropped unanswered".into());
        receive.await.unwrap_or_else(|_| Err(dropped())).map_err(CommitRefused::Store)
    }

    fn submit_as(
        &self,
        claim: &Claim,
        commit: Commit,
    ) -> Result<oneshot::Receiver<Result<Durable, StoreError>>, ErrorCode> {
        if claim.group.len() > GROUP_BYTES_MAX {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        if self.component(&claim.group).is_some() {
            tracing::debug!(group = %claim.group, "refused: a component of this node; `yeoul redo` moves it");
            return Err(ErrorCode::GROUP_AUTHORIZATION_FAILED);
        }
        let mut groups = self.lock();
        match groups.get_mut(&claim.group) {
            Some(group) => group.check_commit(self.clock.monotonic(), claim)?,
            None if claim.generation < 0 => {}
            None => return Err(ErrorCode::ILLEGAL_GENERATION),
        }
        let (send, receive) = oneshot::channel();
        self.store.submit(
            commit,
            Box::new(move |result| {
                // Nobody waits any more when the connection is gone; the commit holds all the same.
                let _ = send.send(result);
            }),
        );
        drop(groups);
        Ok(receive)
    }

    pub(crate) async fn commit_offsets(
        &self,
        claim: &Claim,
        entries: Vec<(OffsetKey, Committed)>,
    ) -> Result<(), CommitRefused> {
        let facts = entries
            .into_iter()
            .map(|(key, value)| (key.fact(&claim.group), Some(value.encode())))
            .collect();
        self.commit_as(claim, Commit { facts, ..Commit::default() }).await.map(|_| ())
    }

    /// What a group committed, ordered by topic id and partition.
    pub(crate) fn offsets(&self, group: &str) -> BTreeMap<OffsetKey, Committed> {
        facts::of_group(&*self.store, group)
    }

    /// What a component of this node has read, when `group` is one.
    pub(crate) fn component_offsets(&self, group: &str) -> Option<Vec<GroupOffset>> {
        self.component(group).map(|component| component.describe(&*self.store).offsets)
    }

    /// Forgets a group without members, with its offsets.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), ErrorCode> {
        if self.component(name).is_some() {
            return Err(ErrorCode::GROUP_AUTHORIZATION_FAILED);
        }
        let receive = {
            let mut groups = self.lock();
            let known = match groups.get(name) {
                Some(group) if !group.is_empty() => return Err(ErrorCode::NON_EMPTY_GROUP),
                _ => groups.remove(name).is_some(),
            };
            let keys: Vec<_> = self.offsets(name).into_keys().collect();
            if keys.is_empty() && !known {
                return Err(ErrorCode::GROUP_ID_NOT_FOUND);
            }
            let offsets = keys.into_iter().map(|key| key.fact(name));
            let facts =
                offsets.chain([Record::fact(name)]).map(|fact: FactKey| (fact, None)).collect();
            let (send, receive) = oneshot::channel();
            self.store.submit(
                Commit { facts, ..Commit::default() },
                Box::new(move |result| {
                    // Nobody waits any more when the connection is gone.
                    let _ = send.send(result);
                }),
            );
            receive
        };
        match receive.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(errors::of_coordinator(&error)),
            Err(_) => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        }
    }

    /// Drops all offsets of a deleted topic. Failing leaves facts nobody can reach, as the
    /// topic's id is never given again; the next look at what is out of date takes them.
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

    pub(super) fn readable(&self, offsets: BTreeMap<OffsetKey, Committed>) -> Vec<GroupOffset> {
        let topics = self.store.topics();
        offsets
            .into_iter()
            .filter_map(|(key, value)| {
                let topic = topics.by_id(key.topic)?;
                let part = partition(topic, key.partition)?;
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
}
