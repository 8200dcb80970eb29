//! JSON text: columns of kind JSON, and `_rest`, which holds what has no column.
//!
//! Invariant: what is read keeps its digits; text that is not JSON has nothing in it.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use yeoul_format::{JsonPlace, JsonStep, json_at, json_keys};

use super::call::{Call, Definition, Gives, Takes};

/// Steps of one path.
const STEPS_MAX: usize = 64;

const fn json(
    name: &'static str,
    aliases: &'static [&'static str],
    least: usize,
    takes: &'static [Takes],
    gives: Gives,
    invoke: fn(&Call) -> Result<ArrayRef>,
) -> Definition {
    Definition { name, aliases, least, takes, endless: false, gives, invoke }
}

const PATH: &[Takes] = &[Takes::Text, Takes::Text];
const STEP: &[Takes] = &[Takes::Text, Takes::Any];

pub(crate) static JSON_VALUE: Definition =
    json("json_value", &[], 2, PATH, Gives::Text, |call| at_path(call, false));

pub(super) static FUNCTIONS: &[Definition] = &[
    json("json_query", &[], 2, PATH, Gives::Text, |call| at_path(call, true)),
    json("json_keys", &[], 1, PATH, Gives::Texts, keys),
    json("to_json_string", &[], 1, &[Takes::Any], Gives::Text, to_json),
    json("try_parse_json", &[], 1, &[Takes::Text], Gives::Text, |call| parse(call, true)),
    json("parse_json", &[], 1, &[Takes::Text], Gives::Text, |call| parse(call, false)),
    json("json_get", &[], 2, STEP, Gives::Text, |call| step(call, true)),
    json("json_get_text", &[], 2, STEP, Gives::Text, |call| step(call, false)),
];

/// `$.a.b[0]['c d']` or `$."c d"`. `None`: not a path.
pub(crate) fn steps(path: &str) -> Option<Vec<JsonStep>> {
    let mut rest = path.trim();
    rest = rest.strip_prefix('$').unwrap_or(rest);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == STEPS_MAX {
            return None;
        }
        if let Some((quote, after)) = ["'", "\""]
            .iter()
            .find_map(|quote| Some((quote, rest.strip_prefix('[')?.strip_prefix(quote)?)))
        {
            let (key, after) = after.split_once(&format!("{quote}]"))?;
            steps.push(JsonStep::Key(key.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            steps.push(JsonStep::Index(index.trim().parse().ok()?));
            rest = after;
        } else if let Some(after) = rest.strip_prefix(".\"") {
            let (key, after) = after.split_once('"')?;
            steps.push(JsonStep::Key(key.to_owned()));
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at_checked(end)?;
            match (key, after) {
                // `$.` alone is the value itself.
                ("", "") => {}
                ("", _) => return None,
                _ => steps.push(JsonStep::Key(key.to_owned())),
            }
            rest = after;
        }
    }
    Some(steps)
}

fn path(call: &Call, index: usize) -> Result<Vec<JsonStep>> {
    let path = call.constant(index)?.unwrap_or("$");
    match steps(path) {
        Some(steps) => Ok(steps),
        None => exec_err!("{}: `{path}` is not a path such as `$.a.b[0]`", call.shown()),
    }
}

/// Appends a place as text; `nested`: as JSON, whatever it is. `None`: nothing to show.
fn shown(place: Option<JsonPlace<'_>>, nested: bool, out: &mut String) -> Option<()> {
    match place? {
        JsonPlace::Null => return None,
        JsonPlace::Text(text) if nested => out.push_str(&serde_json::Value::from(text).to_string()),
        JsonPlace::Text(text) => out.push_str(&text),
        JsonPlace::Scalar(text) => out.push_str(text),
        JsonPlace::Nested(text) if nested => out.push_str(text),
        JsonPlace::Nested(_) => return None,
    }
    Some(())
}

/// `JSON_VALUE` has nothing for objects and arrays, `JSON_QUERY` gives JSON for all.
fn at_path(call: &Call, nested: bool) -> Result<ArrayRef> {
    let path = path(call, 1)?;
    let mut rows = call.text(0)?.iter();
    call.texts(|_, out| {
        let place = rows.next().flatten().and_then(|text| json_at(text, &path).ok().flatten());
        Ok(shown(place, nested, out))
    })
}

/// `->` and `->>`: one key, or one index of an array; a text that starts with `$` is a path.
fn step(call: &Call, as_json: bool) -> Result<ArrayRef> {
    let path = match call.argument(1)?.data_type() {
        ty if ty.is_integer() => match call.constant_number(1)? {
            Some(index) if index >= 0 => vec![JsonStep::Index(index as usize)],
            _ => return exec_err!("an index after `->` is a constant from 0"),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match call.constant(1)? {
            Some(text) if text.starts_with('$') => path(call, 1)?,
            Some(key) => vec![JsonStep::Key(key.to_owned())],
            None => return exec_err!("a key after `->` is a constant"),
        },
        other => return exec_err!("after `->` comes a key or an index, not {other}"),
    };
    let mut rows = call.text(0)?.iter();
    call.texts(|_, out| {
        let place = rows.next().flatten().and_then(|text| json_at(text, &path).ok().flatten());
        if let (false, Some(JsonPlace::Nested(text))) = (as_json, &place) {
            out.push_str(text);
            return Ok(Some(()));
        }
        Ok(shown(place, as_json, out))
    })
}

fn keys(call: &Call) -> Result<ArrayRef> {
    let path = path(call, 1)?;
    let mut out = ListBuilder::new(StringBuilder::new());
    let mut bytes = 0;
    for text in call.text(0)? {
        let place = text.and_then(|text| json_at(text, &path).ok().flatten());
        let keys = match place {
            Some(JsonPlace::Nested(text)) => json_keys(text).ok().flatten(),
            _ => None,
        };
        let some = keys.is_some();
        for key in keys.unwrap_or_default() {
            bytes += key.len();
            call.room(bytes)?;
            out.values().append_value(key);
        }
        out.append(some);
    }
    Ok(Arc::new(out.finish()))
}

/// A number and a truth value as they are, text and times in quotes, what is nested as JSON. Text
/// that is JSON already is left: columns of kind JSON are text.
fn to_json(call: &Call) -> Result<ArrayRef> {
    let given = call.argument(0)?;
    let is_text =
        matches!(given.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let schema = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
        "v",
        given.data_type().clone(),
        true,
    )]);
    let batch = arrow::array::RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(given)])?;
    let rows = crate::encode::Rows::new(&batch, crate::encode::Style::default())?;
    let nested = given.data_type().is_nested();
    call.texts(|row, out| {
        if arrow::array::Array::is_null(given, row) {
            return Ok(None);
        }
        let mut one = String::new();
        if is_text || nested {
            rows.csv_plain(row, &mut one);
            if nested
                || json_at(&one, &[]).is_ok_and(|place| matches!(place, Some(JsonPlace::Nested(_))))
            {
                out.push_str(&one);
                return Ok(Some(()));
            }
            one.clear();
        }
        rows.array(row, &mut one);
        out.push_str(one.get(1..one.len().saturating_sub(1)).unwrap_or_default());
        Ok(Some(()))
    })
}

fn parse(call: &Call, lenient: bool) -> Result<ArrayRef> {
    let mut rows = call.text(0)?.iter();
    call.texts(|_, out| {
        let Some(text) = rows.next().flatten() else { return Ok(None) };
        match json_at(text, &[]) {
            Ok(_) => out.push_str(text),
            Err(_) if lenient => return Ok(None),
            Err(error) => return exec_err!("{}: not JSON: {error}", call.shown()),
        }
        Ok(Some(()))
    })
}
