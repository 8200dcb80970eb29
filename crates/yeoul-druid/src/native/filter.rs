//! Filters as SQL conditions, three-valued as Druid's have been since 28: `not` of an unknown is
//! unknown.

use serde_json::Value;

use super::extract::{dimension, extract};
use super::model::{ExtractionFn, Filter, SearchSpec};
use super::scope::{Result, Scope, invalid, needed, unsupported};
use super::time::within;
use crate::expression::{compare, contains, like};
use crate::text::{Sql, Ty, joined, quoted};

/// The condition of a filter.
pub(crate) fn condition(filter: &Filter, scope: &Scope) -> Result<String> {
    match filter {
        Filter::And { fields } => all(fields, "AND", "TRUE", scope),
        Filter::Or { fields } => all(fields, "OR", "FALSE", scope),
        Filter::Not { field } => Ok(format!("(NOT {})", condition(field, scope)?)),
        Filter::True => Ok("TRUE".to_owned()),
        Filter::False => Ok("FALSE".to_owned()),
        Filter::IsTrue { field } => Ok(format!("({} IS TRUE)", condition(field, scope)?)),
        Filter::IsFalse { field } => Ok(format!("({} IS FALSE)", condition(field, scope)?)),
        Filter::Expression { expression } => Ok(scope.expression(expression)?.as_bool()),
        Filter::ColumnComparison { dimensions } => {
            let dims = dimensions.iter().enumerate();
            let texts: Vec<String> = dims
                .map(|(at, spec)| Ok(dimension(spec, at, scope)?.sql.as_string()))
                .collect::<Result<_>>()?;
            let pairs = texts.iter().zip(texts.iter().skip(1));
            let same = pairs.map(|(a, b)| format!("({a} IS NOT DISTINCT FROM {b})")).collect();
            Ok(joined(same, "AND", "TRUE"))
        }
        Filter::Javascript | Filter::Spatial | Filter::Bloom => {
            Err(unsupported("filters of type javascript, spatial and bloom"))
        }
        _ => of_column(filter, scope),
    }
}

fn all(fields: &[Filter], word: &str, none: &str, scope: &Scope) -> Result<String> {
    let each = fields.iter().map(|field| condition(field, scope)).collect::<Result<_>>()?;
    Ok(joined(each, word, none))
}

/// A filter on one column, with its extraction function when it has one.
fn of_column(filter: &Filter, scope: &Scope) -> Result<String> {
    let (name, function) = match filter {
        Filter::Selector { dimension, extraction_fn, .. }
        | Filter::In { dimension, extraction_fn, .. }
        | Filter::Bound { dimension, extraction_fn, .. }
        | Filter::Regex { dimension, extraction_fn, .. }
        | Filter::Search { dimension, extraction_fn, .. }
        | Filter::Like { dimension, extraction_fn, .. }
        | Filter::Interval { dimension, extraction_fn, .. } => (dimension, extraction_fn.as_ref()),
        Filter::Equals { column, .. }
        | Filter::Null { column }
        | Filter::Range { column, .. }
        | Filter::InType { column, .. } => (column, None),
        _ => return Err(invalid("a filter without a column")),
    };
    let value = scope.column(name);
    if matches!(value.ty, Ty::Strings | Ty::Numbers) {
        return any_of(filter, &value, function);
    }
    let value = match function {
        Some(function) => extract(&value, function)?,
        None => value,
    };
    matches(filter, &value)
}

/// The condition that a single value passes.
fn matches(filter: &Filter, value: &Sql) -> Result<String> {
    if value.is_null() {
        return Ok(of_null(filter));
    }
    match filter {
        Filter::Selector { value: wanted, .. } | Filter::Equals { match_value: wanted, .. } => {
            Ok(one_of(value, std::slice::from_ref(wanted)))
        }
        Filter::In { values, .. } | Filter::InType { sorted_values: values, .. } => {
            Ok(one_of(value, values))
        }
        Filter::Null { .. } => Ok(format!("({} IS NULL)", value.text)),
        Filter::Bound { lower, upper, lower_strict, upper_strict, ordering, .. } => {
            let ordering = ordering.as_ref().map_or("lexicographic", |ordering| ordering.name());
            let key = match ordering.to_ascii_lowercase().as_str() {
                "lexicographic" => Sql::new(value.as_string(), Ty::String),
                "numeric" => number(value),
                "strlen" => Sql::call("CHAR_LENGTH", &[&value.as_string()], Ty::Long),
                other => return Err(unsupported(format!("bounds with the ordering `{other}`"))),
            };
            let strict = (lower_strict.unwrap_or(false), upper_strict.unwrap_or(false));
            between(&key, lower.as_ref(), upper.as_ref(), strict)
        }
        Filter::Range { match_value_type, lower, upper, lower_open, upper_open, .. } => {
            let key = match match_value_type.to_ascii_uppercase().as_str() {
                "STRING" => Sql::new(value.as_string(), Ty::String),
                _ => number(value),
            };
            let strict = (lower_open.unwrap_or(false), upper_open.unwrap_or(false));
            between(&key, lower.as_ref(), upper.as_ref(), strict)
        }
        Filter::Regex { pattern, .. } => {
            Ok(format!("REGEXP_LIKE({}, {})", value.as_string(), quoted(pattern)))
        }
        Filter::Search { query, .. } => search(&value.as_string(), query),
        Filter::Like { pattern, escape, .. } => {
            let escape = escape.as_deref().and_then(|text| text.chars().next());
            Ok(like(&value.as_string(), pattern, escape).text)
        }
        Filter::Interval { intervals, .. } => {
            let intervals = intervals.read().map_err(invalid)?;
            Ok(within(&intervals, &value.as_time()).unwrap_or_else(|| "TRUE".to_owned()))
        }
        _ => Err(invalid("a filter without a column")),
    }
}

/// What a filter says of a column that is not there: only a search for null finds it.
fn of_null(filter: &Filter) -> String {
    let found = match filter {
        Filter::Selector { value, .. } => value.is_null(),
        Filter::In { values, .. } | Filter::InType { sorted_values: values, .. } => {
            values.iter().any(Value::is_null)
        }
        Filter::Null { .. } => true,
        _ => false,
    };
    if found { "TRUE".to_owned() } else { "CAST(NULL AS BOOLEAN)".to_owned() }
}

fn number(value: &Sql) -> Sql {
    if value.ty == Ty::Time { value.clone() } else { value.as_number() }
}

/// A JSON value as a constant of the type that `key` is compared as; `None` when it can be none.
fn constant(value: &Value, key: Ty) -> Option<Sql> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => return None,
    };
    match key {
        Ty::String | Ty::Flag => Some(Sql::string(&text)),
        Ty::Time | Ty::Long => match (text.trim().parse::<i64>(), text.trim().parse::<f64>()) {
            (Ok(long), _) => Some(Sql::long(long)),
            (_, Ok(double)) => Some(Sql::double(double)),
            _ => {
                let ms = super::time::instant(&text).flatten().filter(|_| key == Ty::Time)?;
                Some(Sql::long(ms))
            }
        },
        _ => text.trim().parse::<f64>().ok().map(Sql::double),
    }
}

fn between(
    key: &Sql,
    lower: Option<&Value>,
    upper: Option<&Value>,
    strict: (bool, bool),
) -> Result<String> {
    let mut parts = Vec::new();
    let ends =
        [(lower, if strict.0 { ">" } else { ">=" }), (upper, if strict.1 { "<" } else { "<=" })];
    for (bound, symbol) in ends {
        let Some(bound) = bound.filter(|bound| !bound.is_null()) else { continue };
        let Some(bound) = constant(bound, key.ty) else {
            // No number lies beyond a text.
            return Ok("FALSE".to_owned());
        };
        let made = compare(key, symbol, &bound).map_err(|error| unsupported(error.to_string()))?;
        parts.push(made.text);
    }
    if parts.is_empty() {
        return Ok(format!("({} IS NOT NULL)", key.text));
    }
    Ok(joined(parts, "AND", "TRUE"))
}

/// Above this, a list is one constant instead of many.
const LISTED_MAX: usize = 100;

/// The condition that a value is one of a list, which may hold null.
pub(crate) fn one_of(value: &Sql, wanted: &[Value]) -> String {
    let nulls = wanted.iter().any(Value::is_null);
    let value = if value.ty == Ty::Flag { value.cast(Ty::String) } else { value.clone() };
    let constants: Vec<Sql> = wanted.iter().filter_map(|each| constant(each, value.ty)).collect();
    let mut parts = Vec::new();
    if value.ty == Ty::String && constants.len() > LISTED_MAX {
        parts.push(listed(&value.text, wanted));
    } else if !constants.is_empty() {
        let alike = value.ty != Ty::Time && constants.iter().all(|each| each.ty == value.ty);
        parts.push(if alike && constants.len() > 1 {
            let texts: Vec<&str> = constants.iter().map(|each| each.text.as_str()).collect();
            format!("({} IN ({}))", value.text, texts.join(", "))
        } else {
            let same = constants.iter().filter_map(|each| compare(&value, "=", each).ok());
            joined(same.map(|each| each.text).collect(), "OR", "FALSE")
        });
    } else if !nulls {
        // Not a value of this column's type: false, but still unknown for null.
        return format!("({} IS NULL AND CAST(NULL AS BOOLEAN))", value.text);
    }
    if nulls {
        parts.push(format!("({} IS NULL)", value.text));
    }
    joined(parts, "OR", "FALSE")
}

/// One constant holds all texts, between characters that none of them has.
fn listed(text: &str, wanted: &[Value]) -> String {
    let texts: Vec<String> =
        wanted.iter().filter_map(|each| constant(each, Ty::String).map(|_| plain(each))).collect();
    let between = ('\u{1}'..'\u{20}').find(|mark| texts.iter().all(|text| !text.contains(*mark)));
    match between {
        Some(mark) => {
            let mark = mark.to_string();
            let all = quoted(&texts.join(&mark));
            format!("ARRAY_HAS(STRING_TO_ARRAY({all}, {}), {text})", quoted(&mark))
        }
        None => {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("({text} IN ({}))", texts.join(", "))
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The condition of a search within a text.
pub(crate) fn search(text: &str, query: &SearchSpec) -> Result<String> {
    let value = || needed(query.value.as_deref(), &query.kind, "value");
    match query.kind.as_str() {
        "contains" => {
            let fold = !query.case_sensitive.unwrap_or(false);
            Ok(contains(text, &quoted(value()?), fold).text)
        }
        "insensitive_contains" => Ok(contains(text, &quoted(value()?), true).text),
        "fragment" => {
            let fold = !query.case_sensitive.unwrap_or(false);
            let values = needed(query.values.as_ref(), &query.kind, "values")?;
            let each = values.iter().map(|part| contains(text, &quoted(part), fold).text);
            Ok(joined(each.collect(), "AND", "TRUE"))
        }
        "regex" => {
            let pattern = needed(query.pattern.as_deref(), &query.kind, "pattern")?;
            Ok(format!("REGEXP_LIKE({text}, {})", quoted(pattern)))
        }
        "all" => Ok(format!("({text} IS NOT NULL)")),
        other => Err(unsupported(format!("searches of type `{other}`"))),
    }
}

/// A multi-value column passes when one of its values does. The values are joined to one text
/// with line ends between, which patterns and searches do not cross.
fn any_of(filter: &Filter, value: &Sql, function: Option<&ExtractionFn>) -> Result<String> {
    if function.is_some() {
        return Err(unsupported("extraction functions in filters on multi-value columns"));
    }
    let lines = format!("ARRAY_TO_STRING({}, CHR(10))", value.text);
    let empty = format!("(COALESCE(ARRAY_LENGTH({}), 0) = 0)", value.text);
    match filter {
        Filter::Selector { value: wanted, .. } | Filter::Equals { match_value: wanted, .. } => {
            Ok(has_any(value, std::slice::from_ref(wanted), &empty))
        }
        Filter::In { values, .. } | Filter::InType { sorted_values: values, .. } => {
            Ok(has_any(value, values, &empty))
        }
        Filter::Null { .. } => Ok(empty),
        Filter::Regex { pattern, .. } => {
            Ok(format!("REGEXP_LIKE({lines}, {})", quoted(&format!("(?m){pattern}"))))
        }
        Filter::Search { query, .. } if query.kind != "fragment" => match &query.pattern {
            Some(pattern) if query.kind == "regex" => {
                Ok(format!("REGEXP_LIKE({lines}, {})", quoted(&format!("(?m){pattern}"))))
            }
            _ => search(&lines, query),
        },
        _ => Err(unsupported("this filter on a multi-value column")
            .hint("selector, in, regex, search and null are offered")),
    }
}

fn has_any(value: &Sql, wanted: &[Value], empty: &str) -> String {
    let ty = if value.ty == Ty::Numbers { Ty::Double } else { Ty::String };
    let each = wanted.iter().map(|wanted| match constant(wanted, ty) {
        Some(constant) => format!("ARRAY_HAS({}, {})", value.text, constant.text),
        None => empty.to_owned(),
    });
    joined(each.collect(), "OR", "FALSE")
}
