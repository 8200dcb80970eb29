//! SQL over topics and tables, on DataFusion: bounded queries, live queries, and each face's
//! functions.
//!
//! [`Engine::query`] answers from what [`Catalog`] names: tables (schema `druid`, the default),
//! topics (`topic."name"`) and `INFORMATION_SCHEMA`. Queries only read, and are limited in text,
//! time, memory and rows.

mod answers;
mod built;
mod catalog;
mod dialect;
pub mod encode;
mod engine;
mod error;
pub mod functions;
mod info;
mod live;
mod names;
mod options;
mod parse;
mod provider;
mod queries;
mod rest;
mod rows;
mod run;
mod sources;
mod spill;
mod sys;
mod topic;

pub use built::Pinned;
pub use catalog::Catalog;
pub use engine::{Checked, Engine, runtime};
pub use error::{ErrorKind, SqlError};
pub use info::sql_type;
pub use live::{LiveAnswer, Subscription};
pub use names::Unnamed;
pub use options::{Admission, EngineOptions, Parameter, Pressed, Pressure, QueryOptions, Spill};
pub use parse::TextLimits;
pub use queries::{QueryEntry, QueryState};
pub use run::{QueryOutput, QueryStream};
pub use sources::{LookupMap, Lookups, ServerInfo, SupervisorRow, System, TaskRow};
/// What [`Catalog::put_table`] takes.
pub use yeoul_table as table;
