//! Lines → JSON objects, as the `decode:` options say. What comes out is always valid JSON.
//!
//! A blank or cut field is null. A field that is not blank and does not parse spoils its line:
//! the error names the column and the text, and nothing is written.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use encoding_rs::Encoding;
use thiserror::Error;

use crate::decode::{Decode, Delimited};
use crate::json::{is_json, write_str};
use crate::scalar;
use crate::types::{Column, ColumnType};

/// Why a line cannot be a record, or decode options cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("column `{column}`: {what}")]
    Column { column: String, what: String },
    #[error("{0}")]
    Line(String),
    /// Not the line's fault.
    #[error("decode: {0}")]
    Options(String),
}

/// See the module's head.
#[derive(Debug, Clone)]
pub struct LineDecoder {
    plan: Plan,
}

#[derive(Debug, Clone)]
enum Plan {
    None,
    Json,
    Delimited(Fields),
}

#[derive(Debug, Clone)]
struct Fields {
    columns: Vec<Field>,
    declared: Vec<Column>,
    delimiter: u8,
    quotes: bool,
    header: bool,
    encoding: &'static Encoding,
}

#[derive(Debug, Clone)]
struct Field {
    /// `"name":`
    key: Vec<u8>,
    column: Column,
}

impl Field {
    fn new(column: Column) -> Self {
        let mut key = Vec::new();
        write_str(&column.name, &mut key);
        key.push(b':');
        Self { key, column }
    }
}

impl LineDecoder {
    /// Fails with [`DecodeError::Options`].
    pub fn new(decode: &Decode) -> Result<Self, DecodeError> {
        let plan = match decode {
            Decode::None => Plan::None,
            Decode::Json => Plan::Json,
            Decode::Tsv(options) => Plan::Delimited(Fields::new(options, b'\t', false)?),
            Decode::Csv(options) => Plan::Delimited(Fields::new(options, b',', true)?),
        };
        Ok(Self { plan })
    }

    /// Whether the first line of each file names its columns.
    pub fn expects_header(&self) -> bool {
        matches!(&self.plan, Plan::Delimited(fields) if fields.header)
    }

    /// The decoder for a file that starts with this header.
    pub fn with_header(&self, line: &[u8]) -> Result<Self, DecodeError> {
        match &self.plan {
            Plan::Delimited(fields) => {
                Ok(Self { plan: Plan::Delimited(fields.with_header(line)?) })
            }
            _ => Ok(self.clone()),
        }
    }

    /// Whether the line is no record at all: white space where fields are expected.
    pub fn is_blank(&self, line: &[u8]) -> bool {
        match self.plan {
            Plan::None => false,
            _ => line.trim_ascii().is_empty(),
        }
    }

    /// Appends the record to `out`; on an error `out` is as it was. The line may end with `\r`,
    /// not with `\n`.
    pub fn decode(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let start = out.len();
        let result = match &self.plan {
            Plan::None => {
                out.extend_from_slice(line);
                Ok(())
            }
            Plan::Json => json_object(line).map(|text| out.extend_from_slice(text.as_bytes())),
            Plan::Delimited(fields) => fields.decode(line, out),
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

fn utf8(line: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(line)
        .map_err(|error| DecodeError::Line(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

fn json_object(line: &[u8]) -> Result<&str, DecodeError> {
    let text = utf8(line)?.trim_ascii();
    if !text.starts_with('{') {
        return Err(DecodeError::Line("not a JSON object".into()));
    }
    crate::json::check(text).map_err(|error| DecodeError::Line(format!("not JSON: {error}")))?;
    Ok(text)
}

impl Fields {
    fn new(options: &Delimited, default: u8, quotes: bool) -> Result<Self, DecodeError> {
        let wrong = |what: String| Err(DecodeError::Options(what));
        let delimiter = match options.delimiter {
            None => default,
            Some(char) if char.is_ascii() && !matches!(char, '\n' | '\r' | '"') => char as u8,
            Some(char) => {
                return wrong(format!(
                    "delimiter {char:?} is not one ASCII character that a field may end with"
                ));
            }
        };
        let encoding = match &options.encoding {
            None => encoding_rs::UTF_8,
            Some(label) => match Encoding::for_label(label.as_bytes()) {
                Some(encoding) if encoding.is_ascii_compatible() => encoding,
                Some(_) => return wrong(format!("encoding `{label}` has lines this cannot split")),
                None => return wrong(format!("encoding `{label}` is not known")),
            },
        };
        if options.columns.is_empty() && !options.header {
            return wrong(
                "give `columns:`, or `header: true` when the first line names them".into(),
            );
        }
        let declared = options.columns.to_vec();
        let columns = declared.iter().cloned().map(Field::new).collect();
        Ok(Self { columns, declared, delimiter, quotes, header: options.header, encoding })
    }

    fn text<'a>(&self, line: &'a [u8]) -> Result<Cow<'a, str>, DecodeError> {
        if self.encoding == encoding_rs::UTF_8 {
            return utf8(line).map(Cow::Borrowed);
        }
        self.encoding
            .decode_without_bom_handling_and_without_replacement(line)
            .ok_or_else(|| DecodeError::Line(format!("not {}", self.encoding.name())))
    }

    fn with_header(&self, line: &[u8]) -> Result<Self, DecodeError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = self.text(line)?;
        let mut columns: Vec<Field> = Vec::new();
        for name in self.split(&text) {
            let name = name?.trim().to_owned();
            if name.is_empty() || columns.iter().any(|field| field.column.name == name) {
                return Err(DecodeError::Line(format!(
                    "the header's name `{name}` is blank or appears twice"
                )));
            }
            let declared = self.declared.iter().find(|column| column.name == name);
            let column = declared.cloned().unwrap_or(Column::new(name, ColumnType::String));
            columns.push(Field::new(column));
        }
        for column in &self.declared {
            if !columns.iter().any(|field| field.column.name == column.name) {
                return Err(DecodeError::Line(format!(
                    "the header does not name column `{}`",
                    column.name
                )));
            }
        }
        Ok(Self { columns, ..self.clone() })
    }

    fn split<'a>(&self, line: &'a str) -> Splitter<'a> {
        Splitter { rest: Some(line), delimiter: char::from(self.delimiter), quotes: self.quotes }
    }

    fn decode(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let text = self.text(line)?;
        let mut values = self.split(&text);
        out.push(b'{');
        for (index, field) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&field.key);
            let value = values.next().transpose()?.unwrap_or_default();
            write_value(&value, &field.column.ty, out)
                .map_err(|what| DecodeError::Column { column: field.column.name.clone(), what })?;
        }
        out.push(b'}');
        // Blank fields beyond the last column are what spreadsheets leave behind.
        for (index, value) in values.enumerate() {
            if !value?.trim().is_empty() {
                let have = self.columns.len();
                let more = have + index + 1;
                return Err(DecodeError::Line(format!(
                    "field {more} is not blank, and only {have} columns are declared"
                )));
            }
        }
        Ok(())
    }
}

struct Splitter<'a> {
    rest: Option<&'a str>,
    delimiter: char,
    quotes: bool,
}

impl<'a> Splitter<'a> {
    /// A field that starts with a quote; doubled quotes stand for one.
    fn quoted(&mut self, mut rest: &'a str) -> Result<Cow<'a, str>, DecodeError> {
        let mut out = Cow::Borrowed("");
        loop {
            let Some((part, after)) = rest.split_once('"') else {
                return Err(DecodeError::Line("a quoted field is not closed on its line".into()));
            };
            if out.is_empty() {
                out = part.into()
            } else {
                out.to_mut().push_str(part)
            }
            if let Some(more) = after.strip_prefix('"') {
                out.to_mut().push('"');
                rest = more;
            } else if after.is_empty() {
                self.rest = None;
                return Ok(out);
            } else if let Some(more) = after.strip_prefix(self.delimiter) {
                self.rest = Some(more);
                return Ok(out);
            } else {
                return Err(DecodeError::Line("text after a field's closing quote".into()));
            }
        }
    }
}

impl<'a> Iterator for Splitter<'a> {
    type Item = Result<Cow<'a, str>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        if self.quotes
            && let Some(inner) = rest.strip_prefix('"')
        {
            let field = self.quoted(inner);
            if field.is_err() {
                self.rest = None;
            }
            return Some(field);
        }
        Some(Ok(match rest.split_once(self.delimiter) {
            Some((field, more)) => {
                self.rest = Some(more);
                field.into()
            }
            None => {
                self.rest = None;
                rest.into()
            }
        }))
    }
}

/// Writes a field as the JSON value of its column.
fn write_value(text: &str, ty: &ColumnType, out: &mut Vec<u8>) -> Result<(), String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match ty {
        ColumnType::String => write_str(text, out),
        ColumnType::Int => {
            let value = scalar::int(trimmed)?;
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(out, &value);
        }
        ColumnType::Double => {
            let value = scalar::double(trimmed)?;
            if value.is_finite() && !is_json(trimmed) {
                // `+5` and `.5` are numbers to people only.
                out.extend_from_slice(format!("{value:?}").as_bytes());
            } else {
                number_or_text(trimmed, out);
            }
        }
        ColumnType::Bool => {
            let word: &[u8] = if scalar::bool(trimmed)? { b"true" } else { b"false" };
            out.extend_from_slice(word);
        }
        // The zone of a local time is the reader's matter: here it is only checked.
        ColumnType::Timestamp => {
            scalar::timestamp(trimmed, chrono_tz::UTC)?;
            write_str(trimmed, out);
        }
        ColumnType::Epoch(unit) => {
            if scalar::epoch(trimmed, *unit).is_err() {
                scalar::timestamp(trimmed, chrono_tz::UTC)
                    .map_err(|_| scalar::not_a(trimmed, ty))?;
            }
            number_or_text(trimmed, out);
        }
        ColumnType::Date => {
            scalar::date(trimmed)?;
            write_str(trimmed, out);
        }
        ColumnType::Binary => {
            BASE64.decode(trimmed).map_err(|_| scalar::not_a(trimmed, ty))?;
            write_str(trimmed, out);
        }
        ColumnType::Json | ColumnType::Array(_) | ColumnType::Struct(_) => {
            if !is_json(trimmed) {
                return Err(scalar::not_a(trimmed, ty));
            }
            out.extend_from_slice(trimmed.as_bytes());
        }
    }
    Ok(())
}

/// A number keeps its digits; `NaN` and times become strings.
fn number_or_text(text: &str, out: &mut Vec<u8>) {
    if is_json(text) { out.extend_from_slice(text.as_bytes()) } else { write_str(text, out) }
}

#[cfg(test)]
mod tests;
