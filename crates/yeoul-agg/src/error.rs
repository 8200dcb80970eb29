//! What can go wrong with an aggregate.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use thiserror::Error;

/// Why an aggregate refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AggError {
    /// The aggregate cannot be computed over values of this type.
    #[error("{aggregate} cannot take a value of type {input}")]
    Input { aggregate: String, input: DataType },
    /// The aggregate needs a value, or takes none.
    #[error("{0}")]
    Argument(String),
    /// Bytes that are no sketch of the kind asked for. Nothing was allocated for them.
    #[error("not {sketch} of Apache DataSketches: {what}")]
    Sketch { sketch: &'static str, what: String },
    /// States that this aggregate did not make.
    #[error("the states of {aggregate} have type {found}, not {expected}")]
    State { aggregate: String, expected: DataType, found: DataType },
    #[error("arrow: {0}")]
    Arrow(#[from] ArrowError),
}
