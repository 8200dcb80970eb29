//! The frames of the live line as text. `docs/formats/live.md` describes them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::RECORDS_LIMIT_MAX;
use crate::error::ApiError;

const TAIL_LIMIT_DEFAULT: usize = 100;

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe { id: u64, wanted: Subscribe },
    Unsubscribe { id: u64 },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subscribe {
    Flow,
    Tail { topic: String, limit: usize },
    Query { sql: String },
}

/// What a subscription says; `data` is JSON already.
#[derive(Debug, Clone)]
pub(super) enum Update {
    Snapshot(Bytes),
    Delta(Bytes),
    Error(ApiError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    op: String,
    id: u64,
    kind: Option<String>,
    topic: Option<String>,
    limit: Option<usize>,
    sql: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Request, ApiError> {
    let raw: Raw = serde_json::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("a frame that cannot be read: {error}")))?;
    let id = raw.id;
    match (raw.op.as_str(), raw.kind.as_deref()) {
        ("unsub", _) => Ok(Request::Unsubscribe { id }),
        ("sub", Some("flow")) => Ok(Request::Subscribe { id, wanted: Subscribe::Flow }),
        ("sub", Some("tail")) => {
            let missing = || ApiError::bad_request("a tail needs a `topic`");
            let topic = raw.topic.ok_or_else(missing)?;
            let limit = raw.limit.unwrap_or(TAIL_LIMIT_DEFAULT);
            if !(1..=RECORDS_LIMIT_MAX).contains(&limit) {
                let message = format!("limit: expected 1 to {RECORDS_LIMIT_MAX}");
                return Err(ApiError::bad_request(message));
            }
            Ok(Request::Subscribe { id, wanted: Subscribe::Tail { topic, limit } })
        }
        ("sub", Some("query")) => {
            let missing = || ApiError::bad_request("a query needs its `sql`");
            let sql = raw.sql.ok_or_else(missing)?;
            Ok(Request::Subscribe { id, wanted: Subscribe::Query { sql } })
        }
        _ => Err(ApiError::bad_request("a frame that is not known")
            .with_hint("`op` is `sub` or `unsub`, `kind` is `flow`, `tail` or `query`.")),
    }
}

pub(super) fn beat(now_ms: i64) -> String {
    format!(r#"{{"type":"beat","now_ms":{now_ms}}}"#)
}

/// A frame of a subscription; `seq` counts from 1.
pub(super) fn update(id: u64, seq: u64, update: &Update) -> String {
    let (kind, data) = match update {
        Update::Snapshot(data) => ("snapshot", data),
        Update::Delta(data) => ("delta", data),
        Update::Error(error) => return self::error(Some(id), seq, error),
    };
    // The data was made by serde_json, so it is UTF-8.
    let data = std::str::from_utf8(data).unwrap_or("null");
    format!(r#"{{"id":{id},"seq":{seq},"type":"{kind}","data":{data}}}"#)
}

/// `seq` 0: the subscription did not begin.
pub(super) fn error(id: Option<u64>, seq: u64, error: &ApiError) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        r#type: &'static str,
        #[serde(flatten)]
        error: &'a ApiError,
    }
    let seq = (seq > 0).then_some(seq);
    serde_json::to_string(&Frame { id, seq, r#type: "error", error })
        .unwrap_or_else(|_| r#"{"type":"error","message":"an error that cannot be told"}"#.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_document() {
        assert_eq!(beat(7), r#"{"type":"beat","now_ms":7}"#);
        let data = Bytes::from_static(b"{\"a\":1}");
        assert_eq!(
            update(1, 2, &Update::Delta(data)),
            r#"{"id":1,"seq":2,"type":"delta","data":{"a":1}}"#
        );
        let refused = ApiError::bad_request("no \"x\"").with_hint("y").at(1, 2);
        assert_eq!(
            update(3, 4, &Update::Error(refused.clone())),
            r#"{"id":3,"seq":4,"type":"error","message":"no \"x\"","hint":"y","line":1,"column":2}"#
        );
        assert_eq!(
            error(None, 0, &ApiError::bad_request("z")),
            r#"{"type":"error","message":"z"}"#
        );
    }

    #[test]
    fn requests_are_read() {
        let sub = |wanted| Ok(Request::Subscribe { id: 1, wanted });
        assert_eq!(parse(r#"{"op":"sub","id":1,"kind":"flow"}"#), sub(Subscribe::Flow));
        assert_eq!(
            parse(r#"{"op":"sub","id":1,"kind":"tail","topic":"m"}"#),
            sub(Subscribe::Tail { topic: "m".into(), limit: 100 })
        );
        assert_eq!(parse(r#"{"op":"unsub","id":2}"#), Ok(Request::Unsubscribe { id: 2 }));
        for bad in [
            "",
            "[]",
            r#"{"op":"sub","id":-1,"kind":"flow"}"#,
            r#"{"op":"sub","id":1,"kind":"tail"}"#,
            r#"{"op":"sub","id":1,"kind":"tail","topic":"m","limit":1001}"#,
            r#"{"op":"sub","id":1,"kind":"query"}"#,
            r#"{"op":"sub","id":1,"kind":"other"}"#,
            r#"{"op":"sub","id":1,"kind":"flow","more":1}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
