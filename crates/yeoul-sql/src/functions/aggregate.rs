//! Druid's aggregates over `yeoul-agg`: over raw values, and over columns of states that a
//! rolled-up table or another query made.
//!
//! Invariant: what tells raw values from states is their type alone: `BINARY` is a sketch, the
//! struct of `first` and `last` is a state, everything else is a value.

mod groups;
mod record;
mod sketch;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ScalarUDF, Signature,
    Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use yeoul_agg::{AGGREGATE_KEY, AggError, Aggregate, HLL_LG_K, QUANTILES_K, THETA_LG_K};

use groups::{Finish, Groups, Take};
pub(crate) use record::by_record;

/// Adds the functions to a session.
pub(super) fn register(session: &SessionContext) {
    for function in FUNCTIONS {
        session.register_udaf(DruidAggregate::udaf(function));
    }
    for function in sketch::FUNCTIONS {
        session.register_udf(ScalarUDF::new_from_impl(sketch::SketchFunction::new(function)));
    }
}

pub(super) fn failed(error: AggError) -> DataFusionError {
    match error {
        AggError::Arrow(error) => error.into(),
        error => exec_datafusion_err!("{error}"),
    }
}

/// Which of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Function {
    CountHll,
    CountTheta,
    Hll,
    Theta,
    Quantile,
    Quantiles,
    Latest,
    Earliest,
    /// As these, with the record a row came from: planning puts it in.
    LatestRecord,
    EarliestRecord,
    Any,
}

/// What can be called by name.
const FUNCTIONS: [Function; 9] = [
    Function::CountHll,
    Function::CountTheta,
    Function::Hll,
    Function::Theta,
    Function::Quantile,
    Function::Quantiles,
    Function::Latest,
    Function::Earliest,
    Function::Any,
];

impl Function {
    fn names(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::CountHll => (
                "approx_count_distinct",
                &["approx_count_distinct_builtin", "approx_count_distinct_ds_hll"],
            ),
            Self::CountTheta => ("approx_count_distinct_ds_theta", &[]),
            Self::Hll => ("ds_hll", &[]),
            Self::Theta => ("ds_theta", &[]),
            Self::Quantile => ("approx_quantile_ds", &["approx_quantile"]),
            Self::Quantiles => ("ds_quantiles_sketch", &[]),
            Self::Latest => ("latest_by", &[]),
            Self::Earliest => ("earliest_by", &[]),
            Self::LatestRecord => ("latest_by_record", &[]),
            Self::EarliestRecord => ("earliest_by_record", &[]),
            Self::Any => ("any_value", &[]),
        }
    }

    /// Fewest and most arguments, and how they are called.
    fn arguments(self) -> (usize, usize, &'static str) {
        match self {
            Self::CountHll | Self::Hll => (1, 3, "(x[, lgK[, type]])"),
            Self::CountTheta | Self::Theta => (1, 2, "(x[, size])"),
            Self::Quantile => (2, 3, "(x, fraction[, k])"),
            Self::Quantiles => (1, 2, "(x[, k])"),
            Self::Latest | Self::Earliest => (2, 3, "(x, time[, maxBytes])"),
            Self::LatestRecord | Self::EarliestRecord => {
                (4, 5, "(x, time, partition, offset[, maxBytes])")
            }
            Self::Any => (1, 3, "(x[, maxBytes])"),
        }
    }

    /// By time.
    fn timed(self) -> bool {
        matches!(self, Self::Latest | Self::Earliest | Self::LatestRecord | Self::EarliestRecord)
    }

    fn counts(self) -> bool {
        matches!(self, Self::CountHll | Self::CountTheta)
    }

    fn finish(self, rank: f64) -> Finish {
        match self {
            Self::Hll | Self::Theta | Self::Quantiles => Finish::State,
            Self::Quantile => Finish::Quantile(rank),
            _ => Finish::Value,
        }
    }

    /// Its aggregate with the given parameter (`lgK`, `size` or `k`), or that of the states.
    fn aggregate(self, parameter: Option<u64>, input: &Field) -> Result<Aggregate> {
        let stored = Aggregate::of_field(input);
        let lg = |size: u64| size.max(1).next_power_of_two().trailing_zeros() as u8;
        let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        Ok(match (self, stored) {
            (Self::CountHll, Some(stored @ Aggregate::Theta { .. })) => stored,
            (Self::CountHll | Self::Hll, Some(stored @ Aggregate::Hll { .. }))
            | (Self::CountTheta | Self::Theta, Some(stored @ Aggregate::Theta { .. }))
            | (Self::Quantile | Self::Quantiles, Some(stored @ Aggregate::Quantiles { .. }))
                if parameter.is_none() =>
            {
                stored
            }
            (Self::CountHll | Self::Hll, _) => {
                Aggregate::Hll { lg_k: parameter.map_or(HLL_LG_K, small) }
            }
            (Self::CountTheta | Self::Theta, _) => {
                Aggregate::Theta { lg_k: parameter.map_or(THETA_LG_K, lg) }
            }
            (Self::Quantile | Self::Quantiles, _) => {
                let k = parameter.map_or(u64::from(QUANTILES_K), u64::next_power_of_two);
                Aggregate::Quantiles { k: u16::try_from(k).unwrap_or(u16::MAX) }
            }
            (Self::Latest | Self::LatestRecord, _) => Aggregate::Last,
            (Self::Earliest | Self::EarliestRecord, _) => Aggregate::First,
            (Self::Any, _) => Aggregate::Any,
        })
    }
}

/// One of them as DataFusion sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DruidAggregate {
    function: Function,
    name: &'static str,
    signature: Signature,
}

/// What one call works with.
struct Call {
    aggregate: Aggregate,
    /// The type of the raw values; of states `None`.
    raw: Option<DataType>,
    state: DataType,
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

impl DruidAggregate {
    fn udaf(function: Function) -> AggregateUDF {
        let (name, aliases) = function.names();
        let signature = Signature::user_defined(Volatility::Immutable);
        let udaf = AggregateUDF::from(Self { function, name, signature });
        // Aliases hide what is behind a name, which `record` looks for.
        if aliases.is_empty() { udaf } else { udaf.with_aliases(aliases.iter().copied()) }
    }

    fn call(&self, input: &Field, parameter: Option<u64>) -> Result<Call> {
        let aggregate = self.function.aggregate(parameter, input)?;
        let found = input.data_type();
        let refuse = |error: AggError| match error {
            AggError::Input { input, .. } => {
                let name = self.name.to_ascii_uppercase();
                DataFusionError::Plan(format!("{name} cannot take a value of type {input}"))
            }
            error => DataFusionError::Plan(format!("{}: {error}", self.name.to_ascii_uppercase())),
        };
        let stored = match aggregate {
            Aggregate::First | Aggregate::Last => aggregate.merger(found).is_ok(),
            Aggregate::Hll { .. } | Aggregate::Theta { .. } | Aggregate::Quantiles { .. } => {
                is_binary(found)
            }
            _ => false,
        };
        let state = match (stored, is_binary(found)) {
            (true, true) => DataType::Binary,
            (true, false) => found.clone(),
            (false, _) => aggregate.state_type(Some(found)).map_err(refuse)?,
        };
        // A parameter out of range is refused here, before anything runs.
        aggregate.merger(&state).map_err(refuse)?;
        Ok(Call { aggregate, raw: (!stored).then(|| found.clone()), state })
    }

    fn output(&self, call: &Call) -> Result<DataType> {
        match (self.function, &call.state) {
            (Function::Quantile, _) => Ok(DataType::Float64),
            (function, _) if function.counts() => Ok(DataType::Int64),
            (_, DataType::Struct(fields)) => match fields.find("value") {
                Some((_, value)) => Ok(value.data_type().clone()),
                None => plan_err!("{} of a struct that is no state", self.name),
            },
            (_, state) => Ok(state.clone()),
        }
    }

    fn groups(&self, args: &AccumulatorArgs<'_>) -> Result<Groups> {
        let literal = |index: usize| -> Option<&ScalarValue> {
            let expr = args.exprs.get(index)?;
            expr.downcast_ref::<Literal>().map(Literal::value)
        };
        let number = |index: usize| -> Result<Option<f64>> {
            let Some(given) = args.exprs.get(index) else { return Ok(None) };
            let number = literal(index).and_then(|value| match value.cast_to(&DataType::Float64) {
                Ok(ScalarValue::Float64(number)) => number,
                _ => None,
            });
            match number {
                Some(number) => Ok(Some(number)),
                None => {
                    let name = self.name.to_ascii_uppercase();
                    plan_err!("{name}: `{given}` must be a constant number")
                }
            }
        };
        let (rank, parameter) = match self.function {
            Function::Quantile => (number(1)?.unwrap_or(0.5), number(2)?),
            Function::Latest | Function::Earliest => (0.0, number(2)?),
            Function::LatestRecord | Function::EarliestRecord => (0.0, number(4)?),
            // DS_HLL's third argument, the width, changes nothing but bytes.
            _ => (0.0, number(1)?),
        };
        if !(0.0..=1.0).contains(&rank) {
            return plan_err!("{}: a fraction is between 0 and 1", self.name.to_ascii_uppercase());
        }
        let Some(input) = args.expr_fields.first() else {
            return plan_err!("{} needs a value", self.name.to_ascii_uppercase());
        };
        let parameter = parameter.map(|number| number.max(0.0) as u64);
        // What follows these is how many bytes of text to keep.
        let texts = self.function.timed() || self.function == Function::Any;
        let call = self.call(input, parameter.filter(|_| !texts))?;
        let text_bytes = parameter.filter(|_| texts).and_then(|bytes| usize::try_from(bytes).ok());
        let take = match call.raw {
            Some(raw) => Take::Values { raw, text_bytes },
            None => Take::States,
        };
        Groups::new(call.aggregate, call.state, take, self.function.finish(rank))
    }
}

impl AggregateUDFImpl for DruidAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (fewest, most, arguments) = self.function.arguments();
        let name = self.name.to_ascii_uppercase();
        if !(fewest..=most).contains(&types.len()) {
            return plan_err!("{name} takes {arguments}");
        }
        if self.function.timed()
            && let Some(time) = types.get(1)
            && !time.is_temporal()
        {
            return plan_err!("{name}: the second argument must be a TIMESTAMP, not {time}");
        }
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let input = types.first().cloned().unwrap_or(DataType::Null);
        self.output(&self.call(&Field::new("x", input, true), None)?)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let Some(input) = fields.first() else { return plan_err!("{} needs a value", self.name) };
        let call = self.call(input, None)?;
        let nullable = !self.function.counts();
        let field = Field::new(self.name, self.output(&call)?, nullable);
        Ok(Arc::new(match self.function.finish(0.0) {
            Finish::State => {
                field.with_metadata([(AGGREGATE_KEY.to_owned(), call.aggregate.to_string())].into())
            }
            _ => field,
        }))
    }

    fn is_nullable(&self) -> bool {
        !self.function.counts()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        if self.function.counts() {
            return Ok(ScalarValue::Int64(Some(0)));
        }
        ScalarValue::try_from(data_type)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(groups::One(self.groups(&args)?)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let Some(input) = args.input_fields.first() else {
            return plan_err!("{} needs a value", self.name);
        };
        let state = self.call(input, None)?.state;
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "state"), state, true))])
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
