//! Where a query reads from: a table, several tables, or another query.

use std::collections::BTreeMap;

use arrow::datatypes::Field;
use yeoul_agg::Aggregate;
use yeoul_sql::Catalog;
use yeoul_sql::table::{OFFSET, OFFSETS, PARTITION, TIME, Table};

use super::model::{DataSource, Query, TypedSource};
use super::plan;
use super::scope::{Result, Scope, invalid, needed, unsupported};
use crate::text::{Sketch, Sql, Ty, name};

/// Tables of a union.
const UNION_MAX: usize = 50;
/// Queries within each other.
const QUERIES_MAX: usize = 5;

/// An input of a query.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// What stands behind FROM.
    pub(crate) from: String,
    pub(crate) columns: Vec<(String, Ty)>,
    /// Milliseconds of the first and the last row, when there are rows.
    pub(crate) times: Option<(i64, i64)>,
    /// Names of the tables.
    pub(crate) tables: Vec<String>,
}

/// The columns of a table that people see, as they are stored.
pub(crate) fn columns(table: &Table) -> Vec<(String, Ty)> {
    let schema = table.schema();
    let hidden = [OFFSET, PARTITION, OFFSETS];
    let shown = schema.fields().iter().filter(|field| !hidden.contains(&field.name().as_str()));
    shown.map(|field| (field.name().clone(), column_type(field))).collect()
}

fn column_type(field: &Field) -> Ty {
    match Aggregate::of_field(field) {
        Some(Aggregate::Hll { .. }) => Ty::State(Sketch::Hll),
        Some(Aggregate::Theta { .. }) => Ty::State(Sketch::Theta),
        Some(Aggregate::Quantiles { .. }) => Ty::State(Sketch::Quantiles),
        _ => Ty::of(field.data_type()),
    }
}

/// Milliseconds of the first and the last row that a query sees.
pub(crate) fn times(table: &Table) -> Option<(i64, i64)> {
    let snapshot = table.snapshot();
    let chunks = snapshot.chunks.iter().map(|chunk| (chunk.min_us, chunk.max_us));
    let files = snapshot.segments.iter().map(|file| (file.meta.min_us, file.meta.max_us));
    let all = chunks.chain(files).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let from = snapshot.from_us.map_or(all.0, |from| from.max(all.0));
    (from <= all.1).then_some((from.div_euclid(1_000), all.1.div_euclid(1_000)))
}

/// Finds the input; `None` when a table is not known: such a query has an empty answer.
pub(crate) fn source(spec: &DataSource, catalog: &Catalog, depth: usize) -> Result<Option<Source>> {
    match spec {
        DataSource::Name(table) => Ok(of_table(table, catalog)),
        DataSource::Typed(typed) => match typed.kind.as_str() {
            "table" | "globalTable" => {
                Ok(of_table(needed(typed.name.as_deref(), "table", "name")?, catalog))
            }
            "union" => union(typed, catalog, depth),
            "query" => {
                let query = needed(typed.query.as_ref(), "query", "query")?;
                of_query(query, catalog, depth + 1)
            }
            "filter" => filtered(typed, catalog, depth),
            other => Err(unsupported(format!("data sources of type `{other}`"))
                .hint("table, union, query and filter are offered; SQL can join")),
        },
    }
}

fn of_table(table: &str, catalog: &Catalog) -> Option<Source> {
    let found = catalog.table(table)?;
    Some(Source {
        from: format!("\"druid\".{}", name(table)),
        columns: columns(&found),
        times: times(&found),
        tables: vec![table.to_owned()],
    })
}

/// Rows of all tables; a column that one of them lacks is null there.
fn union(typed: &TypedSource, catalog: &Catalog, depth: usize) -> Result<Option<Source>> {
    let specs = needed(typed.data_sources.as_ref(), "union", "dataSources")?;
    if specs.len() > UNION_MAX {
        return Err(invalid(format!("a union has at most {UNION_MAX} data sources")));
    }
    let mut parts = Vec::new();
    for spec in specs {
        parts.extend(source(spec, catalog, depth)?);
    }
    let mut types: BTreeMap<&str, Ty> = BTreeMap::new();
    let mut order = Vec::new();
    for (column, ty) in parts.iter().flat_map(|part| &part.columns) {
        match types.get(column.as_str()) {
            Some(known) => {
                let both = known.common(*ty);
                types.insert(column, both);
            }
            None => {
                order.push(column.clone());
                types.insert(column, *ty);
            }
        }
    }
    let Some(first) = parts.first() else { return Ok(None) };
    if parts.len() == 1 {
        return Ok(Some(first.clone()));
    }
    let columns: Vec<(String, Ty)> = order
        .into_iter()
        .map(|column| {
            let ty = types.get(column.as_str()).copied().unwrap_or(Ty::Null);
            (column, ty)
        })
        .collect();
    let select = |part: &Source| {
        let scope = Scope::new(part.columns.clone());
        let each = columns.iter().map(|(column, ty)| {
            let value = scope.column(column);
            let value = if value.ty == *ty { value } else { value.cast(*ty) };
            format!("{} AS {}", value.text, name(column))
        });
        format!("SELECT {} FROM {}", each.collect::<Vec<_>>().join(", "), part.from)
    };
    let texts: Vec<String> = parts.iter().map(select).collect();
    let times = parts.iter().filter_map(|part| part.times);
    Ok(Some(Source {
        from: format!("({}) AS \"_union\"", texts.join(" UNION ALL ")),
        times: times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
        tables: parts.iter().flat_map(|part| part.tables.clone()).collect(),
        columns,
    }))
}

fn filtered(typed: &TypedSource, catalog: &Catalog, depth: usize) -> Result<Option<Source>> {
    let base = needed(typed.base.as_ref(), "filter", "base")?;
    let Some(mut inner) = source(base, catalog, depth)? else { return Ok(None) };
    if let Some(filter) = &typed.filter {
        let condition = super::filter::condition(filter, &Scope::new(inner.columns.clone()))?;
        inner.from = format!("(SELECT * FROM {} WHERE {condition}) AS \"_filtered\"", inner.from);
    }
    Ok(Some(inner))
}

/// The rows of a query, with its names, and the time of each.
fn of_query(query: &Query, catalog: &Catalog, depth: usize) -> Result<Option<Source>> {
    if depth > QUERIES_MAX {
        return Err(invalid(format!("queries are nested deeper than {QUERIES_MAX}")));
    }
    if !matches!(query.query_type.as_str(), "groupBy" | "timeseries" | "topN" | "scan") {
        return Err(unsupported(format!("`{}` as a data source", query.query_type)));
    }
    let Some(planned) = plan::plan(query, catalog, depth)? else { return Ok(None) };
    let mut columns = Vec::new();
    let mut selected = Vec::new();
    if !planned.outputs.iter().any(|output| output.name == TIME) {
        let time = match &planned.bucket {
            Some(bucket) => name(bucket),
            None => Sql::long(planned.first.unwrap_or(0)).as_time(),
        };
        selected.push(format!("{time} AS {}", name(TIME)));
        columns.push((TIME.to_owned(), Ty::Time));
    }
    for output in &planned.outputs {
        selected.push(format!("{} AS {}", name(&output.alias), name(&output.name)));
        columns.push((output.name.clone(), output.ty));
    }
    let from = format!(
        "(SELECT {} FROM ({}) AS \"_rows\") AS \"_query\"",
        selected.join(", "),
        planned.sql
    );
    Ok(Some(Source { from, columns, times: planned.times, tables: planned.tables }))
}
