//! Column types and schemas, and the only parsers of Yeoul: lines → JSON, JSON records → Arrow
//! rows and back. No IO, no DataFusion.
//!
//! Everything read here may be hostile: sizes, depths and counts are checked before memory is
//! taken, and a record that cannot be used is an error with its reason, never a panic.

mod columns;
mod decode;
mod encode;
mod extract;
mod infer;
mod json;
mod line;
mod path;
mod row;
mod scalar;
mod schema;
mod table_columns;
mod types;
mod wide;

pub use columns::Columns;
pub use decode::{Decode, Delimited};
pub use encode::RowEncoder;
pub use extract::{Extract, STEPS_MAX, Step, Written, parse_place};
pub use infer::{INFER_COLUMNS_MAX, INFER_RECORDS_MAX, infer};
pub use json::{DEPTH_MAX, JsonError, KEYS_MAX, RECORD_BYTES_MAX};
pub use line::{DecodeError, LineDecoder};
pub use path::{JsonPlace, JsonStep, json_at, json_keys};
pub use row::{BATCH_INPUT_BYTES_MAX, REST_COLUMN, RowDecoder, RowError, RowOptions};
pub use schema::{Origin, Schema, SchemaError};
pub use table_columns::{TableColumn, TableColumns};
pub use types::{
    COLUMNS_MAX, Column, ColumnType, EpochUnit, TYPE_DEPTH_MAX, TYPE_METADATA, TypeError,
};
pub use wide::{PATHS_MAX, Wide, infer_wide};
