//! A schema from the first records of a topic nobody declared anything about.
//!
//! Types only widen: null < int < double < string; truth values, objects and what mixes with
//! them become json. The order of columns is that of their first appearance.

use std::collections::HashMap;

use crate::json::{Kind, RECORD_BYTES_MAX, Raw, Scanner, unescape};
use crate::schema::{Origin, Schema};
use crate::types::{Column, ColumnType};

/// How many records are looked at.
pub const INFER_RECORDS_MAX: usize = 1_000;
/// How many columns are made; further names stay in `_rest`.
pub const INFER_COLUMNS_MAX: usize = 256;

/// A place in the order of widening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Null,
    Bool,
    Int,
    Double,
    String,
    Json,
}

impl Seen {
    fn join(self, other: Self) -> Self {
        use Seen::{Double, Int, Json, Null, String};
        match (self, other) {
            (a, b) if a == b => a,
            (Null, other) | (other, Null) => other,
            (Int, Double) | (Double, Int) => Double,
            (Int | Double, String) | (String, Int | Double) => String,
            _ => Json,
        }
    }

    fn of(value: &Raw<'_>) -> Self {
        match value.kind {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool,
            Kind::String => Self::String,
            Kind::Array | Kind::Object => Self::Json,
            Kind::Number if value.text.parse::<i64>().is_ok() => Self::Int,
            // An integer beyond 64 bits, or a number beyond a double, keeps its digits as JSON.
            Kind::Number if !value.text.contains(['.', 'e', 'E']) => Self::Json,
            Kind::Number => {
                let finite = value.text.parse::<f64>().is_ok_and(f64::is_finite);
                if finite { Self::Double } else { Self::Json }
            }
        }
    }
}

/// What a column's values were: themselves, or arrays of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain(Seen),
    Array(Seen),
}

impl Shape {
    pub(crate) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Plain(a), Self::Plain(b)) => Self::Plain(a.join(b)),
            (Self::Array(a), Self::Array(b)) => Self::Array(a.join(b)),
            (Self::Plain(Seen::Null), array) | (array, Self::Plain(Seen::Null)) => array,
            _ => Self::Plain(Seen::Json),
        }
    }

    pub(crate) fn of(value: &Raw<'_>) -> Self {
        if value.kind != Kind::Array {
            return Self::Plain(Seen::of(value));
        }
        let mut scanner = Scanner::new(value.text);
        let (mut first, mut items) = (true, Seen::Null);
        // The scanner has seen this value before, so it cannot fail now.
        let _ = scanner.open(b'[');
        while let Ok(Some(item)) = scanner.element(&mut first) {
            items = items.join(Seen::of(&item));
        }
        Self::Array(items)
    }

    pub(crate) fn column_type(self) -> ColumnType {
        let plain = |seen| match seen {
            Seen::Bool => ColumnType::Bool,
            Seen::Int => ColumnType::Int,
            Seen::Double => ColumnType::Double,
            // Only nulls: text can hold whatever comes.
            Seen::Null | Seen::String => ColumnType::String,
            Seen::Json => ColumnType::Json,
        };
        match self {
            Self::Plain(seen) => plain(seen),
            // Arrays of objects or of mixed things are better read as JSON whole.
            Self::Array(Seen::Json) => ColumnType::Json,
            Self::Array(seen) => ColumnType::Array(Box::new(plain(seen))),
        }
    }
}

/// Looks at the first [`INFER_RECORDS_MAX`] values. What is not a JSON object tells nothing; when
/// none is, the schema has no columns: the topic is raw.
pub fn infer<'a>(values: impl Iterator<Item = &'a [u8]>) -> Schema {
    let mut names: Vec<String> = Vec::new();
    let mut shapes: Vec<Shape> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for value in values.take(INFER_RECORDS_MAX) {
        for (name, shape) in members(value).unwrap_or_default() {
            if let Some(known) = index.get(&name).and_then(|at| shapes.get_mut(*at)) {
                *known = known.join(shape);
            } else if names.len() < INFER_COLUMNS_MAX {
                index.insert(name.clone(), names.len());
                names.push(name);
                shapes.push(shape);
            }
        }
    }
    let columns = names.into_iter().zip(shapes);
    let columns = columns.map(|(name, shape)| Column::new(name, shape.column_type())).collect();
    Schema::new(columns, Origin::Inferred)
}

/// The members of a record, or nothing when any part of it is not JSON.
fn members(value: &[u8]) -> Option<Vec<(String, Shape)>> {
    if value.len() > RECORD_BYTES_MAX {
        return None;
    }
    let mut scanner = Scanner::new(std::str::from_utf8(value).ok()?);
    scanner.open(b'{').ok()?;
    let (mut first, mut members) = (true, Vec::new());
    while let Some((key, value)) = scanner.member(&mut first).ok()? {
        members.push((unescape(key).ok()?.into_owned(), Shape::of(&value)));
    }
    scanner.end().ok()?;
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(records: &[&str]) -> String {
        let schema = infer(records.iter().map(|record| record.as_bytes()));
        assert_eq!(schema.origin, Origin::Inferred);
        let columns: Vec<_> =
            schema.columns.iter().map(|column| format!("{} {}", column.name, column.ty)).collect();
        columns.join(", ")
    }

    #[test]
    fn types_widen_in_order_of_appearance() {
        assert_eq!(
            types(&[
                r#"{"b":1,"a":null,"s":"x","t":true,"o":{"x":1},"l":[1],"e":[]}"#,
                r#"{"a":2,"b":2.5,"s":3,"t":true,"o":null,"l":[2.5,null],"new":null}"#,
            ]),
            "b double, a int, s string, t bool, o json, l array<double>, e array<string>, new string"
        );
        assert_eq!(
            types(&[r#"{"a":true,"b":[1],"c":[{}],"d":1}"#, r#"{"a":1,"b":2,"c":[],"d":"1"}"#]),
            "a json, b json, c json, d string"
        );
    }

    #[test]
    fn digits_beyond_64_bits_are_not_rounded_away() {
        assert_eq!(types(&[r#"{"n":9223372036854775807}"#]), "n int");
        assert_eq!(types(&[r#"{"n":9223372036854775808}"#]), "n json");
        assert_eq!(types(&[r#"{"n":1e999}"#]), "n json");
    }

    #[test]
    fn what_is_not_a_record_tells_nothing() {
        assert_eq!(types(&["plain text", "[1]", "{\"a\":1", "7"]), "");
        assert_eq!(types(&["{\"a\":1,\"x\":", "{\"b\":1}"]), "b int");
        assert!(infer(std::iter::empty()).is_raw());
    }

    #[test]
    fn columns_and_records_are_bounded() {
        let wide: Vec<_> = (0..300).map(|n| format!("\"c{n}\":{n}")).collect();
        let wide = format!("{{{}}}", wide.join(","));
        assert_eq!(infer(std::iter::once(wide.as_bytes())).columns.len(), INFER_COLUMNS_MAX);
        let late = (0..INFER_RECORDS_MAX).map(|_| b"{\"a\":1}".as_slice());
        let schema = infer(late.chain(std::iter::once(b"{\"a\":\"x\"}".as_slice())));
        assert_eq!(schema.columns, [Column::new("a", ColumnType::Int)]);
    }
}
