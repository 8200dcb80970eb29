//! What every aggregate does for many groups at once.
//!
//! Invariant: nothing is drained by looking: `state`, `state_of` and `finish` leave all groups as
//! they are, so a resident table can write what an epoch touched and go on.

use std::fmt::Debug;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::DataType;

use crate::aggregate::{Aggregate, Kind};
use crate::error::AggError;
use crate::pick::{Keep, Picks, TimedPicks};
use crate::plain::{Count, SumDouble, SumLong};
use crate::sketch::Sketches;
use crate::value::Micros;
use crate::{hll, quantiles, theta};

/// Rows to add.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// The raw values; `None` for a count of rows.
    pub values: Option<&'a ArrayRef>,
    /// When each row was, µs; for `first` and `last`.
    pub times: Option<&'a [i64]>,
    /// Partitions and offsets of the rows' records: of rows of one time, the first or last of
    /// these counts. Without them the smaller or larger value does.
    pub origin: Option<(&'a [i32], &'a [i64])>,
}

/// The states of one aggregate for groups `0..groups()`.
///
/// In all methods a group beyond `total`, or arrays of other lengths than `groups`, are errors.
pub trait Accumulator: Debug + Send + Sync {
    /// Adds a row to the group at its index. `total`: how many groups there are now.
    fn update(&mut self, groups: &[usize], total: usize, input: Input<'_>) -> Result<(), AggError>;

    /// Adds states, made by this aggregate over values of the same type; null states are empty.
    fn merge(&mut self, groups: &[usize], total: usize, states: &ArrayRef) -> Result<(), AggError>;

    /// The states of some groups, in their order.
    fn state_of(&mut self, groups: &[usize]) -> Result<ArrayRef, AggError>;

    /// The finished values of all groups.
    fn finish(&mut self) -> Result<ArrayRef, AggError>;

    /// Removes the first groups; those behind move down.
    fn forget_first(&mut self, groups: usize);

    fn groups(&self) -> usize;

    /// Bytes held, about.
    fn size_bytes(&self) -> usize;

    /// The states of all groups.
    fn state(&mut self) -> Result<ArrayRef, AggError> {
        let all: Vec<usize> = (0..self.groups()).collect();
        self.state_of(&all)
    }
}

impl Aggregate {
    /// Keeps states over values of type `input`; `None` for a count of rows.
    ///
    /// # Errors
    /// As [`Self::state_type`].
    pub fn accumulator(&self, input: Option<&DataType>) -> Result<Box<dyn Accumulator>, AggError> {
        self.state_type(input)?;
        let boxed: Box<dyn Accumulator> = match *self {
            Self::Count => Box::new(Count::default()),
            Self::Sum => match self.kind(input)? {
                Kind::Double => Box::new(SumDouble::default()),
                _ => Box::new(SumLong::default()),
            },
            Self::Min | Self::Any => picks(self.kind(input)?, Keep::Smallest),
            Self::Max => picks(self.kind(input)?, Keep::Largest),
            Self::First => timed(self.kind(input)?, Keep::Smallest),
            Self::Last => timed(self.kind(input)?, Keep::Largest),
            Self::Hll { lg_k } => Box::new(Sketches::new(hll::Hll::new(lg_k))),
            Self::Theta { lg_k } => Box::new(Sketches::new(theta::Theta::new(lg_k))),
            Self::Quantiles { k } => Box::new(Sketches::new(quantiles::Quantiles::new(k))),
        };
        Ok(boxed)
    }

    /// Merges states of a column of this type, whatever their inputs were.
    ///
    /// # Errors
    /// This aggregate has no states of that type.
    pub fn merger(&self, state: &DataType) -> Result<Box<dyn Accumulator>, AggError> {
        let input = match (self, state) {
            (Self::Count, _) => None,
            (Self::First | Self::Last, DataType::Struct(fields)) => {
                fields.find("value").map(|(_, field)| field.data_type())
            }
            // The bytes do not tell what was hashed.
            (Self::Hll { .. } | Self::Theta { .. } | Self::Quantiles { .. }, _) => {
                Some(&DataType::Int64)
            }
            _ => Some(state),
        };
        let expected = self.state_type(input)?;
        if expected != *state {
            let (aggregate, found) = (self.to_string(), state.clone());
            return Err(AggError::State { aggregate, expected, found });
        }
        self.accumulator(input)
    }
}

fn picks(kind: Kind, keep: Keep) -> Box<dyn Accumulator> {
    match kind {
        Kind::Bool => Box::new(Picks::<bool>::new(keep)),
        Kind::Long => Box::new(Picks::<i64>::new(keep)),
        Kind::Double => Box::new(Picks::<f64>::new(keep)),
        Kind::Text => Box::new(Picks::<Box<str>>::new(keep)),
        Kind::Time => Box::new(Picks::<Micros>::new(keep)),
    }
}

fn timed(kind: Kind, keep: Keep) -> Box<dyn Accumulator> {
    match kind {
        Kind::Bool => Box::new(TimedPicks::<bool>::new(keep)),
        Kind::Long => Box::new(TimedPicks::<i64>::new(keep)),
        Kind::Double => Box::new(TimedPicks::<f64>::new(keep)),
        Kind::Text => Box::new(TimedPicks::<Box<str>>::new(keep)),
        Kind::Time => Box::new(TimedPicks::<Micros>::new(keep)),
    }
}

/// Refuses rows that do not fit their groups, so that the loops behind need not.
pub(crate) fn check(groups: &[usize], total: usize, rows: usize) -> Result<(), AggError> {
    if rows != groups.len() {
        return Err(AggError::Argument(format!("{} groups for {rows} rows", groups.len())));
    }
    if groups.iter().any(|group| *group >= total) {
        return Err(AggError::Argument(format!("a group beyond the {total} there are")));
    }
    Ok(())
}

pub(crate) fn missing(aggregate: &str) -> AggError {
    AggError::Argument(format!("{aggregate} needs a value"))
}

/// Group numbers as Arrow takes them.
pub(crate) fn indices(groups: &[usize], total: usize) -> Result<UInt32Array, AggError> {
    check(groups, total, groups.len())?;
    groups
        .iter()
        .map(|group| u32::try_from(*group).map(Some))
        .collect::<Result<UInt32Array, _>>()
        .map_err(|_| AggError::Argument("more than 2^32 groups".to_owned()))
}
