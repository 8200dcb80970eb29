//! What can go wrong with a table, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use thiserror::Error;
use yeoul_agg::AggError;
use yeoul_base::StoreError;

/// Why a table refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// The table's definition cannot be; says which part and why.
    #[error("table `{table}`: {what}")]
    Spec { table: String, what: String },
    /// Rows that do not follow what the table has: appending them would double or lose rows.
    #[error("table `{table}`: {what}")]
    OutOfOrder { table: String, what: String },
    /// The table was dropped.
    #[error("table `{0}` was dropped")]
    Dropped(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    /// A fact or a file is not what was written.
    #[error("damaged table data: {0}")]
    Corrupt(String),
    /// A metric's states cannot be made or merged.
    #[error("metric `{metric}`: {error}")]
    Rollup { metric: String, error: AggError },
    #[error("parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error("arrow: {0}")]
    Arrow(#[from] ArrowError),
}

impl TableError {
    pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Disk { path: path.to_owned(), source }
    }
}
