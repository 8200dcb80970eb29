//! One transactional id: who its producer is and how its transaction stands. Pure: it is given
//! what the fact says and the time, and answers what the fact becomes, or Kafka's code.
//!
//! Invariant: an epoch is never given twice for one producer id.

use yeoul_kafka_wire::ErrorCode;

/// "No such id" and "no such epoch".
const NONE: i64 = -1;
/// The last epoch that is given to a producer; one more is kept to fence that one with.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// How the id's last transaction stands. Numbers are written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Its producer has not begun one.
    Empty = 0,
    Ongoing = 1,
    Committed = 2,
    Aborted = 3,
}

impl Status {
    pub(super) const ALL: [Self; 4] = [Self::Empty, Self::Ongoing, Self::Committed, Self::Aborted];

    /// Kafka's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::Committed => "CompleteCommit",
            Self::Aborted => "CompleteAbort",
        }
    }
}

/// What is kept of a transactional id; `docs/formats/transactions.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// The producer id before this one, −1: none.
    pub(crate) last_producer_id: i64,
    /// The epoch the producer had when it asked for this one, −1: somebody else asked.
    pub(crate) last_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) status: Status,
    /// Of the last transaction that was begun, counted from 1.
    pub(crate) number: u64,
    /// Goes up with every change, so that a change can be made on what was seen and nothing else.
    pub(crate) revision: u64,
    /// When the last transaction was begun, in milliseconds since 1970.
    pub(crate) opened_ms: i64,
    pub(crate) updated_ms: i64,
}

/// A producer as it names itself in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// What InitProducerId comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Init {
    /// Ask again with a producer id that nobody has had.
    NeedsId,
    Become {
        next: Transaction,
        /// What is open is aborted first, by markers of this producer and epoch.
        abort: Option<Identity>,
    },
}

/// What EndTxn comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It ended so before: the answer was lost.
    Already,
    Become(Transaction),
}

fn is_exhausted(epoch: i16) -> bool {
    epoch >= LAST_EPOCH
}

impl Transaction {
    pub(super) fn identity(&self) -> Identity {
        Identity { producer_id: self.producer_id, epoch: self.epoch }
    }

    /// When an open transaction is aborted by itself.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        let open = self.status == Status::Ongoing;
        open.then(|| self.opened_ms.saturating_add(self.timeout_ms.into()))
    }

    fn changed(&self, now_ms: i64) -> Self {
        let revision = self.revision.saturating_add(1);
        Self { revision, updated_ms: now_ms, ..self.clone() }
    }

    /// A producer begins with this transactional id, or comes back for another epoch.
    /// `expected`: who it says it was; `fresh`: a producer id nobody has had.
    pub(super) fn init(
        found: Option<&Self>,
        expected: Option<Identity>,
        timeout_ms: i32,
        now_ms: i64,
        fresh: Option<i64>,
    ) -> Result<Init, ErrorCode> {
        let Some(found) = found else {
            let Some(producer_id) = fresh else { return Ok(Init::NeedsId) };
            let next = Self {
                producer_id,
                epoch: 0,
                last_producer_id: NONE,
                last_epoch: -1,
                timeout_ms,
                status: Status::Empty,
                number: 0,
                revision: 0,
                opened_ms: -1,
                updated_ms: now_ms,
            };
            return Ok(Init::Become { next, abort: None });
        };
        let repeated = match expected {
            Some(expected) => found.check_comeback(expected)?,
            None => false,
        };
        let mut next = Self { timeout_ms, ..found.changed(now_ms) };
        if repeated {
            return Ok(Init::Become { next, abort: None });
        }
        let mut abort = None;
        if found.status == Status::Ongoing {
            // The markers fence the old producer in the partitions too.
            let epoch = found.epoch.saturating_add(1);
            abort = Some(Identity { producer_id: found.producer_id, epoch });
            next.status = Status::Aborted;
        }
        next.last_epoch = if expected.is_some() { found.epoch } else { -1 };
        if is_exhausted(found.epoch) {
            let Some(producer_id) = fresh else { return Ok(Init::NeedsId) };
            next.last_producer_id = found.producer_id;
            next.producer_id = producer_id;
            next.epoch = 0;
        } else {
            next.epoch = found.epoch + 1;
        }
        Ok(Init::Become { next, abort })
    }

    /// Whether a producer that says who it was is the current one (`false`), or the current one
    /// that did not hear of the epoch it was given (`true`).
    fn check_comeback(&self, expected: Identity) -> Result<bool, ErrorCode> {
        if expected == self.identity() {
            return Ok(false);
        }
        let before = if is_exhausted(expected.epoch) && expected.producer_id != self.producer_id {
            Identity { producer_id: self.last_producer_id, epoch: self.last_epoch }
        } else {
            Identity { producer_id: self.producer_id, epoch: self.last_epoch }
        };
        // With a transaction of the new epoch open, the answer was heard: this is an old request.
        if expected.epoch >= 0 && expected == before && self.status != Status::Ongoing {
            return Ok(true);
        }
        Err(ErrorCode::PRODUCER_FENCED)
    }

    /// Whether a request comes from the id's producer.
    pub(super) fn check(found: Option<&Self>, from: Identity) -> Result<&Self, ErrorCode> {
        let known = found.filter(|found| found.producer_id == from.producer_id);
        let known = known.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        if known.epoch == from.epoch { Ok(known) } else { Err(ErrorCode::PRODUCER_FENCED) }
    }

    /// The transaction with something added to it; begun when it is not.
    pub(super) fn grown(&self, now_ms: i64) -> Self {
        let mut next = self.changed(now_ms);
        if next.status != Status::Ongoing {
            next.status = Status::Ongoing;
            next.number = next.number.saturating_add(1);
            next.opened_ms = now_ms;
        }
        next
    }

    /// The producer ends its transaction.
    pub(super) fn end(&self, commit: bool, now_ms: i64) -> Result<End, ErrorCode> {
        let status = if commit { Status::Committed } else { Status::Aborted };
        match self.status {
            Status::Ongoing => Ok(End::Become(Self { status, ..self.changed(now_ms) })),
            ended if ended == status => Ok(End::Already),
            _ => Err(ErrorCode::INVALID_TXN_STATE),
        }
    }

    /// The node ends a transaction whose time is over: its producer is fenced, so that it cannot
    /// go on as if nothing had happened.
    pub(super) fn time_out(&self, now_ms: i64) -> Option<Self> {
        if self.deadline_ms()? > now_ms {
            return None;
        }
        let epoch = self.epoch.saturating_add(1);
        Some(Self { status: Status::Aborted, epoch, last_epoch: -1, ..self.changed(now_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(producer_id: i64) -> Transaction {
        match Transaction::init(None, None, 1_000, 10, Some(producer_id)) {
            Ok(Init::Become { next, abort: None }) => next,
            other => panic!("{other:?}"),
        }
    }

    fn init(
        found: &Transaction,
        expected: Option<Identity>,
        fresh: Option<i64>,
    ) -> Result<Init, ErrorCode> {
        Transaction::init(Some(found), expected, 1_000, 20, fresh)
    }

    fn become_(init: Result<Init, ErrorCode>) -> (Transaction, Option<Identity>) {
        match init {
            Ok(Init::Become { next, abort }) => (next, abort),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_init_gets_an_epoch_nobody_had_and_fences_the_one_before() {
        assert_eq!(Transaction::init(None, None, 1, 1, None), Ok(Init::NeedsId));
        let first = new(7);
        assert_eq!((first.producer_id, first.epoch, first.status), (7, 0, Status::Empty));
        let (second, abort) = become_(init(&first, None, None));
        assert_eq!((second.identity(), abort), (Identity { producer_id: 7, epoch: 1 }, None));
        let old = Transaction::check(Some(&second), first.identity());
        assert_eq!(old, Err(ErrorCode::PRODUCER_FENCED));
        let other = Identity { producer_id: 8, epoch: 1 };
        let unknown = Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        assert_eq!(Transaction::check(Some(&second), other), unknown);
        assert_eq!(Transaction::check(None, other), unknown);
        // What the first left open is aborted with the epoch that fences it.
        let (next, abort) = become_(init(&second.grown(15), None, None));
        assert_eq!(next.epoch, 2);
        assert_eq!(abort, Some(Identity { producer_id: 7, epoch: 2 }));
        assert_eq!(next.status, Status::Aborted);
    }

    #[test]
    fn a_producer_that_says_who_it_was_may_ask_twice_but_not_when_it_is_fenced() {
        let first = new(7);
        let (second, _) = become_(init(&first, Some(first.identity()), None));
        assert_eq!((second.epoch, second.last_epoch), (1, 0));
        // The answer was lost.
        let (again, _) = become_(init(&second, Some(first.identity()), None));
        assert_eq!(again.identity(), second.identity());
        // It was not: a transaction of the new epoch is open, and stays.
        let late = init(&second.grown(15), Some(first.identity()), None);
        assert_eq!(late, Err(ErrorCode::PRODUCER_FENCED));
        // Somebody else took over.
        let (taken, _) = become_(init(&second, None, None));
        for stale in [first.identity(), second.identity()] {
            assert_eq!(init(&taken, Some(stale), None), Err(ErrorCode::PRODUCER_FENCED));
        }
        let nobody = Identity { producer_id: -1, epoch: -1 };
        assert_eq!(init(&taken, Some(nobody), None), Err(ErrorCode::PRODUCER_FENCED));
    }

    #[test]
    fn a_producer_id_without_epochs_left_is_replaced() {
        let worn = Transaction { epoch: LAST_EPOCH, ..new(7) };
        assert_eq!(init(&worn, None, None), Ok(Init::NeedsId));
        let (next, _) = become_(init(&worn, Some(worn.identity()), Some(9)));
        assert_eq!((next.producer_id, next.epoch, next.last_producer_id), (9, 0, 7));
        let (again, _) = become_(init(&next, Some(worn.identity()), None));
        assert_eq!(again.identity(), next.identity());
        // An open one is aborted under the old id, with the epoch kept for that.
        let (next, abort) = become_(init(&worn.grown(15), None, Some(9)));
        assert_eq!((next.producer_id, next.epoch), (9, 0));
        assert_eq!(abort, Some(Identity { producer_id: 7, epoch: i16::MAX }));
        let out = worn.grown(15).time_out(2_000).expect("over");
        assert_eq!(out.epoch, i16::MAX);
        assert_eq!(init(&out, None, None), Ok(Init::NeedsId));
    }

    #[test]
    fn an_end_can_be_asked_for_twice_but_not_changed() {
        let open = new(7).grown(15);
        assert_eq!((open.number, open.opened_ms), (1, 15));
        assert_eq!(open.grown(16).opened_ms, 15);
        for commit in [true, false] {
            let Ok(End::Become(ended)) = open.end(commit, 20) else { panic!("not ended") };
            assert_eq!(ended.end(commit, 21), Ok(End::Already));
            assert_eq!(ended.end(!commit, 21), Err(ErrorCode::INVALID_TXN_STATE));
            assert_eq!(ended.grown(22).number, 2);
        }
        assert_eq!(new(7).end(true, 20), Err(ErrorCode::INVALID_TXN_STATE));
    }

    #[test]
    fn time_runs_from_the_beginning_of_the_transaction() {
        let open = new(7).grown(15);
        assert_eq!(open.grown(500).time_out(1_014), None);
        let out = open.grown(500).time_out(1_015).expect("over");
        assert_eq!((out.status, out.epoch), (Status::Aborted, 1));
        assert_eq!(init(&out, Some(open.identity()), None), Err(ErrorCode::PRODUCER_FENCED));
        assert_eq!(out.time_out(9_999), None);
    }
}
