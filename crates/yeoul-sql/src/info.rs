//! `INFORMATION_SCHEMA` with Druid's tables, columns and spelling: what Superset asks to learn
//! which tables and columns there are.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};

use crate::catalog::{Catalog, DRUID, INFORMATION, TOPIC};
use crate::error::SqlError;
use crate::topic::TopicProvider;

pub(crate) const NAMES: [&str; 3] = ["SCHEMATA", "TABLES", "COLUMNS"];

type Made = Option<(&'static str, Arc<dyn TableProvider>)>;

/// The table of that (upper-case) name.
pub(crate) fn table(catalog: &Catalog, name: &str) -> Result<Made, SqlError> {
    let (name, batch) = match name {
        "SCHEMATA" => ("SCHEMATA", schemata()),
        "TABLES" => ("TABLES", tables(catalog)),
        "COLUMNS" => ("COLUMNS", columns(catalog)?),
        _ => return Ok(None),
    };
    let batch = batch.map_err(datafusion::error::DataFusionError::from)?;
    let provider = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    Ok(Some((name, Arc::new(provider))))
}

/// Columns in the making: text or a number.
struct Columns(Vec<(Field, ArrayRef)>);

impl Columns {
    fn text<T: AsRef<str>>(mut self, name: &str, values: impl Iterator<Item = T>) -> Self {
        let values = StringArray::from_iter_values(values);
        self.0.push((Field::new(name, DataType::Utf8, true), Arc::new(values)));
        self
    }

    fn number(mut self, name: &str, values: impl Iterator<Item = i64>) -> Self {
        let values = Int64Array::from_iter_values(values);
        self.0.push((Field::new(name, DataType::Int64, true), Arc::new(values)));
        self
    }

    fn finish(self) -> Result<RecordBatch, arrow::error::ArrowError> {
        let (fields, arrays): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }
}

fn schemata() -> Result<RecordBatch, arrow::error::ArrowError> {
    let names = [DRUID, TOPIC, INFORMATION];
    Columns(Vec::new())
        .text("CATALOG_NAME", names.iter().map(|_| DRUID))
        .text("SCHEMA_NAME", names.iter())
        .finish()
}

fn tables(catalog: &Catalog) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.extend(catalog.tables().iter().map(|table| (DRUID, table.spec().name.clone())));
    rows.extend(topics(catalog).into_iter().map(|topic| (TOPIC, topic)));
    Columns(Vec::new())
        .text("TABLE_CATALOG", rows.iter().map(|_| DRUID))
        .text("TABLE_SCHEMA", rows.iter().map(|(schema, _)| *schema))
        .text("TABLE_NAME", rows.iter().map(|(_, name)| name))
        .text("TABLE_TYPE", rows.iter().map(|_| "TABLE"))
        .text("IS_JOINABLE", rows.iter().map(|_| "YES"))
        .text("IS_BROADCAST", rows.iter().map(|_| "NO"))
        .finish()
}

fn topics(catalog: &Catalog) -> Vec<String> {
    let topics = catalog.store().topics();
    topics
        .by_name
        .values()
        .filter(|topic| !topic.is_internal())
        .map(|topic| topic.name.to_string())
        .collect()
}

fn columns(catalog: &Catalog) -> Result<Result<RecordBatch, arrow::error::ArrowError>, SqlError> {
    let mut owners: Vec<(&str, String, SchemaRef)> = Vec::new();
    for table in catalog.tables() {
        owners.push((DRUID, table.spec().name.clone(), Catalog::table_columns(&table)));
    }
    for topic in topics(catalog) {
        let provider = TopicProvider::new(catalog.store(), &topic, catalog.topic_schema(&topic))?;
        owners.push((TOPIC, topic, provider.schema()));
    }
    let rows: Vec<_> = owners
        .iter()
        .flat_map(|(schema, table, columns)| {
            (1..).zip(columns.fields()).map(move |(at, field)| (*schema, table, at, field))
        })
        .collect();
    Ok(Columns(Vec::new())
        .text("TABLE_CATALOG", rows.iter().map(|_| DRUID))
        .text("TABLE_SCHEMA", rows.iter().map(|row| row.0))
        .text("TABLE_NAME", rows.iter().map(|row| row.1))
        .text("COLUMN_NAME", rows.iter().map(|row| row.3.name()))
        .number("ORDINAL_POSITION", rows.iter().map(|row| row.2))
        .text("COLUMN_DEFAULT", rows.iter().map(|_| ""))
        .text("IS_NULLABLE", rows.iter().map(|row| if row.3.is_nullable() { "YES" } else { "NO" }))
        .text("DATA_TYPE", rows.iter().map(|row| sql_type(row.3.data_type()).0))
        .number("JDBC_TYPE", rows.iter().map(|row| sql_type(row.3.data_type()).1))
        .finish())
}

/// Druid's name of a type and JDBC's number for it.
pub fn sql_type(ty: &DataType) -> (&'static str, i64) {
    match ty {
        DataType::Boolean => ("BOOLEAN", 16),
        ty if ty.is_integer() => ("BIGINT", -5),
        DataType::Float16 | DataType::Float32 => ("FLOAT", 6),
        DataType::Float64 => ("DOUBLE", 8),
        ty if ty.is_decimal() => ("DECIMAL", 3),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ("VARCHAR", 12),
        DataType::Timestamp(_, _) => ("TIMESTAMP", 93),
        DataType::Date32 | DataType::Date64 => ("DATE", 91),
        DataType::Dictionary(_, values) => sql_type(values),
        _ => ("OTHER", 1111),
    }
}
