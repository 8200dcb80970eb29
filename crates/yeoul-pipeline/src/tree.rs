//! A pipeline file as a tree of values, each with its place in the text.
//!
//! The YAML parser stops at the first error, so it only makes this tree; everything that can be
//! wrong above plain YAML is found on the tree, all of it in one pass over the file.
//! Invariant: a [`Place`] is a byte range of the text the tree was read from.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use crate::report::{Problem, Source};

/// A larger file is a mistake.
pub(crate) const FILE_BYTES_MAX: usize = 4 << 20;

/// Values and keys of a file, those of anchors once per use; a large pipeline has some thousands.
const NODES_MAX: usize = 50_000;

/// Where something stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Place {
    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Node {
    /// What a person would call it.
    pub(crate) fn describe(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    pub(crate) fn as_map(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            // `sources:` with nothing under it is an empty map to a person.
            Value::Null => Some(&[]),
            _ => None,
        }
    }

    /// The value of a key of this map.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.as_map()?.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

/// Reads one YAML document. An empty one is an empty map.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Node, Box<Problem>> {
    if source.text.len() > FILE_BYTES_MAX {
        let problem = Problem::new(source, None, "the file is larger than 4 MiB");
        return Err(Box::new(problem.with_hint("Split it into several files of one folder.")));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: NODES_MAX },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODES_MAX },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Raw>(&source.text, options)
        .map(|raw| raw.0)
        .map_err(|error| Box::new(syntax_problem(source, &error)))
}

fn place_of(location: Location) -> Place {
    let span = location.span();
    let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    Place {
        start: number(span.byte_offset()).unwrap_or(0),
        len: number(span.byte_len()).unwrap_or(0),
    }
}

fn syntax_problem(source: &Arc<Source>, error: &serde_saphyr::Error) -> Problem {
    let error = error.without_snippet();
    // The parser's own place is in its text too; ours is the label.
    let text = error.to_string();
    let mut text = text.strip_prefix("error: ").unwrap_or(&text);
    if let Some(at) = text.find(" at line ") {
        text = text.get(..at).unwrap_or(text);
    }
    let text = text.lines().next().unwrap_or("cannot be read").trim_end_matches([',', ';', ':']);
    let place = error.location().map(|location| match place_of(location) {
        // Errors of the scanner know the line and column only.
        Place { start: 0, .. } => Place { start: offset_of(&source.text, location), len: 0 },
        place => place,
    });
    Problem::new(source, place, &format!("this is not YAML: {text}")).with_hint(
        "Check the indentation, and quote texts that hold `: ` or ` #` or begin with one of `{[*&!|>%@`.",
    )
}

fn offset_of(text: &str, location: Location) -> usize {
    let number = |value: u64| usize::try_from(value).unwrap_or(0).saturating_sub(1);
    let (line, column) = (number(location.line()), number(location.column()));
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

/// A node with the deserializer's place; the wrapper keeps `Node` free of serde.
struct Raw(Node);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Node { value: spanned.value.0, place: place_of(spanned.referenced) }))
    }
}

struct RawValue(Value);

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(RawValue)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        // Beyond i64 nothing in a pipeline file counts; its spelling is kept beside it anyway.
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Raw(node)) = items.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, Raw(node))) = entries.next_entry::<Spanned<String>, Raw>()? {
            map.push((Key { place: place_of(key.referenced), name: key.value }, node));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_place() {
        let text = "a: 007\n한글: [x, \"y z\"]\nb:\n  c: no\n  c: 1\n";
        let source = Source::new("t.yaml", text);
        let root = parse(&source).unwrap();
        let entries = root.as_map().unwrap();
        let at = |place: Place| &text[place.range()];
        let keys: Vec<_> = entries.iter().map(|(key, _)| at(key.place)).collect();
        assert_eq!(keys, ["a", "한글", "b"]);
        assert!(matches!(&entries[0].1.value, Value::Text(text) if text == "007"));
        let Value::List(items) = &entries[1].1.value else { panic!() };
        assert_eq!(at(items[0].place), "x");
        assert_eq!(at(items[1].place), "\"y z\"");
        let inner = entries[2].1.as_map().unwrap();
        assert!(matches!(&inner[0].1.value, Value::Text(text) if text == "no"));
        assert_eq!(
            inner.len(),
            2,
            "a key that comes twice is kept, to be reported with both places"
        );
    }
}
