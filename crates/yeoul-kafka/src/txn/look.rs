//! What others ask of the coordinator: whether a batch may come in, which offsets are pending,
//! what there is; and the end of a transaction in a single partition.

use std::collections::BTreeSet;

use yeoul_base::{Append, Commit, Guard, PartId, StoreError};
use yeoul_kafka_wire::ErrorCode;
use yeoul_log::batch::marker;

use super::facts::{self, Membership};
use super::{COORDINATOR_EPOCH, Identity, Status, Transaction, Transactions};
use crate::broker::commit_on;
use crate::errors;
use crate::group::OffsetKey;

impl Transactions {
    /// Whether a transactional batch may be appended: the guard its commit must carry.
    pub(crate) fn admit(&self, id: &str, from: Identity, part: PartId) -> Result<Guard, ErrorCode> {
        let found = self.load(id)?.map(|(_, transaction)| transaction);
        let found = match Transaction::check(found.as_ref(), from) {
            Ok(found) => found,
            // What producers expect to hear of it from a partition.
            Err(ErrorCode::PRODUCER_FENCED) => return Err(ErrorCode::INVALID_PRODUCER_EPOCH),
            Err(code) => return Err(code),
        };
        let key = facts::part_key(from.producer_id, part);
        let expect = self.store.fact(key.kind, &key.key);
        let current = Membership::of(found);
        let member = expect.as_ref().is_some_and(|value| {
            Membership::decode(value).is_ok_and(|membership| membership == current)
        });
        if found.status == Status::Ongoing && member {
            Ok(Guard { key, expect })
        } else {
            Err(ErrorCode::INVALID_TXN_STATE)
        }
    }

    /// Whether a producer's open transaction has a partition: it sends no plain batches there.
    pub(crate) fn has_part(&self, producer_id: i64, part: PartId) -> bool {
        if self.lock().none_open() {
            return false;
        }
        let key = facts::part_key(producer_id, part);
        self.store.fact(key.kind, &key.key).is_some()
    }

    /// Ends a producer's transaction in one partition only, by a person's order. The transaction
    /// goes on without it.
    pub(crate) async fn abort_part(&self, from: Identity, part: PartId) -> Result<(), ErrorCode> {
        let key = facts::part_key(from.producer_id, part);
        let expect = self.store.fact(key.kind, &key.key);
        let Some(membership) = expect.as_ref().and_then(|value| Membership::decode(value).ok())
        else {
            return Err(ErrorCode::INVALID_TXN_STATE);
        };
        if membership.epoch != from.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        let now_ms = self.clock.now_ms();
        let batch = marker(from.producer_id, from.epoch, false, COORDINATOR_EPOCH, now_ms);
        let commit = Commit {
            guards: vec![Guard { key: key.clone(), expect }],
            appends: vec![Append { part, batch }],
            facts: vec![(key, None)],
            ..Commit::default()
        };
        match commit_on(&*self.store, commit).await {
            Ok(_) => Ok(()),
            Err(StoreError::GuardMismatch(_)) => Err(ErrorCode::INVALID_TXN_STATE),
            Err(error) => Err(errors::of_store(&error)),
        }
    }

    /// The partitions for which open transactions hold offsets of a group.
    pub(crate) fn unstable(&self, group: &str) -> BTreeSet<OffsetKey> {
        if self.lock().none_open() {
            return BTreeSet::new();
        }
        facts::unstable(&*self.store, group).into_keys().collect()
    }

    /// A group is deleted: offsets in open transactions go with it. Returns whether there were.
    pub(crate) async fn forget_group(&self, group: &str) -> Result<bool, ErrorCode> {
        let pending = facts::unstable(&*self.store, group);
        if pending.is_empty() {
            return Ok(false);
        }
        let facts = pending.into_values().map(|key| (key, None)).collect();
        match commit_on(&*self.store, Commit { facts, ..Commit::default() }).await {
            Ok(_) => Ok(true),
            Err(error) => Err(errors::of_coordinator(&error)),
        }
    }

    /// One transactional id.
    pub(crate) fn describe(&self, id: &str) -> Result<Option<Transaction>, ErrorCode> {
        Ok(self.load(id)?.map(|(_, transaction)| transaction))
    }

    /// The partitions in a producer's open transaction.
    pub(crate) fn parts(&self, producer_id: i64) -> Vec<PartId> {
        facts::parts(&*self.store, producer_id).into_iter().filter_map(|(_, part)| part).collect()
    }

    /// Every transactional id, by name.
    pub(crate) fn list(&self) -> Vec<(String, Transaction)> {
        facts::transactions(&*self.store)
    }
}
