//! The HTTP port as a browser and a script see it, in front of a node made up in `fake`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
mod http;
mod live;
