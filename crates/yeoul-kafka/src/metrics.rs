//! Counters of the listener, read by the binary's metrics page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since start; `connections` is the number open now.
#[derive(Debug, Default)]
pub struct KafkaMetrics {
    connections: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    accept_failed: AtomicU64,
    garbage: AtomicU64,
    requests: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    records_in: AtomicU64,
}

/// One open connection, as a count.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<KafkaMetrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A copy of the counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KafkaCounts {
    /// Open now.
    pub connections: u64,
    pub accepted: u64,
    /// Closed at once because too many were open.
    pub refused: u64,
    /// Times a connection could not be accepted: no more open files, most likely.
    pub accept_failed: u64,
    /// Closed because what they sent is not Kafka's protocol.
    pub garbage: u64,
    pub requests: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Records in accepted produce requests.
    pub records_in: u64,
}

impl KafkaMetrics {
    pub fn counts(&self) -> KafkaCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KafkaCounts {
            connections: read(&self.connections),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            accept_failed: read(&self.accept_failed),
            garbage: read(&self.garbage),
            requests: read(&self.requests),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            records_in: read(&self.records_in),
        }
    }

    /// Counts a connection as open until the guard is dropped, however its task ends.
    pub(crate) fn opened(self: &Arc<Self>) -> OpenConnection {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn accept_failed(&self) {
        self.accept_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn garbage(&self) {
        self.garbage.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn records(&self, count: u64) {
        self.records_in.fetch_add(count, Ordering::Relaxed);
    }
}
