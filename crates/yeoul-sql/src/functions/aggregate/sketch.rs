//! What is asked of sketches: `HLL_SKETCH_ESTIMATE`, `THETA_SKETCH_UNION`, `DS_GET_QUANTILE` and
//! their kin.
//!
//! Invariant: bytes come from anywhere; what is no sketch is an error of the query.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Float64Array, Float64Builder, ListBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use yeoul_agg::{AggError, HLL_LG_K, THETA_LG_K, sketches};

use super::{failed, is_binary};

/// Which of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Function {
    HllEstimate,
    HllBounds,
    HllUnion,
    ThetaEstimate,
    ThetaUnion,
    ThetaIntersect,
    ThetaNot,
    GetQuantile,
    GetQuantiles,
    Rank,
    Count,
}

pub(super) const FUNCTIONS: [Function; 11] = [
    Function::HllEstimate,
    Function::HllBounds,
    Function::HllUnion,
    Function::ThetaEstimate,
    Function::ThetaUnion,
    Function::ThetaIntersect,
    Function::ThetaNot,
    Function::GetQuantile,
    Function::GetQuantiles,
    Function::Rank,
    Function::Count,
];

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::HllEstimate => "hll_sketch_estimate",
            Self::HllBounds => "hll_sketch_estimate_with_error_bounds",
            Self::HllUnion => "hll_sketch_union",
            Self::ThetaEstimate => "theta_sketch_estimate",
            Self::ThetaUnion => "theta_sketch_union",
            Self::ThetaIntersect => "theta_sketch_intersect",
            Self::ThetaNot => "theta_sketch_not",
            Self::GetQuantile => "ds_get_quantile",
            Self::GetQuantiles => "ds_get_quantiles",
            Self::Rank => "ds_rank",
            // Not Druid's: what its native queries show for a quantiles sketch.
            Self::Count => "ds_quantiles_count",
        }
    }

    /// Takes sketches behind an optional number (and for HLL a name).
    fn sets(self) -> bool {
        matches!(self, Self::HllUnion | Self::ThetaUnion | Self::ThetaIntersect | Self::ThetaNot)
    }

    fn arity(self) -> (usize, usize) {
        match self {
            Self::ThetaEstimate | Self::Count => (1, 1),
            Self::HllEstimate | Self::HllBounds => (1, 2),
            Self::GetQuantile | Self::Rank => (2, 2),
            _ => (2, 64),
        }
    }

    fn output(self) -> DataType {
        match self {
            Self::HllBounds | Self::GetQuantiles => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
            }
            _ if self.sets() => DataType::Binary,
            _ => DataType::Float64,
        }
    }
}

/// One of them as DataFusion sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SketchFunction {
    function: Function,
    signature: Signature,
}

impl SketchFunction {
    pub(super) fn new(function: Function) -> Self {
        Self { function, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// Arguments as arrays of one length, sketches as `Binary`, numbers as `Float64`.
struct Arguments {
    sketches: Vec<ArrayRef>,
    numbers: Vec<ArrayRef>,
    rows: usize,
}

impl Arguments {
    fn new(args: &ScalarFunctionArgs) -> Result<Self> {
        let (mut sketches, mut numbers) = (Vec::new(), Vec::new());
        for arg in ColumnarValue::values_to_arrays(&args.args)? {
            match arg.data_type() {
                found if is_binary(found) => sketches.push(cast(&arg, &DataType::Binary)?),
                // The name of HLL's width.
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {}
                _ => numbers.push(cast(&arg, &DataType::Float64)?),
            }
        }
        let rows = sketches.first().or(numbers.first()).map_or(0, |array| array.len());
        Ok(Self { sketches, numbers, rows })
    }

    fn sketch(&self, row: usize) -> Option<&[u8]> {
        let sketches = self.sketches.first()?.as_binary::<i32>();
        sketches.is_valid(row).then(|| sketches.value(row))
    }

    /// Those that are not null.
    fn sketches(&self, row: usize) -> Vec<&[u8]> {
        let arrays = self.sketches.iter().map(|array| array.as_binary::<i32>());
        arrays.filter(|array| array.is_valid(row)).map(|array| array.value(row)).collect()
    }

    fn numbers(&self, row: usize) -> Vec<f64> {
        let arrays = self.numbers.iter().map(|array| array.as_primitive::<Float64Type>());
        arrays.filter(|array| array.is_valid(row)).map(|array| array.value(row)).collect()
    }

    fn number(&self, row: usize) -> Option<f64> {
        self.numbers(row).first().copied()
    }

    fn each(
        &self,
        value: impl Fn(&[u8], usize) -> Result<Option<f64>, AggError>,
    ) -> Result<ArrayRef> {
        let row = |row| match self.sketch(row) {
            Some(sketch) => value(sketch, row).map_err(failed),
            None => Ok(None),
        };
        Ok(Arc::new((0..self.rows).map(row).collect::<Result<Float64Array>>()?))
    }

    fn lists(
        &self,
        values: impl Fn(&[u8], usize) -> Result<Option<Vec<f64>>, AggError>,
    ) -> Result<ArrayRef> {
        let mut lists = ListBuilder::new(Float64Builder::new());
        for row in 0..self.rows {
            let list = match self.sketch(row) {
                Some(sketch) => values(sketch, row).map_err(failed)?,
                None => None,
            };
            lists.append_option(list.map(|list| list.into_iter().map(Some)));
        }
        Ok(Arc::new(lists.finish()))
    }

    /// A null sketch has no values; of nulls alone the answer is null.
    fn combined(
        &self,
        combine: impl Fn(&[&[u8]], usize) -> Result<Vec<u8>, AggError>,
    ) -> Result<ArrayRef> {
        let mut out = BinaryBuilder::new();
        for row in 0..self.rows {
            match self.sketches(row).as_slice() {
                [] => out.append_null(),
                sketches => out.append_value(combine(sketches, row).map_err(failed)?),
            }
        }
        let out: BinaryArray = out.finish();
        Ok(Arc::new(out))
    }
}

fn lg_of(size: Option<f64>, default: u8) -> u8 {
    size.map_or(default, |size| (size.max(1.0) as u64).next_power_of_two().trailing_zeros() as u8)
}

impl ScalarUDFImpl for SketchFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (fewest, most) = self.function.arity();
        let name = self.name().to_ascii_uppercase();
        if !(fewest..=most).contains(&types.len()) {
            return plan_err!("{name} takes {fewest} to {most} arguments");
        }
        for (index, found) in types.iter().enumerate() {
            let sketch = is_binary(found) || found.is_null();
            if !self.function.sets() && sketch != (index == 0) && !found.is_null() {
                return plan_err!("{name}: argument {} cannot be {found}", index + 1);
            }
        }
        let sketch = |found: &DataType| match found {
            DataType::Null => DataType::Binary,
            found => found.clone(),
        };
        let mut types = types.to_vec();
        if let Some(first) = types.first_mut().filter(|_| !self.function.sets()) {
            *first = sketch(first);
        }
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.output())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arguments = Arguments::new(&args)?;
        if arguments.sketches.is_empty() {
            return exec_err!("{} needs a sketch", self.name().to_ascii_uppercase());
        }
        let number = |row| arguments.number(row);
        let array = match self.function {
            Function::HllEstimate => arguments.each(|sketch, row| {
                let estimate = sketches::hll_estimate(sketch)?;
                // The second argument asks for a whole number.
                Ok(Some(if number(row).is_some_and(|round| round != 0.0) {
                    estimate.round()
                } else {
                    estimate
                }))
            }),
            Function::HllBounds => arguments.lists(|sketch, row| {
                let deviations = number(row).unwrap_or(1.0) as u8;
                let [low, estimate, high] = sketches::hll_bounds(sketch, deviations)?;
                Ok(Some(vec![estimate, low, high]))
            }),
            Function::HllUnion => arguments.combined(|sketches, row| {
                let lg_k = number(row).map_or(HLL_LG_K, |lg_k| lg_k as u8);
                sketches::hll_union(lg_k, sketches)
            }),
            Function::ThetaEstimate => {
                arguments.each(|sketch, _| sketches::theta_estimate(sketch).map(Some))
            }
            Function::ThetaUnion => arguments.combined(|sketches, row| {
                sketches::theta_union(lg_of(number(row), THETA_LG_K), sketches)
            }),
            Function::ThetaIntersect => {
                arguments.combined(|sketches, _| sketches::theta_intersect(sketches))
            }
            Function::ThetaNot => arguments.combined(|sketches, _| sketches::theta_not(sketches)),
            Function::GetQuantile => arguments.each(|sketch, row| {
                let ranks = arguments.numbers(row);
                Ok(sketches::quantiles(sketch, &ranks)?.and_then(|found| found.first().copied()))
            }),
            Function::GetQuantiles => {
                arguments.lists(|sketch, row| sketches::quantiles(sketch, &arguments.numbers(row)))
            }
            Function::Rank => arguments.each(|sketch, row| match number(row) {
                Some(value) => sketches::quantiles_rank(sketch, value),
                None => Ok(None),
            }),
            Function::Count => {
                arguments.each(|sketch, _| Ok(Some(sketches::quantiles_count(sketch)? as f64)))
            }
        }?;
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}
