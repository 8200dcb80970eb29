//! What can be set when the log is opened. Tests shrink the sizes so that a dozen operations
//! reach every corner.

use std::sync::Arc;
use std::time::Duration;

use crate::topic_config::{RETENTION_MS_DEFAULT, SEGMENT_BYTES_DEFAULT};

/// Called once, with the reason, when the log had to close itself.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Sizes and habits of a log.
#[derive(Clone)]
pub struct LogOptions {
    /// Bytes of the first slots, of the next ones, and of all later ones; multiples of 4 KiB.
    pub slot_bytes: [u64; 3],
    /// A group takes commits until it has about this many bytes.
    pub group_bytes: usize,
    /// A checkpoint is due after this many bytes of commit log (or four times the last snapshot).
    pub checkpoint_bytes: u64,
    /// A checkpoint is due after this many log segments were begun: the one before each stays
    /// open until a checkpoint has synced it. [`crate::Log::open`] lowers it to an eighth of the
    /// files that the process may open.
    pub rolled_files_max: usize,
    /// Bytes all slots together may have; beyond, commits wait until a checkpoint has freed some.
    pub wal_bytes_max: u64,
    /// Bytes of the file whose space is given away when a full disk leaves no other for commits
    /// without records; 0: none.
    pub reserve_bytes: u64,
    /// Commits that only append to topics with `yeoul.durability=relaxed` are synced after this
    /// many bytes …
    pub relaxed_bytes: u64,
    /// … or this time.
    pub relaxed_every: Duration,
    /// Recent batches kept in memory for readers that follow closely.
    pub hot_bytes: usize,
    /// Batches wait in memory for so many bytes, that are then written to their partitions' files
    /// together, or a short while; 0: each group is written at once.
    pub split_bytes: usize,
    /// Batches that wait in memory because their partition's file cannot grow (the disk is
    /// full); appends are refused beyond.
    pub unsplit_bytes: usize,
    /// Bytes of commits that wait for the writer; callers wait beyond.
    pub queue_bytes: usize,
    /// Bytes of a log segment where the topic does not say.
    pub segment_bytes: u64,
    /// How long records are kept where the topic does not say; `None`: for ever.
    pub retention_ms: Option<u64>,
    /// How often retention is looked at.
    pub retention_every: Duration,
    /// Components will say by [`crate::Log::set_holds`] what they still have to read: until then
    /// retention and compaction wait.
    pub holds_expected: bool,
    /// Bytes all partitions together keep for holds only; the oldest go beyond.
    pub hold_bytes_max: u64,
    /// Memory for the keys of one compaction; it goes on in several passes when they do not fit.
    pub compaction_keys_bytes: usize,
    /// Compaction and the scrub read no faster than this.
    pub background_bytes_per_s: u64,
    /// A closed log segment is read and compared with its checksums again after this time.
    pub scrub_every: Duration,
    /// No threads: commits happen on the caller's thread, retention and checkpoints when asked
    /// for or due. For tests that choose the order of everything.
    pub inline: bool,
    pub on_fatal: Option<OnFatal>,
    /// Left in the lock file for whoever finds the directory in use.
    pub lock_note: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            slot_bytes: [4 << 20, 16 << 20, 64 << 20],
            group_bytes: 4 << 20,
            checkpoint_bytes: 64 << 20,
            rolled_files_max: 512,
            wal_bytes_max: 1 << 30,
            reserve_bytes: 1 << 20,
            relaxed_bytes: 4 << 20,
            relaxed_every: Duration::from_millis(50),
            hot_bytes: 8 << 20,
            split_bytes: 1 << 20,
            unsplit_bytes: 32 << 20,
            queue_bytes: 32 << 20,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            retention_ms: Some(RETENTION_MS_DEFAULT),
            retention_every: Duration::from_secs(60),
            holds_expected: false,
            hold_bytes_max: u64::MAX,
            compaction_keys_bytes: 64 << 20,
            background_bytes_per_s: 32 << 20,
            scrub_every: Duration::from_secs(7 * 24 * 3600),
            inline: false,
            on_fatal: None,
            lock_note: std::process::id().to_string(),
        }
    }
}

impl LogOptions {
    /// Bytes a second for background work; `None` where a test chooses the order of everything.
    pub(crate) fn background_rate(&self) -> Option<u64> {
        (!self.inline).then_some(self.background_bytes_per_s)
    }
}

impl std::fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogOptions")
            .field("slot_bytes", &self.slot_bytes)
            .field("inline", &self.inline)
            .finish_non_exhaustive()
    }
}
