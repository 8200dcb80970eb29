//! Answers as JSON and CSV text, shared by Druid's face and the web's.
//!
//! Invariant: what is written is compact and valid whatever the values are, and a row is written
//! wholly or not at all.

use std::fmt::Write as _;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, GenericByteArray, PrimitiveArray, RecordBatch,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, UInt64Type, Utf8Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};

/// What differs between faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Writes `\` as `\u005c`: some readers lose rows over a text that ends in `\\`.
    pub plain_backslash_never: bool,
    /// Writes dates as instants at midnight.
    pub dates_as_instants: bool,
    /// Writes lists and structs as JSON instead of as text that holds it.
    pub nested_as_json: bool,
}

/// One column, ready to be written row by row.
#[derive(Debug)]
enum Column {
    Null,
    Bool(BooleanArray),
    Int(PrimitiveArray<Int64Type>),
    Uint(PrimitiveArray<UInt64Type>),
    Double(PrimitiveArray<Float64Type>),
    Instant(PrimitiveArray<TimestampMicrosecondType>),
    Date(PrimitiveArray<TimestampMicrosecondType>),
    Text(GenericByteArray<Utf8Type>),
    Binary(ArrayRef),
    /// Digits that are a JSON number as they stand.
    Number(ArrayRef),
    /// Lists and structs, as JSON text.
    Nested(ArrayRef),
    /// The rest, as text.
    Other(ArrayRef),
}

/// A batch ready to be written.
#[derive(Debug)]
pub struct Rows {
    names: Vec<String>,
    columns: Vec<Column>,
    style: Style,
    rows: usize,
}

impl Rows {
    /// Converts each column once.
    pub fn new(batch: &RecordBatch, style: Style) -> Result<Self, ArrowError> {
        let schema = batch.schema();
        Ok(Self {
            names: escaped_names(&schema, style),
            columns: batch.columns().iter().map(column).collect::<Result<_, _>>()?,
            style,
            rows: batch.num_rows(),
        })
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// `{"a":1,"b":"x"}`
    pub fn object(&self, row: usize, out: &mut String) {
        out.push('{');
        for (index, (name, column)) in self.names.iter().zip(&self.columns).enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            self.value(column, row, out);
        }
        out.push('}');
    }

    /// `[1,"x"]`
    pub fn array(&self, row: usize, out: &mut String) {
        out.push('[');
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.value(column, row, out);
        }
        out.push(']');
    }

    /// One line without its end; `""` for a quote, nothing for null.
    pub fn csv(&self, row: usize, out: &mut String) {
        let mut text = String::new();
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            text.clear();
            plain(column, row, self.style, &mut text);
            csv_field(&text, out);
        }
    }

    /// The first column's value without quotes.
    pub(crate) fn csv_plain(&self, row: usize, out: &mut String) {
        if let Some(column) = self.columns.first() {
            plain(column, row, self.style, out);
        }
    }

    fn value(&self, column: &Column, row: usize, out: &mut String) {
        if is_null(column, row) {
            out.push_str("null");
            return;
        }
        match column {
            Column::Bool(_) | Column::Int(_) | Column::Uint(_) | Column::Number(_) => {
                plain(column, row, self.style, out);
            }
            Column::Double(values) => {
                let value = values.value(row);
                if value.is_finite() {
                    plain(column, row, self.style, out);
                } else {
                    // JSON has no word for it; Druid writes it as text.
                    quoted(&value.to_string(), self.style, out);
                }
            }
            Column::Text(values) => quoted(values.value(row), self.style, out),
            Column::Nested(_) if self.style.nested_as_json => {
                plain(column, row, self.style, out);
            }
            _ => {
                let mut text = String::new();
                plain(column, row, self.style, &mut text);
                quoted(&text, self.style, out);
            }
        }
    }
}

fn escaped_names(schema: &Schema, style: Style) -> Vec<String> {
    let name = |name: &str| {
        let mut out = String::new();
        quoted(name, style, &mut out);
        out
    };
    schema.fields().iter().map(|field| name(field.name())).collect()
}

fn column(array: &ArrayRef) -> Result<Column, ArrowError> {
    let primitive = |ty: DataType| cast(array, &ty);
    Ok(match array.data_type() {
        DataType::Null => Column::Null,
        DataType::Boolean => Column::Bool(array.as_boolean().clone()),
        DataType::UInt64 => Column::Uint(array.as_primitive().clone()),
        ty if ty.is_integer() => Column::Int(primitive(DataType::Int64)?.as_primitive().clone()),
        ty if ty.is_floating() => {
            Column::Double(primitive(DataType::Float64)?.as_primitive().clone())
        }
        ty if ty.is_decimal() => Column::Number(primitive(DataType::Utf8)?),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Column::Text(primitive(DataType::Utf8)?.as_string::<i32>().clone())
        }
        DataType::Timestamp(_, _) => Column::Instant(micros(array)?),
        DataType::Date32 | DataType::Date64 => Column::Date(micros(array)?),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Column::Binary(primitive(DataType::Binary)?)
        }
        DataType::Dictionary(_, values) => column(&cast(array, values)?)?,
        ty if ty.is_nested() => Column::Nested(as_text(array)?),
        _ => Column::Other(as_text(array)?),
    })
}

fn micros<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<PrimitiveArray<T>, ArrowError> {
    Ok(cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?.as_primitive::<T>().clone())
}

/// Nested values become JSON text, anything else what Arrow shows.
fn as_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let mut out = arrow::array::StringBuilder::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
        } else if array.data_type().is_nested() {
            out.append_value(nested(array, row)?);
        } else {
            out.append_value(formatter.value(row).try_to_string()?);
        }
    }
    Ok(std::sync::Arc::new(out.finish()))
}

fn nested(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let mut out = String::new();
    match array.data_type() {
        DataType::List(_) => write_list(&array.as_list::<i32>().value(row), &mut out)?,
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(row), &mut out)?,
        DataType::FixedSizeList(_, _) => {
            write_list(&array.as_fixed_size_list().value(row), &mut out)?;
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            out.push('{');
            for (index, (field, values)) in fields.iter().zip(columns).enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quoted(field.name(), Style::default(), &mut out);
                out.push(':');
                write_element(values, row, &mut out)?;
            }
            out.push('}');
        }
        _ => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(array.as_ref(), &options)?.value(row).to_string();
            quoted(&text, Style::default(), &mut out);
        }
    }
    Ok(out)
}

fn write_list(values: &ArrayRef, out: &mut String) -> Result<(), ArrowError> {
    out.push('[');
    for row in 0..values.len() {
        if row > 0 {
            out.push(',');
        }
        write_element(values, row, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_element(values: &ArrayRef, row: usize, out: &mut String) -> Result<(), ArrowError> {
    if values.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    if values.data_type().is_nested() {
        out.push_str(&nested(values, row)?);
        return Ok(());
    }
    let one = values.slice(row, 1);
    let rows =
        Rows { names: Vec::new(), columns: vec![column(&one)?], style: Style::default(), rows: 1 };
    if let Some(column) = rows.columns.first() {
        rows.value(column, 0, out);
    }
    Ok(())
}

fn is_null(column: &Column, row: usize) -> bool {
    match column {
        Column::Null => true,
        Column::Bool(values) => values.is_null(row),
        Column::Int(values) => values.is_null(row),
        Column::Uint(values) => values.is_null(row),
        Column::Double(values) => values.is_null(row),
        Column::Instant(values) | Column::Date(values) => values.is_null(row),
        Column::Text(values) => values.is_null(row),
        Column::Binary(values)
        | Column::Number(values)
        | Column::Nested(values)
        | Column::Other(values) => values.is_null(row),
    }
}

/// The value without quotes; nothing for null.
fn plain(column: &Column, row: usize, style: Style, out: &mut String) {
    if is_null(column, row) {
        return;
    }
    // Writing to a string cannot fail.
    let _ = match column {
        Column::Null => Ok(()),
        Column::Bool(values) => write!(out, "{}", values.value(row)),
        Column::Int(values) => write!(out, "{}", values.value(row)),
        Column::Uint(values) => write!(out, "{}", values.value(row)),
        Column::Double(values) => write!(out, "{:?}", values.value(row)),
        Column::Instant(values) => {
            instant(values.value(row), out);
            Ok(())
        }
        Column::Date(values) if style.dates_as_instants => {
            instant(values.value(row), out);
            Ok(())
        }
        Column::Date(values) => match DateTime::<Utc>::from_timestamp_micros(values.value(row)) {
            Some(at) => write!(out, "{}", at.format("%Y-%m-%d")),
            None => Ok(()),
        },
        Column::Text(values) => out.write_str(values.value(row)),
        Column::Number(values) | Column::Nested(values) | Column::Other(values) => {
            out.write_str(values.as_string::<i32>().value(row))
        }
        Column::Binary(values) => {
            BASE64_STANDARD.encode_string(values.as_binary::<i32>().value(row), out);
            Ok(())
        }
    };
}

/// `2026-11-20T22:00:00.000Z`, with six digits where milliseconds are not enough.
fn instant(us: i64, out: &mut String) {
    let Some(at) = DateTime::<Utc>::from_timestamp_micros(us) else { return };
    let format = if us % 1_000 == 0 { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%S%.6fZ" };
    let _ = write!(out, "{}", at.format(format));
}

/// A JSON string.
pub fn quoted(text: &str, style: Style, out: &mut String) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' if style.plain_backslash_never => "\\u005c",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(text.get(from..at).unwrap_or_default());
        from = at + 1;
        if short.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(short);
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

/// A CSV field, quoted where it must be.
pub fn csv_field(text: &str, out: &mut String) {
    if text.contains(['"', ',', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests;
