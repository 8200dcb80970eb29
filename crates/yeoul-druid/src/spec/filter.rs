//! Filters of transforms and of filtered metrics as trees of Druid's expressions, so that a
//! filter and the expression for it mean the same.

use serde_json::Value;

use crate::expression::{self, Ast, Operator};

/// Filters within each other.
const DEPTH_MAX: usize = 40;

/// The tree of a filter's JSON text.
pub(super) fn tree(text: &str) -> Result<Ast, String> {
    let filter: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    of(&filter, DEPTH_MAX)
}

/// The columns a filter names.
pub(super) fn columns(text: &str) -> Result<Vec<String>, String> {
    Ok(tree(text)?.columns().into_iter().map(str::to_owned).collect())
}

fn of(filter: &Value, depth: usize) -> Result<Ast, String> {
    let depth = depth.checked_sub(1).ok_or("filters are nested too deeply")?;
    let kind = filter.get("type").and_then(Value::as_str).ok_or("a filter needs a `type`")?;
    let needed = |field: &str| {
        filter.get(field).ok_or_else(|| format!("a filter of type `{kind}` needs `{field}`"))
    };
    let text = |field: &str| {
        let value = needed(field)?;
        value.as_str().ok_or_else(|| format!("`{field}` of a `{kind}` filter is a text"))
    };
    if filter.get("extractionFn").is_some_and(|function| !function.is_null()) {
        return Err("extraction functions are not offered: use a transform".into());
    }
    let parts = |field: &str| -> Result<Vec<Ast>, String> {
        let items = needed(field)?.as_array().ok_or_else(|| format!("`{field}` is a list"))?;
        items.iter().map(|item| of(item, depth)).collect()
    };
    let column = |field: &str| text(field).map(|name| Ast::Name(name.to_owned()));
    Ok(match kind {
        "and" => Ast::All(parts("fields")?),
        "or" => Ast::Any(parts("fields")?),
        "not" => Ast::Not(Box::new(of(needed("field")?, depth)?)),
        "true" => Ast::Long(1),
        "false" => Ast::Long(0),
        "selector" => equals(column("dimension")?, filter.get("value").unwrap_or(&Value::Null))?,
        "equals" => equals(column("column")?, needed("matchValue")?)?,
        "null" => Ast::Call("isnull".into(), vec![column("column")?]),
        "in" => {
            let values = needed("values")?.as_array().ok_or("`values` is a list")?;
            let name = column("dimension").or_else(|_| column("column"))?;
            let each = values.iter().map(|value| equals(name.clone(), value));
            Ast::Any(each.collect::<Result<_, _>>()?)
        }
        "bound" => bound(filter, column("dimension")?)?,
        "range" => range(filter, &column("column")?)?,
        "like" => {
            let mut arguments = vec![column("dimension")?, Ast::String(text("pattern")?.into())];
            if let Some(escape) = filter.get("escape").and_then(Value::as_str) {
                arguments.push(Ast::String(escape.into()));
            }
            Ast::Call("like".into(), arguments)
        }
        "regex" => Ast::Call(
            "regexp_like".into(),
            vec![column("dimension")?, Ast::String(text("pattern")?.into())],
        ),
        "search" => search(needed("query")?, column("dimension")?)?,
        "expression" => {
            expression::parse(text("expression")?).map_err(|error| error.to_string())?
        }
        other => {
            return Err(format!(
                "filters of type `{other}` are not offered here: write an `expression`"
            ));
        }
    })
}

/// Of a text with a text: what a selector compares, whatever the column holds.
fn equals(name: Ast, value: &Value) -> Result<Ast, String> {
    let constant = match value {
        Value::Null => return Ok(Ast::Call("isnull".into(), vec![name])),
        Value::String(text) => Ast::String(text.clone()),
        Value::Bool(flag) => Ast::String(flag.to_string()),
        other => number(other)?,
    };
    Ok(binary(Operator::Equal, name, constant))
}

fn binary(operator: Operator, left: Ast, right: Ast) -> Ast {
    Ast::Binary(operator, Box::new(left), Box::new(right))
}

fn number(value: &Value) -> Result<Ast, String> {
    match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => Ok(Ast::Long(whole)),
        (None, Some(number)) => Ok(Ast::Double(number)),
        (None, None) => Err(format!("`{value}` is not a value to compare with")),
    }
}

/// Comparisons of texts, or of numbers with `"ordering": "numeric"`.
fn bound(filter: &Value, name: Ast) -> Result<Ast, String> {
    let ordering = filter.get("ordering").and_then(Value::as_str).unwrap_or("lexicographic");
    let numeric = match ordering {
        "numeric" => true,
        "lexicographic" => false,
        other => return Err(format!("the ordering `{other}` is not offered")),
    };
    let cast = |to: &str, value: Ast| Ast::Call("cast".into(), vec![value, Ast::String(to.into())]);
    let side = if numeric { cast("DOUBLE", name) } else { cast("STRING", name) };
    let mut parts = Vec::new();
    for (limit, strict, operators) in [
        ("lower", "lowerStrict", [Operator::GreaterEqual, Operator::Greater]),
        ("upper", "upperStrict", [Operator::LessEqual, Operator::Less]),
    ] {
        let Some(value) = filter.get(limit).filter(|value| !value.is_null()) else { continue };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = if numeric {
            let number = text.trim().parse::<f64>();
            Ast::Double(number.map_err(|_| format!("`{text}` is not a number"))?)
        } else {
            Ast::String(text)
        };
        let strict = filter.get(strict).and_then(Value::as_bool).unwrap_or(false);
        let [loose, tight] = operators;
        parts.push(binary(if strict { tight } else { loose }, side.clone(), value));
    }
    Ok(Ast::All(parts))
}

fn range(filter: &Value, name: &Ast) -> Result<Ast, String> {
    let mut parts = Vec::new();
    for (limit, open, operators) in [
        ("lower", "lowerOpen", [Operator::GreaterEqual, Operator::Greater]),
        ("upper", "upperOpen", [Operator::LessEqual, Operator::Less]),
    ] {
        let Some(value) = filter.get(limit).filter(|value| !value.is_null()) else { continue };
        let value = match value {
            Value::String(text) => Ast::String(text.clone()),
            other => number(other)?,
        };
        let open = filter.get(open).and_then(Value::as_bool).unwrap_or(false);
        let [closed, tight] = operators;
        parts.push(binary(if open { tight } else { closed }, name.clone(), value));
    }
    Ok(Ast::All(parts))
}

fn search(query: &Value, name: Ast) -> Result<Ast, String> {
    let kind = query.get("type").and_then(Value::as_str).unwrap_or_default();
    let value = query.get("value").and_then(Value::as_str).unwrap_or_default();
    let folded = match kind {
        "insensitive_contains" => true,
        "contains" => !query.get("caseSensitive").and_then(Value::as_bool).unwrap_or(false),
        other => return Err(format!("a search of type `{other}` is not offered")),
    };
    let function = if folded { "icontains_string" } else { "contains_string" };
    Ok(Ast::Call(function.into(), vec![name, Ast::String(value.into())]))
}
