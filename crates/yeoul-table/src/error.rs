//! What can go wrong with a table, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// A table segment is not what was written. The topic may have its records still.
    #[error(
        "table `{table}`: the file {} is damaged: {what}; `yeoul redo {table}` makes the table \
         again from its topic",
        path.display()
    )]
    Damaged { table: Arc<str>, path: PathBuf, what: String },
    /// A fact or a file is not what was written.
    #[error("damaged table data: {0}")]
    Corrupt(String),
    /// A metric's states cannot be made or merged.
    #[error("metric `{metric}`: {error}")]
    Rollup { metric: String, error: AggError },
    #[error("parquet: {0}")]
    Parquet(ParquetError),
    #[error("arrow: {0}")]
    Arrow(ArrowError),
}

impl TableError {
    pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Disk { path: path.to_owned(), source }
    }

    /// Whether a file is not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Corrupt(_))
    }
}

/// The error of ours that a library wrapped, so that its text says what is wrong and where.
impl From<ParquetError> for TableError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(inner) => Self::Parquet(ParquetError::External(inner)),
            },
            other => Self::Parquet(other),
        }
    }
}

impl From<ArrowError> for TableError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::ExternalError(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(inner) => match inner.downcast::<ParquetError>() {
                    Ok(parquet) => (*parquet).into(),
                    Err(inner) => Self::Arrow(ArrowError::ExternalError(inner)),
                },
            },
            other => Self::Arrow(other),
        }
    }
}
