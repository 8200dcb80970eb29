//! Column types and schemas, and the only parsers of Yeoul: lines → JSON, JSON records → Arrow
//! rows and back. No IO, no DataFusion.
//!
//! Everything read here may be hostile: sizes, depths and counts are checked before memory is
//! taken, and a record that cannot be used is an error with its reason, never a panic.

mod columns;
mod schema;
mod types;

pub use columns::Columns;
pub use schema::{Origin, Schema, SchemaError};
pub use types::{
    COLUMNS_MAX, Column, ColumnType, EpochUnit, TYPE_DEPTH_MAX, TYPE_METADATA, TypeError,
};
