//! Functions of JSON text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringBuilder, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, Schema as ArrowSchema};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ReturnFieldArgs;
use serde_json::Value;
use yeoul_format::{Columns, Origin, RowDecoder, RowEncoder, RowOptions, Schema};

use super::{Call, Definition};

/// Steps of one path.
const PATH_STEPS_MAX: usize = 64;

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "get_json_object",
        arguments: (2, 2),
        gives: text_of_text,
        invoke: get_json_object,
    },
    Definition { name: "from_json", arguments: (2, 2), gives: declared, invoke: from_json },
    Definition { name: "to_json", arguments: (1, 1), gives: text_of_struct, invoke: to_json },
];

/// The type that `from_json`'s second argument describes.
fn declared(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    text_of_text(args)?;
    match args.scalar_arguments.get(1).copied().flatten().and_then(|ddl| ddl.try_as_str()).flatten()
    {
        Some(ddl) => Ok(DataType::Struct(schema(ddl)?.arrow().fields().clone())),
        None => plan_err!(
            "from_json: the second argument describes the columns, such as 'id STRING, n INT'"
        ),
    }
}

fn schema(ddl: &str) -> Result<Schema> {
    match Columns::parse(ddl) {
        // Of inferred origin: a field that does not fit is null, not an error, as in Spark.
        Ok(columns) => Ok(Schema::new(columns.into_vec(), Origin::Inferred)),
        Err(problem) => plan_err!("from_json: {problem}"),
    }
}

/// Null where the text is no JSON object.
fn from_json(call: &Call) -> Result<ArrayRef> {
    let Some(ddl) = call.constant_text(1)? else {
        return exec_err!("from_json: the columns are missing");
    };
    let mut decoder = RowDecoder::new(&schema(ddl)?, RowOptions { rest: false, zone: call.zone });
    let texts = cast(call.argument(0)?, &DataType::Utf8)?;
    let mut valid = Vec::with_capacity(texts.len());
    for text in texts.as_string::<i32>() {
        let read = decoder.push(text.map(str::as_bytes)).is_ok();
        if !read && decoder.push(Some(b"{}")).is_err() {
            return exec_err!("from_json: more text than one batch can hold");
        }
        valid.push(read);
    }
    let rows = decoder.finish()?;
    let valid = BooleanArray::from(valid).values().clone().into();
    let fields: Fields = rows.schema().fields().clone();
    let rows = StructArray::try_new_with_length(
        fields,
        rows.columns().to_vec(),
        Some(valid),
        texts.len(),
    )?;
    Ok(Arc::new(rows))
}

fn text_of_struct(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    match args.arg_fields.first().map(|field| field.data_type()) {
        Some(DataType::Struct(_)) => Ok(DataType::Utf8),
        given => plan_err!("to_json takes a struct, such as struct(a, b), not {given:?}"),
    }
}

fn to_json(call: &Call) -> Result<ArrayRef> {
    let Some(rows) = call.argument(0)?.as_struct_opt() else {
        return exec_err!("to_json takes a struct");
    };
    let schema = Arc::new(ArrowSchema::new(rows.fields().clone()));
    let encoder = RowEncoder::new(&schema);
    let batch = RecordBatch::try_new_with_options(
        schema,
        rows.columns().to_vec(),
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len())),
    )?;
    let mut out = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..rows.len() {
        if rows.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        encoder.encode(&batch, row, &mut text);
        out.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(out.finish()))
}

fn text_of_text(args: &ReturnFieldArgs<'_>) -> Result<DataType> {
    match args.arg_fields.first().map(|field| field.data_type()) {
        Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null) => {
            Ok(DataType::Utf8)
        }
        given => plan_err!("JSON text is expected, not {given:?}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// `$.a.b[0]['c d']`. `None`: not a path.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == PATH_STEPS_MAX {
            return None;
        }
        if let Some(after) = rest.strip_prefix("['") {
            let (key, after) = after.split_once("']")?;
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at_checked(end)?;
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
    }
    Some(steps)
}

/// Spark's: a text comes without its quotes, an object or array as JSON; null when the path
/// leads nowhere or the text is not JSON.
fn get_json_object(call: &Call) -> Result<ArrayRef> {
    let path = call.constant_text(1)?.unwrap_or("$");
    let Some(steps) = steps(path) else {
        return exec_err!("get_json_object: `{path}` is not a path such as `$.a.b[0]`");
    };
    let texts = cast(call.argument(0)?, &DataType::Utf8)?;
    let mut out = StringBuilder::new();
    for text in texts.as_string::<i32>() {
        let document = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let found = document.as_ref().and_then(|document| {
            steps.iter().try_fold(document, |value, step| match step {
                Step::Key(key) => value.get(key),
                Step::Index(index) => value.get(index),
            })
        });
        match found {
            None | Some(Value::Null) => out.append_null(),
            Some(Value::String(text)) => out.append_value(text),
            Some(other) => out.append_value(other.to_string()),
        }
    }
    Ok(Arc::new(out.finish()))
}
