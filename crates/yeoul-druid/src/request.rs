//! The body of `POST /druid/v2/sql`: JSON, or the bare SQL text.
//!
//! Invariant: what is not known in a body or its context is left alone, as Druid does; what is
//! known and cannot be used is an error, never a silent difference.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value};
use yeoul_sql::{ErrorKind, Parameter, QueryOptions, SqlError, Unnamed};

use crate::native::time::instant;

/// Set to false by who wants an answer computed anew: Druid keeps them per segment and whole, we
/// only whole.
pub(crate) const CACHE_KEYS: [&str; 2] = ["useCache", "useResultLevelCache"];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Format {
    #[default]
    Object,
    Array,
    ObjectLines,
    ArrayLines,
    Csv,
}

/// A value for a `?`.
#[derive(Debug, Deserialize)]
pub(crate) struct Typed {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: Value,
}

/// As clients send it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Request {
    pub(crate) query: String,
    pub(crate) result_format: Format,
    pub(crate) header: bool,
    pub(crate) types_header: bool,
    pub(crate) sql_types_header: bool,
    pub(crate) context: Option<Map<String, Value>>,
    pub(crate) parameters: Option<Vec<Typed>>,
}

const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

fn invalid(text: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::Invalid, text)
}

impl Request {
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, SqlError> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let text = || std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"));
        let request = match kind.as_str() {
            "text/plain" => Self::of_text(text()?.to_owned()),
            "application/x-www-form-urlencoded" => Self::of_text(form(text()?)?),
            _ => serde_json::from_slice(body)
                .map_err(|error| invalid(format!("the body is not a SQL request: {error}")))?,
        };
        if request.query.trim().is_empty() {
            return Err(invalid("`query` is empty"));
        }
        Ok(request)
    }

    fn of_text(query: String) -> Self {
        Self { query, ..Self::default() }
    }

    fn context(&self, name: &str) -> Option<&Value> {
        self.context.as_ref()?.get(name).filter(|value| !value.is_null())
    }

    /// From the context and the parameters.
    pub(crate) fn options(&self, id: &str) -> Result<QueryOptions, SqlError> {
        let mut options = QueryOptions {
            unnamed: Unnamed::Numbered,
            max_rows: usize::MAX,
            query_id: Some(id.to_owned()),
            who: "druid".to_owned(),
            approximate_count_distinct: self.flag("useApproximateCountDistinct", true),
            kept_answers: CACHE_KEYS.iter().all(|key| self.flag(key, true)),
            ..QueryOptions::default()
        };
        if let Some(ms) = self.number("timeout").filter(|ms| *ms > 0) {
            options.timeout = Duration::from_millis(ms).min(TIMEOUT_MAX);
        }
        if let Some(rows) = self.number("sqlOuterLimit") {
            options.outer_limit = Some(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        if let Some(zone) = self.context("sqlTimeZone") {
            let zone = zone.as_str().ok_or_else(|| invalid("`sqlTimeZone` must be a name"))?;
            options.zone = Some(zone.to_owned());
        }
        let parameters = self.parameters.iter().flatten();
        options.parameters = parameters
            .enumerate()
            .map(|(at, typed)| parameter(typed, at + 1))
            .collect::<Result<_, _>>()?;
        Ok(options)
    }

    pub(crate) fn query_id(&self) -> String {
        let given = self.context("sqlQueryId").or_else(|| self.context("queryId"));
        match given.and_then(Value::as_str) {
            Some(id) if !id.is_empty() && id.len() <= 128 => id.to_owned(),
            _ => uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Whether arrays are texts that hold JSON, as they are in Druid unless asked otherwise.
    pub(crate) fn stringify_arrays(&self) -> bool {
        self.flag("sqlStringifyArrays", true)
    }

    /// A number, also when a client sends it as text.
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.context(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        match self.context(name) {
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => default,
        }
    }
}

/// `query=SELECT+1`, or the encoded text alone.
fn form(body: &str) -> Result<String, SqlError> {
    let field = body.split('&').find_map(|part| part.strip_prefix("query="));
    let text = field.unwrap_or_else(|| body.strip_suffix('=').unwrap_or(body));
    let bad = || invalid("the body is not URL-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let value =
                    high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                value.ok_or_else(bad)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

fn parameter(typed: &Typed, place: usize) -> Result<Parameter, SqlError> {
    let Typed { kind, value } = typed;
    let kind = kind.to_ascii_uppercase();
    let wrong = || invalid(format!("parameter {place}: `{value}` is not a {kind}"));
    let text = || value.as_str().map(str::to_owned).or_else(|| scalar(value)).ok_or_else(wrong);
    Ok(match kind.as_str() {
        _ if value.is_null() => Parameter::Null,
        "VARCHAR" | "CHAR" => Parameter::Text(text()?),
        "BIGINT" | "INTEGER" | "SMALLINT" | "TINYINT" => {
            Parameter::Long(text()?.trim().parse().map_err(|_| wrong())?)
        }
        "DOUBLE" | "FLOAT" | "REAL" | "DECIMAL" => {
            Parameter::Double(text()?.trim().parse().map_err(|_| wrong())?)
        }
        "BOOLEAN" => match text()?.to_ascii_lowercase().as_str() {
            "true" | "1" => Parameter::Bool(true),
            "false" | "0" => Parameter::Bool(false),
            _ => return Err(wrong()),
        },
        "TIMESTAMP" => match value.as_i64() {
            Some(ms) => Parameter::Instant(ms),
            None => Parameter::Instant(instant(&text()?).flatten().ok_or_else(wrong)?),
        },
        "DATE" => Parameter::Date(text()?),
        "ARRAY" => {
            let items = value.as_array().ok_or_else(wrong)?;
            let items = items.iter().map(|item| element(item).ok_or_else(wrong));
            Parameter::Array(items.collect::<Result<_, _>>()?)
        }
        other => {
            let text = format!("parameter {place}: no type `{other}`");
            return Err(SqlError::new(ErrorKind::Unsupported, text));
        }
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn element(value: &Value) -> Option<Parameter> {
    Some(match value {
        Value::Null => Parameter::Null,
        Value::Bool(value) => Parameter::Bool(*value),
        Value::String(text) => Parameter::Text(text.clone()),
        Value::Number(number) => match number.as_i64() {
            Some(long) => Parameter::Long(long),
            None => Parameter::Double(number.as_f64()?),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        assert_eq!(form("SELECT+1%2B1").unwrap(), "SELECT 1+1");
        assert_eq!(form("query=SELECT%20%27%EC%97%AD%27&x=1").unwrap(), "SELECT '역'");
        assert!(form("%zz").is_err() && form("%e").is_err() && form("%ff").is_err());
    }

    #[test]
    fn parameters_have_their_types() {
        let read = |kind: &str, value: Value| parameter(&Typed { kind: kind.to_owned(), value }, 1);
        assert_eq!(read("varchar", Value::from("x")).unwrap(), Parameter::Text("x".into()));
        assert_eq!(read("BIGINT", Value::from("7")).unwrap(), Parameter::Long(7));
        assert_eq!(read("DOUBLE", Value::from(1)).unwrap(), Parameter::Double(1.0));
        assert_eq!(read("BOOLEAN", Value::from(true)).unwrap(), Parameter::Bool(true));
        assert_eq!(read("BIGINT", Value::Null).unwrap(), Parameter::Null);
        let at = read("TIMESTAMP", Value::from("1970-01-01 00:00:01")).unwrap();
        assert_eq!(at, Parameter::Instant(1_000));
        let array = read("ARRAY", serde_json::json!(["a", 1])).unwrap();
        assert_eq!(array, Parameter::Array(vec![Parameter::Text("a".into()), Parameter::Long(1)]));
        assert!(read("BIGINT", Value::from("x")).is_err());
        assert!(read("GEOMETRY", Value::from("x")).is_err());
    }
}
