//! How the settings with more than one spelling are read: a key or a list of keys, a trigger,
//! a config value.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use yeoul_format::ColumnType;

use crate::model::{ColumnSpec, InOrder, KeyColumns, Trigger};

impl<T: Serialize> Serialize for InOrder<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrderVisitor(PhantomData))
    }
}

struct InOrderVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrderVisitor<T> {
    type Value = InOrder<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder<T>, A::Error> {
        let mut entries: Vec<(String, T)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, T>()? {
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(Error::custom(format_args!(
                    "`{name}` is set twice\nKeep one of them."
                )));
            }
            entries.push((name, value));
        }
        Ok(InOrder(entries))
    }
}

impl<T: JsonSchema> JsonSchema for InOrder<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("InOrder_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

impl<'de> Deserialize<'de> for ColumnSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnSpecVisitor)
    }
}

struct ColumnSpecVisitor;

impl<'de> Visitor<'de> for ColumnSpecVisitor {
    type Value = ColumnSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type such as `string`, or { path: \"$.a.b\", type: string }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ColumnSpec, E> {
        Ok(ColumnSpec { ty: text.parse().map_err(E::custom)?, path: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ColumnSpec, A::Error> {
        let (mut ty, mut path) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => ty = Some(map.next_value::<ColumnType>()?),
                "path" => path = Some(map.next_value::<String>()?),
                other => {
                    return Err(Error::custom(format_args!(
                        "unknown field `{other}`\nA column has `type` and `path`."
                    )));
                }
            }
        }
        let ty = ty.ok_or_else(|| Error::custom("a column needs a `type`\nSuch as `string`."))?;
        Ok(ColumnSpec { ty, path })
    }
}

impl JsonSchema for ColumnSpec {
    fn schema_name() -> Cow<'static, str> {
        "ColumnSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let ty = generator.subschema_for::<ColumnType>();
        json_schema!({
            "oneOf": [
                ty,
                {
                    "type": "object",
                    "properties": { "type": ty, "path": { "type": "string" } },
                    "required": ["type"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

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
