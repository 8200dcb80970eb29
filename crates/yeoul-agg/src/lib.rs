//! The closed list of aggregates, as partial states that are updated, merged and finished.
//!
//! Rollup, compaction, queries and streams share them, so a state made by one is merged by all.
//! States are Arrow columns (`docs/formats/aggregates.md`); the bytes of sketches are Apache
//! DataSketches'. This crate knows Arrow and nothing of tables or SQL.
//!
//! Invariant: merging is associative and commutative: any split of the rows, merged in any order,
//! finishes as one pass does (doubles up to rounding, quantiles within their error).

mod accumulator;
mod aggregate;
mod distinct;
mod error;
mod hash;
mod hll;
mod pick;
mod plain;
mod quantiles;
mod read;
mod sketch;
pub mod sketches;
mod theta;
mod value;

pub use accumulator::{Accumulator, Input};
pub use aggregate::{AGGREGATE_KEY, Aggregate, HLL_LG_K, QUANTILES_K, THETA_LG_K};
pub use error::AggError;
