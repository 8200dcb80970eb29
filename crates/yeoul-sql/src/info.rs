//! `INFORMATION_SCHEMA` with Druid's tables, columns and spelling: what Superset asks to learn
//! which tables and columns there are.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;

use crate::catalog::{Catalog, DRUID, INFORMATION, LOOKUP, Routine, SCHEMAS, SYS, TOPIC};
use crate::error::SqlError;
use crate::rows::Columns;
use crate::sys;
use crate::topic::TopicProvider;

pub(crate) const NAMES: [&str; 4] = ["SCHEMATA", "TABLES", "COLUMNS", "ROUTINES"];

type Made = Option<(&'static str, Arc<dyn TableProvider>)>;

/// The table of that (upper-case) name.
pub(crate) fn table(catalog: &Catalog, name: &str) -> Result<Made, SqlError> {
    Ok(Some(match name {
        "SCHEMATA" => ("SCHEMATA", schemata()?),
        "TABLES" => ("TABLES", tables(catalog)?),
        "COLUMNS" => ("COLUMNS", columns(catalog)?),
        "ROUTINES" => ("ROUTINES", routines(catalog)?),
        _ => return Ok(None),
    }))
}

const NOTHING: Option<&str> = None;

fn schemata() -> Result<Arc<dyn TableProvider>, SqlError> {
    let all = || SCHEMAS.iter();
    Columns::default()
        .text("CATALOG_NAME", all().map(|_| DRUID))
        .text("SCHEMA_NAME", all())
        .maybe("SCHEMA_OWNER", all().map(|_| NOTHING))
        .maybe("DEFAULT_CHARACTER_SET_CATALOG", all().map(|_| NOTHING))
        .maybe("DEFAULT_CHARACTER_SET_SCHEMA", all().map(|_| NOTHING))
        .maybe("DEFAULT_CHARACTER_SET_NAME", all().map(|_| NOTHING))
        .maybe("SQL_PATH", all().map(|_| NOTHING))
        .finish()
}

/// One table of some schema.
struct Listed {
    schema: &'static str,
    name: String,
    kind: &'static str,
    columns: SchemaRef,
}

fn listed(catalog: &Catalog) -> Result<Vec<Listed>, SqlError> {
    let mut all = Vec::new();
    for name in NAMES.iter().filter(|name| **name != "COLUMNS" && **name != "TABLES") {
        if let Some((name, provider)) = table(catalog, name)? {
            let columns = provider.schema();
            all.push(Listed { schema: INFORMATION, name: name.into(), kind: SYSTEM, columns });
        }
    }
    let of = |name: &str, columns: SchemaRef| Listed {
        schema: INFORMATION,
        name: name.into(),
        kind: SYSTEM,
        columns,
    };
    // These two list themselves, so their columns are made from no rows.
    all.push(of("TABLES", tables_of(&[])?.schema()));
    all.push(of("COLUMNS", columns_of(&[])?.schema()));
    for table in catalog.tables() {
        let (name, columns) = (table.spec().name.clone(), Catalog::table_columns(&table));
        all.push(Listed { schema: DRUID, name, kind: "TABLE", columns });
    }
    for name in catalog.lookup_names() {
        let columns = Arc::new(Schema::new(vec![
            Field::new("k", DataType::Utf8, false),
            Field::new("v", DataType::Utf8, true),
        ]));
        all.push(Listed { schema: LOOKUP, name, kind: "TABLE", columns });
    }
    for name in sys::NAMES {
        if let Some((name, provider)) = sys::table(catalog, name)? {
            let columns = provider.schema();
            all.push(Listed { schema: SYS, name: name.into(), kind: SYSTEM, columns });
        }
    }
    for name in topics(catalog) {
        let columns = TopicProvider::new(catalog.store(), &name, catalog.topic_schema(&name))?;
        let columns = columns.schema();
        all.push(Listed { schema: TOPIC, name, kind: "TABLE", columns });
    }
    Ok(all)
}

const SYSTEM: &str = "SYSTEM_TABLE";

fn tables(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    tables_of(&listed(catalog)?)
}

fn tables_of(listed: &[Listed]) -> Result<Arc<dyn TableProvider>, SqlError> {
    let all = || listed.iter();
    let small = |table: &Listed| if table.schema == LOOKUP { "YES" } else { "NO" };
    Columns::default()
        .text("TABLE_CATALOG", all().map(|_| DRUID))
        .text("TABLE_SCHEMA", all().map(|table| table.schema))
        .text("TABLE_NAME", all().map(|table| &table.name))
        .text("TABLE_TYPE", all().map(|table| table.kind))
        .text("IS_JOINABLE", all().map(|_| "YES"))
        .text("IS_BROADCAST", all().map(small))
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

fn columns(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    columns_of(&listed(catalog)?)
}

fn columns_of(listed: &[Listed]) -> Result<Arc<dyn TableProvider>, SqlError> {
    let rows: Vec<(&Listed, i64, &Field)> = listed
        .iter()
        .flat_map(|table| {
            let fields = table.columns.fields().iter();
            (1..).zip(fields).map(move |(at, field)| (table, at, field.as_ref()))
        })
        .collect();
    let all = || rows.iter();
    let ty = |row: &(&Listed, i64, &Field)| sql_type(row.2.data_type());
    // Precision, radix and scale of numbers, precision of times: as JDBC counts them.
    let number = |row: &(&Listed, i64, &Field)| match ty(row).0 {
        "BIGINT" => Some((19, 10, Some(0))),
        "DOUBLE" => Some((15, 2, None)),
        "FLOAT" => Some((7, 2, None)),
        _ => None,
    };
    Columns::default()
        .text("TABLE_CATALOG", all().map(|_| DRUID))
        .text("TABLE_SCHEMA", all().map(|row| row.0.schema))
        .text("TABLE_NAME", all().map(|row| &row.0.name))
        .text("COLUMN_NAME", all().map(|row| row.2.name()))
        .number("ORDINAL_POSITION", all().map(|row| row.1))
        .text("COLUMN_DEFAULT", all().map(|_| ""))
        .text("IS_NULLABLE", all().map(|row| if row.2.is_nullable() { "YES" } else { "NO" }))
        .text("DATA_TYPE", all().map(|row| ty(row).0))
        .maybe_number("CHARACTER_MAXIMUM_LENGTH", all().map(|_| None))
        .maybe_number("CHARACTER_OCTET_LENGTH", all().map(|_| None))
        .maybe_number("NUMERIC_PRECISION", all().map(|row| number(row).map(|it| it.0)))
        .maybe_number("NUMERIC_PRECISION_RADIX", all().map(|row| number(row).map(|it| it.1)))
        .maybe_number("NUMERIC_SCALE", all().map(|row| number(row).and_then(|it| it.2)))
        .maybe_number(
            "DATETIME_PRECISION",
            all().map(|row| (ty(row).0 == "TIMESTAMP").then_some(3)),
        )
        .maybe("CHARACTER_SET_NAME", all().map(|row| (ty(row).0 == "VARCHAR").then_some("UTF-8")))
        .maybe("COLLATION_NAME", all().map(|_| NOTHING))
        .number("JDBC_TYPE", all().map(|row| ty(row).1))
        .finish()
}

fn routines(catalog: &Catalog) -> Result<Arc<dyn TableProvider>, SqlError> {
    let all = || catalog.routines().iter();
    let yes = |routine: &Routine| if routine.aggregates { "YES" } else { "NO" };
    Columns::default()
        .text("ROUTINE_CATALOG", all().map(|_| DRUID))
        .text("ROUTINE_SCHEMA", all().map(|_| INFORMATION))
        .text("ROUTINE_NAME", all().map(|routine| &routine.name))
        .text("ROUTINE_TYPE", all().map(|_| "FUNCTION"))
        .text("IS_AGGREGATOR", all().map(yes))
        .text("SIGNATURES", all().map(|routine| &routine.signatures))
        .finish()
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
