//! The aggregates through their public face: merging, bytes, hostile bytes.

#![allow(clippy::unwrap_used)]

mod bytes;
mod merging;
