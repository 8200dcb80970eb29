//! The web app, embedded. Files with a hash in their name never change and are kept by browsers
//! for good; the page itself is asked for again each time and mostly answered with 304.
//!
//! In a debug build the files are read from `ui/dist` when asked for, in a release build they
//! are in the binary.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::ApiError;

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
struct Dist;

const PAGE: &str = "index.html";
/// Paths that belong to an API: an unknown one is an error, not the page.
const APIS: [&str; 5] = ["/api/", "/druid/", "/status", "/health/", "/metrics"];

/// Whether the page is there: a node must not be shipped without.
pub(crate) fn has_page() -> bool {
    Dist::get(PAGE).is_some()
}

/// Answers everything that no route answers.
pub(crate) async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    if APIS.iter().any(|api| path.starts_with(api) || path == api.trim_end_matches('/')) {
        return ApiError::not_found(format!("there is no `{path}`"))
            .with_hint("`/api/v1/openapi.json` lists what there is.")
            .into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::new(405, format!("`{path}` can only be read")).into_response();
    }
    let name = path.trim_start_matches('/');
    let file = match serve(name, request.headers()) {
        Some(response) => response,
        // A page's address may hold a topic's name, dots and all; a file lies at the top or in
        // `assets/`.
        None if name.starts_with("assets/") || (name.contains('.') && !name.contains('/')) => {
            ApiError::not_found(format!("there is no file `{path}`")).into_response()
        }
        None => serve(PAGE, request.headers()).unwrap_or_else(|| {
            ApiError::new(500, "this binary was built without the web app")
                .with_hint("Build `ui/dist` first: `npm ci && npm run build` in `ui/`.")
                .into_response()
        }),
    };
    if request.method() == Method::HEAD { without_body(file) } else { file }
}

fn without_body(response: Response) -> Response {
    let (parts, _) = response.into_parts();
    Response::from_parts(parts, Body::empty())
}

fn serve(name: &str, asked: &HeaderMap) -> Option<Response> {
    let plain = Dist::get(name)?;
    let (file, encoding) = compressed(name, asked)
        .map_or((plain, None), |(file, encoding)| (file, Some(HeaderValue::from_static(encoding))));
    let tag = tag_of(&file);
    let mut headers = HeaderMap::new();
    let cache = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, tag.clone());
    if asked.get_all(header::IF_NONE_MATCH).iter().any(|known| holds_tag(known, &tag)) {
        return Some((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    // Said here, so that HEAD tells the length of what GET would bring.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(file.data.len()));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    Some((headers, file.data.into_owned()).into_response())
}

/// The file compressed in advance, if it is there and the client takes it.
fn compressed(name: &str, asked: &HeaderMap) -> Option<(EmbeddedFile, &'static str)> {
    let accepted = asked.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let accepts = |encoding: &str| {
        accepted.split(',').any(|one| {
            let (name, quality) = one.split_once(';').unwrap_or((one, ""));
            let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.trim() == "0");
            name.trim().eq_ignore_ascii_case(encoding) && !refused
        })
    };
    let known = [("br", "br"), ("gz", "gzip")];
    known.into_iter().filter(|(_, encoding)| accepts(encoding)).find_map(|(suffix, encoding)| {
        Dist::get(&format!("{name}.{suffix}")).map(|file| (file, encoding))
    })
}

/// 128 bits of the content's hash are enough to tell versions apart.
fn tag_of(file: &EmbeddedFile) -> HeaderValue {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn holds_tag(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
