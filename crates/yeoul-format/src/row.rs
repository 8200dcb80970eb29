//! JSON records → Arrow rows, directed by a schema: only what it names is converted.
//!
//! Invariant: between two calls all columns have the same length. A record is written column by
//! column as it is scanned; when anything in it is wrong every column is cut back, so a bad
//! record adds nothing.

mod buffer;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use chrono_tz::Tz;
use thiserror::Error;

use crate::extract::{Extract, Inside, Members};
use crate::json::{JsonError, Kind, RECORD_BYTES_MAX, Raw, Scanner, unescape};
use crate::schema::Schema;
use buffer::{Buffer, Left, Rest};

/// The column that holds what the schema does not name, as one JSON object.
pub const REST_COLUMN: &str = "_rest";

/// Bytes of records that one batch may be made of, so that Arrow's 32-bit offsets suffice.
pub const BATCH_INPUT_BYTES_MAX: usize = 1 << 30;

/// How records are read.
#[derive(Debug, Clone, Copy)]
pub struct RowOptions {
    /// Adds the column [`REST_COLUMN`] (text, marked as JSON), null where nothing is left over.
    pub rest: bool,
    /// The zone of times written without an offset.
    pub zone: Tz,
}

impl Default for RowOptions {
    fn default() -> Self {
        Self { rest: false, zone: Tz::UTC }
    }
}

/// Why a record cannot be a row; for the dead letter's reason.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RowError {
    #[error("the record has no value")]
    Null,
    #[error("the record has {0} bytes, at most {RECORD_BYTES_MAX} are read")]
    TooLarge(usize),
    /// Not the record's fault: take the rows out first.
    #[error("the batch is full: {BATCH_INPUT_BYTES_MAX} bytes were read into it")]
    Full,
    #[error("not UTF-8 at byte {0}")]
    Utf8(usize),
    #[error("not a JSON object: {0}")]
    Json(#[from] JsonError),
    #[error("column `{column}`: {what}")]
    Column { column: String, what: String },
}

/// See the module's head.
#[derive(Debug)]
pub struct RowDecoder {
    columns: Vec<Buffer>,
    names: Vec<String>,
    members: Members,
    /// Place in [`Members::roots`] of each member of the record before: the next is most often made alike.
    order: Vec<usize>,
    arrow: SchemaRef,
    rest: Option<Rest>,
    strict: bool,
    zone: Tz,
    rows: usize,
    input_bytes: usize,
}

impl RowDecoder {
    /// A schema without columns makes rows of no column (but `_rest`): any value will do then.
    pub fn new(schema: &Schema, options: RowOptions) -> Self {
        Self::extracting(&Extract::of_schema(schema), schema.is_strict(), options)
    }

    /// Reads columns from places within records. `strict`: a value that breaks its column's type
    /// spoils the record; else it becomes null. `_rest` then holds every member that no column
    /// holds whole, also when places within it are read.
    pub fn extracting(extracts: &[Extract], strict: bool, options: RowOptions) -> Self {
        let column = |extract: &Extract| {
            crate::types::Column::new(extract.name.as_str(), extract.ty.clone()).arrow()
        };
        let mut fields: Vec<Field> = extracts.iter().map(column).collect();
        let rest = options.rest.then(|| {
            let kind = (crate::types::TYPE_METADATA.to_owned(), "json".to_owned());
            fields.push(Field::new(REST_COLUMN, DataType::Utf8, true).with_metadata([kind].into()));
            Rest::default()
        });
        Self {
            columns: extracts.iter().map(|extract| Buffer::new(&extract.ty)).collect(),
            names: extracts.iter().map(|extract| extract.name.clone()).collect(),
            members: Members::new(extracts),
            order: Vec::new(),
            arrow: Arc::new(ArrowSchema::new(fields)),
            rest,
            strict,
            zone: options.zone,
            rows: 0,
            input_bytes: 0,
        }
    }

    /// Of the batches that [`RowDecoder::finish`] makes.
    pub fn schema(&self) -> &SchemaRef {
        &self.arrow
    }

    /// Rows since the last [`RowDecoder::finish`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds one record. On an error nothing was added.
    pub fn push(&mut self, value: Option<&[u8]>) -> Result<(), RowError> {
        let result =
            if self.names.is_empty() && self.rest.is_none() { Ok(()) } else { self.read(value) };
        match result {
            Ok(()) => {
                self.rows += 1;
                for column in &mut self.columns {
                    if column.len() < self.rows {
                        column.push_null();
                    }
                }
                if let Some(rest) = &mut self.rest {
                    rest.end_row();
                }
            }
            Err(_) => {
                for column in &mut self.columns {
                    column.truncate(self.rows);
                }
                if let Some(rest) = &mut self.rest {
                    rest.undo_row();
                }
            }
        }
        result
    }

    fn read(&mut self, value: Option<&[u8]>) -> Result<(), RowError> {
        let value = value.ok_or(RowError::Null)?;
        if value.len() > RECORD_BYTES_MAX {
            return Err(RowError::TooLarge(value.len()));
        }
        self.input_bytes += value.len();
        if self.input_bytes > BATCH_INPUT_BYTES_MAX {
            return Err(RowError::Full);
        }
        let text =
            std::str::from_utf8(value).map_err(|error| RowError::Utf8(error.valid_up_to()))?;
        let mut scanner = Scanner::new(text);
        scanner.open(b'{')?;
        let mut first = true;
        let mut position = 0;
        while let Some((key, value)) = scanner.member(&mut first)? {
            self.member(position, key, &value)?;
            position += 1;
        }
        Ok(scanner.end()?)
    }

    fn member(&mut self, position: usize, key: &str, value: &Raw<'_>) -> Result<(), RowError> {
        let Some(at) = self.find(position, key)? else {
            if let Some(rest) = &mut self.rest {
                rest.add(key, value);
            }
            return Ok(());
        };
        let Some(root) = self.members.roots.get(at) else { return Ok(()) };
        let mut reading = Reading {
            columns: &mut self.columns,
            names: &self.names,
            rest: self.rest.as_mut(),
            strict: self.strict,
            zone: self.zone,
            rows: self.rows,
        };
        // A name that comes twice in a record: the last one counts, as in most readers.
        for column in &root.columns {
            if let Some(column) = reading.columns.get_mut(*column) {
                column.truncate(self.rows);
            }
        }
        let mut whole = false;
        for column in &root.inside.here {
            whole |= reading.put(*column, key, value)?;
        }
        if root.inside.goes_deeper() {
            reading.below(&root.inside, value)?;
        }
        if !whole && let Some(rest) = &mut self.rest {
            rest.add(key, value);
        }
        Ok(())
    }

    /// The place in [`Members::roots`] of a key that is written as `key` between its quotes.
    fn find(&mut self, position: usize, key: &str) -> Result<Option<usize>, RowError> {
        if let Some(at) = self.order.get(position).copied()
            && self.members.roots.get(at).is_some_and(|root| root.name == key)
        {
            return Ok(Some(at));
        }
        let at = self.members.find(unescape(key)?.as_ref());
        // Bounded by the columns: what lies beyond is looked up each time.
        if position < self.names.len() {
            self.order.resize(self.order.len().max(position + 1), usize::MAX);
            if let Some(slot) = self.order.get_mut(position) {
                *slot = at.unwrap_or(usize::MAX);
            }
        }
        Ok(at)
    }

    /// All rows since the last call, in the order they came. An error would be a mistake in this
    /// module: Arrow checks what it is given.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays = Vec::with_capacity(self.columns.len() + 1);
        for column in &mut self.columns {
            arrays.push(column.finish()?);
        }
        if let Some(rest) = &mut self.rest {
            arrays.push(rest.finish()? as ArrayRef);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.input_bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options)
    }
}

/// One member of a record on its way into the columns.
struct Reading<'a> {
    columns: &'a mut [Buffer],
    names: &'a [String],
    rest: Option<&'a mut Rest>,
    strict: bool,
    zone: Tz,
    rows: usize,
}

impl Reading<'_> {
    /// Whether the column took the value; the first of several at one place that does keeps it
    /// whole, so what structs leave over is told to `_rest` once.
    fn put(&mut self, at: usize, key: &str, value: &Raw<'_>) -> Result<bool, RowError> {
        let Some(column) = self.columns.get_mut(at) else { return Ok(false) };
        let mut left = Left { zone: self.zone, rest: self.rest.as_deref_mut() };
        let Err(what) = column.push(value, key, &mut left) else { return Ok(true) };
        if self.strict {
            let column = self.names.get(at).cloned().unwrap_or_default();
            return Err(RowError::Column { column, what });
        }
        column.truncate(self.rows);
        column.push_null();
        Ok(false)
    }

    /// Reads what stands inside a value. Goes as deep as the longest place, not as the value.
    fn below(&mut self, inside: &Inside, value: &Raw<'_>) -> Result<(), RowError> {
        let mut scanner = Scanner::new(value.text);
        let mut first = true;
        match value.kind {
            Kind::Object if !inside.keys.is_empty() => {
                scanner.open(b'{')?;
                while let Some((key, value)) = scanner.member(&mut first)? {
                    if let Some(found) = inside.key(key) {
                        self.found(found, &value)?;
                    }
                }
            }
            Kind::Array if !inside.indexes.is_empty() => {
                scanner.open(b'[')?;
                let last = inside.indexes.keys().max().copied().unwrap_or(0);
                let mut index = 0;
                while index <= last
                    && let Some(value) = scanner.element(&mut first)?
                {
                    if let Some(found) = inside.indexes.get(&index) {
                        self.found(found, &value)?;
                    }
                    index += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn found(&mut self, inside: &Inside, value: &Raw<'_>) -> Result<(), RowError> {
        // The member is kept whole elsewhere: a struct's further fields are not told again.
        let rest = self.rest.take();
        let mut result = Ok(false);
        for column in &inside.here {
            if let Some(column) = self.columns.get_mut(*column) {
                column.truncate(self.rows);
            }
            result = result.and(self.put(*column, "", value));
        }
        self.rest = rest;
        result?;
        if inside.goes_deeper() { self.below(inside, value) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
