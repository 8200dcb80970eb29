//! A topic's schema: a versioned fact beside the topic. Bytes: `docs/formats/schema.md`.
//!
//! Invariants: column names are unique; a schema without columns means that the topic's values
//! are raw bytes nobody parses. What a file or a query says of a topic holds for its name, what
//! was found in records holds for the topic they were in: one made again is looked at again.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, Store, TopicId, TopicInfo};

use crate::types::{COLUMNS_MAX, Column, ColumnType, TypeError};

const VERSION: u8 = 2;

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

    /// `found_in`: the topic whose records told an inferred schema; for another it is left out.
    fn encode(&self, found_in: TopicId) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        let origin = match self.origin {
            Origin::Declared => 1,
            Origin::Decoder => 2,
            Origin::Plan => 3,
            Origin::Inferred => 4,
        };
        out.u64(origin).u64(u64::from(self.version));
        if self.origin == Origin::Inferred {
            out.id16(&found_in.0);
        }
        out.u64(self.columns.len() as u64);
        for column in &self.columns {
            out.str(&column.name).str(&column.ty.to_string());
        }
        out.finish()
    }

    /// With the topic whose records told it, if they did.
    fn decode(bytes: &[u8]) -> Result<(Self, Option<TopicId>), SchemaError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let origin = match input.u64("origin")? {
            1 => Origin::Declared,
            2 => Origin::Decoder,
            3 => Origin::Plan,
            4 => Origin::Inferred,
            _ => return Err(FieldError { field: "origin", what: "none of 1 to 4" }.into()),
        };
        let version = input.u32("version")?;
        let found_in = match origin {
            Origin::Inferred => Some(TopicId(input.id16("topic")?)),
            _ => None,
        };
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
        Ok((Self { columns, origin, version }, found_in))
    }

    /// The fact that holds a topic's schema.
    pub fn fact_key(topic: &str) -> FactKey {
        FactKey::new(FactKind::Schema, topic.as_bytes().to_vec())
    }

    /// The topic's schema, `None` when it has none yet: one that was inferred from a topic of
    /// this name that is gone does not count.
    pub fn load(store: &dyn Store, topic: &str) -> Result<Option<Self>, SchemaError> {
        let Some(bytes) = store.fact(FactKind::Schema, topic.as_bytes()) else { return Ok(None) };
        let (schema, found_in) = Self::decode(&bytes)?;
        let of_this = |id| store.topics().get(topic).is_some_and(|topic| topic.id == id);
        Ok(found_in.is_none_or(of_this).then_some(schema))
    }

    /// The change that makes this the topic's schema, for a commit's facts. For what a file or a
    /// query says; what was found in records is [`Schema::inferred_fact`].
    pub fn fact(&self, topic: &str) -> (FactKey, Option<Bytes>) {
        (Self::fact_key(topic), Some(self.encode(TopicId([0; 16]))))
    }

    /// As [`Schema::fact`], for a schema that was found in this topic's records.
    pub fn inferred_fact(&self, topic: &TopicInfo) -> (FactKey, Option<Bytes>) {
        (Self::fact_key(&topic.name), Some(self.encode(topic.id)))
    }
}

#[cfg(test)]
mod tests {
    use yeoul_base::{Commit, MemStore, NewTopic};

    use super::*;
    use crate::columns::Columns;

    fn sample() -> Schema {
        let ddl = "time INT, title STRING, `a b` ARRAY<STRUCT<x: JSON>>, ts TIMESTAMP";
        Schema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Declared)
    }

    #[test]
    fn a_schema_survives_its_bytes() {
        let schema = Schema { version: 7, ..sample() };
        let id = TopicId([7; 16]);
        assert_eq!(Schema::decode(&schema.encode(id)), Ok((schema.clone(), None)));
        let schema = Schema { origin: Origin::Inferred, ..schema };
        assert_eq!(Schema::decode(&schema.encode(id)), Ok((schema, Some(id))));
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let id = TopicId(*b"0123456789abcdef");
        let schema = Schema::new(vec![Column::new("a", ColumnType::Int)], Origin::Decoder);
        assert_eq!(schema.encode(id).as_ref(), b"\x02\x02\x01\x01\x01a\x03int");
        let schema = Schema { origin: Origin::Inferred, ..schema };
        let bytes = schema.encode(id);
        assert_eq!(bytes.as_ref(), b"\x02\x04\x010123456789abcdef\x01\x01a\x03int");
    }

    #[test]
    fn bad_bytes_are_refused() {
        let good = sample().encode(TopicId([0; 16]));
        for cut in 0..good.len() {
            assert!(Schema::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Schema::decode(b"\x02\x02\x01\x01\x01a\x03itn").is_err());
        assert!(Schema::decode(b"\x02\x05\x01\x00").is_err());
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
    fn what_was_found_in_a_topic_ends_with_it() {
        let store = MemStore::new();
        let create = || {
            let (name, config) = ("t".to_owned(), Default::default());
            store.create_topic(NewTopic { name, partitions: 1, config }).unwrap();
            store.topics().get("t").cloned().unwrap()
        };
        let inferred = Schema { origin: Origin::Inferred, ..sample() };
        let facts = vec![inferred.inferred_fact(&create())];
        store.commit(Commit { facts, ..Commit::default() }).unwrap();
        assert_eq!(Schema::load(&store, "t"), Ok(Some(inferred)));
        store.delete_topic("t").unwrap();
        assert_eq!(Schema::load(&store, "t"), Ok(None));
        create();
        assert_eq!(Schema::load(&store, "t"), Ok(None));
        let facts = vec![sample().fact("t")];
        store.commit(Commit { facts, ..Commit::default() }).unwrap();
        store.delete_topic("t").unwrap();
        create();
        assert_eq!(Schema::load(&store, "t"), Ok(Some(sample())), "declared for the name");
    }

    #[test]
    fn arrow_and_back() {
        let schema = sample();
        assert_eq!(Schema::from_arrow(&schema.arrow(), Origin::Declared), schema);
    }
}
