//! Arrow rows → JSON objects, exact: doubles in the shortest form that reads back the same,
//! integers with all digits, times as RFC 3339 in UTC, Hangul unescaped, nulls written as null.
//!
//! JSON columns go out as they are; a text in one that is not JSON goes out as a string, so the
//! result is valid JSON whatever comes in.

use arrow::array::{
    Array, AsArray, GenericListArray, OffsetSizeTrait, PrimitiveArray, StructArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Field, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Datelike, Timelike};

use crate::json::{is_json, write_str};
use crate::types::TYPE_METADATA;

/// Writes rows of one schema.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    columns: Vec<Shape>,
}

/// What does not change from row to row: the key as it is written, and whether text is JSON.
#[derive(Debug, Clone)]
struct Shape {
    /// `"name":`
    key: Vec<u8>,
    json: bool,
    /// Of a list: its item; of a struct: its fields.
    inner: Vec<Shape>,
}

impl Shape {
    fn new(field: &Field) -> Self {
        let mut key = Vec::new();
        write_str(field.name(), &mut key);
        key.push(b':');
        let inner = match field.data_type() {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => vec![Self::new(item)],
            DataType::Struct(fields) => fields.iter().map(|field| Self::new(field)).collect(),
            _ => Vec::new(),
        };
        let json = field.metadata().get(TYPE_METADATA).is_some_and(|kind| kind == "json");
        Self { key, json, inner }
    }
}

impl RowEncoder {
    pub fn new(schema: &Schema) -> Self {
        Self { columns: schema.fields().iter().map(|field| Shape::new(field)).collect() }
    }

    /// Appends one row as a JSON object. The batch must have the encoder's schema; a row beyond
    /// its end appends nothing.
    pub fn encode(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        if row >= batch.num_rows() {
            return;
        }
        object(&self.columns, batch.columns(), row, out);
    }
}

fn object(shapes: &[Shape], columns: &[arrow::array::ArrayRef], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (shape, column)) in shapes.iter().zip(columns).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&shape.key);
        value(shape, column.as_ref(), row, out);
    }
    out.push(b'}');
}

fn value(shape: &Shape, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match array.data_type() {
        DataType::Null => out.extend_from_slice(b"null"),
        DataType::Boolean => {
            let word: &[u8] = if array.as_boolean().value(row) { b"true" } else { b"false" };
            out.extend_from_slice(word);
        }
        DataType::Int8 => int(array.as_primitive::<Int8Type>(), row, out),
        DataType::Int16 => int(array.as_primitive::<Int16Type>(), row, out),
        DataType::Int32 => int(array.as_primitive::<Int32Type>(), row, out),
        DataType::Int64 => int(array.as_primitive::<Int64Type>(), row, out),
        DataType::UInt8 => int(array.as_primitive::<UInt8Type>(), row, out),
        DataType::UInt16 => int(array.as_primitive::<UInt16Type>(), row, out),
        DataType::UInt32 => int(array.as_primitive::<UInt32Type>(), row, out),
        DataType::UInt64 => int(array.as_primitive::<UInt64Type>(), row, out),
        DataType::Float16 => {
            double(f64::from(array.as_primitive::<Float16Type>().value(row).to_f32()), out);
        }
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Utf8 => text(shape, array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => text(shape, array.as_string::<i64>().value(row), out),
        DataType::Utf8View => text(shape, array.as_string_view().value(row), out),
        DataType::Binary => binary(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => binary(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => binary(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => binary(array.as_fixed_size_binary().value(row), out),
        DataType::Timestamp(unit, _) => timestamp(array, *unit, row, out),
        DataType::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            date(days.saturating_mul(86_400), out);
        }
        DataType::Date64 => {
            date(array.as_primitive::<Date64Type>().value(row).div_euclid(1_000), out)
        }
        DataType::List(_) => list(shape, array.as_list::<i32>(), row, out),
        DataType::LargeList(_) => list(shape, array.as_list::<i64>(), row, out),
        DataType::FixedSizeList(..) => {
            items(shape, array.as_fixed_size_list().value(row).as_ref(), out);
        }
        DataType::Struct(_) => structure(shape, array.as_struct(), row, out),
        DataType::Map(..) => map(shape, &array.as_map().value(row), out),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            if let Some(key) = dictionary_key(dictionary.keys(), row) {
                value(shape, dictionary.values().as_ref(), key, out);
            }
        }
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => out.extend_from_slice(display(array, row).as_bytes()),
        _ => write_str(&display(array, row), out),
    }
}

/// Which of its values a dictionary has in this row, which is not null.
fn dictionary_key(keys: &dyn Array, row: usize) -> Option<usize> {
    fn key<T: ArrowPrimitiveType>(keys: &dyn Array, row: usize) -> Option<usize>
    where
        T::Native: TryInto<usize>,
    {
        keys.as_primitive_opt::<T>()?.value(row).try_into().ok()
    }
    match keys.data_type() {
        DataType::Int8 => key::<Int8Type>(keys, row),
        DataType::Int16 => key::<Int16Type>(keys, row),
        DataType::Int32 => key::<Int32Type>(keys, row),
        DataType::Int64 => key::<Int64Type>(keys, row),
        DataType::UInt8 => key::<UInt8Type>(keys, row),
        DataType::UInt16 => key::<UInt16Type>(keys, row),
        DataType::UInt32 => key::<UInt32Type>(keys, row),
        DataType::UInt64 => key::<UInt64Type>(keys, row),
        _ => None,
    }
}

fn int<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize, out: &mut Vec<u8>)
where
    T::Native: serde::Serialize,
{
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, &array.value(row));
}

fn double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        let _ = serde_json::to_writer(out, &value);
    } else {
        not_finite(value, out);
    }
}

fn float(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        let _ = serde_json::to_writer(out, &value);
    } else {
        not_finite(f64::from(value), out);
    }
}

/// JSON has no number for them; these are Spark's words, and the row decoder reads them.
fn not_finite(value: f64, out: &mut Vec<u8>) {
    let word: &[u8] = if value.is_nan() {
        b"\"NaN\""
    } else if value > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    };
    out.extend_from_slice(word);
}

fn text(shape: &Shape, text: &str, out: &mut Vec<u8>) {
    if shape.json && is_json(text) {
        out.extend_from_slice(text.trim_ascii().as_bytes());
    } else {
        write_str(text, out);
    }
}

fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Any other type, as Arrow prints it.
fn display(array: &dyn Array, row: usize) -> String {
    ArrayFormatter::try_new(array, &FormatOptions::default())
        .map(|formatter| formatter.value(row).to_string())
        .unwrap_or_default()
}

fn timestamp(array: &dyn Array, unit: TimeUnit, row: usize, out: &mut Vec<u8>) {
    let (count, per_second) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1),
        TimeUnit::Millisecond => {
            (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000)
        }
        TimeUnit::Microsecond => {
            (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000)
        }
        TimeUnit::Nanosecond => {
            (array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000)
        }
    };
    let micros = count.rem_euclid(per_second) as i128 * 1_000_000 / i128::from(per_second);
    let seconds = count.div_euclid(per_second);
    let Some(time) = DateTime::from_timestamp(seconds, 0) else {
        // Beyond the years a time can be written in.
        out.extend_from_slice(count.to_string().as_bytes());
        return;
    };
    out.push(b'"');
    write_date(&time, out);
    let clock = [(b'T', time.hour()), (b':', time.minute()), (b':', time.second())];
    for (mark, number) in clock {
        out.push(mark);
        two_digits(number, out);
    }
    match micros as u32 {
        0 => {}
        micros if micros.is_multiple_of(1_000) => {
            out.extend_from_slice(format!(".{:03}", micros / 1_000).as_bytes());
        }
        micros => out.extend_from_slice(format!(".{micros:06}").as_bytes()),
    }
    out.extend_from_slice(b"Z\"");
}

fn date(seconds: i64, out: &mut Vec<u8>) {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => {
            out.push(b'"');
            write_date(&time, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn write_date(time: &DateTime<chrono::Utc>, out: &mut Vec<u8>) {
    match u32::try_from(time.year()) {
        Ok(year @ 0..=9_999) => {
            two_digits(year / 100, out);
            two_digits(year % 100, out);
        }
        _ => out.extend_from_slice(format!("{:+05}", time.year()).as_bytes()),
    }
    for number in [time.month(), time.day()] {
        out.push(b'-');
        two_digits(number, out);
    }
}

fn two_digits(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

fn list<O: OffsetSizeTrait>(
    shape: &Shape,
    array: &GenericListArray<O>,
    row: usize,
    out: &mut Vec<u8>,
) {
    items(shape, array.value(row).as_ref(), out);
}

fn items(shape: &Shape, array: &dyn Array, out: &mut Vec<u8>) {
    out.push(b'[');
    for index in 0..array.len() {
        if index > 0 {
            out.push(b',');
        }
        if let Some(item) = shape.inner.first() {
            value(item, array, index, out);
        }
    }
    out.push(b']');
}

fn structure(shape: &Shape, array: &StructArray, row: usize, out: &mut Vec<u8>) {
    object(&shape.inner, array.columns(), row, out);
}

/// Keys as text, whatever their type.
fn map(shape: &Shape, entries: &StructArray, out: &mut Vec<u8>) {
    let values = shape.inner.first().and_then(|entry| entry.inner.get(1));
    let (Some(shape), [keys, array]) = (values, entries.columns()) else {
        out.extend_from_slice(b"{}");
        return;
    };
    out.push(b'{');
    for row in 0..entries.len() {
        if row > 0 {
            out.push(b',');
        }
        write_str(&display(keys.as_ref(), row), out);
        out.push(b':');
        value(shape, array.as_ref(), row, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests;
