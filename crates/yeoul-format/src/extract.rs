//! Columns read from places within a record: a member of the record, or a member of a member.
//!
//! Invariant: an extract is a copy. What a record's member holds is kept whole by the column of
//! its name, or by `_rest`, whatever is read out of it besides; so no answer depends on which
//! places have columns.

use std::fmt;

use ahash::AHashMap;

use crate::json::unescape;
use crate::schema::Schema;
use crate::types::ColumnType;

/// How many steps a place may have.
pub const STEPS_MAX: usize = 32;

/// One step into a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    Key(String),
    /// Of an array, from 0.
    Index(usize),
}

/// A column and the place its values stand at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    pub name: String,
    pub ty: ColumnType,
    /// At least one step, the first a key, at most [`STEPS_MAX`].
    pub place: Vec<Step>,
}

impl Extract {
    /// The record's member of this name.
    pub fn member(name: impl Into<String>, ty: ColumnType) -> Self {
        let name = name.into();
        Self { place: vec![Step::Key(name.clone())], name, ty }
    }

    pub fn at(name: impl Into<String>, ty: ColumnType, place: Vec<Step>) -> Self {
        Self { name: name.into(), ty, place }
    }

    /// Whether it holds a whole member of the record.
    pub fn is_member(&self) -> bool {
        self.place.len() == 1
    }

    /// The members a schema names.
    pub fn of_schema(schema: &Schema) -> Vec<Self> {
        let columns = schema.columns.iter();
        columns.map(|column| Self::member(&column.name, column.ty.clone())).collect()
    }
}

/// A place as `$.a.b[0]['c d']`.
#[derive(Debug)]
pub struct Written<'a>(pub &'a [Step]);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in self.0 {
            let plain = |key: &str| {
                !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
            };
            match step {
                Step::Key(key) if plain(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "['{}']", key.replace('\'', "\\'"))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Reads `$.a.b[0]['c d']`; the `$` may be left out.
///
/// # Errors
/// What is not such a path, with what to do; wildcards, filters and `..` have many values.
pub fn parse_place(text: &str) -> Result<Vec<Step>, String> {
    let wrong = |what: &str| format!("`{text}` is not a path: {what}");
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    if !text.starts_with('$') && !rest.starts_with(['.', '[']) {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let mut place = vec![Step::Key(key.to_owned())];
        place.extend(parse_steps(after).map_err(|what| wrong(&what))?);
        return checked(place).map_err(|what| wrong(&what));
    }
    rest = rest.trim_end();
    checked(parse_steps(rest).map_err(|what| wrong(&what))?).map_err(|what| wrong(&what))
}

fn checked(place: Vec<Step>) -> Result<Vec<Step>, String> {
    match place.first() {
        None => Err("it names the whole record".into()),
        Some(Step::Index(_)) => Err("a record is an object, so the first step is a name".into()),
        Some(Step::Key(_)) if place.len() > STEPS_MAX => {
            Err(format!("it has more than {STEPS_MAX} steps"))
        }
        Some(Step::Key(_)) => Ok(place),
    }
}

fn parse_steps(mut rest: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (key, after) = name.split_at(end);
            if key.is_empty() || key == "*" {
                return Err("`..` and `*` have many values: name one place".into());
            }
            (Step::Key(key.to_owned()), after)
        } else if let Some(inner) = rest.strip_prefix('[') {
            in_brackets(inner)?
        } else {
            return Err(format!("`.` or `[` is expected before `{rest}`"));
        };
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

/// What follows `[`, and what is left behind `]`.
fn in_brackets(inner: &str) -> Result<(Step, &str), String> {
    let open = "a `[` is not closed";
    if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let mut key = String::new();
        let mut chars = inner.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => key.extend(chars.next().map(|(_, c)| c)),
                c if c == quote => {
                    let after = inner.get(at + 1..).and_then(|rest| rest.strip_prefix(']'));
                    return Ok((Step::Key(key), after.ok_or(open)?));
                }
                c => key.push(c),
            }
        }
        return Err(open.into());
    }
    let (number, after) = inner.split_once(']').ok_or(open)?;
    let index: u32 = number.trim().parse().map_err(|_| {
        format!("`[{number}]` is neither a position nor a name in quotes, and has many values")
    })?;
    Ok((Step::Index(index as usize), after))
}

/// The extracts of one record's members, by member.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) roots: Vec<Root>,
    by_name: AHashMap<String, usize>,
}

/// One member of a record.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) name: String,
    pub(crate) inside: Inside,
    /// All columns that are read out of this member, for starting over.
    pub(crate) columns: Vec<usize>,
}

/// What is read at a place and below it.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    /// Columns that hold the value itself.
    pub(crate) here: Vec<usize>,
    pub(crate) keys: AHashMap<String, Inside>,
    pub(crate) indexes: AHashMap<usize, Inside>,
}

impl Inside {
    fn put(&mut self, steps: &[Step], column: usize) {
        let mut at = self;
        for step in steps {
            at = match step {
                Step::Key(key) => at.keys.entry(key.clone()).or_default(),
                Step::Index(index) => at.indexes.entry(*index).or_default(),
            };
        }
        at.here.push(column);
    }

    pub(crate) fn goes_deeper(&self) -> bool {
        !self.keys.is_empty() || !self.indexes.is_empty()
    }

    /// The part below a key that is written as `key` between its quotes.
    pub(crate) fn key(&self, key: &str) -> Option<&Self> {
        match unescape(key) {
            Ok(key) => self.keys.get(key.as_ref()),
            Err(_) => None,
        }
    }
}

impl Members {
    pub(crate) fn new(extracts: &[Extract]) -> Self {
        let mut members = Self::default();
        for (column, extract) in extracts.iter().enumerate() {
            let Some((Step::Key(name), inner)) = extract.place.split_first() else { continue };
            let next = members.roots.len();
            let at = *members.by_name.entry(name.clone()).or_insert(next);
            if at == next {
                let (inside, columns) = (Inside::default(), Vec::new());
                members.roots.push(Root { name: name.clone(), inside, columns });
            }
            if let Some(root) = members.roots.get_mut(at) {
                root.inside.put(inner, column);
                root.columns.push(column);
            }
        }
        members
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let key = |key: &str| Step::Key(key.into());
        for (text, expected) in [
            ("$.a.b[0]['c d']", vec![key("a"), key("b"), Step::Index(0), key("c d")]),
            ("a.b", vec![key("a"), key("b")]),
            ("$['a.b'].c", vec![key("a.b"), key("c")]),
            ("$[\"it\\\"s\"]", vec![key("it\"s")]),
            ("$.한글", vec![key("한글")]),
        ] {
            let place = parse_place(text).unwrap();
            assert_eq!(place, expected, "{text}");
            assert_eq!(parse_place(&Written(&place).to_string()).unwrap(), expected, "{text}");
        }
        for (text, part) in [
            ("$", "whole record"),
            ("$[0].a", "first step"),
            ("$..a", "many values"),
            ("$.a[*]", "many values"),
            ("$.a[?(@.b)]", "many values"),
            ("$.a['b", "not closed"),
            ("$a", "expected"),
        ] {
            let error = parse_place(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parse_place(&".a".repeat(33)).unwrap_err().contains("more than 32"));
    }
}
