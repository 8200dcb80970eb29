//! A topic's schema: a versioned fact beside the topic. Bytes: `docs/formats/schema.md`.
//!
//! Invariant: column names are unique; a schema without columns means that the topic's values
//! are raw bytes nobody parses.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, Store};

use crate::types::{COLUMNS_MAX, Column, ColumnType, TypeError};

const VERSION: u8 = 1;

/// Where a schema comes from; the first that applies wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Written in the pipeline file.
    Declared,
    /// The decode columns of the source that feeds the topic.
    Decoder,
    /// The plan of the stream that feeds the topic.
    Plan,
    /// Looked at the first records.
    Inferred,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    pub columns: Vec<Column>,
    pub origin: Origin,
    /// Counts up with each change; the first is 1.
    pub version: u32,
}

/// A schema's bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    #[error("schema: {0}")]
    Field(#[from] FieldError),
    #[error("schema: {0}")]
    Type(#[from] TypeError),
}

impl Schema {
    /// Version 1. Names must be unique (a column list that was parsed is).
    pub fn new(columns: Vec<Column>, origin: Origin) -> Self {
        Self { columns, origin, version: 1 }
    }

    /// The schema of the topic a query writes to, from the query's result columns.
    pub fn from_arrow(schema: &ArrowSchema, origin: Origin) -> Self {
        let column = |field: &Arc<Field>| {
            Column::new(field.name().as_str(), ColumnType::from_arrow(field.as_ref()))
        };
        Self::new(schema.fields().iter().map(column).collect(), origin)
    }

    /// As rows have it in memory. All fields are nullable.
    pub fn arrow(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(self.columns.iter().map(Column::arrow).collect::<Vec<_>>()))
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether values are raw bytes that nobody parses.
    pub fn is_raw(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether a value that breaks a column's type spoils its record. Else it becomes null and
    /// is kept in `_rest`.
    pub fn is_strict(&self) -> bool {
        self.origin != Origin::Inferred
    }

    pub fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        let origin = match self.origin {
            Origin::Declared => 1,
            Origin::Decoder => 2,
            Origin::Plan => 3,
            Origin::Inferred => 4,
        };
        out.u64(origin).u64(u64::from(self.version)).u64(self.columns.len() as u64);
        for column in &self.columns {
            out.str(&column.name).str(&column.ty.to_string());
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SchemaError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let origin = match input.u64("origin")? {
            1 => Origin::Declared,
            2 => Origin::Decoder,
            3 => Origin::Plan,
            4 => Origin::Inferred,
            _ => return Err(FieldError { field: "origin", what: "none of 1 to 4" }.into()),
        };
        let version = input.u32("version")?;
        let count = input.count("columns", 2)?;
        if count > COLUMNS_MAX {
            return Err(FieldError { field: "columns", what: "more than allowed" }.into());
        }
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let name = input.str("name")?.to_owned();
            columns.push(Column { name, ty: input.str("type")?.parse()? });
        }
        input.end()?;
        Ok(Self { columns, origin, version })
    }

    /// The fact that holds a topic's schema.
    pub fn fact_key(topic: &str) -> FactKey {
        FactKey::new(FactKind::Schema, topic.as_bytes().to_vec())
    }

    /// The topic's schema, `None` when it has none yet.
    pub fn load(store: &dyn Store, topic: &str) -> Result<Option<Self>, SchemaError> {
        store.fact(FactKind::Schema, topic.as_bytes()).map(|bytes| Self::decode(&bytes)).transpose()
    }

    /// The change that makes this the topic's schema, for a commit's facts.
    pub fn fact(&self, topic: &str) -> (FactKey, Option<Bytes>) {
        (Self::fact_key(topic), Some(self.encode()))
    }
}

#[cfg(test)]
mod tests {
    use yeoul_base::{Commit, MemStore};

    use super::*;
    use crate::columns::Columns;

    fn sample() -> Schema {
        let ddl = "time INT, title STRING, `a b` ARRAY<STRUCT<x: JSON>>, ts TIMESTAMP";
        Schema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Declared)
    }

    #[test]
    fn a_schema_survives_its_bytes() {
        let schema = Schema { version: 7, ..sample() };
        assert_eq!(Schema::decode(&schema.encode()), Ok(schema));
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let schema = Schema::new(vec![Column::new("a", ColumnType::Int)], Origin::Decoder).encode();
        assert_eq!(schema.as_ref(), b"\x01\x02\x01\x01\x01a\x03int");
    }

    #[test]
    fn bad_bytes_are_refused() {
        let good = sample().encode();
        for cut in 0..good.len() {
            assert!(Schema::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Schema::decode(b"\x01\x02\x01\x01\x01a\x03itn").is_err());
        assert!(Schema::decode(b"\x01\x05\x01\x00").is_err());
    }

    #[test]
    fn a_schema_is_a_fact_of_its_topic() {
        let store = MemStore::new();
        assert_eq!(Schema::load(&store, "movies"), Ok(None));
        let facts = vec![sample().fact("movies")];
        store.commit(Commit { facts, ..Commit::default() }).unwrap();
        assert_eq!(Schema::load(&store, "movies"), Ok(Some(sample())));
    }

    #[test]
    fn arrow_and_back() {
        let schema = sample();
        assert_eq!(Schema::from_arrow(&schema.arrow(), Origin::Declared), schema);
    }
}
