//! What can be wrong with a history, by the names that reports of such tests use. All are counted;
//! only the first few of a kind are kept in words, so a broken run stays readable.

use std::collections::BTreeMap;

const EXAMPLES_PER_KIND: u64 = 10;

/// One class of anomaly. The order is the order in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// One offset was seen with two values.
    InconsistentOffset,
    /// An acknowledged or once visible record is not where it must be, though later ones are.
    LostWrite,
    /// The same, at the end of what was read.
    Unseen,
    /// One value at two places.
    Duplicate,
    /// A value that failed, or whose transaction was aborted, was read.
    AbortedRead,
    /// A committed reader saw a value before its transaction was asked to commit.
    PrecommittedRead,
    /// Some values of a transaction are visible and others are not.
    TornTransaction,
    /// A consumer left out a record between two polls.
    PollSkip,
    /// A consumer went back between two polls.
    NonmonotonicPoll,
    /// The same two inside one poll.
    IntPollSkip,
    IntNonmonotonicPoll,
    /// A producer's records are in another order than they were sent.
    NonmonotonicSend,
    /// A record was consumed by more or fewer than one committed transaction of a group.
    ConsumeCount,
    /// A high watermark, stable offset, log start or committed offset went back.
    WentBack,
    /// The last stable offset stayed behind for longer than a transaction may be open.
    StableStuck,
    /// Offsets are missing that no control batch explains.
    OffsetGap,
    /// A record lies in a partition to which it was not sent.
    WrongTopic,
    /// A payload does not fit its own checksum.
    BrokenPayload,
    /// A value that nobody sent.
    UnknownValue,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InconsistentOffset => "inconsistent-offset",
            Self::LostWrite => "lost-write",
            Self::Unseen => "unseen",
            Self::Duplicate => "duplicate",
            Self::AbortedRead => "aborted-read",
            Self::PrecommittedRead => "precommitted-read",
            Self::TornTransaction => "torn-transaction",
            Self::PollSkip => "poll-skip",
            Self::NonmonotonicPoll => "nonmonotonic-poll",
            Self::IntPollSkip => "int-poll-skip",
            Self::IntNonmonotonicPoll => "int-nonmonotonic-poll",
            Self::NonmonotonicSend => "nonmonotonic-send",
            Self::ConsumeCount => "consume-count",
            Self::WentBack => "went-back",
            Self::StableStuck => "stable-stuck",
            Self::OffsetGap => "offset-gap",
            Self::WrongTopic => "wrong-topic",
            Self::BrokenPayload => "broken-payload",
            Self::UnknownValue => "unknown-value",
        }
    }
}

/// All that was found.
#[derive(Default)]
pub(super) struct Findings {
    counts: BTreeMap<Kind, u64>,
    examples: Vec<(Kind, String)>,
}

impl Findings {
    /// Counts an anomaly; `what` is asked for only while examples of its kind are wanted.
    pub(super) fn add(&mut self, kind: Kind, what: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= EXAMPLES_PER_KIND {
            self.examples.push((kind, what()));
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(super) fn by_kind(&self) -> BTreeMap<&'static str, u64> {
        self.counts.iter().map(|(kind, count)| (kind.name(), *count)).collect()
    }

    #[cfg(test)]
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.counts.contains_key(&kind)
    }

    pub(super) fn examples(&self) -> impl Iterator<Item = String> {
        self.examples.iter().map(|(kind, what)| format!("{}: {what}", kind.name()))
    }
}
