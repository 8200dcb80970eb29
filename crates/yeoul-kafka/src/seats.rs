//! How many connections may be open at once beside the log's files. A listener takes a seat before
//! it accepts; while none is free, peers wait in the kernel's queue and the log keeps its share of
//! the process's open files: a connection can wait, a slot of the commit log cannot.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The share of the process's open files that connections may have: one in so many …
const SHARE: u64 = 2;
/// … and never these: slots, a few partitions' log segments, a checkpoint, and the process's own.
const RESERVED: u64 = 48;

/// Seats for connections, over all listeners.
#[derive(Debug)]
pub(crate) struct Seats(Arc<Semaphore>);

impl Seats {
    /// For a process that may open so many files.
    pub(crate) fn of(open_files: u64) -> Self {
        let seats = usize::try_from((open_files / SHARE).min(open_files.saturating_sub(RESERVED)))
            .unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(seats.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Waits for a free seat; it is free again when the permit is dropped. `None` never happens
    /// while the broker lives: the semaphore is not closed.
    pub(crate) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Seats;

    #[tokio::test]
    async fn whoever_finds_no_seat_waits_for_one() {
        let seats = Seats::of(50);
        let first = seats.take().await;
        let second = seats.take().await;
        let waiting = tokio::time::timeout(Duration::from_millis(20), seats.take()).await;
        assert!(waiting.is_err(), "48 files are the log's");
        drop(first);
        assert!(seats.take().await.is_some());
        drop(second);
        assert!(Seats::of(u64::MAX).take().await.is_some());
        assert!(Seats::of(0).take().await.is_some(), "never none");
    }
}
