//! A record's value → one JSON object, for topics whose values are lines or other text.

use std::borrow::Cow;

use regex::bytes::Regex;
use regex::bytes::RegexBuilder;
use serde_json::{Map, Value};
use yeoul_format::LineDecoder;

use super::spec::ValueFormat;

/// A pattern compiles to at most this.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// See the module's head.
#[derive(Debug)]
pub(super) enum ValueReader {
    Json,
    Line(LineDecoder),
    Pattern { regex: Regex, columns: Vec<String> },
}

impl ValueReader {
    /// # Errors
    /// The options cannot work; for people.
    pub(super) fn new(format: &ValueFormat) -> Result<Self, String> {
        Ok(match format {
            ValueFormat::Json => Self::Json,
            ValueFormat::Line(decode) => {
                Self::Line(LineDecoder::new(decode).map_err(|error| error.to_string())?)
            }
            ValueFormat::Pattern { regex, columns } => {
                let built = RegexBuilder::new(regex).size_limit(REGEX_BYTES_MAX).build();
                let regex = built.map_err(|error| format!("not a pattern: {error}"))?;
                let groups = regex.captures_len() - 1;
                if columns.len() > groups {
                    return Err(format!(
                        "{} columns for a pattern of {groups} groups",
                        columns.len()
                    ));
                }
                Self::Pattern { regex, columns: columns.clone() }
            }
        })
    }

    /// The value as a JSON object, or why there is none.
    pub(super) fn read<'a>(
        &self,
        value: Option<&'a [u8]>,
    ) -> Result<Option<Cow<'a, [u8]>>, String> {
        let Some(value) = value else { return Ok(None) };
        let line = value.strip_suffix(b"\n").unwrap_or(value);
        match self {
            Self::Json => Ok(Some(Cow::Borrowed(value))),
            Self::Line(decoder) => {
                let mut out = Vec::with_capacity(line.len() * 2);
                decoder.decode(line, &mut out).map_err(|error| error.to_string())?;
                Ok(Some(Cow::Owned(out)))
            }
            Self::Pattern { regex, columns } => {
                let found = regex.captures(line).ok_or("the pattern does not match")?;
                let mut object = Map::with_capacity(columns.len());
                for (at, name) in columns.iter().enumerate() {
                    let text =
                        found.get(at + 1).map(|group| String::from_utf8(group.as_bytes().to_vec()));
                    let text = text.transpose().map_err(|_| "not UTF-8")?;
                    object.insert(name.clone(), text.map_or(Value::Null, Value::String));
                }
                Ok(Some(Cow::Owned(Value::Object(object).to_string().into_bytes())))
            }
        }
    }
}
