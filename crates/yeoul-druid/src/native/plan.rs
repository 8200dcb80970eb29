//! A native query as one SQL query.
//!
//! Columns of the SQL have names of their own (`b` for the bucket, `d0` .. dimensions, `f0` ..
//! aggregations, `p0` .. post-aggregations), which no name of the client can meet; the answer
//! gives them the client's names.
//!
//! Invariant: the SQL's order is the order of Druid's answer.

use yeoul_sql::Catalog;
use yeoul_sql::table::TIME;

use super::aggregate::{Agg, Faces, aggregation, post};
use super::extract::{Dim, dimension, element};
use super::filter::condition;
use super::model::{Having, Metric, OrderBy, Query};
use super::scope::{Result, Scope, invalid, needed, unsupported};
use super::source::{self, Source};
use super::time::{Granularity, Interval, within};
use crate::expression::compare;
use crate::text::{Sql, Ty, joined, name, quoted};

/// A column of the answer.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// In the SQL.
    pub(crate) alias: String,
    /// In the answer.
    pub(crate) name: String,
    pub(crate) ty: Ty,
}

/// A query ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) sql: String,
    /// The first column of the SQL when it is the start of each row's bucket.
    pub(crate) bucket: Option<String>,
    /// The other columns, in their order.
    pub(crate) outputs: Vec<Output>,
    pub(crate) granularity: Granularity,
    pub(crate) intervals: Vec<Interval>,
    /// The start of the first interval.
    pub(crate) first: Option<i64>,
    /// Milliseconds of the first and last row of the input.
    pub(crate) times: Option<(i64, i64)>,
    pub(crate) tables: Vec<String>,
}

/// What all queries have.
pub(crate) struct Base {
    pub(crate) source: Source,
    pub(crate) scope: Scope,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) granularity: Granularity,
    /// Conditions on the rows of the source.
    pub(crate) wheres: Vec<String>,
}

pub(crate) fn base(query: &Query, catalog: &Catalog, depth: usize) -> Result<Option<Base>> {
    let Some(source) = source::source(&query.data_source, catalog, depth)? else { return Ok(None) };
    let mut scope = Scope::new(source.columns.clone());
    scope.add_virtual(query.virtual_columns.as_deref().unwrap_or_default())?;
    let intervals = intervals(query)?;
    let granularity = match &query.granularity {
        Some(granularity) => granularity.read().map_err(invalid)?,
        None => Granularity::All,
    };
    let mut wheres = Vec::new();
    wheres.extend(within(&intervals, &name(TIME)));
    if let Some(filter) = &query.filter {
        wheres.push(condition(filter, &scope)?);
    }
    Ok(Some(Base { source, scope, intervals, granularity, wheres }))
}

fn intervals(query: &Query) -> Result<Vec<Interval>> {
    match &query.intervals {
        Some(intervals) => intervals.read().map_err(invalid),
        None => Ok(vec![Interval::ETERNITY]),
    }
}

/// Plans a query that has rows of its own; `None` when its data source is not known.
pub(crate) fn plan(query: &Query, catalog: &Catalog, depth: usize) -> Result<Option<Planned>> {
    let Some(base) = base(query, catalog, depth)? else { return Ok(None) };
    Ok(Some(match query.query_type.as_str() {
        "timeseries" => timeseries(query, base)?,
        "topN" => top(query, base)?,
        "groupBy" => group(query, base, None)?,
        "scan" => scan(query, base)?,
        other => return Err(unsupported(format!("queries of type `{other}`"))),
    }))
}

/// Plans one of a groupBy's sets of dimensions; the others are null.
pub(crate) fn plan_subtotal(
    query: &Query,
    catalog: &Catalog,
    set: &[String],
) -> Result<Option<Planned>> {
    let Some(base) = base(query, catalog, 0)? else { return Ok(None) };
    group(query, base, Some(set)).map(Some)
}

pub(crate) fn where_clause(wheres: &[String]) -> String {
    match wheres {
        [] => String::new(),
        wheres => format!(" WHERE {}", joined(wheres.to_vec(), "AND", "TRUE")),
    }
}

/// Groups, aggregations and what is computed from them.
struct Grouped {
    bucket: Option<String>,
    outputs: Vec<Output>,
    /// The outputs by name.
    finished: Scope,
    inner: String,
    selected: Vec<String>,
}

const BUCKET: &str = "b";

fn grouped(query: &Query, base: &Base, dims: &[Dim], set: Option<&[String]>) -> Result<Grouped> {
    let mut keys = Vec::new();
    let mut made = Grouped {
        bucket: None,
        outputs: Vec::new(),
        finished: Scope::default(),
        inner: String::new(),
        selected: Vec::new(),
    };
    if let Some(bucket) = base.granularity.bucket(&name(TIME)) {
        keys.push(format!("{} AS {BUCKET}", bucket.text));
        made.selected.push(BUCKET.to_owned());
        made.bucket = Some(BUCKET.to_owned());
    }
    let mut used = Vec::new();
    for (index, dim) in dims.iter().enumerate() {
        let alias = format!("d{index}");
        let value = match set {
            Some(set) if !set.contains(&dim.output) => Sql::null().cast(dim.sql.ty),
            _ => {
                keys.push(format!("{} AS {alias}", dim.sql.text));
                used.push((index, dim));
                Sql::new(alias.clone(), dim.sql.ty)
            }
        };
        made.output(&alias, &dim.output, value);
    }
    let aggregations = query.aggregations.as_deref().unwrap_or_default();
    let mut faces = Faces::new();
    let mut calls = Vec::new();
    for (index, spec) in aggregations.iter().enumerate() {
        let Agg { output, calls: of_one, face } = aggregation(spec, index, &base.scope)?;
        calls.extend(of_one.into_iter().map(|(alias, call)| format!("{call} AS {}", name(&alias))));
        made.output(&format!("f{index}"), &output, face.finished.clone());
        faces.insert(output, face);
    }
    for (index, spec) in query.post_aggregations.iter().flatten().enumerate() {
        let output = needed(spec.name.as_deref(), &spec.kind, "name")?;
        let face = post(spec, &faces, &made.finished)?;
        made.output(&format!("p{index}"), output, face.finished.clone());
        faces.insert(output.to_owned(), face);
    }
    if keys.is_empty() && calls.is_empty() {
        calls.push("COUNT(*) AS n".to_owned());
    }
    made.inner = inner(base, &keys, &calls, &used);
    Ok(made)
}

impl Grouped {
    fn output(&mut self, alias: &str, output: &str, value: Sql) {
        let plain = value.plain();
        self.selected.push(format!("{} AS {alias}", plain.text));
        let output = output.to_owned();
        self.outputs.push(Output { alias: alias.to_owned(), name: output.clone(), ty: plain.ty });
        self.finished.put(&output, value);
    }

    fn find(&self, output: &str) -> Option<&Output> {
        self.outputs.iter().find(|found| found.name == output)
    }

    fn planned(self, base: Base, wheres: &[String], order: &[String], tail: &str) -> Planned {
        let order = match order {
            [] => String::new(),
            order => format!(" ORDER BY {}", order.join(", ")),
        };
        // A name of the client may be longer than a query should be: names are not in it.
        let selected = match self.selected.is_empty() {
            true => "n".to_owned(),
            false => self.selected.join(", "),
        };
        let (inner, filter) = (&self.inner, where_clause(wheres));
        Planned {
            sql: format!("SELECT {selected} FROM ({inner}) AS g{filter}{order}{tail}"),
            bucket: self.bucket,
            outputs: self.outputs,
            granularity: base.granularity,
            first: base.intervals.first().and_then(|interval| interval.start),
            intervals: base.intervals,
            times: base.source.times,
            tables: base.source.tables,
        }
    }
}

/// The grouping itself. Multi-value columns are taken apart before.
fn inner(base: &Base, keys: &[String], calls: &[String], used: &[(usize, &Dim)]) -> String {
    let mut from = base.source.from.clone();
    let mut wheres = base.wheres.clone();
    let apart: Vec<_> =
        used.iter().filter_map(|(index, dim)| Some((*index, dim.apart.as_ref()?))).collect();
    // One at a time: each pair of values is a row.
    for (index, list) in apart {
        let ty = if list.ty == Ty::Numbers { "DOUBLE" } else { "VARCHAR" };
        let list = &list.text;
        from = format!(
            "(SELECT *, UNNEST(CASE WHEN COALESCE(ARRAY_LENGTH({list}), 0) > 0 THEN {list} \
             ELSE MAKE_ARRAY(CAST(NULL AS {ty})) END) AS {} FROM {from}{}) AS \"_apart{index}\"",
            element(index),
            where_clause(&wheres),
        );
        wheres.clear();
    }
    wheres.extend(used.iter().filter_map(|(_, dim)| dim.keep.clone()));
    let selected: Vec<&str> = keys.iter().chain(calls).map(String::as_str).collect();
    let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
    let by =
        if places.is_empty() { String::new() } else { format!(" GROUP BY {}", places.join(", ")) };
    format!("SELECT {} FROM {from}{}{by}", selected.join(", "), where_clause(&wheres))
}

fn timeseries(query: &Query, base: Base) -> Result<Planned> {
    let made = grouped(query, &base, &[], None)?;
    let order = match &made.bucket {
        Some(bucket) if query.descending.unwrap_or(false) => vec![format!("{bucket} DESC")],
        Some(bucket) => vec![format!("{bucket} ASC")],
        None => Vec::new(),
    };
    Ok(made.planned(base, &[], &order, ""))
}

/// More rows of one bucket than these are not a top.
const THRESHOLD_MAX: u64 = 100_000;

fn top(query: &Query, base: Base) -> Result<Planned> {
    let spec = needed(query.dimension.as_ref(), "topN", "dimension")?;
    let dim = dimension(spec, 0, &base.scope)?;
    let threshold = needed(query.threshold, "topN", "threshold")?;
    if threshold == 0 || threshold > THRESHOLD_MAX {
        return Err(invalid(format!("`threshold` is 1 to {THRESHOLD_MAX}, not {threshold}")));
    }
    let made = grouped(query, &base, &[dim], None)?;
    let metric = needed(query.metric.as_ref(), "topN", "metric")?;
    let (mut order, stop) = top_order(metric, &made, false)?;
    // Without a bucket the engine keeps no more rows than are asked for.
    let tail = match &made.bucket {
        Some(bucket) => {
            order.insert(0, format!("{bucket} ASC"));
            String::new()
        }
        None => format!(" LIMIT {threshold}"),
    };
    Ok(made.planned(base, &stop, &order, &tail))
}

/// The order of a topN, and a condition on its dimension when it goes on from a value.
fn top_order(
    metric: &Metric,
    made: &Grouped,
    inverted: bool,
) -> Result<(Vec<String>, Vec<String>)> {
    let by_metric = |metric: &str| {
        let found = made.find(metric).ok_or_else(|| {
            let names = made.outputs.iter().map(|output| output.name.as_str());
            invalid(format!("no aggregation `{metric}` to order by")).did_you_mean(metric, names)
        })?;
        let direction = if inverted { "ASC" } else { "DESC" };
        let by = format!("{} {direction} NULLS LAST", found.alias);
        Ok((vec![by, "d0 ASC NULLS FIRST".to_owned()], Vec::new()))
    };
    let spec = match metric {
        Metric::Name(name) => return by_metric(name),
        Metric::Spec(spec) => spec,
    };
    let inner = || needed(spec.metric.as_ref(), &spec.kind, "metric");
    let ordering = match spec.kind.as_str() {
        "inverted" => return top_order(inner()?, made, !inverted),
        "numeric" => return top_order(inner()?, made, inverted),
        "dimension" => spec.ordering.as_ref().map_or("lexicographic", |ordering| ordering.name()),
        "lexicographic" => "lexicographic",
        "alphaNumeric" => "alphanumeric",
        other => return Err(unsupported(format!("topN metrics of type `{other}`"))),
    };
    let ty = made.outputs.first().map_or(Ty::String, |output| output.ty);
    let keys = ordered("d0", ty, ordering)?;
    let stop = match &spec.previous_stop {
        None => Vec::new(),
        Some(stop) => {
            let key = if ordering == "numeric" && ty == Ty::String {
                Sql::new("TRY_CAST(d0 AS DOUBLE)", Ty::Double)
            } else {
                Sql::new("d0", ty)
            };
            let symbol = if inverted { "<" } else { ">" };
            let stop = compare(&key, symbol, &Sql::string(stop));
            vec![stop.map_err(|error| invalid(error.to_string()))?.text]
        }
    };
    Ok((directed(&keys, inverted), stop))
}

/// What a dimension is sorted by.
fn ordered(alias: &str, ty: Ty, ordering: &str) -> Result<Vec<String>> {
    let text = Sql::new(alias, ty).as_string();
    Ok(match ordering.to_ascii_lowercase().as_str() {
        "lexicographic" => vec![text],
        // What is no number comes before the numbers.
        "numeric" if ty == Ty::String => {
            vec![format!("TRY_CAST({alias} AS DOUBLE)"), alias.to_owned()]
        }
        "numeric" | "natural" => vec![alias.to_owned()],
        "strlen" => vec![format!("CHAR_LENGTH({text})"), text],
        other => {
            return Err(unsupported(format!("the ordering `{other}`"))
                .hint("lexicographic, numeric and strlen are offered"));
        }
    })
}

/// Null is the smallest value.
fn directed(keys: &[String], descending: bool) -> Vec<String> {
    let direction = if descending { "DESC NULLS LAST" } else { "ASC NULLS FIRST" };
    keys.iter().map(|key| format!("{key} {direction}")).collect()
}

/// Dimensions of one query.
const DIMENSIONS_MAX: usize = 100;

fn group(query: &Query, base: Base, set: Option<&[String]>) -> Result<Planned> {
    let specs = query.dimensions.as_deref().unwrap_or_default();
    if specs.len() > DIMENSIONS_MAX {
        return Err(invalid(format!("a query has at most {DIMENSIONS_MAX} dimensions")));
    }
    let dims: Vec<Dim> = specs
        .iter()
        .enumerate()
        .map(|(index, spec)| dimension(spec, index, &base.scope))
        .collect::<Result<_>>()?;
    if let Some(unknown) =
        set.into_iter().flatten().find(|name| dims.iter().all(|dim| dim.output != **name))
    {
        return Err(invalid(format!("`subtotalsSpec` names `{unknown}`, which is no dimension")));
    }
    let made = grouped(query, &base, &dims, set)?;
    let mut wheres = Vec::new();
    if let Some(spec) = &query.having {
        wheres.push(having(spec, &made.finished)?);
    }
    let mut order = Vec::new();
    if let Some(bucket) = &made.bucket {
        order.push(format!("{bucket} ASC"));
    }
    let limit = query.limit_spec.as_ref();
    for column in limit.and_then(|limit| limit.columns.as_deref()).unwrap_or_default() {
        order.extend(order_by(column, &made, dims.len())?);
    }
    for index in 0..dims.len() {
        order.push(format!("d{index} ASC NULLS FIRST"));
    }
    let mut tail = String::new();
    if let Some(limit) = limit {
        // Druid's largest number stands for no limit.
        if let Some(rows) = limit.limit.filter(|rows| *rows < i32::MAX as u64) {
            tail.push_str(&format!(" LIMIT {rows}"));
        }
        if let Some(offset) = limit.offset.filter(|offset| *offset > 0) {
            tail.push_str(&format!(" OFFSET {offset}"));
        }
    }
    Ok(made.planned(base, &wheres, &order, &tail))
}

fn order_by(column: &OrderBy, made: &Grouped, dims: usize) -> Result<Vec<String>> {
    let (wanted, direction, ordering) = match column {
        OrderBy::Name(name) => (name, None, None),
        OrderBy::Spec { dimension, direction, dimension_order } => {
            (dimension, direction.as_deref(), dimension_order.as_ref())
        }
    };
    let found = made.outputs.iter().position(|output| output.name == *wanted);
    let Some((index, output)) = found.and_then(|at| Some((at, made.outputs.get(at)?))) else {
        let names = made.outputs.iter().map(|output| output.name.as_str());
        let error = invalid(format!("no column `{wanted}` to order by"));
        return Err(error.did_you_mean(wanted, names));
    };
    let keys = if index < dims {
        ordered(&output.alias, output.ty, ordering.map_or("lexicographic", |order| order.name()))?
    } else {
        vec![output.alias.clone()]
    };
    let descending = direction.is_some_and(|text| text.to_ascii_lowercase().starts_with("desc"));
    Ok(directed(&keys, descending))
}

/// The condition on groups.
fn having(spec: &Having, finished: &Scope) -> Result<String> {
    let kind = spec.kind.as_str();
    let many = |word: &str, none: &str| -> Result<String> {
        let specs = needed(spec.having_specs.as_ref(), kind, "havingSpecs")?;
        let each = specs.iter().map(|each| having(each, finished)).collect::<Result<_>>()?;
        Ok(joined(each, word, none))
    };
    match kind {
        "filter" => condition(needed(spec.filter.as_ref(), kind, "filter")?, finished),
        "and" => many("AND", "TRUE"),
        "or" => many("OR", "FALSE"),
        "not" => {
            let inner = needed(spec.having_spec.as_deref(), kind, "havingSpec")?;
            Ok(format!("(NOT {})", having(inner, finished)?))
        }
        "always" => Ok("TRUE".to_owned()),
        "never" => Ok("FALSE".to_owned()),
        "greaterThan" | "lessThan" | "equalTo" => {
            let column = needed(spec.aggregation.as_deref(), kind, "aggregation")?;
            let value = spec.value.as_ref().and_then(|value| match value {
                serde_json::Value::Number(number) => match number.as_i64() {
                    Some(long) => Some(Sql::long(long)),
                    None => number.as_f64().map(Sql::double),
                },
                serde_json::Value::String(text) => text.parse().ok().map(Sql::double),
                _ => None,
            });
            let value = needed(value, kind, "value")?;
            let symbol = match kind {
                "greaterThan" => ">",
                "lessThan" => "<",
                _ => "=",
            };
            let made = compare(&finished.column(column), symbol, &value);
            Ok(made.map_err(|error| invalid(error.to_string()))?.text)
        }
        "dimSelector" => {
            let spec_of = needed(spec.dimension.as_ref(), kind, "dimension")?;
            let dim = dimension(spec_of, 0, finished)?;
            Ok(match &spec.value {
                Some(serde_json::Value::String(text)) => {
                    format!("({} = {})", dim.sql.as_string(), quoted(text))
                }
                _ => format!("({} IS NULL)", dim.sql.text),
            })
        }
        other => Err(unsupported(format!("having of type `{other}`"))),
    }
}

/// Columns of one scan.
const COLUMNS_MAX: usize = 4_096;

fn scan(query: &Query, base: Base) -> Result<Planned> {
    let wanted: Vec<String> = match query.columns.as_deref() {
        None | Some([]) => {
            let columns = base.source.columns.iter().map(|(name, _)| name.clone());
            let own = query.virtual_columns.iter().flatten().filter_map(|own| own.name.clone());
            columns.chain(own).collect()
        }
        Some(columns) => columns.to_vec(),
    };
    if wanted.len() > COLUMNS_MAX {
        return Err(invalid(format!("a scan has at most {COLUMNS_MAX} columns")));
    }
    let mut selected = Vec::new();
    let mut outputs = Vec::new();
    for (index, column) in wanted.into_iter().enumerate() {
        let value = base.scope.column(&column).plain();
        let alias = format!("c{index}");
        selected.push(format!("{} AS {alias}", value.text));
        outputs.push(Output { alias, name: column, ty: value.ty });
    }
    let order = match query.order.as_deref().unwrap_or("none").to_ascii_lowercase().as_str() {
        "none" => String::new(),
        "ascending" => format!(" ORDER BY {} ASC", name(TIME)),
        "descending" => format!(" ORDER BY {} DESC", name(TIME)),
        other => {
            return Err(invalid(format!("`order` is none, ascending or descending, not {other}")));
        }
    };
    let mut tail = String::new();
    if let Some(limit) = query.limit.filter(|limit| *limit < i64::MAX as u64) {
        tail.push_str(&format!(" LIMIT {limit}"));
    }
    if let Some(offset) = query.offset.filter(|offset| *offset > 0) {
        tail.push_str(&format!(" OFFSET {offset}"));
    }
    let filter = where_clause(&base.wheres);
    Ok(Planned {
        sql: format!(
            "SELECT {} FROM {}{filter}{order}{tail}",
            selected.join(", "),
            base.source.from
        ),
        bucket: None,
        outputs,
        granularity: base.granularity,
        first: base.intervals.first().and_then(|interval| interval.start),
        intervals: base.intervals,
        times: base.source.times,
        tables: base.source.tables,
    })
}
