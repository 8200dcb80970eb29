//! Rows as Druid writes them, in pieces.
//!
//! Invariant: the comma between two objects stands right after the `}` of the first, and no `\`
//! is written as `\\`: a common client loses rows over either.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use serde_json::{Map, Value, json};
use yeoul_sql::encode::{Rows, Style, csv_field};
use yeoul_sql::sql_type;

use crate::request::{Format, Request};

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Writer {
    format: Format,
    header: bool,
    types: bool,
    sql_types: bool,
    style: Style,
    /// Whether something stands before the next row.
    any: bool,
}

impl Writer {
    pub(crate) fn new(request: &Request) -> Self {
        Self {
            format: request.result_format,
            header: request.header,
            types: request.types_header,
            sql_types: request.sql_types_header,
            style: Style {
                plain_backslash_never: true,
                dates_as_instants: true,
                nested_as_json: !request.stringify_arrays(),
            },
            any: false,
        }
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Object | Format::Array => "application/json",
            Format::ObjectLines | Format::ArrayLines => "text/plain",
            Format::Csv => "text/csv",
        }
    }

    /// What comes before the first row.
    pub(crate) fn start(&mut self, schema: &Schema, out: &mut String) {
        if matches!(self.format, Format::Object | Format::Array) {
            out.push('[');
        }
        if !self.header {
            return;
        }
        match self.format {
            Format::Object | Format::ObjectLines => {
                let row = self.header_object(schema);
                self.json_row(&row, out);
            }
            Format::Array | Format::ArrayLines => {
                for row in self.header_rows(schema) {
                    self.json_row(&Value::from(row), out);
                }
            }
            Format::Csv => {
                for row in self.header_rows(schema) {
                    for (index, name) in row.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        csv_field(name, out);
                    }
                    out.push('\n');
                }
            }
        }
    }

    fn header_object(&self, schema: &Schema) -> Value {
        let mut row = Map::new();
        for field in schema.fields() {
            let mut types = Map::new();
            if self.types {
                types.insert("type".to_owned(), json!(native_type(field.data_type())));
            }
            if self.sql_types {
                types.insert("sqlType".to_owned(), json!(sql_type(field.data_type()).0));
            }
            let value = if types.is_empty() { Value::Null } else { Value::Object(types) };
            row.insert(field.name().clone(), value);
        }
        Value::Object(row)
    }

    fn header_rows(&self, schema: &Schema) -> Vec<Vec<String>> {
        let row = |cell: &dyn Fn(&arrow::datatypes::Field) -> String| -> Vec<String> {
            schema.fields().iter().map(|field| cell(field)).collect()
        };
        let mut rows = vec![row(&|field| field.name().clone())];
        if self.types {
            rows.push(row(&|field| native_type(field.data_type()).to_owned()));
        }
        if self.sql_types {
            rows.push(row(&|field| sql_type(field.data_type()).0.to_owned()));
        }
        rows
    }

    fn json_row(&mut self, row: &Value, out: &mut String) {
        self.before_row(out);
        // Names may hold a backslash as well as values.
        out.push_str(&row.to_string().replace("\\\\", "\\u005c"));
        self.after_row(out);
    }

    pub(crate) fn rows(&mut self, batch: &RecordBatch, out: &mut String) -> Result<(), ArrowError> {
        let rows = Rows::new(batch, self.style)?;
        for row in 0..rows.len() {
            self.before_row(out);
            match self.format {
                Format::Object | Format::ObjectLines => rows.object(row, out),
                Format::Array | Format::ArrayLines => rows.array(row, out),
                Format::Csv => rows.csv(row, out),
            }
            self.after_row(out);
        }
        Ok(())
    }

    fn before_row(&mut self, out: &mut String) {
        if self.any && matches!(self.format, Format::Object | Format::Array) {
            out.push(',');
        }
        self.any = true;
    }

    fn after_row(&self, out: &mut String) {
        if !matches!(self.format, Format::Object | Format::Array) {
            out.push('\n');
        }
    }

    /// What tells a client that the answer is whole.
    pub(crate) fn end(&self, out: &mut String) {
        match self.format {
            Format::Object | Format::Array => out.push(']'),
            // A blank line.
            Format::ObjectLines | Format::ArrayLines | Format::Csv => out.push('\n'),
        }
    }
}

/// Druid's name of a type.
pub(crate) fn native_type(ty: &DataType) -> &'static str {
    match sql_type(ty).0 {
        "BIGINT" | "TIMESTAMP" | "DATE" | "BOOLEAN" => "LONG",
        "FLOAT" => "FLOAT",
        "DOUBLE" | "DECIMAL" => "DOUBLE",
        "VARCHAR" => "STRING",
        _ => "COMPLEX<json>",
    }
}
