//! What brings records from outside into a topic: files that grow, and generators for demos and
//! tests. Each source runs on a thread of its own.
//!
//! Invariant: records, their dead letters, the position they were read at and the counts go into
//! one commit, so after any crash a source goes on exactly where its topic ends.

pub mod config;
mod shapes;
mod source;

pub use config::{
    Every, GenerateConfig, Paths, Problem, ReadFrom, Shape, SourceConfig, TailConfig,
};
pub use shapes::{bikes, heartrate, movies};
pub use source::{
    FileStatus, SourceContext, SourceError, SourceHandle, SourceState, SourceStatus, start,
};
