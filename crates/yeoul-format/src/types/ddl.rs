//! A parser of column lists and types, as Spark writes them.
//!
//! Bounded before it recurses: depth by [`super::TYPE_DEPTH_MAX`], columns by
//! [`super::COLUMNS_MAX`].

use std::fmt;

use super::{COLUMNS_MAX, Column, ColumnType, EpochUnit, TYPE_DEPTH_MAX, TypeError};

/// A column's name as the parser reads it: bare where that is unambiguous, else in backquotes.
pub(super) struct Name<'a>(pub(super) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = !self.0.is_empty() && self.0.bytes().all(is_word);
        if bare { f.write_str(self.0) } else { write!(f, "`{}`", self.0.replace('`', "``")) }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// `a STRING, b ARRAY<INT>`, with or without colons.
pub(crate) fn parse_columns(text: &str) -> Result<Vec<Column>, TypeError> {
    let mut parser = Parser { text, at: 0 };
    let columns = parser.columns(0)?;
    parser.end()?;
    if columns.is_empty() { Err(parser.error("no columns")) } else { Ok(columns) }
}

pub(super) fn parse_type(text: &str) -> Result<ColumnType, TypeError> {
    let mut parser = Parser { text, at: 0 };
    let ty = parser.ty(0)?;
    parser.end()?;
    Ok(ty)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, what: impl Into<String>) -> TypeError {
        let before = self.text.get(..self.at).unwrap_or_default();
        let mut text: String = self.text.chars().take(200).collect();
        if text.len() < self.text.len() {
            text.push('…');
        }
        TypeError { what: what.into(), at: before.chars().count() + 1, text }
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.spaces();
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn want(&mut self, wanted: char) -> Result<(), TypeError> {
        if self.eat(wanted) { Ok(()) } else { Err(self.error(format!("expected `{wanted}`"))) }
    }

    fn end(&mut self) -> Result<(), TypeError> {
        self.spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("expected the end here")) }
    }

    /// Letters (of any script), digits and `_`; empty when none stand here.
    fn word(&mut self) -> &'a str {
        self.spaces();
        let rest = self.rest();
        let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// What stands between two `mark`s; a doubled one stands for itself.
    fn quoted(&mut self, mark: char) -> Result<String, TypeError> {
        let opening = self.clone_at();
        self.want(mark)?;
        let mut out = String::new();
        loop {
            let Some(len) = self.rest().find(mark) else {
                self.at = opening;
                return Err(self.error(format!("this `{mark}` is never closed")));
            };
            out.push_str(self.rest().get(..len).unwrap_or_default());
            self.at += len + mark.len_utf8();
            if self.rest().starts_with(mark) {
                out.push(mark);
                self.at += mark.len_utf8();
            } else {
                return Ok(out);
            }
        }
    }

    fn clone_at(&mut self) -> usize {
        self.spaces();
        self.at
    }

    fn columns(&mut self, depth: usize) -> Result<Vec<Column>, TypeError> {
        let mut columns: Vec<Column> = Vec::new();
        loop {
            self.spaces();
            if self.rest().is_empty() || self.rest().starts_with('>') {
                return Ok(columns);
            }
            let start = self.at;
            let name =
                if self.rest().starts_with('`') { self.quoted('`')? } else { self.word().into() };
            if name.is_empty() {
                return Err(self.error("expected a column's name"));
            }
            if columns.iter().any(|column| column.name == name) {
                self.at = start;
                return Err(self.error(format!("column `{name}` appears twice")));
            }
            if columns.len() == COLUMNS_MAX {
                return Err(self.error(format!("more than {COLUMNS_MAX} columns")));
            }
            self.eat(':');
            let ty = self.ty(depth)?;
            columns.push(Column { name, ty });
            self.remarks()?;
            if !self.eat(',') {
                return Ok(columns);
            }
        }
    }

    /// `NOT NULL` and `COMMENT '…'` are allowed and mean nothing here: every column may be null.
    fn remarks(&mut self) -> Result<(), TypeError> {
        loop {
            let start = self.clone_at();
            match self.word().to_ascii_lowercase().as_str() {
                "" => return Ok(()),
                "not" if self.word().eq_ignore_ascii_case("null") => {}
                "comment" => {
                    self.quoted('\'')?;
                }
                _ => {
                    self.at = start;
                    return Err(self.error("expected `,` here"));
                }
            }
        }
    }

    fn ty(&mut self, depth: usize) -> Result<ColumnType, TypeError> {
        let start = self.clone_at();
        if depth > TYPE_DEPTH_MAX {
            return Err(self.error(format!("nested more than {TYPE_DEPTH_MAX} deep")));
        }
        let word = self.word();
        let ty = match word.to_ascii_lowercase().as_str() {
            "bool" | "boolean" => ColumnType::Bool,
            "int" | "integer" | "bigint" | "long" | "smallint" | "short" | "tinyint" | "byte" => {
                ColumnType::Int
            }
            "double" | "float" | "real" => ColumnType::Double,
            "string" | "text" => ColumnType::String,
            "varchar" | "char" => {
                if self.eat('(') {
                    self.word();
                    self.want(')')?;
                }
                ColumnType::String
            }
            "timestamp" | "timestamp_ltz" | "timestamp_ntz" => ColumnType::Timestamp,
            "epoch_s" => ColumnType::Epoch(EpochUnit::Seconds),
            "epoch_ms" => ColumnType::Epoch(EpochUnit::Millis),
            "epoch_us" => ColumnType::Epoch(EpochUnit::Micros),
            "date" => ColumnType::Date,
            "json" | "variant" => ColumnType::Json,
            "binary" | "bytes" => ColumnType::Binary,
            "array" => {
                self.want('<')?;
                let item = self.ty(depth + 1)?;
                self.want('>')?;
                ColumnType::Array(Box::new(item))
            }
            "struct" => {
                self.want('<')?;
                let columns = self.columns(depth + 1)?;
                self.want('>')?;
                ColumnType::Struct(columns)
            }
            // An object whose keys are data has no columns: kept as JSON.
            "map" => {
                self.want('<')?;
                self.ty(depth + 1)?;
                self.want(',')?;
                self.ty(depth + 1)?;
                self.want('>')?;
                ColumnType::Json
            }
            "decimal" | "dec" | "numeric" => {
                self.at = start;
                return Err(self.error("decimals are not supported: use `double` or `string`"));
            }
            "" => return Err(self.error("expected a type, such as `int` or `string`")),
            _ => {
                self.at = start;
                return Err(self.error(format!("`{word}` is not a type")));
            }
        };
        Ok(ty)
    }
}
