//! Extraction functions and dimension specs as SQL.

use serde_json::Value;

use super::filter::search;
use super::model::{Dimension, DimensionSpec, ExtractionFn, LookupSpec};
use super::scope::{Result, Scope, invalid, needed, unsupported};
use super::time::GranularitySpec;
use crate::expression::{case, floor, regexp_extract, substring, time_format};
use crate::text::{Sql, Ty, joined, quoted};

/// Applies an extraction function; its result is text.
pub(crate) fn extract(value: &Sql, function: &ExtractionFn) -> Result<Sql> {
    let text = value.as_string();
    let made = match function.kind.as_str() {
        "identity" => Sql::new(text, Ty::String),
        "upper" => Sql::call("UPPER", &[&text], Ty::String),
        "lower" => Sql::call("LOWER", &[&text], Ty::String),
        "strlen" => Sql::new(Sql::call("CHAR_LENGTH", &[&text], Ty::Long).as_string(), Ty::String),
        "substring" => {
            let index = needed(function.index, "substring", "index")?;
            substring(value, &(index.saturating_add(1)).to_string(), function.length)
        }
        "regex" => {
            let pattern = needed(function.expr.as_deref(), "regex", "expr")?;
            missing(&regexp_extract(&text, pattern, function.index.unwrap_or(1)), &text, function)
        }
        "partial" => {
            let pattern = needed(function.expr.as_deref(), "partial", "expr")?;
            let found = format!("REGEXP_LIKE({text}, {})", quoted(pattern));
            case(&[(found, text)], None, Ty::String)
        }
        "searchQuery" => {
            let query = needed(function.query.as_ref(), "searchQuery", "query")?;
            case(&[(search(&text, query)?, text)], None, Ty::String)
        }
        "stringFormat" => string_format(&text, function)?,
        "bucket" => bucket(value, function),
        "cascade" => {
            let functions = needed(function.extraction_fns.as_ref(), "cascade", "extractionFns")?;
            let first = Sql::new(value.text.clone(), value.ty);
            functions.iter().try_fold(first, |value, function| extract(&value, function))?
        }
        "timeFormat" => time(value, function)?,
        "time" => {
            let pattern = needed(function.time_format.as_deref(), "time", "timeFormat")?;
            let result = needed(function.result_format.as_deref(), "time", "resultFormat")?;
            let at = Sql::call("TIME_PARSE", &[&text, &quoted(pattern)], Ty::Time);
            time_format(&at.text, Some(result), None)
        }
        "lookup" | "registeredLookup" => lookup(&text, function)?,
        other => return Err(unsupported(format!("extraction functions of type `{other}`"))),
    };
    Ok(made)
}

/// What stands where nothing was found: nothing, another text, or the value itself.
fn missing(found: &Sql, text: &str, function: &ExtractionFn) -> Sql {
    let instead = match (function.replace_missing_value, &function.replace_missing_value_with) {
        (Some(true), Some(with)) => quoted(with),
        (Some(true), None) => return found.clone(),
        _ => text.to_owned(),
    };
    Sql::call("COALESCE", &[&found.text, &instead], Ty::String)
}

/// `%s` within other text.
fn string_format(text: &str, function: &ExtractionFn) -> Result<Sql> {
    let format = needed(function.format.as_deref(), "stringFormat", "format")?;
    let mut parts = Vec::new();
    for (at, piece) in format.split("%s").enumerate() {
        if piece.replace("%%", "").contains('%') {
            return Err(unsupported(format!("`stringFormat` with `{format}`: only %s is known")));
        }
        if at > 0 {
            parts.push(match function.null_handling.as_deref() {
                Some("returnNull") => text.to_owned(),
                Some("emptyString") => format!("COALESCE({text}, '')"),
                _ => format!("COALESCE({text}, 'null')"),
            });
        }
        if !piece.is_empty() {
            parts.push(quoted(&piece.replace("%%", "%")));
        }
    }
    Ok(Sql::new(joined(parts, "||", "''"), Ty::String))
}

/// The start of a number's bucket, as text without a fraction when it has none.
fn bucket(value: &Sql, function: &ExtractionFn) -> Sql {
    let (size, offset) = (function.size.unwrap_or(1.0), function.offset.unwrap_or(0.0));
    let whole = |number: f64| number.fract() == 0.0 && number.abs() < 1e15;
    let number = value.as_double();
    let (size_sql, offset_sql) = (Sql::double(size).text, Sql::double(offset).text);
    let start =
        format!("(FLOOR(({number} - {offset_sql}) / {size_sql}) * {size_sql} + {offset_sql})");
    let start = Sql::new(start, Ty::Double);
    if whole(size) && whole(offset) {
        return start.cast(Ty::Long).cast(Ty::String);
    }
    let same = format!("{} = ROUND({})", start.text, start.text);
    let (long, double) = (start.cast(Ty::Long).as_string(), start.as_string());
    case(&[(same, long)], Some(&double), Ty::String)
}

fn time(value: &Sql, function: &ExtractionFn) -> Result<Sql> {
    let at = value.as_time();
    let at = match &function.granularity {
        Some(granularity) => bucketed(&at, granularity)?,
        None => at,
    };
    Ok(time_format(&at, function.format.as_deref(), function.time_zone.as_deref()))
}

fn bucketed(at: &str, granularity: &GranularitySpec) -> Result<String> {
    let granularity = granularity.read().map_err(invalid)?;
    Ok(match granularity.bucket(at) {
        Some(bucket) => bucket.text,
        // All of time is one bucket.
        None => floor("TIME_FLOOR", at, "P10000Y", None, None).text,
    })
}

/// More entries than these belong into a registered lookup.
const MAP_MAX: usize = 1_000;

fn lookup(text: &str, function: &ExtractionFn) -> Result<Sql> {
    let spec = needed(function.lookup.as_ref(), "lookup", "lookup")?;
    let retain = function.retain_missing_value.unwrap_or(false);
    looked_up(text, spec, retain, function.replace_missing_value_with.as_deref())
}

fn looked_up(text: &str, spec: &LookupSpec, retain: bool, with: Option<&str>) -> Result<Sql> {
    let instead = match (retain, with) {
        (true, _) => text.to_owned(),
        (false, Some(with)) => quoted(with),
        (false, None) => "NULL".to_owned(),
    };
    match spec {
        LookupSpec::Name(lookup) => {
            let found = Sql::call("LOOKUP", &[text, &quoted(lookup)], Ty::String);
            Ok(match instead.as_str() {
                "NULL" => found,
                instead => Sql::call("COALESCE", &[&found.text, instead], Ty::String),
            })
        }
        LookupSpec::Map { map } => {
            if map.len() > MAP_MAX {
                let text = format!("a lookup in the query has at most {MAP_MAX} entries");
                return Err(unsupported(text).hint("register the lookup, then name it"));
            }
            let mut arms = Vec::with_capacity(map.len() + 1);
            for (key, value) in map {
                let value = value.as_deref().map_or_else(|| "NULL".to_owned(), quoted);
                // Clients for older servers name null by an empty text.
                if key.is_empty() {
                    arms.push((format!("{text} IS NULL"), value.clone()));
                }
                arms.push((format!("{text} = {}", quoted(key)), value));
            }
            if arms.is_empty() {
                return Ok(Sql::new(instead, Ty::String));
            }
            Ok(case(&arms, Some(&instead), Ty::String))
        }
    }
}

/// A dimension of a query.
#[derive(Debug, Clone)]
pub(crate) struct Dim {
    pub(crate) output: String,
    /// Over the input's columns, or over one value of a multi-value column.
    pub(crate) sql: Sql,
    /// The multi-value column that is taken apart, which `sql` calls [`ELEMENT`].
    pub(crate) apart: Option<Sql>,
    /// What values are kept.
    pub(crate) keep: Option<String>,
}

/// One value of the multi-value column of dimension `index`.
pub(crate) fn element(index: usize) -> String {
    format!("\"_value{index}\"")
}

/// Reads a dimension; `index` is its place in the query.
pub(crate) fn dimension(spec: &Dimension, index: usize, scope: &Scope) -> Result<Dim> {
    match spec {
        Dimension::Name(name) => default(name, None, None, index, scope),
        Dimension::Spec(spec) => of_spec(spec, index, scope),
    }
}

fn default(
    column: &str,
    output: Option<&str>,
    wanted: Option<&str>,
    index: usize,
    scope: &Scope,
) -> Result<Dim> {
    let (value, apart) = value(column, index, scope)?;
    let wanted = wanted.map(str::to_ascii_uppercase);
    let sql = match wanted.as_deref() {
        Some("LONG") => value.cast(Ty::Long),
        Some("FLOAT" | "DOUBLE") => value.cast(Ty::Double),
        _ => value.cast(Ty::String),
    };
    let output = output.unwrap_or(column).to_owned();
    Ok(Dim { output, sql, apart, keep: None })
}

/// A column as one value a row; a multi-value column is taken apart.
fn value(column: &str, index: usize, scope: &Scope) -> Result<(Sql, Option<Sql>)> {
    let value = scope.column(column);
    match value.ty {
        Ty::Strings => Ok((Sql::new(element(index), Ty::String), Some(value))),
        Ty::Numbers => Ok((Sql::new(element(index), Ty::Double), Some(value))),
        Ty::State(_) => Err(invalid(format!("`{column}` holds sketches: it is not a dimension"))),
        _ => Ok((value, None)),
    }
}

fn of_spec(spec: &DimensionSpec, index: usize, scope: &Scope) -> Result<Dim> {
    let output = spec.output_name.as_deref();
    let column = || needed(spec.dimension.as_deref(), "dimension", "dimension");
    match spec.kind.as_deref().unwrap_or("default") {
        "default" => default(column()?, output, spec.output_type.as_deref(), index, scope),
        "extraction" => {
            let column = column()?;
            let function = needed(spec.extraction_fn.as_ref(), "extraction", "extractionFn")?;
            let (value, apart) = value(column, index, scope)?;
            let sql = extract(&value, function)?;
            let sql = match spec.output_type.as_deref().map(str::to_ascii_uppercase).as_deref() {
                Some("LONG") => sql.cast(Ty::Long),
                Some("FLOAT" | "DOUBLE") => sql.cast(Ty::Double),
                _ => sql,
            };
            Ok(Dim { output: output.unwrap_or(column).to_owned(), sql, apart, keep: None })
        }
        "lookup" => {
            let column = column()?;
            let (value, apart) = value(column, index, scope)?;
            let by_name = spec.name.clone().map(LookupSpec::Name);
            let lookup = needed(spec.lookup.clone().or(by_name), "lookup", "lookup")?;
            let retain = spec.retain_missing_value.unwrap_or(false);
            let with = spec.replace_missing_value_with.as_deref();
            let sql = looked_up(&value.as_string(), &lookup, retain, with)?;
            Ok(Dim { output: output.unwrap_or(column).to_owned(), sql, apart, keep: None })
        }
        kind @ ("listFiltered" | "regexFiltered" | "prefixFiltered") => {
            let inner = needed(spec.delegate.as_ref(), kind, "delegate")?;
            let mut dim = dimension(inner, index, scope)?;
            // The values of the column itself are kept or not, before they are extracted from.
            let (value, _) = value(source(inner)?, index, scope)?;
            dim.keep = Some(kept(spec, kind, &value.as_string())?);
            Ok(dim)
        }
        other => Err(unsupported(format!("dimensions of type `{other}`"))),
    }
}

fn source(dimension: &Dimension) -> Result<&str> {
    match dimension {
        Dimension::Name(name) => Ok(name),
        Dimension::Spec(spec) => match &spec.delegate {
            Some(inner) => source(inner),
            None => needed(spec.dimension.as_deref(), "dimension", "dimension"),
        },
    }
}

fn kept(spec: &DimensionSpec, kind: &str, text: &str) -> Result<String> {
    match kind {
        "listFiltered" => {
            let values = needed(spec.values.as_ref(), kind, "values")?;
            let values: Vec<Value> = values.iter().cloned().map(Value::from).collect();
            let listed = super::filter::one_of(&Sql::new(text, Ty::String), &values);
            let keep = spec.is_whitelist.unwrap_or(true);
            Ok(if keep { listed } else { format!("({listed} IS NOT TRUE)") })
        }
        "regexFiltered" => {
            let pattern = needed(spec.pattern.as_deref(), kind, "pattern")?;
            Ok(format!("REGEXP_LIKE({text}, {})", quoted(pattern)))
        }
        _ => {
            let prefix = needed(spec.prefix.as_deref(), kind, "prefix")?;
            Ok(format!("STARTS_WITH({text}, {})", quoted(prefix)))
        }
    }
}
