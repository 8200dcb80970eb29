//! JSON records → Arrow rows, directed by a schema: only what it names is converted.
//!
//! Invariant: between two calls all columns have the same length. A record is written column by
//! column as it is scanned; when anything in it is wrong every column is cut back, so a bad
//! record adds nothing.

mod buffer;

use std::sync::Arc;

use ahash::AHashMap;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use chrono_tz::Tz;
use thiserror::Error;

use crate::json::{JsonError, RECORD_BYTES_MAX, Raw, Scanner, unescape};
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
    by_name: AHashMap<String, usize>,
    /// Column of each member of the record before: the next is most often made alike.
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
        let mut fields: Vec<Field> =
            schema.columns.iter().map(crate::types::Column::arrow).collect();
        let rest = options.rest.then(|| {
            let kind = (crate::types::TYPE_METADATA.to_owned(), "json".to_owned());
            fields.push(Field::new(REST_COLUMN, DataType::Utf8, true).with_metadata([kind].into()));
            Rest::default()
        });
        let names: Vec<_> = schema.columns.iter().map(|column| column.name.clone()).collect();
        Self {
            columns: schema.columns.iter().map(|column| Buffer::new(&column.ty)).collect(),
            by_name: names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect(),
            names,
            order: Vec::new(),
            arrow: Arc::new(ArrowSchema::new(fields)),
            rest,
            strict: schema.is_strict(),
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
        let Some(column) = self.columns.get_mut(at) else { return Ok(()) };
        // A name that comes twice in a record: the last one counts, as in most readers.
        column.truncate(self.rows);
        let mut left = Left { zone: self.zone, rest: self.rest.as_mut() };
        let Err(what) = column.push(value, key, &mut left) else { return Ok(()) };
        if self.strict {
            let column = self.names.get(at).cloned().unwrap_or_default();
            return Err(RowError::Column { column, what });
        }
        column.truncate(self.rows);
        column.push_null();
        if let Some(rest) = &mut self.rest {
            rest.add(key, value);
        }
        Ok(())
    }

    /// The column of a key that is written as `key` between its quotes.
    fn find(&mut self, position: usize, key: &str) -> Result<Option<usize>, RowError> {
        if let Some(at) = self.order.get(position).copied()
            && self.names.get(at).is_some_and(|name| name == key)
        {
            return Ok(Some(at));
        }
        let at = self.by_name.get(unescape(key)?.as_ref()).copied();
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

#[cfg(test)]
mod tests;
