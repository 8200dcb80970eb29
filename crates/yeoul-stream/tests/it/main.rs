//! Streams and tables as a node runs them: with their threads, over the real log.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and say why it was skipped"
)]

mod crash;
mod node;
mod real;
mod retention;
