//! Who may ask: the checks that stand before every route, the Druid face's included.
//!
//! This port can run SQL and change the pipeline, and a browser lets any page of the world send
//! requests to it. So: the name in `Host` must be one of ours (a foreign name that was rebound
//! to our address is not), a write and the WebSocket must come from our own page or from no page
//! at all, and a body must be JSON (which a foreign page cannot send without asking first).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use sha2::{Digest, Sha256};

use crate::error::ApiError;

const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the checks need to know; made once.
pub(crate) struct Guard {
    /// Names from the command line, in lower case.
    allow_hosts: Vec<String>,
    /// Bound off loopback: then an address is as good as a name, as it cannot be rebound.
    off_loopback: bool,
    /// SHA-256 of the token.
    token: Option<[u8; 32]>,
}

impl Guard {
    pub(crate) fn new(allow_hosts: &[String], insecure: bool, token: Option<&str>) -> Self {
        Self {
            allow_hosts: allow_hosts.iter().map(|host| host.to_lowercase()).collect(),
            off_loopback: insecure || token.is_some(),
            token: token.map(digest),
        }
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let headers = request.headers();
        let authority = text(headers, &header::HOST)
            .or_else(|| request.uri().authority().map(|authority| authority.as_str()))
            .ok_or_else(|| ApiError::bad_request("the request names no host"))?;
        self.check_host(authority)?;
        self.check_token(request.uri().path(), headers)?;
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if writes || headers.contains_key(header::UPGRADE) {
            self.check_origin(authority, headers)?;
        }
        // A page of another site cannot send DELETE unasked, and of what has no body and no type
        // a browser says where it comes from. Druid's users send both with curl.
        let says_nothing = !headers.contains_key(header::CONTENT_TYPE)
            && text(headers, &header::CONTENT_LENGTH).is_none_or(|length| length == "0")
            && !headers.contains_key(header::TRANSFER_ENCODING)
            && request.uri().path().starts_with("/druid/");
        let plain = *request.method() == Method::DELETE || says_nothing;
        if writes && !plain { check_body_type(headers) } else { Ok(()) }
    }

    fn check_host(&self, authority: &str) -> Result<(), ApiError> {
        let host = host_of(authority).to_lowercase();
        let ours = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => self.off_loopback || address.is_loopback(),
            Err(_) => host == "localhost" || host == "host.docker.internal",
        };
        if ours || self.allow_hosts.contains(&host) {
            return Ok(());
        }
        let message = format!("`{host}` is not a name of this node");
        let hint = format!("If it should be, start the node with `--allow-host {host}`.");
        Err(ApiError::new(403, message).with_hint(hint))
    }

    /// Health is told to everybody: it says nothing but yes or no.
    fn check_token(&self, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = text(headers, &header::AUTHORIZATION).and_then(given_token);
        let right = given.is_some_and(|given| {
            // Digests are compared without an early end: the time says nothing about the token.
            let given = digest(&given);
            given.iter().zip(token).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
        });
        if right || path.starts_with("/health/") {
            return Ok(());
        }
        Err(ApiError::new(401, "this node wants its token")
            .with_hint("`yeoul token` prints it: send it as Bearer token or as Basic password."))
    }

    fn check_origin(&self, authority: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let origin = text(headers, &header::ORIGIN);
        let ours = match origin {
            // Not a browser, or our own page's plain request; the browser's own word decides.
            None => text(headers, &HeaderName::from_static("sec-fetch-site"))
                .is_none_or(|site| matches!(site, "same-origin" | "none")),
            Some(origin) => {
                let of_page = origin.split_once("://").map_or("", |(_, authority)| authority);
                let allowed = |host: &str| self.allow_hosts.contains(&host.to_lowercase());
                of_page.eq_ignore_ascii_case(authority) || allowed(host_of(of_page))
            }
        };
        if ours {
            return Ok(());
        }
        let page = origin.unwrap_or("another site");
        Err(ApiError::new(403, format!("a page of {page} may not ask this node"))
            .with_hint("Open the node's own page, or send the request without a browser."))
    }
}

/// Runs the checks, then the route, and puts the security headers on whatever comes back.
pub(crate) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let unauthorized = error.status == StatusCode::UNAUTHORIZED.as_u16();
            let mut response = error.into_response();
            if unauthorized {
                let ask = HeaderValue::from_static("Basic realm=\"yeoul\", charset=\"UTF-8\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
            }
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page of another site can post forms and plain text unasked, but not JSON.
fn check_body_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(415, "the body must be JSON")
        .with_hint("Send it with the header `Content-Type: application/json`."))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `host:port` without the port; an IPv6 address keeps its brackets.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

/// The token of `Bearer TOKEN`, or the password of `Basic base64(user:TOKEN)`.
fn given_token(authorization: &str) -> Option<String> {
    let (scheme, value) = authorization.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

fn digest(token: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(token).into()
}
