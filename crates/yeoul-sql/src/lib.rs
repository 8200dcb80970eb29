//! SQL over topics and tables, on DataFusion: bounded queries, live queries, and each face's
//! functions.
//!
//! [`Engine::query`] answers from what [`Catalog`] names: tables (schema `druid`, the default),
//! topics (`topic."name"`) and `INFORMATION_SCHEMA`. Queries only read, and are limited in text,
//! time, memory and rows.

mod catalog;
pub mod encode;
mod engine;
mod error;
pub mod functions;
mod info;
mod live;
mod names;
mod parse;
mod provider;
mod run;
mod topic;

pub use catalog::Catalog;
pub use engine::{Checked, Engine, EngineOptions, QueryOptions, runtime};
pub use error::{ErrorKind, SqlError};
pub use info::sql_type;
pub use live::{LiveAnswer, Subscription};
pub use names::Unnamed;
pub use parse::TextLimits;
pub use run::{QueryOutput, QueryStream};
/// What [`Catalog::put_table`] takes.
pub use yeoul_table as table;
