//! One node of the tree as serde's deserializer. Scalars keep their spelling (`007` is text when
//! text is asked for), and an expression may stand wherever a scalar may.

use std::collections::HashSet;

use serde::de::{self, Visitor};

use super::parts::{Entries, Items, Tagged, TaggedDe};
use super::{Context, Error, Kind};
use crate::report::listed;
use crate::tree::{Node, Value};
use crate::vars::resolve;

/// One node as serde sees it.
pub(super) struct De<'a> {
    pub(super) node: &'a Node,
    pub(super) cx: &'a Context<'a>,
}

impl<'a> De<'a> {
    fn expected(&self, what: &str) -> Error {
        Error::at(self.node, format!("expected {what}, found {}", self.node.describe()))
    }

    /// The text of a scalar: as written for numbers, so that `007` and `1.10` stay themselves.
    /// The second part says whether it came out of an expression.
    fn text(&self) -> Result<(String, bool), Error> {
        match &self.node.value {
            Value::Text(text) => match resolve(text, self.cx.vars, self.cx.base_dir) {
                Ok(Some(resolved)) => Ok((resolved, true)),
                Ok(None) => Ok((text.clone(), false)),
                Err(error) => {
                    Err(Error::at(self.node, format!("{}\n{}", error.message, error.hint)))
                }
            },
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                Ok((self.cx.spelling(self.node).to_owned(), false))
            }
            Value::Null | Value::List(_) | Value::Map(_) => Err(self.expected("text")),
        }
    }

    fn visit_text<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        let (text, secret) = self.text()?;
        let result = visitor.visit_str::<Error>(&text);
        let result = result.map_err(|error| if secret { error.hiding(&text) } else { error });
        result.map_err(|error| error.within(self.node.place, None))
    }

    fn visit_number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Int(value) => visitor.visit_i64::<Error>(*value),
            Value::Float(value) => visitor.visit_f64::<Error>(*value),
            Value::Text(written) => {
                let (text, secret) = self.text()?;
                let found = if secret { written.as_str() } else { text.as_str() };
                match text.trim().parse::<i64>() {
                    // Only an expression may stand for a number as text.
                    Ok(value) if secret => {
                        visitor.visit_i64::<Error>(value).map_err(|error| error.hiding(&text))
                    }
                    _ => Err(Kind::Message(format!("expected a number, found `{found}`")).into()),
                }
            }
            _ => Err(self.expected("a number")),
        };
        result.map_err(|error| error.within(self.node.place, None))
    }

    pub(super) fn map<'de, V: Visitor<'de>>(
        &self,
        visitor: V,
        what: &str,
    ) -> Result<V::Value, Error> {
        let entries = self.node.as_map().ok_or_else(|| self.expected(what))?;
        visitor.visit_map(Entries { rest: entries, seen: HashSet::new(), value: None, cx: self.cx })
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.visit_number(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for De<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit::<Error>(),
            Value::Bool(value) => visitor.visit_bool::<Error>(*value),
            Value::Int(_) | Value::Float(_) => return self.visit_number(visitor),
            Value::Text(_) => return self.visit_text(visitor),
            Value::List(_) => return self.deserialize_seq(visitor),
            Value::Map(_) => return self.map(visitor, "a map"),
        };
        result.map_err(|error| error.within(self.node.place, None))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Text(text) if !text.contains("${") => {
                Err(Error::at(self.node, format!("expected `true` or `false`, found `{text}`")))
            }
            Value::Text(_) => match self.text()?.0.as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(self.expected("`true` or `false`")),
            },
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Map(entries) if entries.is_empty() => visitor.visit_unit(),
            _ => Err(self.expected("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(items) => visitor
                .visit_seq(Items { rest: items, cx: self.cx })
                .map_err(|error| error.within(self.node.place, None)),
            _ => Err(self.expected("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(visitor, "a map")
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let what = format!("a map with {}", listed(fields.iter().copied()));
        self.map(visitor, &what)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let choice = || format!("one of {}", listed(variants.iter().copied()));
        match &self.node.value {
            Value::Map(entries) => match entries.as_slice() {
                [(key, value)] => {
                    let tagged = Tagged { name: &key.name, place: key.place, value: Some(value) };
                    visitor.visit_enum(TaggedDe { tagged, cx: self.cx })
                }
                // The second key is the one too many.
                [_, (second, _), ..] => Err(Error {
                    place: Some(second.place),
                    ..Error::at(self.node, format!("expected only {}", choice()))
                }),
                [] => Err(self.expected(&choice())),
            },
            Value::Text(_) => {
                let (name, secret) = self.text()?;
                let tagged = Tagged { name: &name, place: self.node.place, value: None };
                let result = visitor.visit_enum(TaggedDe { tagged, cx: self.cx });
                result.map_err(|error| if secret { error.hiding(&name) } else { error })
            }
            _ => Err(self.expected(&choice())),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
