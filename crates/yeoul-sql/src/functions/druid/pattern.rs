//! Regular expressions. They are those of Rust: linear in time, without look-around and
//! back-references, which Java's (and so Druid's) have.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{Result, exec_err};
use regex::{Regex, RegexBuilder};

use super::call::{Call, Definition, Gives, Takes};

/// Of a compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;

pub(super) static FUNCTIONS: &[Definition] = &[
    Definition {
        name: "regexp_like",
        aliases: &[],
        least: 2,
        takes: &[Takes::Text, Takes::Text],
        endless: false,
        gives: Gives::Bool,
        invoke: like,
    },
    Definition {
        name: "regexp_extract",
        aliases: &[],
        least: 2,
        takes: &[Takes::Text, Takes::Text, Takes::Long],
        endless: false,
        gives: Gives::Text,
        invoke: extract,
    },
    Definition {
        name: "regexp_replace",
        aliases: &[],
        least: 3,
        takes: &[Takes::Text, Takes::Text, Takes::Text],
        endless: false,
        gives: Gives::Text,
        invoke: replace,
    },
];

fn compiled(call: &Call) -> Result<Option<Regex>> {
    let Some(pattern) = call.constant(1)? else { return Ok(None) };
    match RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build() {
        Ok(regex) => Ok(Some(regex)),
        Err(error) => exec_err!("{}: `{pattern}` is not a pattern: {error}", call.shown()),
    }
}

fn like(call: &Call) -> Result<ArrayRef> {
    let regex = compiled(call)?;
    let found = call.text(0)?.iter().map(|text| Some(regex.as_ref()?.is_match(text?)));
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn extract(call: &Call) -> Result<ArrayRef> {
    let regex = compiled(call)?;
    let group = call.constant_long(2)?.unwrap_or(0);
    let Ok(group) = usize::try_from(group) else {
        return exec_err!("{}: no group {group}", call.shown());
    };
    let mut rows = call.text(0)?.iter();
    call.texts(|_, out| {
        let (Some(text), Some(regex)) = (rows.next().flatten(), &regex) else { return Ok(None) };
        let found = regex.captures(text).and_then(|groups| groups.get(group));
        Ok(found.map(|found| out.push_str(found.as_str())))
    })
}

fn replace(call: &Call) -> Result<ArrayRef> {
    let (regex, other) = (compiled(call)?, call.constant(2)?.map(java_groups));
    let mut rows = call.text(0)?.iter();
    call.texts(|_, out| {
        let (Some(text), Some(regex), Some(other)) = (rows.next().flatten(), &regex, &other) else {
            return Ok(None);
        };
        let mut end = 0;
        // Without groups in it the other text is the same for all.
        if let Some(same) = no_groups(other) {
            for found in regex.find_iter(text) {
                out.push_str(text.get(end..found.start()).unwrap_or_default());
                out.push_str(&same);
                call.room(out.len())?;
                end = found.end();
            }
            out.push_str(text.get(end..).unwrap_or_default());
            return Ok(Some(()));
        }
        for groups in regex.captures_iter(text) {
            let Some(found) = groups.get(0) else { continue };
            out.push_str(text.get(end..found.start()).unwrap_or_default());
            groups.expand(other, out);
            call.room(out.len())?;
            end = found.end();
        }
        out.push_str(text.get(end..).unwrap_or_default());
        Ok(Some(()))
    })
}

/// The text itself when it names no group.
fn no_groups(expanded: &str) -> Option<String> {
    let plain = expanded.replace("$$", "");
    (!plain.contains('$')).then(|| expanded.replace("$$", "$"))
}

/// Java's `$1` ends with its digits and `\` takes a sign as it is.
fn java_groups(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            '$' => {
                let mut digits = String::new();
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                match digits.is_empty() {
                    true => out.push_str("$$"),
                    false => out.push_str(&format!("${{{digits}}}")),
                }
            }
            other => out.push(other),
        }
    }
    out
}
