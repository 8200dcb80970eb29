//! How the settings with more than one spelling are read: a key or a list of keys, a trigger,
//! a config value.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::{KeyColumns, Trigger};

impl<'de> Deserialize<'de> for KeyColumns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = KeyColumns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name or a list of them")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<KeyColumns, E> {
        Ok(KeyColumns(vec![name.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<KeyColumns, A::Error> {
        let mut names: Vec<String> = Vec::new();
        while let Some(name) = items.next_element::<String>()? {
            if names.contains(&name) {
                return Err(Error::custom("a column is in the key twice\nKeep it once."));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(Error::custom(
                "a key needs a column\nLeave `key` out for records without a key.",
            ));
        }
        Ok(KeyColumns(names))
    }
}

impl JsonSchema for KeyColumns {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KeyColumns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Trigger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "once" => Ok(Self::Once),
            "available_now" => Ok(Self::AvailableNow),
            text => text.parse().map(Self::Every).map_err(|_| {
                Error::custom(format_args!(
                    "`{text}` is not a trigger\nWrite an interval such as `5s`, `once` or `available_now`."
                ))
            }),
        }
    }
}

impl JsonSchema for Trigger {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Trigger".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An interval such as 5s, or once, or available_now.",
        })
    }
}
