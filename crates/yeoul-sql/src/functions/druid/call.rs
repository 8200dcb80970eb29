//! Functions as data: a definition says what a function is called, takes, gives and computes;
//! one wrapper makes DataFusion see it.
//!
//! Invariant: no function makes more than [`OUTPUT_BYTES_MAX`] of a batch, however its arguments
//! multiply: a query within its limits cannot take all memory in one step.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// Text one call may make.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// What an argument is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Whatever it is.
    Any,
    Text,
    Long,
    Double,
    /// BIGINT stays, all else becomes DOUBLE.
    Number,
    Instant,
}

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Text,
    Texts,
    Long,
    Double,
    Bool,
    Instant,
    Date,
    /// BIGINT when all arguments are, else DOUBLE.
    Number,
}

/// See the module's head.
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// Arguments that must be given.
    pub(crate) least: usize,
    /// All arguments; the last stands for any more when `endless`.
    pub(crate) takes: &'static [Takes],
    pub(crate) endless: bool,
    pub(crate) gives: Gives,
    pub(crate) invoke: fn(&Call) -> Result<ArrayRef>,
}

/// One call over a batch: arguments as arrays of equal length.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) arguments: Vec<ArrayRef>,
    constants: Vec<Option<ScalarValue>>,
    pub(crate) rows: usize,
    pub(crate) zone: Tz,
}

impl Call {
    pub(crate) fn argument(&self, index: usize) -> Result<&ArrayRef> {
        match self.arguments.get(index) {
            Some(argument) => Ok(argument),
            None => exec_err!("{}: argument {} is missing", self.shown(), index + 1),
        }
    }

    pub(crate) fn shown(&self) -> String {
        self.name.to_uppercase()
    }

    pub(crate) fn text(&self, index: usize) -> Result<&StringArray> {
        match self.argument(index)?.as_string_opt::<i32>() {
            Some(text) => Ok(text),
            None => exec_err!("{}: argument {} must be text", self.shown(), index + 1),
        }
    }

    /// The same, when it was given.
    pub(crate) fn maybe_text(&self, index: usize) -> Result<Option<&StringArray>> {
        if index < self.arguments.len() { self.text(index).map(Some) } else { Ok(None) }
    }

    pub(crate) fn longs(&self, index: usize) -> Result<&arrow::array::Int64Array> {
        match self.argument(index)?.as_primitive_opt() {
            Some(values) => Ok(values),
            None => exec_err!("{}: argument {} must be a number", self.shown(), index + 1),
        }
    }

    pub(crate) fn doubles(&self, index: usize) -> Result<&arrow::array::Float64Array> {
        match self.argument(index)?.as_primitive_opt() {
            Some(values) => Ok(values),
            None => exec_err!("{}: argument {} must be a number", self.shown(), index + 1),
        }
    }

    /// A constant text argument, such as a pattern; `None` when it is absent or null.
    pub(crate) fn constant(&self, index: usize) -> Result<Option<&str>> {
        match self.constants.get(index) {
            None => Ok(None),
            Some(Some(value)) if value.is_null() => Ok(None),
            Some(Some(value)) => match value.try_as_str() {
                Some(text) => Ok(text),
                None => exec_err!("{}: argument {} must be text", self.shown(), index + 1),
            },
            Some(None) => {
                exec_err!("{}: argument {} must be a constant", self.shown(), index + 1)
            }
        }
    }

    /// A constant number; `None` when it is absent or null.
    pub(crate) fn constant_long(&self, index: usize) -> Result<Option<i64>> {
        match self.constants.get(index) {
            None => Ok(None),
            Some(Some(ScalarValue::Int64(value))) => Ok(*value),
            Some(_) => exec_err!("{}: argument {} must be a constant", self.shown(), index + 1),
        }
    }

    /// A constant whole number of any width; `None` when it is absent or null.
    pub(crate) fn constant_number(&self, index: usize) -> Result<Option<i64>> {
        match self.constants.get(index) {
            None => Ok(None),
            Some(Some(value)) => match value.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(value) => Ok(value),
                _ => Ok(None),
            },
            Some(None) => {
                exec_err!("{}: argument {} must be a constant", self.shown(), index + 1)
            }
        }
    }

    /// Text made row by row.
    pub(crate) fn texts(
        &self,
        mut make: impl FnMut(usize, &mut String) -> Result<Option<()>>,
    ) -> Result<ArrayRef> {
        let mut out = StringBuilder::new();
        let (mut text, mut bytes) = (String::new(), 0);
        for row in 0..self.rows {
            text.clear();
            if make(row, &mut text)?.is_none() {
                out.append_null();
                continue;
            }
            bytes += text.len();
            self.room(bytes)?;
            out.append_value(&text);
        }
        Ok(Arc::new(out.finish()))
    }

    /// Whether that much may still be made.
    pub(crate) fn room(&self, bytes: usize) -> Result<()> {
        if bytes > OUTPUT_BYTES_MAX {
            return exec_err!("{}: more than {OUTPUT_BYTES_MAX} bytes at once", self.shown());
        }
        Ok(())
    }
}

/// The session's zone.
pub(crate) fn session_zone(config: &ConfigOptions) -> Tz {
    let zone = config.execution.time_zone.as_deref();
    zone.and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC)
}

/// The one type of instants.
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A definition as DataFusion sees it.
pub(crate) struct DruidFunction {
    definition: &'static Definition,
    signature: Signature,
    aliases: Vec<String>,
}

impl DruidFunction {
    pub(crate) fn new(definition: &'static Definition) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        let aliases = definition.aliases.iter().map(|&alias| alias.to_owned()).collect();
        Self { definition, signature, aliases }
    }

    pub(crate) fn udf(definition: &'static Definition) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self::new(definition))
    }
}

impl std::fmt::Debug for DruidFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.definition.name)
    }
}

impl PartialEq for DruidFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for DruidFunction {}

impl Hash for DruidFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

/// A call of a definition in a plan.
pub(crate) fn expr(definition: &'static Definition, arguments: Vec<Expr>) -> Expr {
    DruidFunction::udf(definition).call(arguments)
}

impl ScalarUDFImpl for DruidFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(match self.definition.gives {
            Gives::Text => DataType::Utf8,
            Gives::Texts => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            Gives::Long => DataType::Int64,
            Gives::Double => DataType::Float64,
            Gives::Bool => DataType::Boolean,
            Gives::Instant => instant_type(),
            Gives::Date => DataType::Date32,
            Gives::Number if given.first() == Some(&DataType::Float64) => DataType::Float64,
            Gives::Number => DataType::Int64,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.definition.name, self.return_type(&types)?, true)))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Definition { name, least, takes, endless, .. } = self.definition;
        if given.len() < *least || (given.len() > takes.len() && !endless) {
            let most = if *endless { "more".to_owned() } else { takes.len().to_string() };
            let (name, given) = (name.to_uppercase(), given.len());
            return match most == least.to_string() {
                true => plan_err!("{name} takes {least} arguments, not {given}"),
                false => plan_err!("{name} takes {least} to {most} arguments, not {given}"),
            };
        }
        let numbers = given.iter().zip(takes.iter());
        let mut numbers = numbers.filter(|(_, takes)| **takes == Takes::Number);
        // Of all numbers together: one DOUBLE makes them all.
        let whole = numbers.all(|(ty, _)| ty.is_integer() || ty.is_null());
        let last = takes.last().copied().unwrap_or(Takes::Any);
        let wanted = takes.iter().copied().chain(std::iter::repeat(last));
        let coerced = given.iter().zip(wanted).map(|(ty, takes)| match takes {
            Takes::Any => ty.clone(),
            Takes::Text => DataType::Utf8,
            Takes::Long => DataType::Int64,
            Takes::Double => DataType::Float64,
            Takes::Number if whole => DataType::Int64,
            Takes::Number => DataType::Float64,
            Takes::Instant => instant_type(),
        });
        Ok(coerced.collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let constants = args.args.iter().map(|argument| match argument {
            ColumnarValue::Scalar(value) => Some(value.clone()),
            ColumnarValue::Array(_) => None,
        });
        let constants = constants.collect();
        let arguments =
            args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let zone = session_zone(&args.config_options);
        let call = Call { name: self.definition.name, arguments, constants, rows, zone };
        let result = (self.definition.invoke)(&call)?;
        let result = match result.data_type() == args.return_field.data_type() {
            true => result,
            false => cast(&result, args.return_field.data_type())?,
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
