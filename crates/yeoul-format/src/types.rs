//! Column types and their two spellings: Spark's DDL (`BIGINT`, `ARRAY<INT>`,
//! `STRUCT<a: INT>`) is read, one short lower-case form (`int`, `array<int>`) is read and written.
//!
//! Invariant: what [`ColumnType`]'s `Display` writes, its `FromStr` reads back as the same type.
//! Types are kept on disk in this form (`docs/formats/schema.md`).

mod ddl;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use schemars::{JsonSchema, Schema as JsonSchemaDoc, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

pub(crate) use ddl::parse_columns;

/// Metadata key by which an Arrow field says that its text is more than text.
pub const TYPE_METADATA: &str = "yeoul.type";
/// How deep types may nest, and how many columns one list may have.
pub const TYPE_DEPTH_MAX: usize = 32;
/// See [`TYPE_DEPTH_MAX`].
pub const COLUMNS_MAX: usize = 4_096;

/// The unit of a number that counts from 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EpochUnit {
    Seconds,
    Millis,
    Micros,
}

/// What a column holds. Every column may be null.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnType {
    Bool,
    /// 64 bits, signed.
    Int,
    Double,
    String,
    /// Microseconds, UTC. Read from text: RFC 3339, or `yyyy-MM-dd HH:mm:ss` in the zone of the
    /// pipeline.
    Timestamp,
    /// As [`ColumnType::Timestamp`], and numbers count from 1970 in this unit.
    Epoch(EpochUnit),
    /// Days.
    Date,
    /// Any JSON value, kept as its text.
    Json,
    /// Base64 in JSON.
    Binary,
    Array(Box<ColumnType>),
    Struct(Vec<Column>),
}

/// A named column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: ColumnType,
}

impl Column {
    pub fn new(name: impl Into<String>, ty: ColumnType) -> Self {
        Self { name: name.into(), ty }
    }

    /// The Arrow field, always nullable.
    pub fn arrow(&self) -> Field {
        let field = Field::new(self.name.as_str(), self.ty.arrow(), true);
        match self.ty {
            ColumnType::Json => {
                field.with_metadata([(TYPE_METADATA.to_owned(), "json".to_owned())].into())
            }
            _ => field,
        }
    }
}

/// The text is not a type or not a list of columns; says where and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} (at character {at} of `{text}`)")]
pub struct TypeError {
    pub what: String,
    /// Characters from the start, counted from 1.
    pub at: usize,
    pub text: String,
}

impl ColumnType {
    /// The Arrow type that columns of this type have in memory.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::String | Self::Json => DataType::Utf8,
            Self::Timestamp | Self::Epoch(_) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
            }
            Self::Date => DataType::Date32,
            Self::Binary => DataType::Binary,
            Self::Array(item) => {
                DataType::List(Arc::new(Column::new("item", (**item).clone()).arrow()))
            }
            Self::Struct(columns) => {
                DataType::Struct(columns.iter().map(Column::arrow).collect::<Fields>())
            }
        }
    }

    /// The type that a column of a query's result has as a topic's column.
    pub fn from_arrow(field: &Field) -> Self {
        if field.metadata().get(TYPE_METADATA).is_some_and(|kind| kind == "json") {
            return Self::Json;
        }
        Self::from_data_type(field.data_type())
    }

    fn from_data_type(ty: &DataType) -> Self {
        match ty {
            DataType::Boolean => Self::Bool,
            ty if ty.is_integer() => Self::Int,
            ty if ty.is_numeric() => Self::Double,
            DataType::Timestamp(..) => Self::Timestamp,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Binary,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Self::Array(Box::new(Self::from_arrow(item))),
            DataType::Struct(fields) => Self::Struct(
                fields
                    .iter()
                    .map(|field| Column::new(field.name().as_str(), Self::from_arrow(field)))
                    .collect(),
            ),
            DataType::Map(..) | DataType::Union(..) => Self::Json,
            DataType::Dictionary(_, value) => Self::from_data_type(value),
            _ => Self::String,
        }
    }

    /// Whether a blank text stands for null: for every type whose values cannot be blank.
    pub fn blank_is_null(&self) -> bool {
        !matches!(self, Self::String | Self::Json | Self::Binary)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Double => "double",
            Self::String => "string",
            Self::Timestamp => "timestamp",
            Self::Epoch(EpochUnit::Seconds) => "epoch_s",
            Self::Epoch(EpochUnit::Millis) => "epoch_ms",
            Self::Epoch(EpochUnit::Micros) => "epoch_us",
            Self::Date => "date",
            Self::Json => "json",
            Self::Binary => "binary",
            Self::Array(item) => return write!(f, "array<{item}>"),
            Self::Struct(columns) => {
                f.write_str("struct<")?;
                for (index, column) in columns.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {}", ddl::Name(&column.name), column.ty)?;
                }
                return f.write_str(">");
            }
        };
        f.write_str(name)
    }
}

impl FromStr for ColumnType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        ddl::parse_type(text)
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ColumnType {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ColumnType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaDoc {
        json_schema!({
            "type": "string",
            "description": "bool, int, double, string, timestamp, epoch_s, epoch_ms, epoch_us, \
                date, json, binary, array<T>, struct<name: T, …>; Spark's names work too",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_back_as_written() {
        for text in [
            "bool",
            "int",
            "double",
            "string",
            "timestamp",
            "epoch_s",
            "epoch_ms",
            "epoch_us",
            "date",
            "json",
            "binary",
            "array<array<int>>",
            "struct<a: int, `b c`: array<struct<`한글`: string, `x``y`: json>>>",
            "struct<>",
        ] {
            let ty: ColumnType = text.parse().unwrap();
            assert_eq!(ty.to_string(), text);
            let field = Column::new("x", ty.clone()).arrow();
            let back = ColumnType::from_arrow(&field);
            match ty {
                ColumnType::Epoch(_) => assert_eq!(back, ColumnType::Timestamp),
                _ => assert_eq!(back, ty),
            }
        }
    }

    #[test]
    fn sparks_names_are_understood() {
        for (text, expect) in [
            ("BIGINT", "int"),
            ("Long", "int"),
            ("SMALLINT", "int"),
            ("FLOAT", "double"),
            ("VARCHAR(20)", "string"),
            ("BOOLEAN", "bool"),
            ("TIMESTAMP_NTZ", "timestamp"),
            ("MAP<STRING, ARRAY<INT>>", "json"),
            ("ARRAY<INT>", "array<int>"),
            ("STRUCT<a: INT, b STRING NOT NULL COMMENT 'it''s b'>", "struct<a: int, b: string>"),
        ] {
            assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), expect, "{text}");
        }
    }

    #[test]
    fn a_wrong_type_says_where_and_what() {
        let error = "array<strng>".parse::<ColumnType>().unwrap_err();
        assert_eq!(error.at, 7);
        assert!(error.to_string().contains("`strng` is not a type"), "{error}");
        let error = "decimal(10, 2)".parse::<ColumnType>().unwrap_err();
        assert!(error.what.contains("double"), "{error}");
        assert!("".parse::<ColumnType>().is_err());
        assert!("int int".parse::<ColumnType>().is_err());
        assert!("array<int".parse::<ColumnType>().is_err());
        assert!("struct<a: int, a: int>".parse::<ColumnType>().is_err());
        let deep = format!("{}int{}", "array<".repeat(5_000), ">".repeat(5_000));
        assert!(deep.parse::<ColumnType>().unwrap_err().what.contains("deep"));
    }
}
