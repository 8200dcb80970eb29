//! The transaction coordinator. Everything it knows is a fact, changed by commits that are
//! guarded on the fact of the transactional id, so two requests about one id never mix: one
//! wins, the other looks again.
//!
//! A transaction is the facts of its partitions and pending offsets. A batch is committed under
//! a guard on its partition's fact ([`Transactions::admit`]), and the end of a transaction is one
//! commit: a marker for every partition, the offsets, and the facts gone. So nothing can come
//! into a transaction after its end, and there is no half-ended transaction, also after a crash.
//!
//! Invariant: whoever adds a fact to a transaction changes the fact of its id in the same commit;
//! whoever ends one has therefore seen all of it, or is refused and looks again.

mod facts;
mod look;
mod state;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use yeoul_base::{Append, Clock, Commit, FactKey, FactKind, Guard, PartId, Store, StoreError};
use yeoul_kafka_wire::ErrorCode;
use yeoul_log::batch::marker;

use crate::broker::commit_on;
use crate::errors;
use crate::group::{Claim, CommitRefused, Committed, Groups, OffsetKey};
use facts::Membership;
use state::{End, Init};
use timers::Index;

pub(crate) use state::{Identity, Status, Transaction};

/// Kafka's `transaction.max.timeout.ms`.
const TIMEOUT_MAX_MS: i32 = 15 * 60 * 1000;
/// A transactional id, such that its fact's key holds it.
const ID_BYTES_MAX: usize = 1_000;
/// Transactional ids that are known at a time.
const IDS_MAX: usize = 100_000;
/// Partitions of one transaction: its end, one frame, has a marker for each.
const PARTS_MAX: usize = 50_000;
/// Keys and values of one transaction's offsets: they move within that frame.
const OFFSETS_BYTES_MAX: usize = 8 << 20;
/// There is one coordinator and it never moves.
const COORDINATOR_EPOCH: i32 = 0;
/// How often somebody else may be faster before the client is told to come again.
const ATTEMPTS: usize = 32;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Transactions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// What is due when; a cache over the facts.
    index: Mutex<Index>,
    /// Something is due sooner than it was.
    sooner: Notify,
}

/// What a request comes to, given the id's fact.
enum Change<T> {
    Nothing(T),
    Become {
        next: Transaction,
        commit: Commit,
        answer: T,
    },
    /// The id is forgotten.
    Forget(T),
}

/// What refused commits have told about the log, for the next plan.
#[derive(Debug, Default)]
struct Learned {
    /// Partitions whose topic was deleted.
    gone: BTreeSet<PartId>,
    /// A partition has seen the producer with this epoch, −1: none told so. Only batches that are
    /// not of this coordinator's making can be ahead of it, and markers of an older epoch would
    /// be refused for ever, so the transactional id goes on from there.
    epoch: i16,
}

impl Learned {
    fn raised(&self, found: &Transaction) -> Transaction {
        Transaction { epoch: found.epoch.max(self.epoch), ..found.clone() }
    }
}

/// In whose name offsets join a transaction.
#[derive(Clone, Copy)]
struct Via<'a> {
    groups: &'a Groups,
    claim: &'a Claim,
}

impl Transactions {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let index = Mutex::new(Index::of(&*store));
        Self { store, clock, index, sooner: Notify::new() }
    }

    /// The fact of an id, as it is and as it reads.
    fn load(&self, id: &str) -> Result<Option<(Bytes, Transaction)>, ErrorCode> {
        let Some(bytes) = self.store.fact(FactKind::Transaction, &facts::transaction_key(id).key)
        else {
            return Ok(None);
        };
        match Transaction::decode(&bytes) {
            Ok(transaction) => Ok(Some((bytes, transaction))),
            Err(error) => {
                tracing::warn!(id, %error, "the state of a transactional id does not decode");
                Err(ErrorCode::UNKNOWN_SERVER_ERROR)
            }
        }
    }

    /// Plans a change on what is there and commits it if that is still so; else again. `plan`
    /// also gets what was learned from commits that were refused.
    async fn change<T>(
        &self,
        id: &str,
        via: Option<Via<'_>>,
        plan: impl Fn(Option<&Transaction>, &Learned) -> Result<Change<T>, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let mut learned = Learned { epoch: -1, ..Learned::default() };
        for _ in 0..ATTEMPTS {
            let found = self.load(id)?;
            let (next, mut commit, answer) =
                match plan(found.as_ref().map(|(_, transaction)| transaction), &learned)? {
                    Change::Nothing(answer) => return Ok(answer),
                    Change::Become { next, commit, answer } => (Some(next), commit, answer),
                    Change::Forget(answer) => (None, Commit::default(), answer),
                };
            let key = facts::transaction_key(id);
            let expect = found.map(|(bytes, _)| bytes);
            commit.guards.insert(0, Guard { key: key.clone(), expect });
            commit.facts.push((key, next.as_ref().map(Transaction::encode)));
            if let Some(next) = &next {
                // Before the commit: whoever asked may be gone when it is durable.
                self.expect(id, next);
            }
            match self.commit(via, commit).await {
                Ok(()) => {
                    self.refresh(id);
                    return Ok(answer);
                }
                Err(CommitRefused::Store(StoreError::GuardMismatch(_))) => {}
                Err(CommitRefused::Store(StoreError::UnknownPartition(part))) => {
                    learned.gone.insert(part);
                }
                Err(CommitRefused::Store(StoreError::ProducerFenced { current, .. }))
                    if current > learned.epoch =>
                {
                    tracing::warn!(id, current, "a partition knows the producer by a later epoch");
                    learned.epoch = current;
                }
                Err(CommitRefused::Claim(code)) => return Err(code),
                Err(CommitRefused::Store(error)) => {
                    tracing::warn!(id, %error, "a transaction could not be changed");
                    return Err(errors::of_coordinator(&error));
                }
            }
        }
        Err(ErrorCode::CONCURRENT_TRANSACTIONS)
    }

    async fn commit(&self, via: Option<Via<'_>>, commit: Commit) -> Result<(), CommitRefused> {
        match via {
            Some(Via { groups, claim }) => groups.commit_as(claim, commit).await.map(|_| ()),
            None => {
                let done = commit_on(&*self.store, commit).await;
                done.map(|_| ()).map_err(CommitRefused::Store)
            }
        }
    }

    /// A producer begins with an id: what it had open is aborted, the one before it is fenced.
    /// `expected`: who the producer says it was.
    pub(crate) async fn init(
        &self,
        id: &str,
        timeout_ms: i32,
        expected: Option<Identity>,
    ) -> Result<Identity, ErrorCode> {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if !(1..=TIMEOUT_MAX_MS).contains(&timeout_ms) {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        let mut fresh = None;
        loop {
            let become_ = |found: Option<&Transaction>, learned: &Learned| {
                if found.is_none() && self.lock().known() >= IDS_MAX {
                    tracing::warn!(id, "refused: {IDS_MAX} transactional ids are known already");
                    return Err(ErrorCode::INVALID_REQUEST);
                }
                let now_ms = self.clock.now_ms();
                let found = found.map(|found| learned.raised(found));
                match Transaction::init(found.as_ref(), expected, timeout_ms, now_ms, fresh)? {
                    Init::NeedsId => Ok(Change::Nothing(None)),
                    Init::Become { next, abort } => {
                        let end = abort.map(|producer| self.ending(producer, false, learned));
                        let answer = Some(next.identity());
                        Ok(Change::Become { next, commit: end.unwrap_or_default(), answer })
                    }
                }
            };
            match self.change(id, None, become_).await? {
                Some(identity) => return Ok(identity),
                None => fresh = Some(self.fresh_id().await?),
            }
        }
    }

    /// A producer id nobody has had.
    pub(crate) async fn fresh_id(&self) -> Result<i64, ErrorCode> {
        let store = Arc::clone(&self.store);
        let given = tokio::task::spawn_blocking(move || store.new_producer_id()).await;
        let given =
            given.unwrap_or_else(|_| Err(StoreError::Closed("the node is stopping".into())));
        given.map_err(|error| {
            tracing::warn!(%error, "no producer id could be given");
            errors::of_coordinator(&error)
        })
    }

    /// Takes partitions into the producer's transaction, beginning it when it is not.
    pub(crate) async fn add_partitions(
        &self,
        id: &str,
        from: Identity,
        parts: &BTreeSet<PartId>,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let plan = |found: Option<&Transaction>, _: &Learned| {
            let found = Transaction::check(found, from)?;
            let held: BTreeSet<PartId> = self.parts(from.producer_id).into_iter().collect();
            let new: Vec<_> = parts.difference(&held).collect();
            if new.is_empty() && found.status == Status::Ongoing {
                return Ok(Change::Nothing(()));
            }
            if held.len() + new.len() > PARTS_MAX {
                tracing::warn!(id, "refused: {PARTS_MAX} partitions are in the transaction");
                return Err(ErrorCode::INVALID_REQUEST);
            }
            let next = found.grown(self.clock.now_ms());
            let value = Membership::of(&next).encode();
            let key = |part: &&PartId| facts::part_key(from.producer_id, **part);
            let facts = new.iter().map(|part| (key(part), Some(value.clone()))).collect();
            let commit = Commit { facts, ..Commit::default() };
            Ok(Change::Become { next, commit, answer: () })
        };
        self.change(id, None, plan).await
    }

    /// Lets the producer's transaction commit offsets of a group, beginning it when it is not.
    pub(crate) async fn add_group(
        &self,
        id: &str,
        from: Identity,
        group: &str,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let plan = |found: Option<&Transaction>, _: &Learned| {
            let found = Transaction::check(found, from)?;
            let key = facts::group_key(from.producer_id, group);
            let open = found.status == Status::Ongoing;
            if open && self.store.fact(key.kind, &key.key).is_some() {
                return Ok(Change::Nothing(()));
            }
            if open && self.offsets_bytes(from) > OFFSETS_BYTES_MAX {
                return Err(ErrorCode::INVALID_REQUEST);
            }
            let next = found.grown(self.clock.now_ms());
            let facts = vec![(key, Some(Membership::of(&next).encode()))];
            let commit = Commit { facts, ..Commit::default() };
            Ok(Change::Become { next, commit, answer: () })
        };
        self.change(id, None, plan).await
    }

    fn offsets_bytes(&self, of: Identity) -> usize {
        let pending = facts::pending(&*self.store, Some(of.producer_id));
        pending.iter().map(|one| one.fact.key.len() + one.value.len()).sum()
    }

    /// Puts offsets into the producer's transaction: they count once it is committed.
    pub(crate) async fn add_offsets(
        &self,
        id: &str,
        from: Identity,
        groups: &Groups,
        claim: &Claim,
        offsets: &BTreeMap<OffsetKey, Committed>,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let plan = |found: Option<&Transaction>, _: &Learned| {
            let found = Transaction::check(found, from)?;
            let group = facts::group_key(from.producer_id, &claim.group);
            let member = self.store.fact(group.kind, &group.key);
            if found.status != Status::Ongoing || member.is_none() {
                return Err(ErrorCode::INVALID_TXN_STATE);
            }
            let key = |offset| facts::offset_key(from.producer_id, &claim.group, offset);
            let facts: Vec<(FactKey, Option<Bytes>)> = offsets
                .iter()
                .map(|(offset, value)| (key(*offset), Some(value.encode())))
                .collect();
            let size = |(key, value): &(FactKey, Option<Bytes>)| {
                key.key.len() + value.as_ref().map_or(0, Bytes::len)
            };
            let added: usize = facts.iter().map(size).sum();
            if self.offsets_bytes(from) + added > OFFSETS_BYTES_MAX {
                return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
            }
            let commit = Commit { facts, ..Commit::default() };
            let next = found.grown(self.clock.now_ms());
            Ok(Change::Become { next, commit, answer: () })
        };
        self.change(id, Some(Via { groups, claim }), plan).await
    }

    /// Commits or aborts the producer's transaction.
    pub(crate) async fn end(
        &self,
        id: &str,
        from: Identity,
        commit: bool,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let plan = |found: Option<&Transaction>, learned: &Learned| {
            let found = Transaction::check(found, from)?;
            match found.end(commit, self.clock.now_ms())? {
                End::Already => Ok(Change::Nothing(())),
                End::Become(next) => {
                    let next = learned.raised(&next);
                    let commit = self.ending(next.identity(), commit, learned);
                    Ok(Change::Become { next, commit, answer: () })
                }
            }
        };
        self.change(id, None, plan).await
    }

    /// Everything that ends a transaction: markers of `producer` for all its partitions, its
    /// offsets, its facts. Topics that were deleted meanwhile are left out.
    fn ending(&self, producer: Identity, commit: bool, learned: &Learned) -> Commit {
        let Identity { producer_id, epoch } = producer;
        let batch = marker(producer_id, epoch, commit, COORDINATOR_EPOCH, self.clock.now_ms());
        let mut end = Commit::default();
        for (key, part) in facts::parts(&*self.store, producer_id) {
            end.facts.push((key, None));
            let part = part.filter(|part| !learned.gone.contains(part));
            if let Some(part) = part.filter(|part| self.store.ends(*part).is_some()) {
                end.appends.push(Append { part, batch: batch.clone() });
            }
        }
        let topics = self.store.topics();
        for pending in facts::pending(&*self.store, Some(producer_id)) {
            let offset = pending.offset.filter(|_| commit);
            let offset = offset.filter(|offset| topics.by_id(offset.topic).is_some());
            if let Some(offset) = offset {
                // Its group may be deleted at this moment, which takes it away.
                let expect = Some(pending.value.clone());
                end.guards.push(Guard { key: pending.fact.clone(), expect });
                end.facts.push((offset.fact(&pending.group), Some(pending.value)));
            }
            end.facts.push((pending.fact, None));
        }
        end
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
