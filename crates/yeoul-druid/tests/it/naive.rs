//! Native queries answered by walking over JSON rows: slow, small, and without any of the code
//! under test. It knows what clients send most; `None` is "not known here".

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Text as Druid sees a value; `None` for null.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A value of a row, or the values of a multi-value column.
fn values(row: &Value, column: &str) -> Vec<Option<String>> {
    match &row[column] {
        Value::Array(items) if items.is_empty() => vec![None],
        Value::Array(items) => items.iter().map(text).collect(),
        value => vec![text(value)],
    }
}

/// Unknown is `None` inside.
fn holds(filter: &Value, row: &Value) -> Option<Option<bool>> {
    if filter.get("extractionFn").is_some() {
        return None;
    }
    let any = |test: &dyn Fn(&str) -> bool, null: Option<bool>| {
        let column = filter["dimension"].as_str()?;
        let results: Vec<Option<bool>> =
            values(row, column).iter().map(|value| value.as_deref().map(test).or(null)).collect();
        results.iter().copied().reduce(|a, b| match (a, b) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
            _ => Some(false),
        })
    };
    match filter["type"].as_str()? {
        "selector" => match text(&filter["value"]) {
            Some(wanted) => any(&|value| value == wanted, None),
            None => any(&|_| false, Some(true)),
        },
        "in" => {
            let wanted: Vec<Option<String>> =
                filter["values"].as_array()?.iter().map(text).collect();
            let null = if wanted.contains(&None) { Some(true) } else { None };
            any(&|value| wanted.contains(&Some(value.to_owned())), null)
        }
        "search" if filter["query"]["caseSensitive"] == json!(true) => {
            let part = filter["query"]["value"].as_str()?;
            any(&|value| value.contains(part), None)
        }
        "bound" if filter["ordering"] == json!("numeric") => any(
            &|value| {
                let Ok(value) = value.parse::<f64>() else { return false };
                let (lower, upper) = (filter["lower"].as_f64(), filter["upper"].as_f64());
                let strict = |name: &str| filter[name].as_bool().unwrap_or(false);
                lower
                    .is_none_or(|lower| value > lower || (value == lower && !strict("lowerStrict")))
                    && upper.is_none_or(|upper| {
                        value < upper || (value == upper && !strict("upperStrict"))
                    })
            },
            None,
        ),
        "interval" if filter["dimension"] == json!("__time") => {
            let within = filter["intervals"].as_array()?.iter().map(|text| {
                let (start, end) = interval(text.as_str()?)?;
                let at = row["__time"].as_i64()?;
                Some(start <= at && at < end)
            });
            Some(Some(within.collect::<Option<Vec<_>>>()?.into_iter().any(|inside| inside)))
        }
        "not" => Some(holds(&filter["field"], row)?.map(|held| !held)),
        "and" => {
            let each: Vec<_> = filter["fields"]
                .as_array()?
                .iter()
                .map(|field| holds(field, row))
                .collect::<Option<_>>()?;
            Some(if each.contains(&Some(false)) {
                Some(false)
            } else if each.contains(&None) {
                None
            } else {
                Some(true)
            })
        }
        _ => None,
    }
}

/// Milliseconds; years and full dates with `Z`, as the recordings have them.
pub(crate) fn interval(text: &str) -> Option<(i64, i64)> {
    let (start, end) = text.split_once('/')?;
    Some((instant(start)?, instant(end)?))
}

fn instant(text: &str) -> Option<i64> {
    let padded = match text.len() {
        14 => format!("{}:00:00Z", text.trim_end_matches('Z')),
        17 => format!("{}:00Z", text.trim_end_matches('Z')),
        20 => text.to_owned(),
        _ => return None,
    };
    let at = chrono::DateTime::parse_from_rfc3339(&padded).ok()?;
    Some(at.timestamp_millis())
}

fn aggregate(spec: &Value, rows: &[&Value]) -> Option<Value> {
    let numbers = || -> Option<Vec<i64>> {
        let field = spec["fieldName"].as_str()?;
        Some(rows.iter().filter_map(|row| row[field].as_i64()).collect())
    };
    match spec["type"].as_str()? {
        "count" => Some(json!(rows.len())),
        "longSum" => {
            let numbers = numbers()?;
            Some(if numbers.is_empty() { Value::Null } else { json!(numbers.iter().sum::<i64>()) })
        }
        "longMin" => Some(json!(numbers()?.iter().min())),
        "longMax" => Some(json!(numbers()?.iter().max())),
        "filtered" => {
            let mut kept = Vec::new();
            for row in rows {
                if holds(&spec["filter"], row)? == Some(true) {
                    kept.push(*row);
                }
            }
            aggregate(&spec["aggregator"], &kept)
        }
        _ => None,
    }
}

fn name_of(spec: &Value) -> Option<String> {
    spec["name"].as_str().map(str::to_owned)
}

/// The values of each group by the names of its dimensions and aggregations; groups unsorted.
pub(crate) fn groups(query: &Value, rows: &[Value]) -> Option<Vec<Map<String, Value>>> {
    if !query["dataSource"].is_string()
        || query.get("virtualColumns").is_some()
        || query.get("having").is_some()
        || query["granularity"] != json!("all")
    {
        return None;
    }
    let (start, end) = interval(query["intervals"].as_str()?)?;
    let mut kept: Vec<&Value> = Vec::new();
    for row in rows {
        let inside = row["__time"].as_i64().is_some_and(|at| start <= at && at < end);
        let passes = match query.get("filter") {
            Some(filter) => holds(filter, row)? == Some(true),
            None => true,
        };
        if inside && passes {
            kept.push(row);
        }
    }
    let mut dims: Vec<&Value> = query.get("dimension").into_iter().collect();
    dims.extend(query["dimensions"].as_array().into_iter().flatten());
    if dims.iter().any(|dim| dim["type"] != json!("default") || dim.get("outputType").is_some()) {
        return None;
    }
    let mut grouped: BTreeMap<Vec<Option<String>>, Vec<&Value>> = BTreeMap::new();
    if dims.is_empty() {
        grouped.insert(Vec::new(), kept);
    } else {
        for row in kept {
            let mut keys = vec![Vec::new()];
            for dim in &dims {
                let values = values(row, dim["dimension"].as_str()?);
                keys = keys
                    .iter()
                    .flat_map(|key| {
                        values.iter().map(move |value| {
                            let mut key = key.clone();
                            key.push(value.clone());
                            key
                        })
                    })
                    .collect();
            }
            keys.into_iter().for_each(|key| grouped.entry(key).or_default().push(row));
        }
    }
    let mut made = Vec::new();
    for (key, rows) in grouped {
        let mut group = Map::new();
        for (dim, value) in dims.iter().zip(key) {
            group.insert(dim["outputName"].as_str()?.to_owned(), json!(value));
        }
        for spec in query["aggregations"].as_array().into_iter().flatten() {
            if let Some(value) = aggregate(spec, &rows) {
                group.insert(name_of(spec)?, value);
            }
        }
        made.push(group);
    }
    Some(made)
}
