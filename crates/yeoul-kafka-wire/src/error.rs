//! Why bytes are not a message. Every variant ends the connection: a stream that was misread
//! once has lost its framing.

use thiserror::Error;

/// The bytes do not follow the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    #[error("the frame ends before the field does: {wanted} more bytes wanted, {left} left")]
    CutShort { wanted: usize, left: usize },
    #[error("a length of {0} is not possible here")]
    BadLength(i64),
    #[error("{wanted} array elements do not fit into the {left} bytes that are left")]
    TooManyElements { wanted: usize, left: usize },
    #[error("the frame has more array elements than the budget of {0} allows")]
    OverBudget(usize),
    #[error("the frame unfolds to more than {0} times its size")]
    Unfolds(usize),
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("a varint is longer than its type")]
    BadVarint,
    #[error("a field that must be there is null")]
    UnexpectedNull,
    #[error("API key {0} is unknown")]
    UnknownApi(i16),
    #[error("API {name} version {version} is not one of {min} to {max}")]
    UnknownVersion { name: &'static str, version: i16, min: i16, max: i16 },
    #[error("the answer has correlation id {got}, expected {expected}")]
    Correlation { expected: i32, got: i32 },
    #[error("a text of {0} bytes is too long for this version of the message")]
    TextTooLong(usize),
}
