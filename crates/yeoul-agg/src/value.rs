//! The five kinds of values as Rust types: read from arrays, compared, built into arrays.
//!
//! Invariant: the order is total, so the smallest or largest of some values does not depend on
//! the order they came in. Of doubles `-0.0` is below `0.0` and NaN above all.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};

use crate::aggregate::Kind;
use crate::error::AggError;

/// A value of one [`Kind`].
pub(crate) trait Value: Clone + Debug + Send + Sync + 'static {
    const KIND: Kind;
    type Array: Array;

    /// The array as its own type; `None` when it is another.
    fn array(array: &ArrayRef) -> Option<&Self::Array>;
    /// The caller has checked that `index` is in range and not null.
    fn get(array: &Self::Array, index: usize) -> Self;
    fn compare(&self, other: &Self) -> Ordering;
    /// Whether the value at `index` is before (`Less`) or after this one, without a copy of it.
    fn compare_at(array: &Self::Array, index: usize, other: &Self) -> Ordering {
        Self::get(array, index).compare(other)
    }
    fn build<'a>(values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef;
    /// Bytes on the heap.
    fn heap(&self) -> usize {
        0
    }
}

/// The array as the kind's own Arrow type. Long values beyond 63 bits wrap, as sums do.
pub(crate) fn normal(array: &ArrayRef, kind: Kind) -> Result<ArrayRef, AggError> {
    let wanted = kind.data_type();
    if *array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    if *array.data_type() == DataType::UInt64 {
        let values = array.as_primitive::<arrow::datatypes::UInt64Type>();
        return Ok(Arc::new(values.unary::<_, Int64Type>(u64::cast_signed)));
    }
    Ok(cast(array, &wanted)?)
}

impl Value for bool {
    const KIND: Kind = Kind::Bool;
    type Array = BooleanArray;

    fn array(array: &ArrayRef) -> Option<&BooleanArray> {
        array.as_boolean_opt()
    }

    fn get(array: &BooleanArray, index: usize) -> Self {
        array.value(index)
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn build<'a>(values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        Arc::new(values.map(Option::<&bool>::copied).collect::<BooleanArray>())
    }
}

impl Value for i64 {
    const KIND: Kind = Kind::Long;
    type Array = Int64Array;

    fn array(array: &ArrayRef) -> Option<&Int64Array> {
        array.as_primitive_opt::<Int64Type>()
    }

    fn get(array: &Int64Array, index: usize) -> Self {
        array.value(index)
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn build<'a>(values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        Arc::new(values.map(Option::<&i64>::copied).collect::<Int64Array>())
    }
}

impl Value for f64 {
    const KIND: Kind = Kind::Double;
    type Array = Float64Array;

    fn array(array: &ArrayRef) -> Option<&Float64Array> {
        array.as_primitive_opt::<Float64Type>()
    }

    fn get(array: &Float64Array, index: usize) -> Self {
        array.value(index)
    }

    fn compare(&self, other: &Self) -> Ordering {
        // All NaNs are one: which bits came first must not decide.
        match (self.is_nan(), other.is_nan()) {
            (false, false) => self.total_cmp(other),
            (left, right) => left.cmp(&right),
        }
    }

    fn build<'a>(values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        Arc::new(values.map(Option::<&f64>::copied).collect::<Float64Array>())
    }
}

/// µs since 1970, UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Micros(i64);

impl Value for Micros {
    const KIND: Kind = Kind::Time;
    type Array = TimestampMicrosecondArray;

    fn array(array: &ArrayRef) -> Option<&TimestampMicrosecondArray> {
        array.as_primitive_opt::<TimestampMicrosecondType>()
    }

    fn get(array: &TimestampMicrosecondArray, index: usize) -> Self {
        Self(array.value(index))
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }

    fn build<'a>(values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        let values = values.map(|value| value.map(|micros| micros.0));
        Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    }
}

impl Value for Box<str> {
    const KIND: Kind = Kind::Text;
    type Array = StringArray;

    fn array(array: &ArrayRef) -> Option<&StringArray> {
        array.as_string_opt::<i32>()
    }

    fn get(array: &StringArray, index: usize) -> Self {
        array.value(index).into()
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn compare_at(array: &StringArray, index: usize, other: &Self) -> Ordering {
        array.value(index).cmp(other)
    }

    fn build<'a>(values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        Arc::new(values.map(|text| text.map(AsRef::as_ref)).collect::<StringArray>())
    }

    fn heap(&self) -> usize {
        self.len()
    }
}
