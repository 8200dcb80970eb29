//! Errors in Druid's shapes. Clients read `error` and `errorMessage` of every one of them, so
//! both are always there.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use yeoul_sql::{ErrorKind, SqlError};

/// An error that becomes a response.
#[derive(Debug)]
pub(crate) struct DruidError(SqlError);

impl From<SqlError> for DruidError {
    fn from(error: SqlError) -> Self {
        Self(error)
    }
}

impl DruidError {
    fn status(&self) -> StatusCode {
        match self.0.kind {
            ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Memory => StatusCode::BAD_REQUEST,
            ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Capacity => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> Value {
        let hint = self.0.hint.as_deref().map(|hint| format!(": {hint}")).unwrap_or_default();
        let text = format!("{}{hint}", self.0);
        // Clients wait for these texts.
        let known = match self.0.kind {
            ErrorKind::Timeout => Some(("Query timeout", "QueryTimeoutException")),
            ErrorKind::Memory => {
                Some(("Resource limit exceeded", "ResourceLimitExceededException"))
            }
            ErrorKind::Capacity => {
                Some(("Query capacity exceeded", "QueryCapacityExceededException"))
            }
            ErrorKind::Cancelled => Some(("Query cancelled", "QueryInterruptedException")),
            _ => None,
        };
        if let Some((error, class)) = known {
            return json!({
                "error": error,
                "errorMessage": text,
                "errorClass": class,
                "host": null,
            });
        }
        let (code, category, persona) = match self.0.kind {
            ErrorKind::Unsupported => ("unsupported", "UNSUPPORTED", "USER"),
            ErrorKind::Invalid | ErrorKind::TooLarge => ("invalidInput", "INVALID_INPUT", "USER"),
            _ => ("general", "RUNTIME_FAILURE", "OPERATOR"),
        };
        json!({
            "error": "druidException",
            "errorCode": code,
            "persona": persona,
            "category": category,
            "errorMessage": text,
            "context": {},
        })
    }
}

impl IntoResponse for DruidError {
    fn into_response(self) -> Response {
        (self.status(), Json(self.body())).into_response()
    }
}
