//! What a table reads out of its topic's records: decided once from the topic's schema and first
//! records, then kept as a fact beside the table. Bytes: `docs/formats/table-columns.md`.
//!
//! Invariant: columns never go and types only widen (int → double → string), so that files
//! written before can be read with the columns of now.

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, Store, TopicId};

use crate::extract::{Extract, STEPS_MAX, Step};
use crate::schema::{Schema, SchemaError};
use crate::types::{COLUMNS_MAX, Column, ColumnType};
use crate::wide::{PATHS_MAX, Wide};

const VERSION: u8 = 1;
const FLAG_LATER: u64 = 1;

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    pub extract: Extract,
    /// Files written before it came lack it: its values of then are in `_rest`.
    pub later: bool,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumns {
    /// The topic they were last made for.
    pub topic: TopicId,
    /// Whether a value that breaks a column's type spoils its record.
    pub strict: bool,
    /// Whether what no column holds is kept in `_rest`.
    pub rest: bool,
    pub columns: Vec<TableColumn>,
    /// Places without a column, by their dotted path, with their types.
    pub paths: Vec<(String, ColumnType)>,
}

impl TableColumns {
    /// The members a schema names; an inferred schema also keeps what it does not name.
    pub fn of_schema(topic: TopicId, schema: &Schema) -> Self {
        let wide = Wide { columns: Extract::of_schema(schema), paths: Vec::new() };
        Self { strict: schema.is_strict(), rest: !schema.is_strict(), ..Self::of_wide(topic, wide) }
    }

    /// Of wide documents nobody described.
    pub fn of_wide(topic: TopicId, wide: Wide) -> Self {
        let column = |extract| TableColumn { extract, later: false };
        Self {
            topic,
            strict: false,
            rest: true,
            columns: wide.columns.into_iter().map(column).collect(),
            paths: wide.paths,
        }
    }

    /// These, with what `new` has beyond them: further columns, and wider types. What cannot be
    /// widened keeps its type: values that break it are null and in `_rest`.
    #[must_use]
    pub fn extended(mut self, new: Self) -> Self {
        self.topic = new.topic;
        (self.strict, self.rest) = (new.strict, self.rest || new.rest);
        let mut room = COLUMNS_MAX.saturating_sub(self.columns.len());
        for column in new.columns {
            let name = &column.extract.name;
            match self.columns.iter_mut().find(|old| old.extract.name == *name) {
                Some(old) if old.extract.place == column.extract.place => {
                    if let Some(wider) = wider(&old.extract.ty, &column.extract.ty) {
                        old.extract.ty = wider;
                    }
                }
                // One name for two places: the older stands.
                Some(_) => {}
                None if room == 0 => {}
                None => {
                    room -= 1;
                    self.columns.push(TableColumn { later: true, ..column });
                }
            }
        }
        for (path, ty) in new.paths {
            let known = self.paths.iter().any(|(known, _)| *known == path);
            let named = self.columns.iter().any(|column| column.extract.name == path);
            if !known && !named && self.paths.len() < PATHS_MAX {
                self.paths.push((path, ty));
            }
        }
        self
    }

    pub fn extracts(&self) -> Vec<Extract> {
        self.columns.iter().map(|column| column.extract.clone()).collect()
    }

    /// As a table has them, without time and `_rest`.
    pub fn columns(&self) -> impl Iterator<Item = Column> + '_ {
        let column = |it: &TableColumn| Column::new(&*it.extract.name, it.extract.ty.clone());
        self.columns.iter().map(column)
    }

    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.extract.name == name)
    }

    pub fn fact_key(table: &str) -> FactKey {
        FactKey::new(FactKind::TableColumns, table.as_bytes().to_vec())
    }

    /// `None`: the table was never opened.
    pub fn load(store: &dyn Store, table: &str) -> Result<Option<Self>, SchemaError> {
        let bytes = store.fact(FactKind::TableColumns, table.as_bytes());
        bytes.map(|bytes| Self::decode(&bytes)).transpose()
    }

    /// The change that keeps them, for a commit's facts.
    pub fn fact(&self, table: &str) -> (FactKey, Option<Bytes>) {
        (Self::fact_key(table), Some(self.encode()))
    }

    pub fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.id16(&self.topic.0).bool(self.strict).bool(self.rest);
        out.u64(self.columns.len() as u64);
        for column in &self.columns {
            let extract = &column.extract;
            let flags = if column.later { FLAG_LATER } else { 0 };
            out.str(&extract.name).str(&extract.ty.to_string()).u64(flags);
            let own = [Step::Key(extract.name.clone())];
            let place = if extract.place == own { &[][..] } else { &extract.place };
            out.u64(place.len() as u64);
            for step in place {
                match step {
                    Step::Key(key) => out.u64(0).str(key),
                    Step::Index(index) => out.u64(1).u64(*index as u64),
                };
            }
        }
        out.u64(self.paths.len() as u64);
        for (path, ty) in &self.paths {
            out.str(path).str(&ty.to_string());
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SchemaError> {
        let many = |field, max: usize, count: usize| {
            let what = "more than allowed";
            if count > max { Err(FieldError { field, what }) } else { Ok(count) }
        };
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let topic = TopicId(input.id16("topic")?);
        let (strict, rest) = (input.bool("strict")?, input.bool("rest")?);
        let count = many("columns", COLUMNS_MAX, input.count("columns", 4)?)?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let name = input.str("name")?.to_owned();
            let ty = input.str("type")?.parse()?;
            let flags = input.u64("flags")?;
            let steps = many("steps", STEPS_MAX, input.count("steps", 2)?)?;
            let mut place = Vec::with_capacity(steps);
            for _ in 0..steps {
                place.push(match input.u64("step")? {
                    0 => Step::Key(input.str("key")?.to_owned()),
                    1 => Step::Index(input.u32("index")? as usize),
                    _ => return Err(FieldError { field: "step", what: "neither 0 nor 1" }.into()),
                });
            }
            if place.is_empty() {
                place.push(Step::Key(name.clone()));
            }
            let later = flags & FLAG_LATER != 0;
            columns.push(TableColumn { extract: Extract { name, ty, place }, later });
        }
        let count = many("paths", PATHS_MAX, input.count("paths", 2)?)?;
        let mut paths = Vec::with_capacity(count);
        for _ in 0..count {
            let path = input.str("path")?.to_owned();
            paths.push((path, input.str("path's type")?.parse()?));
        }
        input.end()?;
        Ok(Self { topic, strict, rest, columns, paths })
    }
}

/// The type that holds both, when the first can be read as it: what files hold is converted.
fn wider(old: &ColumnType, new: &ColumnType) -> Option<ColumnType> {
    use ColumnType::{Bool, Double, Int, String};
    match (old, new) {
        (Int, Double) => Some(Double),
        (Bool | Int | Double, String) => Some(String),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Columns;
    use crate::extract::parse_place;
    use crate::schema::Origin;

    fn sample() -> TableColumns {
        let columns = vec![
            Extract::member("a", ColumnType::Int),
            Extract::at("b.c", ColumnType::Json, parse_place("$.b.c").unwrap()),
            Extract::at("d", ColumnType::String, parse_place("$.e[3]").unwrap()),
        ];
        let paths = vec![("x.y".to_owned(), ColumnType::Double)];
        TableColumns::of_wide(TopicId([9; 16]), Wide { columns, paths })
    }

    #[test]
    fn columns_survive_their_bytes() {
        let mut sample = sample();
        sample.columns[1].later = true;
        assert_eq!(TableColumns::decode(&sample.encode()), Ok(sample.clone()));
        let good = sample.encode();
        for cut in 0..good.len() {
            assert!(TableColumns::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let mut one = sample();
        one.columns.remove(1);
        let mut bytes = vec![1];
        bytes.extend([9; 16]);
        bytes.extend(b"\x00\x01\x02\x01a\x03int\x00\x00");
        bytes.extend(b"\x01d\x06string\x00\x02\x00\x01e\x01\x03\x01\x03x.y\x06double");
        assert_eq!(one.encode().as_ref(), bytes);
    }

    #[test]
    fn columns_stay_and_types_widen() {
        let schema =
            |ddl: &str| Schema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Inferred);
        let of = |id, ddl: &str| TableColumns::of_schema(TopicId([id; 16]), &schema(ddl));
        let both = of(1, "a INT, b JSON, c INT").extended(of(2, "a STRING, b INT, d BOOLEAN"));
        let shown: Vec<_> = both
            .columns
            .iter()
            .map(|column| format!("{} {} {}", column.extract.name, column.extract.ty, column.later))
            .collect();
        assert_eq!(shown, ["a string false", "b json false", "c int false", "d bool true"]);
        assert_eq!(both.topic, TopicId([2; 16]));
    }
}
