//! Kafka's protocol without IO: bytes to messages and back, for a server and for a client.
//!
//! Every message is described once, as a table of fields with the versions that have them
//! ([`api`]); reading and writing are two walks over that one table, so they cannot disagree.
//!
//! Invariant: reading never panics and never allocates more than the frame at hand justifies.
//! A length or a count is checked against the bytes that are left before anything is reserved,
//! and a frame has a budget of array elements ([`reader::Budget`]).

mod codec;

pub mod api;
pub mod codes;
pub mod error;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod reader;
pub mod writer;

pub use api::{Api, Message, Request};
pub use codec::{Codec, Field, Nullable, Records};
pub use codes::ErrorCode;
pub use error::WireError;
pub use frame::{RequestHeader, decode_response, encode_request, encode_response};
pub use reader::{Budget, Reader};
pub use writer::{Frame, Writer};

#[cfg(test)]
mod second_opinion;
#[cfg(test)]
mod tests;
