//! Growing columns that can be cut back, which Arrow's builders cannot.
//!
//! Offsets are 32 bits wide: the decoder's bound on the input of one batch keeps every count here
//! below that, since no column holds more bytes or elements than were read.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Float64Array,
    Int64Array, ListArray, NullBufferBuilder, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer as Bytes, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono_tz::Tz;

use crate::json::{Kind, Raw, Scanner};
use crate::scalar;
use crate::types::ColumnType;

#[derive(Debug)]
pub(super) struct Buffer {
    ty: ColumnType,
    nulls: NullBufferBuilder,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Bool(BooleanBufferBuilder),
    /// Int, Timestamp, Epoch.
    Int(Vec<i64>),
    Double(Vec<f64>),
    Date(Vec<i32>),
    /// String, Json, Binary.
    Text(Text),
    List {
        ends: Vec<i32>,
        items: Box<Buffer>,
    },
    Struct(Vec<(String, Buffer)>),
}

/// Runs of bytes, one after another.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl Text {
    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Bytes) {
        let bytes = Bytes::from_vec(std::mem::take(&mut self.bytes));
        (offsets(&mut self.ends), bytes)
    }
}

/// Arrow's offsets start with a 0 that ends do not have.
fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// What goes along while a value is read.
pub(super) struct Left<'a> {
    pub(super) zone: Tz,
    /// Takes members of structs that have no column, under their dotted path.
    pub(super) rest: Option<&'a mut Rest>,
}

impl Buffer {
    pub(super) fn new(ty: &ColumnType) -> Self {
        let data = match ty {
            ColumnType::Bool => Data::Bool(BooleanBufferBuilder::new(0)),
            ColumnType::Int | ColumnType::Timestamp | ColumnType::Epoch(_) => Data::Int(Vec::new()),
            ColumnType::Double => Data::Double(Vec::new()),
            ColumnType::Date => Data::Date(Vec::new()),
            ColumnType::String | ColumnType::Json | ColumnType::Binary => {
                Data::Text(Text::default())
            }
            ColumnType::Array(item) => {
                Data::List { ends: Vec::new(), items: Box::new(Self::new(item)) }
            }
            ColumnType::Struct(columns) => Data::Struct(
                columns.iter().map(|column| (column.name.clone(), Self::new(&column.ty))).collect(),
            ),
        };
        Self { ty: ty.clone(), nulls: NullBufferBuilder::new(0), data }
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    pub(super) fn push_null(&mut self) {
        match &mut self.data {
            Data::Bool(values) => values.append(false),
            Data::Int(values) => values.push(0),
            Data::Double(values) => values.push(0.0),
            Data::Date(values) => values.push(0),
            Data::Text(text) => text.end(),
            Data::List { ends, items } => ends.push(items.len() as i32),
            Data::Struct(columns) => columns.iter_mut().for_each(|(_, column)| column.push_null()),
        }
        self.nulls.append_null();
    }

    /// Keeps the first `rows`; also repairs what a failed push left behind.
    pub(super) fn truncate(&mut self, rows: usize) {
        match &mut self.data {
            Data::Bool(values) => values.truncate(rows),
            Data::Int(values) => values.truncate(rows),
            Data::Double(values) => values.truncate(rows),
            Data::Date(values) => values.truncate(rows),
            Data::Text(text) => text.truncate(rows),
            Data::List { ends, items } => {
                ends.truncate(rows);
                items.truncate(ends.last().map_or(0, |end| *end as usize));
            }
            Data::Struct(columns) => {
                columns.iter_mut().for_each(|(_, column)| column.truncate(rows))
            }
        }
        self.nulls.truncate(rows);
    }

    /// On an error the buffer must be truncated before it is used again. `path` is where the
    /// value stands, keys as they are written between their quotes.
    pub(super) fn push(
        &mut self,
        value: &Raw<'_>,
        path: &str,
        left: &mut Left<'_>,
    ) -> Result<(), String> {
        let zone = left.zone;
        if value.kind == Kind::Null {
            self.push_null();
            return Ok(());
        }
        let text = match value.kind {
            Kind::String if !matches!(self.ty, ColumnType::Json) => {
                value.unescaped().map_err(|error| error.to_string())?
            }
            _ => value.text.into(),
        };
        let trimmed = text.trim();
        if trimmed.is_empty() && self.ty.blank_is_null() {
            self.push_null();
            return Ok(());
        }
        let wrong = || Err(scalar::not_a(value.text, &self.ty));
        match (&self.ty, &mut self.data, value.kind) {
            (ColumnType::String | ColumnType::Json, Data::Text(out), _) => {
                out.push(text.as_bytes());
            }
            (ColumnType::Binary, Data::Text(out), Kind::String) => {
                let Ok(bytes) = BASE64.decode(trimmed) else { return wrong() };
                out.push(&bytes);
            }
            (ColumnType::Int, Data::Int(out), Kind::Number | Kind::String) => {
                out.push(scalar::int(trimmed)?);
            }
            (ColumnType::Double, Data::Double(out), Kind::Number | Kind::String) => {
                out.push(scalar::double(trimmed)?);
            }
            (ColumnType::Bool, Data::Bool(out), Kind::Bool | Kind::String) => {
                out.append(scalar::bool(trimmed)?);
            }
            (ColumnType::Date, Data::Date(out), Kind::String) => out.push(scalar::date(trimmed)?),
            (ColumnType::Timestamp, Data::Int(out), Kind::String | Kind::Number) => {
                out.push(scalar::timestamp(trimmed, zone)?);
            }
            (ColumnType::Epoch(unit), Data::Int(out), Kind::String | Kind::Number) => {
                let number = scalar::epoch(trimmed, *unit);
                out.push(number.or_else(|error| {
                    // Numbers only mean the unit; text may also be a written-out time.
                    scalar::timestamp(trimmed, zone).map_err(|_| error)
                })?);
            }
            (ColumnType::Array(_), Data::List { ends, items }, Kind::Array) => {
                push_items(items, value.text, zone)?;
                ends.push(items.len() as i32);
            }
            (ColumnType::Struct(_), Data::Struct(columns), Kind::Object) => {
                push_fields(columns, self.nulls.len(), value.text, path, left)?;
            }
            _ => return wrong(),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// Takes all rows and starts anew.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.len();
        let nulls = self.nulls.finish();
        Ok(match &mut self.data {
            Data::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Data::Int(values) => {
                let values = ScalarBuffer::from(std::mem::take(values));
                if self.ty == ColumnType::Int {
                    Arc::new(Int64Array::try_new(values, nulls)?)
                } else {
                    let array = TimestampMicrosecondArray::try_new(values, nulls)?;
                    Arc::new(array.with_timezone("UTC"))
                }
            }
            Data::Double(values) => {
                Arc::new(Float64Array::try_new(ScalarBuffer::from(std::mem::take(values)), nulls)?)
            }
            Data::Date(values) => {
                Arc::new(Date32Array::try_new(ScalarBuffer::from(std::mem::take(values)), nulls)?)
            }
            Data::Text(text) => {
                let (offsets, bytes) = text.finish();
                if self.ty == ColumnType::Binary {
                    Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
                } else {
                    Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
                }
            }
            Data::List { ends, items } => {
                let DataType::List(field) = self.ty.arrow() else {
                    return Err(ArrowError::SchemaError("an array without its field".into()));
                };
                Arc::new(ListArray::try_new(field, offsets(ends), items.finish()?, nulls)?)
            }
            Data::Struct(columns) => {
                let DataType::Struct(fields) = self.ty.arrow() else {
                    return Err(ArrowError::SchemaError("a struct without its fields".into()));
                };
                let arrays: Result<Vec<_>, _> =
                    columns.iter_mut().map(|(_, column)| column.finish()).collect();
                Arc::new(StructArray::try_new_with_length(fields, arrays?, nulls, rows)?)
            }
        })
    }
}

fn push_items(items: &mut Buffer, array: &str, zone: Tz) -> Result<(), String> {
    // Which element a path belongs to could not be told from it, so none is kept.
    let mut left = Left { zone, rest: None };
    let mut scanner = Scanner::new(array);
    let (mut first, mut index) = (true, 0);
    scanner.open(b'[').map_err(|error| error.to_string())?;
    while let Some(item) = scanner.element(&mut first).map_err(|error| error.to_string())? {
        items.push(&item, "", &mut left).map_err(|what| format!("element {index}: {what}"))?;
        index += 1;
    }
    Ok(())
}

fn push_fields(
    columns: &mut [(String, Buffer)],
    rows: usize,
    object: &str,
    path: &str,
    left: &mut Left<'_>,
) -> Result<(), String> {
    let mut scanner = Scanner::new(object);
    let mut first = true;
    scanner.open(b'{').map_err(|error| error.to_string())?;
    while let Some((key, value)) = scanner.member(&mut first).map_err(|error| error.to_string())? {
        let name = crate::json::unescape(key).map_err(|error| error.to_string())?;
        // Structs are declared by hand and small: looking along them is quick enough.
        if let Some((name, column)) = columns.iter_mut().find(|(column, _)| *column == name) {
            column.truncate(rows);
            let inner = match column.data {
                Data::Struct(_) => format!("{path}.{key}"),
                _ => String::new(),
            };
            column.push(&value, &inner, left).map_err(|what| format!("`{name}`: {what}"))?;
        } else if let Some(rest) = &mut left.rest {
            rest.add(&format!("{path}.{key}"), &value);
        }
    }
    for (_, column) in columns {
        if column.len() == rows {
            column.push_null();
        }
    }
    Ok(())
}

/// The members without a column, each row one JSON object.
#[derive(Debug, Default)]
pub(super) struct Rest {
    text: Text,
    nulls: Option<NullBufferBuilder>,
}

impl Rest {
    fn row_start(&self) -> usize {
        self.text.ends.last().map_or(0, |end| *end as usize)
    }

    /// `key` as it is written between its quotes.
    pub(super) fn add(&mut self, key: &str, value: &Raw<'_>) {
        let opening = if self.text.bytes.len() == self.row_start() { b"{\"" } else { b",\"" };
        self.text.bytes.extend_from_slice(opening);
        self.text.bytes.extend_from_slice(key.as_bytes());
        self.text.bytes.extend_from_slice(b"\":");
        self.text.bytes.extend_from_slice(value.text.as_bytes());
    }

    pub(super) fn end_row(&mut self) {
        let any = self.text.bytes.len() > self.row_start();
        if any {
            self.text.bytes.push(b'}');
        }
        self.text.end();
        self.nulls.get_or_insert_with(|| NullBufferBuilder::new(0)).append(any);
    }

    pub(super) fn undo_row(&mut self) {
        self.text.bytes.truncate(self.row_start());
    }

    pub(super) fn finish(&mut self) -> Result<Arc<dyn Array>, ArrowError> {
        let (offsets, bytes) = self.text.finish();
        let nulls = self.nulls.take().and_then(|mut nulls| nulls.finish());
        Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls)?))
    }
}
