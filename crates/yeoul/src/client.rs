//! The commands' way to a running node: its HTTP API.

use std::time::Duration;

use clap::Args;
use reqwest::StatusCode;
use serde_json::Value;

use crate::output::Failure;

/// Where the node answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeAddr {
    /// The node's HTTP address
    #[arg(long, global = true, env = "YEOUL_URL", default_value = "http://127.0.0.1:8888")]
    pub(crate) url: String,
    /// Token of a node that listens beyond this machine
    #[arg(long, global = true, env = "YEOUL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct NodeClient {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl NodeClient {
    pub(crate) fn new(addr: &NodeAddr) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        let base = format!("{}/api/v1", addr.url.trim_end_matches('/'));
        Ok(Self { http, base, token: addr.token.clone() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(self.http.get(format!("{}/{path}", self.base))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.http.post(format!("{}/{path}", self.base)).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        let request = self.http.delete(format!("{}/{path}", self.base));
        self.send(request.header("content-type", "application/json")).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                Failure::new(format!("no node answers at {}", self.base))
                    .hint("start one with `yeoul run FILE`, or name another with --url")
            } else {
                Failure::new(error.to_string())
            }
        })?;
        let status = response.status();
        let text = response.text().await?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(body);
        }
        Err(failure_of(status, &body, &text))
    }
}

fn failure_of(status: StatusCode, body: &Value, text: &str) -> Failure {
    let Some(message) = body.pointer("/error/message").and_then(Value::as_str) else {
        return Failure::new(format!("the node answered {status}: {text}"));
    };
    let place = match (body.pointer("/error/line"), body.pointer("/error/column")) {
        (Some(line), Some(column)) if line.is_u64() => format!(" (line {line}, column {column})"),
        _ => String::new(),
    };
    let failure = Failure::new(format!("{message}{place}"));
    match body.pointer("/error/hint").and_then(Value::as_str) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
