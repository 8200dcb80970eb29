//! Lists: a join of their elements, and DataFusion's functions that put values together, bounded.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::call::{Call, Definition, Gives, OUTPUT_BYTES_MAX, Takes};

pub(super) static FUNCTIONS: &[Definition] = &[Definition {
    name: "array_to_string",
    aliases: &["mv_to_string", "list_to_string", "array_join"],
    least: 2,
    takes: &[Takes::Any, Takes::Text],
    endless: false,
    gives: Gives::Text,
    invoke: join,
}];

/// Null elements are left out.
fn join(call: &Call) -> Result<ArrayRef> {
    let given = call.argument(0)?;
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let lists = match given.data_type() {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => {
            cast(given, &texts)?
        }
        DataType::Null => return call.texts(|_, _| Ok(None)),
        other => return exec_err!("{}: a list is needed, not {other}", call.shown()),
    };
    let lists = lists.as_list::<i32>();
    let between = call.constant(1)?;
    call.texts(|row, out| {
        let Some(between) = between.filter(|_| lists.is_valid(row)) else { return Ok(None) };
        let list = lists.value(row);
        for (index, text) in list.as_string::<i32>().iter().flatten().enumerate() {
            if index > 0 {
                out.push_str(between);
            }
            out.push_str(text);
            call.room(out.len())?;
        }
        Ok(Some(()))
    })
}

/// Functions that make as much as all their arguments together, or a few times as much: within
/// each other they would double and double again.
pub(super) const GROWING: &[&str] =
    &["make_array", "array_append", "array_prepend", "array_concat", "encode"];

/// A function that refuses to take more than it may make.
#[derive(Debug, Clone)]
pub(super) struct Bounded(pub(super) Arc<ScalarUDF>);

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.0.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(given)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.0.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let size = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => array.get_array_memory_size(),
            ColumnarValue::Scalar(value) => value.size().saturating_mul(args.number_rows),
        };
        let all: usize = args.args.iter().map(size).fold(0, usize::saturating_add);
        // A batch of ordinary rows may be large; what doubles comes here in a few steps.
        if all > 4 * OUTPUT_BYTES_MAX {
            let name = self.name().to_uppercase();
            return exec_err!("{name}: more than {} bytes at once", 4 * OUTPUT_BYTES_MAX);
        }
        self.0.invoke_with_args(args)
    }
}
