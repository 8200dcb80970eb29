//! The body of `POST /druid/v2/sql`: JSON, or the bare SQL text.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value};
use yeoul_sql::{ErrorKind, QueryOptions, SqlError, Unnamed};

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

/// As clients send it; what is not known is left alone, as Druid does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Request {
    pub(crate) query: String,
    pub(crate) result_format: Format,
    pub(crate) header: bool,
    pub(crate) types_header: bool,
    pub(crate) sql_types_header: bool,
    pub(crate) context: Map<String, Value>,
    pub(crate) parameters: Vec<Value>,
}

impl Request {
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, SqlError> {
        let invalid = |text: String| SqlError::new(ErrorKind::Invalid, text);
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let request = if kind.starts_with("text/plain") {
            let query = std::str::from_utf8(body)
                .map_err(|_| invalid("the body is not UTF-8".to_owned()))?;
            Self { query: query.to_owned(), ..Self::default() }
        } else {
            serde_json::from_slice(body)
                .map_err(|error| invalid(format!("the body is not a SQL request: {error}")))?
        };
        if !request.parameters.is_empty() {
            return Err(SqlError::new(ErrorKind::Unsupported, "parameters are not offered")
                .hint("write the values into the query"));
        }
        Ok(request)
    }

    /// From the context: `timeout` in milliseconds, `sqlOuterLimit` in rows.
    pub(crate) fn options(&self) -> QueryOptions {
        let mut options = QueryOptions {
            unnamed: Unnamed::Numbered,
            max_rows: usize::MAX,
            ..QueryOptions::default()
        };
        if let Some(ms) = self.number("timeout").filter(|ms| *ms > 0) {
            options.timeout = Duration::from_millis(ms).min(Duration::from_secs(3_600));
        }
        if let Some(rows) = self.number("sqlOuterLimit") {
            options.max_rows = usize::try_from(rows).unwrap_or(usize::MAX);
        }
        options
    }

    pub(crate) fn query_id(&self) -> String {
        match self.context.get("sqlQueryId").and_then(Value::as_str) {
            Some(id) if !id.is_empty() && id.len() <= 128 => id.to_owned(),
            _ => uuid::Uuid::new_v4().to_string(),
        }
    }

    /// A number, also when a client sends it as text.
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.context.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }
}
