//! The functions of continuous queries: DataFusion's, and Spark's names with Spark's meaning.
//!
//! Every instant is `Timestamp(µs, UTC)`. Text without an offset, and parts of an instant such
//! as its hour, are read in the pipeline's time zone. All functions are immutable: a stream that
//! replays its input gives the same rows. A value that cannot be read is an error of its row
//! (the `try_` form gives null), as in Spark's ANSI mode.

mod json;
pub mod pattern;
pub mod time;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::prelude::SessionContext;

/// The one type of instants.
pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Adds the functions to a session, over DataFusion's of the same name; `zone` is the
/// pipeline's.
pub fn register(session: &SessionContext, zone: Tz) {
    let functions = time::FUNCTIONS.iter().chain(json::FUNCTIONS);
    for definition in functions {
        session.register_udf(ScalarUDF::new_from_impl(Function::new(definition, zone)));
    }
}

/// One function as data: what it is called, what it takes and gives, how it computes.
struct Definition {
    name: &'static str,
    /// The least and the most arguments.
    arguments: (usize, usize),
    /// The result's type from the arguments' types and constants.
    gives: fn(&ReturnFieldArgs<'_>) -> Result<DataType>,
    invoke: fn(&Call) -> Result<ArrayRef>,
}

/// One call over a batch: arguments as arrays of equal length.
struct Call {
    name: &'static str,
    arguments: Vec<ArrayRef>,
    /// The arguments that are constants.
    constants: Vec<Option<ScalarValue>>,
    zone: Tz,
}

impl Call {
    fn argument(&self, index: usize) -> Result<&ArrayRef> {
        match self.arguments.get(index) {
            Some(argument) => Ok(argument),
            None => exec_err!("{}: argument {} is missing", self.name, index + 1),
        }
    }

    /// A constant text argument, such as a pattern; `None` when it was not given.
    fn constant_text(&self, index: usize) -> Result<Option<&str>> {
        match self.constants.get(index) {
            None => Ok(None),
            Some(Some(value)) => match value.try_as_str() {
                Some(Some(text)) => Ok(Some(text)),
                _ => exec_err!("{}: argument {} must be a text", self.name, index + 1),
            },
            Some(None) => {
                exec_err!("{}: argument {} must be a constant text", self.name, index + 1)
            }
        }
    }
}

#[derive(Clone)]
struct Function {
    definition: &'static Definition,
    signature: Signature,
    zone: Tz,
}

impl Function {
    fn new(definition: &'static Definition, zone: Tz) -> Self {
        let signature = if definition.arguments.1 == 0 {
            Signature::nullary(Volatility::Immutable)
        } else {
            Signature::variadic_any(Volatility::Immutable)
        };
        Self { definition, signature, zone }
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.definition.name, self.zone)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && self.zone == other.zone
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
        self.zone.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("{}: its type depends on its constants", self.definition.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Definition { name, arguments: (least, most), gives, .. } = self.definition;
        let got = args.arg_fields.len();
        if got < *least || got > *most {
            return plan_err!("{name} takes {least} to {most} arguments, not {got}");
        }
        Ok(Arc::new(Field::new(*name, gives(&args)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_constant =
            args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if all_constant { 1 } else { args.number_rows };
        let constants = args.args.iter().map(|argument| match argument {
            ColumnarValue::Scalar(value) => Some(value.clone()),
            ColumnarValue::Array(_) => None,
        });
        let constants = constants.collect();
        let arguments =
            args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<_>>()?;
        let call = Call { name: self.definition.name, arguments, constants, zone: self.zone };
        let result = (self.definition.invoke)(&call)?;
        if all_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

#[cfg(test)]
mod tests;
