//! One description of a message for both directions: a [`Field`] walks itself over a [`Codec`],
//! which either fills it (reader) or puts it down (writer).
//!
//! The [`message!`](crate::codec::message) macro turns a table of fields, each with its
//! versions, into a struct and its walk.

use bytes::Bytes;

use crate::codes::ErrorCode;
use crate::error::WireError;

/// The two directions. Lengths are compact (varint, plus one) in flexible versions.
pub trait Codec {
    /// The message's version.
    fn version(&self) -> i16;
    fn int<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError>;
    fn text(&mut self, value: &mut Option<String>) -> Result<(), WireError>;
    fn bytes(&mut self, value: &mut Option<Bytes>) -> Result<(), WireError>;
    fn records(&mut self, value: &mut Records) -> Result<(), WireError>;
    fn array<T: Field + Default>(&mut self, value: &mut Option<Vec<T>>) -> Result<(), WireError>;
    /// The tagged fields that end a struct in flexible versions: none written, all skipped.
    fn tags(&mut self) -> Result<(), WireError>;
}

/// Anything a message is made of.
pub trait Field {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError>;
}

/// Record batches of an answer: any number of whole batches, written one after another without
/// being copied together. Read, they are one piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records(pub Vec<Bytes>);

impl Records {
    /// Bytes of all batches.
    pub fn len_bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

macro_rules! int_field {
    ($($int:ty),*) => {$(
        impl Field for $int {
            fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
                let mut bytes = self.to_be_bytes();
                codec.int(&mut bytes)?;
                *self = <$int>::from_be_bytes(bytes);
                Ok(())
            }
        }
    )*};
}

int_field!(i8, i16, u16, i32, i64);

impl Field for bool {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        let mut byte = [u8::from(*self)];
        codec.int(&mut byte)?;
        *self = byte != [0];
        Ok(())
    }
}

impl Field for ErrorCode {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        self.0.walk(codec)
    }
}

/// A struct that may be absent: a byte of −1 or 1 in front says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nullable<T>(pub Option<T>);

impl<T: Field + Default> Field for Nullable<T> {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        let mut present: i8 = if self.0.is_some() { 1 } else { -1 };
        present.walk(codec)?;
        if present < 0 {
            self.0 = None;
            return Ok(());
        }
        self.0.get_or_insert_default().walk(codec)
    }
}

/// A topic's id.
impl Field for [u8; 16] {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        codec.int(self)
    }
}

impl Field for Records {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        codec.records(self)
    }
}

/// Lends the value to a nullable walk and refuses null.
fn present<T>(
    value: &mut T,
    walk: impl FnOnce(&mut Option<T>) -> Result<(), WireError>,
) -> Result<(), WireError>
where
    T: Default,
{
    let mut lent = Some(std::mem::take(value));
    walk(&mut lent)?;
    *value = lent.ok_or(WireError::UnexpectedNull)?;
    Ok(())
}

impl Field for String {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        present(self, |value| codec.text(value))
    }
}

impl Field for Option<String> {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        codec.text(self)
    }
}

impl Field for Bytes {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        present(self, |value| codec.bytes(value))
    }
}

impl Field for Option<Bytes> {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        codec.bytes(self)
    }
}

impl<T: Field + Default> Field for Vec<T> {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        present(self, |value| codec.array(value))
    }
}

impl<T: Field + Default> Field for Option<Vec<T>> {
    fn walk<C: Codec>(&mut self, codec: &mut C) -> Result<(), WireError> {
        codec.array(self)
    }
}

/// A message or a part of one: `[versions] name: type = default,` per field, in wire order. A
/// field outside its versions is neither read nor written; read, it has its default. Flexible
/// versions get their tagged fields at the end of every struct.
macro_rules! message {
    ($(
        $(#[$outer:meta])*
        pub struct $name:ident {
            $($(#[$inner:meta])* [$versions:expr] $field:ident : $type:ty $(= $default:expr)?,)*
        }
    )*) => {$(
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$inner])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::codec::message!(@default $($default)?),)* }
            }
        }

        impl $crate::codec::Field for $name {
            fn walk<C: $crate::codec::Codec>(
                &mut self,
                codec: &mut C,
            ) -> Result<(), $crate::error::WireError> {
                $(
                    if ($versions).contains(&codec.version()) {
                        $crate::codec::Field::walk(&mut self.$field, codec)?;
                    }
                )*
                codec.tags()
            }
        }
    )*};
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
}

pub(crate) use message;
