//! The pipeline file: what it may say, whether it says it rightly, and what changes between two
//! states of it.
//!
//! It knows no SQL planner and touches no data: a query is a text here, a source is its options.
//! Every error is found at once and shown at its line, with the remedy.

mod check;
mod de;
mod diff;
mod expect;
mod load;
mod model;
mod model_de;
mod names;
mod outside;
mod place;
mod read;
mod report;
mod schema;
mod tree;
mod units;
mod vars;

pub use check::check;
pub use diff::{Change, ChangeKind, diff};
pub use expect::compare;
pub use load::{files_of, load, parse_all, parse_each, read_files};
pub use model::{
    ColumnSpec, ComponentKind, ConfigValue, Granularity, InOrder, Keep, KeyColumns, LookupFile,
    LookupSpec, Mode, Named, NodeSettings, Pipeline, Retention, RollupSpec, SourceSpec, StreamSpec,
    TableRetention, TableSpec, TestInput, TestSpec, TimeSpec, TopicDefaults, TopicSpec, Trigger,
};
pub use outside::check_outside;
pub use report::{Problem, Report, Source};
pub use schema::{schema, schema_text};
pub use units::{DiskLimit, Size, Time, parse_size};
pub use vars::{SystemVars, Vars};
