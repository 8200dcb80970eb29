//! Functions of text. Positions and lengths are counted in UTF-16 units, as Druid counts them; a
//! position inside of one character means the one after it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use datafusion::common::{Result, exec_err};

use super::call::{Call, Definition, Gives, Takes};

const fn text(
    name: &'static str,
    aliases: &'static [&'static str],
    least: usize,
    takes: &'static [Takes],
    gives: Gives,
    invoke: fn(&Call) -> Result<ArrayRef>,
) -> Definition {
    Definition { name, aliases, least, takes, endless: false, gives, invoke }
}

const ONE: &[Takes] = &[Takes::Text];
const TWO: &[Takes] = &[Takes::Text, Takes::Text];
const COUNTED: &[Takes] = &[Takes::Text, Takes::Long];
const PADDED: &[Takes] = &[Takes::Text, Takes::Long, Takes::Text];

pub(super) static FUNCTIONS: &[Definition] = &[
    Definition { endless: true, ..text("concat", &["textcat"], 1, ONE, Gives::Text, concat) },
    text("length", &["char_length", "character_length", "strlen"], 1, ONE, Gives::Long, length),
    text(
        "substring",
        &["substr"],
        2,
        &[Takes::Text, Takes::Long, Takes::Long],
        Gives::Text,
        substring,
    ),
    text("strpos", &["instr", "position"], 2, TWO, Gives::Long, strpos),
    text("contains_string", &[], 2, TWO, Gives::Bool, contains),
    text("icontains_string", &[], 2, TWO, Gives::Bool, contains_any_case),
    text("left", &[], 2, COUNTED, Gives::Text, left),
    text("right", &[], 2, COUNTED, Gives::Text, right),
    text("lpad", &[], 2, PADDED, Gives::Text, lpad),
    text("rpad", &[], 2, PADDED, Gives::Text, rpad),
    text("repeat", &[], 2, COUNTED, Gives::Text, repeat),
    text("reverse", &[], 1, ONE, Gives::Text, reverse),
    text("replace", &[], 3, &[Takes::Text, Takes::Text, Takes::Text], Gives::Text, replace),
    text("parse_long", &[], 1, COUNTED, Gives::Long, parse_long),
    text("decode_base64_utf8", &[], 1, ONE, Gives::Text, decode),
];

/// Units of UTF-16.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// The byte where so many units end, or the text.
fn at_unit(text: &str, wanted: usize) -> usize {
    if text.is_ascii() {
        return wanted.min(text.len());
    }
    let mut seen = 0;
    for (at, c) in text.char_indices() {
        if seen >= wanted {
            return at;
        }
        seen += c.len_utf16();
    }
    text.len()
}

fn from(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

fn to(text: &str, at: usize) -> &str {
    text.get(..at).unwrap_or(text)
}

/// Null when one of them is.
fn concat(call: &Call) -> Result<ArrayRef> {
    let parts = (0..call.arguments.len()).map(|at| call.text(at)).collect::<Result<Vec<_>>>()?;
    call.texts(|row, out| {
        for part in &parts {
            if !arrow::array::Array::is_valid(part, row) {
                return Ok(None);
            }
            out.push_str(part.value(row));
            call.room(out.len())?;
        }
        Ok(Some(()))
    })
}

fn length(call: &Call) -> Result<ArrayRef> {
    let lengths = call.text(0)?.iter().map(|text| text.map(|text| units(text) as i64));
    Ok(Arc::new(lengths.collect::<Int64Array>()))
}

fn size(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}

fn substring(call: &Call) -> Result<ArrayRef> {
    let (texts, starts) = (call.text(0)?, call.longs(1)?);
    let counts = if call.arguments.len() > 2 { Some(call.longs(2)?) } else { None };
    let mut rows = texts.iter().zip(starts.iter());
    let mut counts = counts.map(|counts| counts.iter());
    call.texts(|_, out| {
        let (text, start) = rows.next().unwrap_or_default();
        let count = counts.as_mut().map(|counts| counts.next().flatten());
        let (Some(text), Some(start)) = (text, start) else { return Ok(None) };
        let rest = from(text, at_unit(text, size(start.saturating_sub(1))));
        match count {
            None => out.push_str(rest),
            Some(None) => return Ok(None),
            // A start before the text takes from the count.
            Some(Some(count)) => {
                let lost = 1_i64.saturating_sub(start).max(0);
                out.push_str(to(rest, at_unit(rest, size(count.saturating_sub(lost)))));
            }
        }
        Ok(Some(()))
    })
}

fn strpos(call: &Call) -> Result<ArrayRef> {
    let pairs = call.text(0)?.iter().zip(call.text(1)?.iter());
    let places = pairs.map(|(text, wanted)| {
        let (text, wanted) = (text?, wanted?);
        Some(text.find(wanted).map_or(0, |at| units(to(text, at)) as i64 + 1))
    });
    Ok(Arc::new(places.collect::<Int64Array>()))
}

fn contains(call: &Call) -> Result<ArrayRef> {
    let pairs = call.text(0)?.iter().zip(call.text(1)?.iter());
    let found = pairs.map(|(text, wanted)| Some(text?.contains(wanted?)));
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn contains_any_case(call: &Call) -> Result<ArrayRef> {
    let pairs = call.text(0)?.iter().zip(call.text(1)?.iter());
    let mut last: Option<(&str, String)> = None;
    let found = pairs.map(|(text, wanted)| {
        let (text, wanted) = (text?, wanted?);
        let lower = match &last {
            Some((known, lower)) if *known == wanted => lower,
            _ => &last.insert((wanted, wanted.to_lowercase())).1,
        };
        Some(text.to_lowercase().contains(lower.as_str()))
    });
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn counted(
    call: &Call,
    mut take: impl FnMut(&str, usize, &mut String) -> Result<Option<()>>,
) -> Result<ArrayRef> {
    let mut rows = call.text(0)?.iter().zip(call.longs(1)?.iter());
    call.texts(|_, out| match rows.next() {
        Some((Some(text), Some(count))) if count >= 0 => take(text, size(count), out),
        Some((Some(_), Some(count))) => exec_err!("{}: {count} is negative", call.shown()),
        _ => Ok(None),
    })
}

fn left(call: &Call) -> Result<ArrayRef> {
    counted(call, |text, count, out| {
        out.push_str(to(text, at_unit(text, count)));
        Ok(Some(()))
    })
}

fn right(call: &Call) -> Result<ArrayRef> {
    counted(call, |text, count, out| {
        out.push_str(from(text, at_unit(text, units(text).saturating_sub(count))));
        Ok(Some(()))
    })
}

fn repeat(call: &Call) -> Result<ArrayRef> {
    let mut rows = call.text(0)?.iter().zip(call.longs(1)?.iter());
    call.texts(|_, out| {
        let Some((Some(text), Some(count))) = rows.next() else { return Ok(None) };
        // Druid has nothing for none.
        if count < 1 {
            return Ok(None);
        }
        call.room(text.len().saturating_mul(size(count)))?;
        out.push_str(&text.repeat(size(count)));
        Ok(Some(()))
    })
}

fn lpad(call: &Call) -> Result<ArrayRef> {
    pad(call, true)
}

fn rpad(call: &Call) -> Result<ArrayRef> {
    pad(call, false)
}

fn pad(call: &Call, left: bool) -> Result<ArrayRef> {
    let mut fills = call.maybe_text(2)?.map(|fills| fills.iter());
    counted(call, |text, wanted, out| {
        let fill = match fills.as_mut() {
            Some(fills) => match fills.next().flatten() {
                Some(fill) => fill,
                None => return Ok(None),
            },
            None => " ",
        };
        let missing = wanted.saturating_sub(units(text));
        call.room(missing)?;
        let mut filled = String::new();
        if !fill.is_empty() {
            let (whole, part) = (missing / units(fill), missing % units(fill));
            call.room(fill.len().saturating_mul(whole + 1))?;
            filled = fill.repeat(whole);
            filled.push_str(to(fill, at_unit(fill, part)));
        }
        let kept = to(text, at_unit(text, wanted));
        let (first, second) = if left { (filled.as_str(), kept) } else { (kept, filled.as_str()) };
        out.push_str(first);
        out.push_str(second);
        Ok(Some(()))
    })
}

fn reverse(call: &Call) -> Result<ArrayRef> {
    let mut rows = call.text(0)?.iter();
    call.texts(|_, out| {
        let Some(text) = rows.next().flatten() else { return Ok(None) };
        out.extend(text.chars().rev());
        Ok(Some(()))
    })
}

fn replace(call: &Call) -> Result<ArrayRef> {
    let mut rows = call.text(0)?.iter().zip(call.text(1)?.iter()).zip(call.text(2)?.iter());
    call.texts(|_, out| {
        let Some(((Some(text), Some(wanted)), Some(other))) = rows.next() else { return Ok(None) };
        if wanted.is_empty() {
            out.push_str(text);
            return Ok(Some(()));
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(wanted) {
            out.push_str(before);
            out.push_str(other);
            call.room(out.len())?;
            rest = after;
        }
        out.push_str(rest);
        Ok(Some(()))
    })
}

/// Null when it is no number of that radix.
fn parse_long(call: &Call) -> Result<ArrayRef> {
    let radix = call.constant_long(1)?.unwrap_or(10);
    let Some(radix) = u32::try_from(radix).ok().filter(|radix| (2..=36).contains(radix)) else {
        return exec_err!("{}: {radix} is not a radix from 2 to 36", call.shown());
    };
    let numbers = call.text(0)?.iter().map(|text| {
        let text = text?.trim();
        let digits = match radix {
            16 => text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text),
            _ => text,
        };
        i64::from_str_radix(digits, radix).ok()
    });
    Ok(Arc::new(numbers.collect::<Int64Array>()))
}

/// Null when it is not Base64, or not UTF-8 in it.
fn decode(call: &Call) -> Result<ArrayRef> {
    let mut rows = call.text(0)?.iter();
    call.texts(|_, out| {
        let bytes = rows.next().flatten().and_then(|text| BASE64_STANDARD.decode(text).ok());
        let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return Ok(None);
        };
        out.push_str(&text);
        Ok(Some(()))
    })
}
