//! What is due when: transactions that were open for too long are aborted, ids that nobody used
//! for a week are forgotten. The index is a cache: whatever is due is looked at again as a fact
//! before anything is done.
//!
//! Invariant: the index never has a transaction due later than its fact does. A node that starts
//! makes it from the facts, so the time of an open transaction runs on through a restart.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use yeoul_base::Store;
use yeoul_kafka_wire::ErrorCode;

use super::{Change, Status, Transaction, Transactions, facts};

/// Kafka's `transactional.id.expiration.ms`.
const EXPIRY_MS: i64 = 7 * 24 * 3600 * 1000;
/// After a failure (a full disk) it is tried again.
const RETRY_MS: i64 = 2_000;
/// The machine's clock may be set: never sleep longer than this.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// Many that are due together are handled together.
const SLEEP_MIN: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy)]
struct Entry {
    due_ms: i64,
    open: bool,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<String, Entry>,
    due: BTreeSet<(i64, String)>,
    open: usize,
}

fn entry(transaction: &Transaction) -> Entry {
    let expiry = transaction.updated_ms.saturating_add(EXPIRY_MS);
    Entry {
        due_ms: transaction.deadline_ms().unwrap_or(expiry),
        open: transaction.status == Status::Ongoing,
    }
}

impl Index {
    pub(super) fn of(store: &dyn Store) -> Self {
        let mut index = Self::default();
        for (id, transaction) in facts::transactions(store) {
            index.put(&id, entry(&transaction));
        }
        index
    }

    fn put(&mut self, id: &str, entry: Entry) {
        self.remove(id);
        self.due.insert((entry.due_ms, id.to_owned()));
        self.open += usize::from(entry.open);
        self.entries.insert(id.to_owned(), entry);
    }

    fn remove(&mut self, id: &str) {
        if let Some(old) = self.entries.remove(id) {
            self.due.remove(&(old.due_ms, id.to_owned()));
            self.open -= usize::from(old.open);
        }
    }

    /// Transactional ids.
    pub(super) fn known(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn none_open(&self) -> bool {
        self.open == 0
    }
}

impl Transactions {
    /// A commit is about to make an id this: it is due no later than that from now on.
    pub(super) fn expect(&self, id: &str, next: &Transaction) {
        let next = entry(next);
        let mut index = self.lock();
        let known = index.entries.get(id).copied();
        let due_ms = known.map_or(next.due_ms, |known| known.due_ms.min(next.due_ms));
        let open = next.open || known.is_some_and(|known| known.open);
        index.put(id, Entry { due_ms, open });
        let first = index.due.first().is_some_and(|(_, first)| first == id);
        drop(index);
        if first {
            self.sooner.notify_one();
        }
    }

    /// Takes an id's fact into the index, whatever it is now. Reading under the lock: of two
    /// that do this after their commits, the second sees both.
    pub(super) fn refresh(&self, id: &str) {
        let mut index = self.lock();
        match self.load(id) {
            Ok(Some((_, transaction))) => index.put(id, entry(&transaction)),
            Ok(None) | Err(_) => index.remove(id),
        }
    }

    /// Does what is due; returns how long nothing is, `None`: nothing is known.
    pub(crate) async fn tick(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let due: Vec<String> = {
            let index = self.lock();
            let due = index.due.iter().take_while(|(due_ms, _)| *due_ms <= now_ms);
            due.map(|(_, id)| id.clone()).collect()
        };
        for id in due {
            match self.do_due(&id).await {
                Ok(()) => self.refresh(&id),
                Err(code) => {
                    tracing::warn!(%id, %code, "a transaction that is over could not be aborted");
                    let mut index = self.lock();
                    let open = index.entries.get(&id).is_none_or(|entry| entry.open);
                    index.put(&id, Entry { due_ms: now_ms.saturating_add(RETRY_MS), open });
                }
            }
        }
        let next = self.lock().due.first().map(|(due_ms, _)| *due_ms)?;
        let wait = next.saturating_sub(self.clock.now_ms());
        Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
    }

    async fn do_due(&self, id: &str) -> Result<(), ErrorCode> {
        let now_ms = self.clock.now_ms();
        self.change(id, None, |found, learned| {
            let Some(found) = found else { return Ok(Change::Nothing(())) };
            if let Some(next) = learned.raised(found).time_out(now_ms) {
                tracing::info!(
                    id,
                    timeout_ms = found.timeout_ms,
                    "a transaction is aborted: its time is over"
                );
                let commit = self.ending(next.identity(), false, learned);
                return Ok(Change::Become { next, commit, answer: () });
            }
            let idle = found.status != Status::Ongoing;
            if idle && found.updated_ms.saturating_add(EXPIRY_MS) <= now_ms {
                return Ok(Change::Forget(()));
            }
            Ok(Change::Nothing(()))
        })
        .await
    }

    /// Ticks when something is due, for as long as the node runs.
    pub(crate) async fn run_timers(&self) {
        loop {
            let sooner = self.sooner.notified();
            match self.tick().await {
                None => sooner.await,
                Some(wait) => {
                    let wait = wait.clamp(SLEEP_MIN, SLEEP_MAX);
                    // Either way the next tick looks at the clock itself.
                    let _ = tokio::time::timeout(wait, sooner).await;
                }
            }
        }
    }
}
