//! Which places of wide documents get columns of their own, from the first records.
//!
//! Each member of a record is a column as [`crate::infer`] makes it; objects are kept whole, as
//! JSON. Beside them the most frequent places within objects are columns named by their dotted
//! path, up to [`INFER_COLUMNS_MAX`] together. All other places are told with their types, so
//! that reading them gives the same as if they had columns.
//!
//! Bounded: at most [`PATHS_MAX`] places, [`DEPTH_MAX`] levels.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::extract::{Extract, Step};
use crate::infer::{INFER_COLUMNS_MAX, INFER_RECORDS_MAX, Shape};
use crate::json::{Kind, RECORD_BYTES_MAX, Raw, Scanner, unescape};
use crate::schema::Schema;
use crate::types::ColumnType;

/// How many places are remembered; further ones are read as text.
pub const PATHS_MAX: usize = 4_096;
/// Levels of objects that are looked into.
const DEPTH_MAX: usize = 16;
/// Bytes of one dotted path.
const PATH_BYTES_MAX: usize = 256;

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wide {
    /// Members first, in the order of their appearance; then places within them.
    pub columns: Vec<Extract>,
    /// Places without a column, by their dotted path.
    pub paths: Vec<(String, ColumnType)>,
}

/// A place within objects of the records.
#[derive(Debug)]
struct Found {
    steps: Vec<Step>,
    shape: Shape,
    /// With a value there that is not null.
    records: u32,
}

#[derive(Debug, Default)]
struct Places {
    found: Vec<Found>,
    by_path: HashMap<String, usize>,
}

/// Looks at the first [`INFER_RECORDS_MAX`] values. `members`: the schema that was inferred from
/// them or from others of their kind; its columns come first.
pub fn infer_wide<'a>(members: &Schema, values: impl Iterator<Item = &'a [u8]>) -> Wide {
    let mut places = Places::default();
    for value in values.take(INFER_RECORDS_MAX) {
        let Some(text) = text_of(value) else { continue };
        // What is not one JSON value to its end is a dead letter and tells nothing.
        if crate::json::check(text).is_ok() {
            let mut steps = Vec::new();
            places.look(text, &mut String::new(), &mut steps);
        }
    }
    let mut columns = Extract::of_schema(members);
    let is_member = |path: &str| members.column(path).is_some();
    let mut inner: Vec<(String, Found)> = Vec::new();
    let mut paths = Vec::new();
    let mut names: Vec<_> = places.by_path.into_iter().collect();
    names.sort_by_key(|(_, at)| *at);
    for (path, found) in names.into_iter().map(|(path, _)| path).zip(places.found) {
        if found.steps.len() > 1 && !is_member(&path) {
            inner.push((path, found));
        } else if found.steps.len() == 1 && !is_member(&path) {
            paths.push((path, found.shape.column_type()));
        }
    }
    inner.sort_by_key(|(_, found)| Reverse(found.records));
    let free = INFER_COLUMNS_MAX.saturating_sub(columns.len());
    for (at, (path, found)) in inner.into_iter().enumerate() {
        let ty = leaf_type(found.shape);
        if at < free && found.records > 0 {
            columns.push(Extract::at(path, ty, found.steps));
        } else {
            paths.push((path, ty));
        }
    }
    Wide { columns, paths }
}

/// Arrays within objects are kept as JSON.
fn leaf_type(shape: Shape) -> ColumnType {
    match shape {
        Shape::Array(_) => ColumnType::Json,
        Shape::Plain(_) => shape.column_type(),
    }
}

fn text_of(value: &[u8]) -> Option<&str> {
    if value.len() > RECORD_BYTES_MAX { None } else { std::str::from_utf8(value).ok() }
}

impl Places {
    /// Leaves of an object: what is not an object itself. Null tells only that a place is there.
    fn look(&mut self, object: &str, path: &mut String, steps: &mut Vec<Step>) {
        let mut scanner = Scanner::new(object);
        let mut first = true;
        if scanner.open(b'{').is_err() {
            return;
        }
        while let Ok(Some((key, value))) = scanner.member(&mut first) {
            let Ok(key) = unescape(key) else { continue };
            let before = path.len();
            if before > 0 {
                path.push('.');
            }
            path.push_str(&key);
            steps.push(Step::Key(key.into_owned()));
            if path.len() <= PATH_BYTES_MAX {
                self.place(&value, path, steps);
            }
            steps.pop();
            path.truncate(before);
        }
    }

    fn place(&mut self, value: &Raw<'_>, path: &mut String, steps: &mut Vec<Step>) {
        if value.kind == Kind::Object && steps.len() < DEPTH_MAX {
            self.look(value.text, path, steps);
            return;
        }
        let shape = Shape::of(value);
        let at = match self.by_path.get(path.as_str()) {
            Some(at) => *at,
            None if self.found.len() == PATHS_MAX => return,
            None => {
                let at = self.found.len();
                self.by_path.insert(path.clone(), at);
                self.found.push(Found { steps: steps.clone(), shape, records: 0 });
                at
            }
        };
        if let Some(found) = self.found.get_mut(at)
            // Two ways to write one path, `{"a.b":1}` and `{"a":{"b":1}}`: the first is meant.
            && found.steps == *steps
        {
            found.shape = found.shape.join(shape);
            found.records += u32::from(value.kind != Kind::Null);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::infer;

    fn wide(records: &[&str]) -> (String, String) {
        let values = || records.iter().map(|record| record.as_bytes());
        let wide = infer_wide(&infer(values()), values());
        let columns = wide.columns.iter().map(|it| format!("{} {}", it.name, it.ty));
        let paths = wide.paths.iter().map(|(path, ty)| format!("{path} {ty}"));
        (columns.collect::<Vec<_>>().join(", "), paths.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn members_come_first_then_what_is_frequent_within_them() {
        let records = [
            r#"{"id":1,"user":{"name":"a","tags":["x"],"at":{"x":1.5}},"a.b":1}"#,
            r#"{"id":2,"user":{"name":"b","at":null},"l":[1]}"#,
            r#"{"id":3,"user":{"name":3,"new":true}}"#,
        ];
        assert_eq!(
            wide(&records).0,
            "id int, user json, a.b int, l array<int>, user.name string, user.tags json, \
             user.at.x double, user.new bool"
        );
        assert_eq!(wide(&records).1, "user.at string");
    }

    #[test]
    fn what_has_no_column_is_told_with_its_type() {
        let wide_object: Vec<_> = (0..300).map(|n| format!("\"p{n:03}\":{n}")).collect();
        let record = format!("{{\"id\":1,\"o\":{{{}}}}}", wide_object.join(","));
        let often = r#"{"id":1,"o":{"p299":1.5}}"#;
        let values = || [record.as_bytes(), often.as_bytes()].into_iter();
        let wide = infer_wide(&infer(values()), values());
        assert_eq!(wide.columns.len(), INFER_COLUMNS_MAX);
        assert_eq!(wide.paths.len(), 302 - INFER_COLUMNS_MAX);
        assert_eq!(wide.columns[2].name, "o.p299");
        assert_eq!(wide.columns[2].ty, ColumnType::Double);
        assert!(wide.paths.contains(&("o.p298".into(), ColumnType::Int)));
    }

    #[test]
    fn hostile_documents_are_bounded() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
        let many: Vec<_> = (0..60_000).map(|n| format!("\"k{n}\":1")).collect();
        let many = format!("{{\"o\":{{{}}}}}", many.join(","));
        let values = || [deep.as_bytes(), many.as_bytes(), b"{\"a\":", b"[1]"].into_iter();
        let wide = infer_wide(&infer(values()), values());
        assert_eq!(wide.columns.len(), INFER_COLUMNS_MAX);
        assert!(wide.paths.len() <= PATHS_MAX);
    }
}
