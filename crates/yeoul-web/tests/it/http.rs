//! Routes, refusals and files.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use yeoul_base::ManualClock;
use yeoul_web::{WebOptions, router};

use crate::fake::FakeNode;

pub(crate) fn options() -> WebOptions {
    WebOptions {
        allow_hosts: vec!["Yeoul.Test".to_owned()],
        insecure: false,
        token: None,
        extra: Router::new().route("/druid/v2/sql", post(async || "druid")),
        clock: Arc::new(ManualClock::at_ms(77)),
    }
}

fn app() -> Router {
    router(Arc::new(FakeNode::default()), options())
}

/// A request with `Host: localhost:8888` unless told otherwise.
async fn ask(
    app: Router,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
    body: &str,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !more.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8888");
    }
    for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    app.oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec()).unwrap()
}

async fn get(path: &str) -> (StatusCode, Value) {
    let response = ask(app(), "GET", path, &[], "").await;
    let status = response.status();
    (status, serde_json::from_str(&text(response).await).unwrap())
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

#[tokio::test]
async fn questions_are_answered_in_json() {
    let (status, info) = get("/api/v1/info").await;
    assert_eq!((status, &info["timezone"]), (StatusCode::OK, &json!("Asia/Seoul")));
    let (_, topics) = get("/api/v1/topics").await;
    assert_eq!(topics[0]["schema"], json!([{ "name": "movie", "type": "string" }]));
    let (_, topic) = get("/api/v1/topics/dead.source.%EC%98%81%ED%99%94").await;
    assert_eq!(topic["name"], "dead.source.영화");
    let (_, status) = get("/api/v1/status").await;
    assert_eq!(status["components"][0]["id"], "topic/movies");
    assert_eq!(status["components"][0]["detail"]["trigger"], "5s");
    assert_eq!(get("/api/v1/audit").await.1["balanced"], true);
    for empty in ["tables", "dead", "pipelines"] {
        assert_eq!(get(&format!("/api/v1/{empty}")).await, (StatusCode::OK, json!([])));
    }
    let (_, flow) = get("/api/v1/flow").await;
    assert_eq!(flow, json!({ "at_ms": 0, "nodes": [], "edges": [] }));
}

#[tokio::test]
async fn records_are_asked_for_by_place() {
    let (_, body) = get("/api/v1/topics/movies/records?from=10&limit=2").await;
    assert_eq!(body["records"][1]["offset"], 11);
    assert_eq!(body["records"][1]["value"], "영화 11");
    assert_eq!(body["records"][1]["headers"], json!([["h", null]]));
    let (_, body) = get("/api/v1/topics/movies/records").await;
    assert_eq!(body["records"].as_array().unwrap().len(), 100);
    for bad in ["from=-1", "from=x", "limit=0", "limit=1001", "partition=a", "form=latest"] {
        let (status, body) = get(&format!("/api/v1/topics/movies/records?{bad}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(body["error"]["message"].is_string(), "{bad}: {body}");
    }
    let (status, body) = get("/api/v1/topics/none/records").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body["error"]["message"], "there is no topic `none`");
}

#[tokio::test]
async fn writes_are_json_and_errors_have_a_place() {
    let post = |path: &'static str, body: &'static str| async move {
        let response = ask(app(), "POST", path, &[JSON], body).await;
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&text(response).await).unwrap())
    };
    let (status, body) = post("/api/v1/sql", r#"{"query":"SELECT 1","limit":3}"#).await;
    assert_eq!((status, &body["rows"]), (200, &json!([[3]])));
    let (status, body) = post("/api/v1/sql", r#"{"query":"SELECT * FORM"}"#).await;
    assert_eq!(status, 400);
    let error = json!({ "message": "expected FROM", "hint": "fix it", "line": 1, "column": 10 });
    assert_eq!(body, json!({ "error": error }));
    let (status, body) = post("/api/v1/sql", "{\"query\":\n1}").await;
    assert_eq!((status, &body["error"]["line"]), (400, &json!(2)));
    let (status, body) =
        post("/api/v1/apply", r#"{"files":[{"name":"a.yaml","text":""}],"dry_run":true}"#).await;
    assert_eq!((status, &body["applied"]), (200, &json!(false)));
    assert_eq!(body["changes"][0]["change"], "add");
    let druid = ask(app(), "POST", "/druid/v2/sql", &[JSON], "{}").await;
    assert_eq!(text(druid).await, "druid");
}

#[tokio::test]
async fn a_foreign_page_gets_nothing() {
    let sql = "/api/v1/sql";
    let body = r#"{"query":"SELECT 1"}"#;
    let status = |method: &'static str,
                  path: &'static str,
                  more: Vec<(&'static str, &'static str)>| async move {
        ask(app(), method, path, &more, body).await.status().as_u16()
    };
    for host in [
        "localhost",
        "127.0.0.1:8888",
        "127.9.9.9",
        "[::1]:8888",
        "host.docker.internal:8888",
        "yeoul.test:1",
        "LOCALHOST",
    ] {
        assert_eq!(status("GET", "/api/v1/info", vec![("host", host)]).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example:8888",
        "192.168.0.9:8888",
        "[::2]",
        "",
        "127.0.0.1.evil.example",
    ] {
        let got = status("GET", "/api/v1/info", vec![("host", host)]).await;
        assert!(matches!(got, 400 | 403), "{host}: {got}");
    }
    // A rebound name does not reach the page, Druid's face or the metrics either.
    for path in ["/", "/metrics", "/health/live"] {
        assert_eq!(status("GET", path, vec![("host", "evil.example")]).await, 403, "{path}");
    }
    assert_eq!(status("POST", "/druid/v2/sql", vec![("host", "evil.example"), JSON]).await, 403);

    assert_eq!(status("POST", sql, vec![JSON, ("origin", "http://localhost:8888")]).await, 200);
    assert_eq!(status("POST", sql, vec![JSON, ("origin", "http://yeoul.test:9")]).await, 200);
    for origin in ["http://evil.example", "null", "http://localhost:9999", "http://localhost"] {
        assert_eq!(status("POST", sql, vec![JSON, ("origin", origin)]).await, 403, "{origin}");
        let druid = status("POST", "/druid/v2/sql", vec![JSON, ("origin", origin)]).await;
        assert_eq!(druid, 403, "{origin}");
    }
    assert_eq!(status("POST", sql, vec![JSON, ("sec-fetch-site", "cross-site")]).await, 403);
    // As curl sends it to Druid's paths; a browser would say which page it comes from.
    let suspend = "/druid/indexer/v1/supervisor/x/suspend";
    assert_ne!(status("POST", suspend, vec![]).await, 415);
    assert_eq!(status("POST", suspend, vec![("origin", "http://evil.example")]).await, 403);
    assert_eq!(status("POST", sql, vec![]).await, 415);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"] {
        assert_eq!(status("POST", sql, vec![("content-type", kind)]).await, 415, "{kind}");
    }
    let upgrade = vec![
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("origin", "http://evil.example"),
    ];
    assert_eq!(status("GET", "/api/v1/live", upgrade).await, 403);
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let with_token = || {
        let options = WebOptions { token: Some("s3cr3t".to_owned()), ..options() };
        router(Arc::new(FakeNode::default()), options)
    };
    let status = |path: &'static str, authorization: &'static str| async move {
        let more = [("authorization", authorization), ("host", "192.168.0.9:8888")];
        ask(with_token(), "GET", path, &more, "").await
    };
    for right in ["Bearer s3cr3t", "bearer s3cr3t", "Basic eWVvdWw6czNjcjN0"] {
        assert_eq!(status("/api/v1/info", right).await.status(), StatusCode::OK, "{right}");
    }
    for wrong in ["", "Bearer s3cr3", "Bearer ", "Basic s3cr3t", "Basic eWVvdWw6", "s3cr3t"] {
        let response = status("/api/v1/info", wrong).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{wrong}");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
        assert!(!text(response).await.contains("s3cr3t"));
    }
    assert_eq!(status("/", "").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(status("/health/live", "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_page_is_served_for_every_address_of_the_app() {
    let page = ask(app(), "GET", "/", &[], "").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers()["cache-control"], "no-cache");
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'self'")
    );
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let tag = page.headers()["etag"].to_str().unwrap().to_owned();
    let page = text(page).await;
    for path in ["/topics", "/topics/dead.source.movies", "/index.html"] {
        assert_eq!(text(ask(app(), "GET", path, &[], "").await).await, page, "{path}");
    }
    let known = ask(app(), "GET", "/", &[("if-none-match", &tag)], "").await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let head = ask(app(), "HEAD", "/", &[], "").await;
    assert_eq!(head.headers()["content-length"], page.len().to_string().as_str());
    assert_eq!((head.status(), text(head).await.as_str()), (StatusCode::OK, ""));
    for missing in
        ["/assets/none.js", "/robots.txt", "/api/v1/none", "/api", "/druid/none", "/status"]
    {
        let response = ask(app(), "GET", missing, &[], "").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{missing}");
        assert_eq!(response.headers()["content-type"], "application/json", "{missing}");
    }
    for escape in
        ["/assets/../../../Cargo.toml", "/..%2f..%2fCargo.toml", "/assets/%2e%2e/SOURCE_HASH"]
    {
        let response = ask(app(), "GET", escape, &[], "").await;
        assert!(!text(response).await.contains("[workspace]"), "{escape}");
    }
}

/// The first script that the page names.
fn script(page: &str) -> String {
    let start = page.find("/assets/").expect("the page has a script");
    page[start..].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn files_with_a_hash_are_kept_and_come_compressed() {
    let path = script(&text(ask(app(), "GET", "/", &[], "").await).await);
    let plain = ask(app(), "GET", &path, &[], "").await;
    assert_eq!(plain.headers()["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(plain.headers()["content-type"], "text/javascript; charset=utf-8");
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = text(plain).await;
    for (accepted, compressed) in
        [("gzip, br;q=0.9", true), ("br;q=0, gzip", false), ("gzip", false)]
    {
        let response = ask(app(), "GET", &path, &[("accept-encoding", accepted)], "").await;
        assert_eq!(response.headers()["vary"], "accept-encoding");
        assert_eq!(response.headers().contains_key("content-encoding"), compressed, "{accepted}");
        assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
        let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        assert_eq!(body.len() < plain.len(), compressed, "{accepted}");
    }
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let node = Arc::new(FakeNode::default());
    let app = router(Arc::clone(&node) as _, options());
    assert_eq!(ask(app.clone(), "GET", "/health/ready", &[], "").await.status(), StatusCode::OK);
    *node.starting.lock().unwrap() = Some("table/films reads its topic again".to_owned());
    let response = ask(app.clone(), "GET", "/health/ready", &[], "").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(response).await, "table/films reads its topic again\n");
    let metrics = text(ask(app, "GET", "/metrics", &[], "").await).await;
    assert!(metrics.starts_with("yeoul_up 1\n"), "{metrics}");
    assert!(metrics.contains("\nyeoul_live_lines 0\n"), "{metrics}");
}

#[tokio::test]
async fn the_document_describes_every_route() {
    let (_, document) = get("/api/v1/openapi.json").await;
    assert_eq!(document["openapi"], "3.0.3");
    let flow = &document["paths"]["/flow"]["get"]["responses"]["200"]["content"];
    assert_eq!(flow["application/json"]["schema"]["$ref"], "#/components/schemas/Flow");
    let whole = document.to_string();
    for part in whole.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        let method = methods.as_object().unwrap().keys().next().unwrap().to_uppercase();
        let path = format!("/api/v1{}", path.replace("{name}", "movies"));
        let response = ask(app(), &method, &path, &[JSON], "{}").await;
        assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let body = text(response).await;
        assert!(!body.contains("there is no `/api"), "{path}: {body}");
    }
}
