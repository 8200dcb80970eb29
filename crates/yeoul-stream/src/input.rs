//! Records of a topic as Arrow columns: the decoded fields, and beside them what Kafka knows of
//! each record as `_key _topic _partition _offset _timestamp _headers _value _rest`.
//!
//! Only columns that a query names are made; a topic whose fields nobody names is not decoded.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use chrono_tz::Tz;
use yeoul_format::{Column, ColumnType, REST_COLUMN, RowDecoder, RowOptions, Schema};
use yeoul_log::batch::Record;
use yeoul_sql::functions::stream::instant_type;

use crate::operator::{Flow, batch_of};
use crate::plan::Source;

/// A record and the partition (Kafka's number) it was read from.
#[derive(Debug, Clone)]
pub struct Taken {
    pub partition: u32,
    pub record: Record,
}

const SYSTEM: [&str; 7] =
    ["_key", "_topic", "_partition", "_offset", "_timestamp", "_headers", "_value"];

/// Whether `*` leaves this column out.
pub fn is_system(name: &str) -> bool {
    name == REST_COLUMN || SYSTEM.contains(&name)
}

/// All columns that a query may name: a field of the record hides a system column of its name.
pub(crate) fn columns(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<Field> = schema.columns.iter().map(Column::arrow).collect();
    let taken = |fields: &[Field], name: &str| fields.iter().any(|field| field.name() == name);
    if !taken(&fields, REST_COLUMN) {
        fields.push(Column::new(REST_COLUMN, ColumnType::Json).arrow());
    }
    for name in SYSTEM {
        if !taken(&fields, name) {
            let data_type = match name {
                "_partition" | "_offset" => DataType::Int64,
                "_timestamp" => instant_type(),
                _ => DataType::Utf8,
            };
            fields.push(Field::new(name, data_type, true));
        }
    }
    Arc::new(ArrowSchema::new(fields))
}

/// Records of one source, decoded.
pub(crate) struct Decoded<'a> {
    source: &'a Source,
    records: &'a [Taken],
    fields: Option<RecordBatch>,
    /// Places of the usable records.
    origins: Vec<u32>,
    /// Places of the others, and why.
    pub(crate) dead: Vec<(u32, String)>,
}

impl<'a> Decoded<'a> {
    /// `columns` are those (of the source's columns) that will be asked for.
    pub(crate) fn new(
        source: &'a Source,
        records: &'a [Taken],
        columns: &[usize],
        zone: Tz,
    ) -> Result<Self, ArrowError> {
        let named = |at: &usize| source.columns.fields().get(*at).map(|field| field.name());
        let rest = columns.iter().filter_map(named).any(|name| name == REST_COLUMN)
            && source.schema.column(REST_COLUMN).is_none();
        let fields = source.schema.columns.len();
        if !rest && columns.iter().all(|at| *at >= fields) {
            let origins = (0u32..).take(records.len()).collect();
            return Ok(Self { source, records, fields: None, origins, dead: Vec::new() });
        }
        let mut decoder = RowDecoder::new(&source.schema, RowOptions { rest, zone });
        let mut origins = Vec::with_capacity(records.len());
        let mut dead = Vec::new();
        for (place, taken) in (0u32..).zip(records) {
            match decoder.push(taken.record.value.as_deref()) {
                Ok(()) => origins.push(place),
                Err(reason) => dead.push((place, reason.to_string())),
            }
        }
        Ok(Self { source, records, fields: Some(decoder.finish()?), origins, dead })
    }

    /// The usable rows, with these columns of the source.
    pub(crate) fn flow(&self, columns: &[usize]) -> Result<Flow, ArrowError> {
        let arrays = columns.iter().map(|at| self.column(*at)).collect::<Result<_, _>>()?;
        let schema = Arc::new(self.source.columns.project(columns)?);
        let batch = batch_of(&schema, arrays, self.origins.len())?;
        Ok(Flow { batch, origins: UInt32Array::from(self.origins.clone()) })
    }

    fn column(&self, at: usize) -> Result<ArrayRef, ArrowError> {
        let field = self.source.columns.field(at);
        if (at < self.source.schema.columns.len() || field.name() == REST_COLUMN)
            && let Some(fields) = &self.fields
        {
            return Ok(Arc::clone(fields.column(at)));
        }
        let texts = |text: &dyn Fn(&Taken) -> Option<String>| -> ArrayRef {
            Arc::new(self.usable().map(text).collect::<StringArray>())
        };
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match field.name().as_str() {
            "_key" => texts(&|taken| taken.record.key.as_deref().map(lossy)),
            "_value" => texts(&|taken| taken.record.value.as_deref().map(lossy)),
            "_headers" => self.headers(),
            "_topic" => texts(&|_| Some(self.source.topic.clone())),
            "_partition" => Arc::new(
                self.usable().map(|taken| Some(i64::from(taken.partition))).collect::<Int64Array>(),
            ),
            "_offset" => Arc::new(
                self.usable().map(|taken| Some(taken.record.offset)).collect::<Int64Array>(),
            ),
            _ => {
                let micros = |taken: &Taken| taken.record.timestamp_ms.checked_mul(1_000);
                let times = self.usable().map(micros).collect::<TimestampMicrosecondArray>();
                Arc::new(times.with_timezone("UTC"))
            }
        })
    }

    fn usable(&self) -> impl Iterator<Item = &Taken> {
        self.origins.iter().filter_map(|place| self.records.get(*place as usize))
    }

    /// As a JSON array of `[name, value]`: names may repeat.
    fn headers(&self) -> ArrayRef {
        let mut out = StringBuilder::new();
        for taken in self.usable() {
            let pairs = taken.record.headers.iter().map(|header| {
                let value = header.value.as_deref().map(String::from_utf8_lossy);
                serde_json::json!([String::from_utf8_lossy(&header.name), value])
            });
            out.append_value(serde_json::Value::Array(pairs.collect()).to_string());
        }
        Arc::new(out.finish())
    }
}
