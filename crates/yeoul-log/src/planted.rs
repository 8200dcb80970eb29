//! Bugs that the crash tests switch on, one at a time, to see whether they would notice. Only in
//! builds with the feature `planted`, which this crate's own tests turn on for themselves; in any
//! other build [`is`] is `false` before the compiler and nothing of this is left.
#![cfg_attr(not(feature = "planted"), allow(unreachable_pub, reason = "exported with the feature"))]

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Planted {
    /// A group is answered as if it had been synced.
    SkipSync,
    /// Every group is answered before its sync.
    AckBeforeSync,
    /// A new slot's name is not made durable.
    NoSlotName,
    /// A snapshot's name is not made durable before slots are used again.
    NoSnapshotName,
    /// New log segments' names are not made durable.
    NoSegmentNames,
    /// Recovery goes on as the incarnation that it cut.
    SameIncarnation,
    /// Slots are free as soon as the newest snapshot does not need them.
    ReuseSlotTooEarly,
    /// A snapshot speaks of bytes that are not synced.
    SnapshotBeforeSegments,
    /// A log segment that is full is forgotten with what is unsynced in it.
    LoseTailOnRoll,
    /// What recovery read is not synced before it is shown.
    ReplayedNotSynced,
    /// A start forgets what producers have sent.
    DupOnRetry,
    /// Old epochs of a producer are let in.
    IgnoreEpoch,
    /// A start takes open transactions for decided.
    StableNotRestored,
    /// A transaction's end reaches only the first of its partitions.
    MarkerInOnePartition,
    /// A frame counts without its checksum.
    TornFrames,
    /// A group says that itself is synced.
    SyncedTooMuch,
    /// Another slot is written to before the one before is synced.
    SwitchUnsynced,
    /// A start forgets where partitions begin.
    StartsNotRestored,
    /// A failed sync is called again, and believed.
    SyncAgain,
    /// A log segment's failed sync is called again, and believed.
    SegmentSyncAgain,
    /// Damaged records are left out without a word.
    SkipDamaged,
    /// The checksums of batches in log segments are not looked at.
    TrustSegments,
}

#[cfg(feature = "planted")]
impl Planted {
    pub const ALL: [Self; 22] = [
        Self::SkipSync,
        Self::AckBeforeSync,
        Self::NoSlotName,
        Self::NoSnapshotName,
        Self::NoSegmentNames,
        Self::SameIncarnation,
        Self::ReuseSlotTooEarly,
        Self::SnapshotBeforeSegments,
        Self::LoseTailOnRoll,
        Self::ReplayedNotSynced,
        Self::DupOnRetry,
        Self::IgnoreEpoch,
        Self::StableNotRestored,
        Self::MarkerInOnePartition,
        Self::TornFrames,
        Self::SyncedTooMuch,
        Self::SwitchUnsynced,
        Self::StartsNotRestored,
        Self::SyncAgain,
        Self::SegmentSyncAgain,
        Self::SkipDamaged,
        Self::TrustSegments,
    ];
}

#[cfg(feature = "planted")]
thread_local! {
    static BUG: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for logs that run on this thread (`LogOptions::inline`), or takes it back.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Planted>) {
    BUG.with(|place| place.set(bug));
}

#[cfg(feature = "planted")]
pub(crate) fn is(bug: Planted) -> bool {
    BUG.with(|place| place.get() == Some(bug))
}

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Planted) -> bool {
    false
}
