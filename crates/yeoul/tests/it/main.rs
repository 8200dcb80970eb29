//! Whole nodes: the real binary on a fresh folder, seen only through its ports, its commands and
//! its exit codes, as a user sees it.
//!
//! Nothing here waits for a fixed time: every wait polls, and ends with what was last seen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a test may panic, and looks at the node from outside"
)]

mod api;
mod apply;
mod bad;
mod demo;
mod druid;
mod help;
mod kafka;
mod restart;
mod support;
mod tables;
mod wide;
