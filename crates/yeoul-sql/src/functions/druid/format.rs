//! `STRING_FORMAT`: what Java's `String.format` makes of the patterns people write.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};

use super::call::{Call, Definition, Gives, Takes};

/// Of one value: a width in a pattern is cheap to write.
const WIDTH_MAX: usize = 1_000;

pub(super) static FUNCTIONS: &[Definition] = &[Definition {
    name: "string_format",
    aliases: &[],
    least: 1,
    takes: &[Takes::Text, Takes::Any],
    endless: true,
    gives: Gives::Text,
    invoke: format,
}];

/// A part of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Spec),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Spec {
    /// From 0.
    argument: usize,
    left: bool,
    zeros: bool,
    sign: bool,
    grouped: bool,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

fn parts(pattern: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut next = 0;
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let (text, after) = rest.split_at_checked(at)?;
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let mut after = after.get(1..)?;
        let mut spec = Spec::default();
        let mut number = digits(&mut after);
        if number.is_some() && after.starts_with('$') {
            after = after.get(1..)?;
            spec.argument = number?.checked_sub(1)?;
            number = None;
        } else {
            spec.argument = usize::MAX;
        }
        // Digits that were no position are a width, and a zero before them a flag.
        if number.is_none() {
            while let Some(flag) = after.chars().next().filter(|c| "-0+,".contains(*c)) {
                match flag {
                    '-' => spec.left = true,
                    '0' => spec.zeros = true,
                    '+' => spec.sign = true,
                    _ => spec.grouped = true,
                }
                after = after.get(1..)?;
            }
            number = digits(&mut after);
        } else if rest.get(at + 1..at + 2) == Some("0") {
            spec.zeros = true;
        }
        spec.width = number.unwrap_or(0);
        if let Some(fraction) = after.strip_prefix('.') {
            after = fraction;
            spec.precision = Some(digits(&mut after)?);
        }
        spec.kind = after.chars().next()?;
        rest = after.get(spec.kind.len_utf8()..)?;
        if spec.width > WIDTH_MAX || spec.precision.unwrap_or(0) > WIDTH_MAX {
            return None;
        }
        match spec.kind {
            '%' => parts.push(Part::Text("%".into())),
            'n' => parts.push(Part::Text("\n".into())),
            's' | 'S' | 'd' | 'f' | 'e' | 'E' | 'x' | 'X' | 'o' | 'b' | 'c' => {
                if spec.argument == usize::MAX {
                    spec.argument = next;
                    next += 1;
                }
                parts.push(Part::Value(spec));
            }
            _ => return None,
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Some(parts)
}

fn digits(text: &mut &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let number = number.parse().ok()?;
    *text = rest;
    Some(number)
}

fn format(call: &Call) -> Result<ArrayRef> {
    let Some(pattern) = call.constant(0)? else { return call.texts(|_, _| Ok(None)) };
    let Some(parts) = parts(pattern) else {
        return exec_err!("{}: cannot use the pattern `{pattern}`", call.shown());
    };
    let mut values = Vec::new();
    for part in &parts {
        let Part::Value(spec) = part else { continue };
        let Ok(given) = call.argument(spec.argument + 1) else {
            return exec_err!("{}: `{pattern}` needs more arguments", call.shown());
        };
        let ty = match spec.kind {
            'd' | 'x' | 'X' | 'o' => DataType::Int64,
            'f' | 'e' | 'E' => DataType::Float64,
            _ => DataType::Utf8,
        };
        values.push((spec, cast(given, &ty)?));
    }
    call.texts(|row, out| {
        let mut values = values.iter();
        for part in &parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(_) => {
                    if let Some((spec, array)) = values.next() {
                        one(spec, array, row, out);
                    }
                }
            }
        }
        Ok(Some(()))
    })
}

fn one(spec: &Spec, array: &ArrayRef, row: usize, out: &mut String) {
    let mut text = if array.is_null(row) {
        "null".to_owned()
    } else {
        match spec.kind {
            'd' => {
                let value = array.as_primitive::<Int64Type>().value(row);
                signed(spec, value < 0, grouped(spec, value.unsigned_abs().to_string()))
            }
            'x' => format!("{:x}", array.as_primitive::<Int64Type>().value(row)),
            'X' => format!("{:X}", array.as_primitive::<Int64Type>().value(row)),
            'o' => format!("{:o}", array.as_primitive::<Int64Type>().value(row)),
            'f' => {
                let value = array.as_primitive::<Float64Type>().value(row);
                let digits = format!("{:.*}", spec.precision.unwrap_or(6), value.abs());
                let text = match digits.split_once('.') {
                    Some((whole, part)) => format!("{}.{part}", grouped(spec, whole.to_owned())),
                    None => grouped(spec, digits),
                };
                signed(spec, value < 0.0, text)
            }
            'e' | 'E' => {
                let value = array.as_primitive::<Float64Type>().value(row);
                let text = java_exponent(value.abs(), spec.precision.unwrap_or(6));
                signed(spec, value < 0.0, text)
            }
            _ => {
                let text = array.as_string::<i32>().value(row);
                match spec.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text.to_owned(),
                }
            }
        }
    };
    if matches!(spec.kind, 'S' | 'E') {
        text = text.to_uppercase();
    }
    let missing = spec.width.saturating_sub(text.chars().count());
    if spec.left {
        out.push_str(&text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if spec.zeros && "dfeExXo".contains(spec.kind) {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(&text);
    }
}

fn signed(spec: &Spec, negative: bool, digits: String) -> String {
    match (negative, spec.sign) {
        (true, _) => format!("-{digits}"),
        (false, true) => format!("+{digits}"),
        (false, false) => digits,
    }
}

/// Commas between thousands.
fn grouped(spec: &Spec, digits: String) -> String {
    if !spec.grouped || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return digits;
    }
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.5e+00`: a sign and two digits at least.
fn java_exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_or_refused() {
        let spec = |kind| Spec { kind, ..Spec::default() };
        assert_eq!(
            parts("a%s-%05.1f%%"),
            Some(vec![
                Part::Text("a".into()),
                Part::Value(spec('s')),
                Part::Text("-".into()),
                Part::Value(Spec {
                    argument: 1,
                    zeros: true,
                    width: 5,
                    precision: Some(1),
                    ..spec('f')
                }),
                Part::Text("%".into()),
            ])
        );
        let second = Spec { argument: 1, left: true, width: 3, ..spec('d') };
        assert_eq!(parts("%2$-3d"), Some(vec![Part::Value(second)]));
        for bad in ["%", "%q", "%999999999d", "%0$s", "%."] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
