//! Small tables of text and numbers made for one query.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::DataFusionError;

use crate::error::SqlError;

/// Columns in the making: text or a number.
#[derive(Debug, Default)]
pub(crate) struct Columns(Vec<(Field, ArrayRef)>);

impl Columns {
    pub(crate) fn text<T: AsRef<str>>(self, name: &str, values: impl Iterator<Item = T>) -> Self {
        self.maybe(name, values.map(Some))
    }

    /// Text that may be null.
    pub(crate) fn maybe<T: AsRef<str>>(
        mut self,
        name: &str,
        values: impl Iterator<Item = Option<T>>,
    ) -> Self {
        let values = StringArray::from_iter(values);
        self.0.push((Field::new(name, DataType::Utf8, true), Arc::new(values)));
        self
    }

    pub(crate) fn number(self, name: &str, values: impl Iterator<Item = i64>) -> Self {
        self.maybe_number(name, values.map(Some))
    }

    /// Numbers that may be null.
    pub(crate) fn maybe_number(
        mut self,
        name: &str,
        values: impl Iterator<Item = Option<i64>>,
    ) -> Self {
        let values = Int64Array::from_iter(values);
        self.0.push((Field::new(name, DataType::Int64, true), Arc::new(values)));
        self
    }

    pub(crate) fn finish(self) -> Result<Arc<dyn TableProvider>, SqlError> {
        let (fields, arrays): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        let batch = batch.map_err(DataFusionError::from)?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}
