//! The log: record batches, the commit log with its facts, log segments, and what is read back
//! from them. Synchronous, without tokio and without Arrow; it knows nothing of Kafka's protocol
//! beyond the record batch.
//!
//! The way of a commit: [`Log`] checks it on the caller's thread → `writer` gathers → `plan`
//! judges it → `frame` and `group` make bytes → `slots` take them, synced → `part` shows them →
//! `splitter` puts them into `segment`s → `checkpoint` lets the commit log be reused. After a
//! crash `wal` and `recovery` go the same way from the last `snapshot`.

pub mod batch;
mod blocks;
mod checkpoint;
mod compact;
mod core;
mod damage;
pub mod dead;
pub mod doctor;
mod error;
mod facts;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gone;
mod group;
mod holds;
mod inspect;
mod log;
mod options;
mod pace;
mod part;
mod paths;
mod plan;
mod planted;
mod producers;
mod quarantine;
pub mod reader;
mod rebuild;
mod recovery;
mod reserve;
mod retention;
mod scrub;
mod segment;
mod shared;
mod slots;
mod snapshot;
mod space;
mod splitter;
mod state;
mod sums;
pub mod topic_config;
mod topics;
mod txn;
mod wal;
mod walk;
mod writer;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use batch::{BatchBuilder, BatchError, BatchHeader, Codec, Header, Record};
pub use error::LogError;
pub use holds::{Hold, Holds};
pub use log::Log;
pub use options::{LogOptions, OnFatal};
#[cfg(feature = "planted")]
pub use planted::{Planted, plant};
pub use quarantine::Lost;
pub use reader::PartitionReader;
pub use recovery::Recovered;
pub use scrub::{Damaged, Scrubbed};
pub use shared::LogStats;

/// A panic elsewhere must not make every later reader panic too: what a lock guards is changed
/// in steps that each leave it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
