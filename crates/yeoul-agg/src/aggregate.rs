//! The closed list of aggregates and the types they take, keep and give.
//!
//! Invariant: the type of a state follows from the aggregate and the type of its input alone, so
//! states of one column merge wherever they were made.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::error::AggError;

/// Key of the field metadata that says which aggregate a column holds states of.
pub const AGGREGATE_KEY: &str = "yeoul.aggregate";

/// Druid's default for HLL and close to 1.6 % error; 2^12 registers.
pub const HLL_LG_K: u8 = 12;
/// Druid's default for theta sketches: 16,384 hashes.
pub const THETA_LG_K: u8 = 14;
/// Druid's default for quantiles: 1.7 % error of rank.
pub const QUANTILES_K: u16 = 128;

/// One aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Rows; with an input, rows whose input is not null.
    Count,
    /// Long sums wrap at 64 bits, as Druid's and the engine's.
    Sum,
    Min,
    Max,
    /// The value at the smallest time, null included.
    First,
    /// The value at the largest time, null included.
    Last,
    /// Some value that is not null, the same one however the rows were split: the smallest.
    Any,
    /// Distinct values, as an HLL sketch with 2^`lg_k` registers; 4 to 21.
    Hll {
        lg_k: u8,
    },
    /// Distinct values, as a theta sketch of up to 2^`lg_k` hashes; 5 to 21.
    Theta {
        lg_k: u8,
    },
    /// The distribution, as a classic quantiles sketch of doubles; `k` is a power of two, 2 to
    /// 32,768.
    Quantiles {
        k: u16,
    },
}

/// The values an aggregate tells apart; every column type is one of them or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Long,
    Double,
    Text,
    /// µs, UTC.
    Time,
}

impl Kind {
    pub(crate) fn of(input: &DataType) -> Option<Self> {
        Some(match input {
            DataType::Boolean => Self::Bool,
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64 => Self::Long,
            DataType::Float16
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Double,
            // A column of nulls has no type of its own.
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Self::Text
            }
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::Dictionary(_, value) => return Self::of(value),
            _ => return None,
        })
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Long => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Time => time_type(),
        }
    }
}

pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The fields of a state of `first` and `last`: when, from which record, what.
pub(crate) fn timed_fields(value: DataType) -> Fields {
    Fields::from(vec![
        Field::new("time", time_type(), false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("value", value, true),
    ])
}

impl Aggregate {
    /// The type of the state column. `input`: the type of the raw values, `None` without.
    ///
    /// # Errors
    /// When the aggregate cannot take such values, or its parameter is out of range.
    pub fn state_type(&self, input: Option<&DataType>) -> Result<DataType, AggError> {
        self.check()?;
        match self {
            Self::Count => Ok(DataType::Int64),
            Self::Sum => match self.kind(input)? {
                kind @ (Kind::Long | Kind::Double) => Ok(kind.data_type()),
                _ => Err(self.refuse(input)),
            },
            Self::Min | Self::Max | Self::Any => Ok(self.kind(input)?.data_type()),
            Self::First | Self::Last => {
                Ok(DataType::Struct(timed_fields(self.kind(input)?.data_type())))
            }
            Self::Hll { .. } | Self::Theta { .. } => {
                self.some(input)?;
                Ok(DataType::Binary)
            }
            Self::Quantiles { .. } => match self.kind(input)? {
                Kind::Long | Kind::Double => Ok(DataType::Binary),
                _ => Err(self.refuse(input)),
            },
        }
    }

    /// The type of a finished value: a number for what counts, the value for `first` and `last`,
    /// the sketch itself for quantiles.
    ///
    /// # Errors
    /// As [`Self::state_type`].
    pub fn output_type(&self, input: Option<&DataType>) -> Result<DataType, AggError> {
        let state = self.state_type(input)?;
        Ok(match self {
            Self::First | Self::Last => self.kind(input)?.data_type(),
            Self::Hll { .. } | Self::Theta { .. } => DataType::Int64,
            _ => state,
        })
    }

    /// The field of a column of states; its metadata names the aggregate.
    ///
    /// # Errors
    /// As [`Self::state_type`].
    pub fn state_field(&self, name: &str, input: Option<&DataType>) -> Result<Field, AggError> {
        let metadata = HashMap::from([(AGGREGATE_KEY.to_owned(), self.to_string())]);
        let state = self.state_type(input)?;
        Ok(Field::new(name, state, *self != Self::Count).with_metadata(metadata))
    }

    /// The aggregate whose states a column holds, from its field; `None`: plain values.
    pub fn of_field(field: &Field) -> Option<Self> {
        field.metadata().get(AGGREGATE_KEY).and_then(|text| text.parse().ok())
    }

    /// Whether it looks at the rows' times.
    pub fn needs_time(&self) -> bool {
        matches!(self, Self::First | Self::Last)
    }

    pub(crate) fn kind(&self, input: Option<&DataType>) -> Result<Kind, AggError> {
        Kind::of(self.some(input)?).ok_or_else(|| self.refuse(input))
    }

    fn some<'a>(&self, input: Option<&'a DataType>) -> Result<&'a DataType, AggError> {
        input.ok_or_else(|| AggError::Argument(format!("{self} needs a value")))
    }

    fn refuse(&self, input: Option<&DataType>) -> AggError {
        let input = input.cloned().unwrap_or(DataType::Null);
        AggError::Input { aggregate: self.to_string(), input }
    }

    pub(crate) fn check(&self) -> Result<(), AggError> {
        let argument = |what: String| Err(AggError::Argument(what));
        match *self {
            Self::Hll { lg_k } if !(4..=21).contains(&lg_k) => {
                argument(format!("hll takes a lg_k of 4 to 21, not {lg_k}"))
            }
            Self::Theta { lg_k } if !(5..=21).contains(&lg_k) => {
                argument(format!("theta takes a lg_k of 5 to 21, not {lg_k}"))
            }
            Self::Quantiles { k } if !k.is_power_of_two() || !(2..=32_768).contains(&k) => {
                argument(format!("quantiles takes a power of two, 2 to 32768, not {k}"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Aggregate {
    /// As [`FromStr`] reads it: `count`, `hll(12)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Sum => f.write_str("sum"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::First => f.write_str("first"),
            Self::Last => f.write_str("last"),
            Self::Any => f.write_str("any"),
            Self::Hll { lg_k } => write!(f, "hll({lg_k})"),
            Self::Theta { lg_k } => write!(f, "theta({lg_k})"),
            Self::Quantiles { k } => write!(f, "quantiles({k})"),
        }
    }
}

impl FromStr for Aggregate {
    type Err = AggError;

    /// A name, for sketches with an optional parameter: `max`, `hll`, `hll(14)`.
    fn from_str(text: &str) -> Result<Self, AggError> {
        let unknown = || AggError::Argument(format!("no aggregate `{text}`"));
        let (name, parameter) = match text.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
            Some((name, parameter)) => {
                (name, Some(parameter.trim().parse::<u16>().map_err(|_| unknown())?))
            }
            None => (text, None),
        };
        let lg_k = |default: u8| match parameter {
            Some(parameter) => u8::try_from(parameter).map_err(|_| unknown()),
            None => Ok(default),
        };
        let aggregate = match name {
            "hll" => Self::Hll { lg_k: lg_k(HLL_LG_K)? },
            "theta" => Self::Theta { lg_k: lg_k(THETA_LG_K)? },
            "quantiles" => Self::Quantiles { k: parameter.unwrap_or(QUANTILES_K) },
            _ if parameter.is_some() => return Err(unknown()),
            "count" => Self::Count,
            "sum" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "first" => Self::First,
            "last" => Self::Last,
            "any" => Self::Any,
            _ => return Err(unknown()),
        };
        aggregate.check()?;
        Ok(aggregate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "count",
            "sum",
            "min",
            "max",
            "first",
            "last",
            "any",
            "hll(4)",
            "theta(21)",
            "quantiles(256)",
        ] {
            assert_eq!(text.parse::<Aggregate>().unwrap().to_string(), text);
        }
        assert_eq!("hll".parse::<Aggregate>().unwrap(), Aggregate::Hll { lg_k: 12 });
        for text in ["", "sum(1)", "hll(3)", "hll(22)", "hll(300)", "quantiles(100)", "median"] {
            assert!(text.parse::<Aggregate>().is_err(), "{text}");
        }
    }

    #[test]
    fn types_follow_from_the_input() {
        let text = Some(&DataType::Utf8View);
        assert_eq!(Aggregate::Max.state_type(text).unwrap(), DataType::Utf8);
        assert_eq!(Aggregate::Last.output_type(text).unwrap(), DataType::Utf8);
        assert_eq!(Aggregate::Sum.state_type(Some(&DataType::Int16)).unwrap(), DataType::Int64);
        assert_eq!(Aggregate::Count.state_type(None).unwrap(), DataType::Int64);
        for refused in [Aggregate::Sum, Aggregate::Quantiles { k: 128 }] {
            assert!(matches!(refused.state_type(text), Err(AggError::Input { .. })));
            assert!(matches!(refused.state_type(None), Err(AggError::Argument(_))));
        }
        let field = Aggregate::Hll { lg_k: 12 }.state_field("users", text).unwrap();
        assert_eq!(Aggregate::of_field(&field), Some(Aggregate::Hll { lg_k: 12 }));
    }
}
