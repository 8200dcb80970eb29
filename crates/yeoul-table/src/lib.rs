//! Tables: rows of one topic, queryable from the moment they are appended, kept as Parquet files
//! sorted by time.
//!
//! [`Table::append`] makes rows visible as chunks in memory, [`Table::seal`] turns them into
//! table segments and commits the input position with them, [`Table::snapshot`] pins one state
//! for a query. This crate knows Arrow and Parquet; it knows neither SQL nor JSON, and it reaches
//! files only through [`yeoul_base::Disk`].
//!
//! Invariant: a row is in the table exactly when the offset it came from is below the position:
//! positions and segments change in one commit. Bytes: `docs/formats/table.md`.

mod choose;
mod chunk;
mod compact;
mod error;
mod facts;
mod fold;
mod folder;
mod footers;
mod manifest;
mod merge;
mod redo;
mod retain;
mod rollup;
mod seal;
mod segment;
mod sort;
mod spec;
mod stored;
mod table;
mod write;

pub use chunk::{Chunk, Rows};
pub use compact::CompactReport;
pub use error::TableError;
pub use footers::footer_bytes;
pub use manifest::Manifest;
pub use redo::{Redo, RedoPlan};
pub use rollup::{Metric, OFFSETS, OffsetRange, Rollup, RollupBy, decode_offsets};
pub use seal::SealReport;
pub use segment::{Segment, SegmentFile, SegmentId, SegmentMeta};
pub use spec::{
    CompactLimits, Granularity, OFFSET, PARTITION, SealLimits, TIME, TableSpec, time_field,
};
pub use stored::{StoredTable, drop_stored, stored_tables};
pub use table::{Snapshot, Table, TableStats};
