//! HTTP: the JSON API, the live WebSocket and the embedded web app.
//!
//! What it asks of the node are the few methods of [`Node`]; what it says to the world are the
//! plain types of [`dto`]. It knows no file, no SQL and no Arrow. A request from a page of
//! another site, or one that reached us through a rebound name, never gets to the node.

mod api;
mod assets;
pub mod dto;
mod error;
mod guard;
mod live;
mod node;
mod openapi;
mod router;
mod tables;

pub use error::{ApiError, ErrorBody, Problem};
pub use node::{BoxFuture, LiveQuery, LiveRows, Node, TAIL_BATCHES_MAX, Tail, TailBatch};

pub use router::{WebOptions, router};

/// The most records one request or one tail subscription may ask for.
pub const RECORDS_LIMIT_MAX: usize = 1_000;
