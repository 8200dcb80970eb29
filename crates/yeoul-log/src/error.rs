//! Why a log does not open. Every text says what, where, and what to do.

use std::io;
use std::path::Path;

use thiserror::Error;

/// The log did not open; nothing of what was acknowledged was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    #[error(
        "the data directory is in use by process {pid}; stop it, or choose another directory with --data-dir"
    )]
    Locked { pid: String },
    /// What was acknowledged cannot be read back. Never repaired silently.
    #[error(
        "damaged data in {file} at byte {position}: {what}; nothing was changed, run `yeoul doctor` on this data directory"
    )]
    Damaged { file: String, position: u64, what: String },
    #[error("{file}: {source}")]
    Io { file: String, source: io::Error },
}

impl LogError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { file: path.display().to_string(), source }
    }

    pub(crate) fn damaged(path: &Path, position: u64, what: impl Into<String>) -> Self {
        Self::Damaged { file: path.display().to_string(), position, what: what.into() }
    }
}
