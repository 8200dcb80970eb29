//! Memory that strangers can make this process hold: one budget for requests, one for answers,
//! over all connections together.
//!
//! A frame takes its share piece by piece as its bytes arrive, so that a claim costs nothing. Two
//! frames that are half there could wait for each other for ever; so one frame at a time, the
//! *last*, may go on without a share. Nothing waits long for a peer that does not move: while
//! somebody waits, whoever holds a share and is slow loses it with the connection, and a poll
//! that waits for records is answered without them.
//!
//! Invariant: what is held is at most the budget, plus the one frame that goes on without.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What a share is counted in.
const UNIT_BYTES: usize = 1 << 10;
/// While others wait, a share is kept by whoever moves at least so many bytes per second …
const PACE_BYTES_PER_SECOND: u64 = 128 << 10;
/// … seen over this long.
pub(crate) const PACE_EVERY: Duration = Duration::from_secs(1);

/// One budget.
#[derive(Debug)]
pub(crate) struct Memory {
    room: Arc<Semaphore>,
    last: Arc<Semaphore>,
    waiting: AtomicUsize,
    pressed: Notify,
}

/// What somebody holds of a budget; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    held: Option<OwnedSemaphorePermit>,
    last: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * UNIT_BYTES
    }

    /// Whether there is anything to give back.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_none() && self.last.is_none()
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
    }

    /// Gives back what is held beyond `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let keep = bytes.div_ceil(UNIT_BYTES);
        if let Some(held) = &mut self.held {
            let over = held.num_permits().saturating_sub(keep);
            drop(held.split(over));
        }
    }
}

/// Counts somebody as waiting, also when the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(units)),
            last: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
            pressed: Notify::new(),
        }
    }

    /// Makes a share hold at least `bytes`, waiting for others to give back.
    pub(crate) async fn grow(&self, share: &mut Share, bytes: usize) {
        let missing = bytes.saturating_sub(share.bytes()).div_ceil(UNIT_BYTES);
        if missing == 0 || share.last.is_some() {
            return;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        if let Ok(more) = Arc::clone(&self.room).try_acquire_many_owned(missing) {
            share.add(more);
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        self.pressed.notify_waiters();
        // Neither is ever closed; a share that is larger than the whole budget comes last.
        tokio::select! {
            biased;
            Ok(more) = Arc::clone(&self.room).acquire_many_owned(missing) => share.add(more),
            Ok(last) = Arc::clone(&self.last).acquire_owned() => share.last = Some(last),
            else => {}
        }
    }

    /// A share of `bytes`, or of less when less is there, but of `least` at any rate, for which
    /// it waits.
    pub(crate) async fn up_to(&self, bytes: usize, least: usize) -> Share {
        let mut share = Share::default();
        let mut units = bytes.div_ceil(UNIT_BYTES);
        while units * UNIT_BYTES > least {
            let wanted = u32::try_from(units).unwrap_or(u32::MAX);
            if let Ok(all) = Arc::clone(&self.room).try_acquire_many_owned(wanted) {
                share.add(all);
                return share;
            }
            units /= 2;
        }
        self.grow(&mut share, least.min(bytes)).await;
        share
    }

    fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Completes when somebody has to wait, or already does.
    pub(crate) async fn pressed(&self) {
        let mut pressed = std::pin::pin!(self.pressed.notified());
        pressed.as_mut().enable();
        if !self.is_pressed() {
            pressed.await;
        }
    }
}

/// How fast somebody with a share moves.
#[derive(Debug)]
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    pub(crate) fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Whether others wait for one who is too slow. Begins to measure anew each time it is asked
    /// after [`PACE_EVERY`].
    pub(crate) fn holds_up(&mut self, memory: &Memory) -> bool {
        let elapsed = self.since.elapsed();
        if elapsed < PACE_EVERY {
            return false;
        }
        let due = PACE_BYTES_PER_SECOND.saturating_mul(elapsed.as_secs());
        let slow = self.bytes < due;
        *self = Self::new();
        slow && memory.is_pressed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = UNIT_BYTES;

    #[tokio::test]
    async fn two_that_are_half_there_do_not_wait_for_each_other() {
        let memory = Arc::new(Memory::new(10 * KIB));
        let (mut one, mut other) = (Share::default(), Share::default());
        memory.grow(&mut one, 5 * KIB).await;
        memory.grow(&mut other, 5 * KIB).await;
        // Neither can have more, and one may go on all the same.
        memory.grow(&mut one, 9 * KIB).await;
        assert!(one.last.is_some());
        let waits = Arc::clone(&memory);
        let waits = tokio::spawn(async move {
            waits.grow(&mut other, 9 * KIB).await;
            other.bytes()
        });
        memory.pressed().await;
        assert!(!waits.is_finished());
        drop(one);
        assert_eq!(waits.await.expect("no panic"), 9 * KIB);
        assert_eq!(memory.room.available_permits(), 10);
        assert!(!memory.is_pressed());
    }

    #[tokio::test]
    async fn more_than_there_is_comes_last() {
        let memory = Memory::new(10 * KIB);
        let mut share = Share::default();
        memory.grow(&mut share, 100 * KIB).await;
        assert_eq!((share.bytes(), share.last.is_some()), (0, true));
        drop(share);
        let mut share = memory.up_to(100 * KIB, KIB).await;
        assert!(share.bytes() > 4 * KIB && share.bytes() <= 10 * KIB, "{}", share.bytes());
        share.shrink(KIB);
        assert_eq!(memory.room.available_permits(), 9);
        share.shrink(0);
        assert_eq!(memory.room.available_permits(), 10);
    }

    #[tokio::test]
    async fn only_the_slow_hold_up_and_only_when_somebody_waits() {
        fn late(pace: &mut Pace) -> &mut Pace {
            pace.since -= PACE_EVERY;
            pace
        }
        let memory = Arc::new(Memory::new(KIB));
        let mut pace = Pace::new();
        assert!(!late(&mut pace).holds_up(&memory), "nobody waits");
        let mut all = Share::default();
        memory.grow(&mut all, KIB).await;
        let last = Arc::clone(&memory.last).acquire_owned().await;
        let waiter = Arc::clone(&memory);
        let waiter = tokio::spawn(async move { waiter.grow(&mut Share::default(), KIB).await });
        memory.pressed().await;
        assert!(!pace.holds_up(&memory), "measured for too short a time");
        pace.moved(2 << 20);
        assert!(!late(&mut pace).holds_up(&memory), "fast enough");
        assert!(late(&mut pace).holds_up(&memory));
        drop((all, last));
        waiter.await.expect("no panic");
    }
}
