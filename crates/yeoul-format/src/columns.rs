//! A list of columns as a pipeline file writes it: a map `{ time: int, movie: string }` whose
//! order counts, or Spark's DDL string `"time INT, movie STRING"`.
//!
//! Invariant: the order is the file's, and no name appears twice.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema as JsonSchemaDoc, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::{COLUMNS_MAX, Column, ColumnType, TypeError, parse_columns};

/// See the module's head. Written as a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// Fails on a name that appears twice, and on none at all.
    pub fn parse(ddl: &str) -> Result<Self, TypeError> {
        parse_columns(ddl).map(Self)
    }

    pub fn into_vec(self) -> Vec<Column> {
        self.0
    }
}

impl Deref for Columns {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.0
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for column in &self.0 {
            map.serialize_entry(&column.name, &column.ty)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnsVisitor)
    }
}

struct ColumnsVisitor;

impl<'de> Visitor<'de> for ColumnsVisitor {
    type Value = Columns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("columns: a map such as { time: int, title: string }, or a text such as \"time INT, title STRING\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Columns, E> {
        Columns::parse(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
        let mut columns: Vec<Column> = Vec::new();
        while let Some((name, ty)) = map.next_entry::<String, ColumnType>()? {
            if columns.iter().any(|column| column.name == name) {
                return Err(Error::custom(format_args!("column `{name}` appears twice")));
            }
            if columns.len() == COLUMNS_MAX {
                return Err(Error::custom(format_args!("more than {COLUMNS_MAX} columns")));
            }
            columns.push(Column { name, ty });
        }
        Ok(Columns(columns))
    }
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> JsonSchemaDoc {
        let ty = generator.subschema_for::<ColumnType>();
        json_schema!({
            "description": "Column names and types, in order; or Spark's DDL as one text.",
            "oneOf": [
                { "type": "object", "additionalProperties": ty },
                { "type": "string" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_map_is_kept_and_ddl_reads_the_same() {
        let map: Columns =
            serde_json::from_str(r#"{"time":"int","movie":"string","a":"array<int>"}"#).unwrap();
        let ddl: Columns =
            serde_json::from_str(r#""time BIGINT, movie STRING, a ARRAY<INT>""#).unwrap();
        assert_eq!(map, ddl);
        let names: Vec<_> = map.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["time", "movie", "a"]);
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            r#"{"time":"int","movie":"string","a":"array<int>"}"#
        );
    }

    #[test]
    fn a_name_twice_or_an_unknown_type_is_refused() {
        let error = serde_json::from_str::<Columns>(r#"{"a":"int","a":"int"}"#).unwrap_err();
        assert!(error.to_string().contains("column `a` appears twice"), "{error}");
        let error = serde_json::from_str::<Columns>(r#"{"a":"itn"}"#).unwrap_err();
        assert!(error.to_string().contains("`itn` is not a type"), "{error}");
        assert!(serde_json::from_str::<Columns>("7").is_err());
    }
}
