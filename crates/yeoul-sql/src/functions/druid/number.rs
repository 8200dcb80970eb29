//! Functions of numbers: BIGINT stays BIGINT, a DOUBLE among them makes DOUBLE.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};

use super::call::{Call, Definition, Gives, Takes};

const fn number(
    name: &'static str,
    aliases: &'static [&'static str],
    least: usize,
    takes: &'static [Takes],
    gives: Gives,
    invoke: fn(&Call) -> Result<ArrayRef>,
) -> Definition {
    Definition { name, aliases, least, takes, endless: false, gives, invoke }
}

const ONE: &[Takes] = &[Takes::Number];
const TWO: &[Takes] = &[Takes::Number, Takes::Number];
const DIGITS: &[Takes] = &[Takes::Number, Takes::Long];
const LONGS: &[Takes] = &[Takes::Long, Takes::Long];
const POWER: &[Takes] = &[Takes::Double, Takes::Double];

pub(super) static FUNCTIONS: &[Definition] = &[
    number("safe_divide", &[], 2, TWO, Gives::Number, safe_divide),
    number("div", &[], 2, LONGS, Gives::Long, div),
    number("trunc", &["truncate"], 1, DIGITS, Gives::Number, trunc),
    number("round", &[], 1, DIGITS, Gives::Number, round),
    number("floor", &[], 1, ONE, Gives::Number, floor),
    number("ceil", &["ceiling"], 1, ONE, Gives::Number, ceil),
    number("power", &["pow"], 2, POWER, Gives::Double, power),
    number("bitwise_and", &[], 2, LONGS, Gives::Long, |call| bits(call, |a, b| a & b)),
    number("bitwise_or", &[], 2, LONGS, Gives::Long, |call| bits(call, |a, b| a | b)),
    number("bitwise_xor", &[], 2, LONGS, Gives::Long, |call| bits(call, |a, b| a ^ b)),
    number("bitwise_shift_left", &[], 2, LONGS, Gives::Long, |call| {
        bits(call, |a, b| a.wrapping_shl(shift(b)))
    }),
    number("bitwise_shift_right", &[], 2, LONGS, Gives::Long, |call| {
        bits(call, |a, b| a.wrapping_shr(shift(b)))
    }),
    number("bitwise_complement", &[], 1, &[Takes::Long], Gives::Long, |call| {
        let values = call.longs(0)?.iter().map(|value| value.map(|value| !value));
        Ok(Arc::new(values.collect::<Int64Array>()))
    }),
];

/// As Java shifts: by the lowest six bits.
fn shift(by: i64) -> u32 {
    (by & 63) as u32
}

fn bits(call: &Call, join: fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let pairs = call.longs(0)?.iter().zip(call.longs(1)?.iter());
    Ok(Arc::new(pairs.map(|(a, b)| Some(join(a?, b?))).collect::<Int64Array>()))
}

fn is_long(call: &Call) -> Result<bool> {
    Ok(*call.argument(0)?.data_type() == DataType::Int64)
}

fn safe_divide(call: &Call) -> Result<ArrayRef> {
    if is_long(call)? {
        let pairs = call.longs(0)?.iter().zip(call.longs(1)?.iter());
        let quotients = pairs.map(|(a, b)| match (a?, b?) {
            (_, 0) => None,
            (a, b) => Some(a.wrapping_div(b)),
        });
        return Ok(Arc::new(quotients.collect::<Int64Array>()));
    }
    let pairs = call.doubles(0)?.iter().zip(call.doubles(1)?.iter());
    let quotients = pairs.map(|(a, b)| match (a?, b?) {
        (_, 0.0) => None,
        (a, b) => Some(a / b),
    });
    Ok(Arc::new(quotients.collect::<Float64Array>()))
}

fn div(call: &Call) -> Result<ArrayRef> {
    let pairs = call.longs(0)?.iter().zip(call.longs(1)?.iter());
    let quotients = pairs.map(|(a, b)| match (a, b) {
        (Some(_), Some(0)) => exec_err!("{}: division by zero", call.shown()),
        (Some(a), Some(b)) => Ok(Some(a.wrapping_div(b))),
        _ => Ok(None),
    });
    Ok(Arc::new(quotients.collect::<Result<Int64Array>>()?))
}

/// Number and digits of each row; no digits when there is no such argument.
fn rounded(
    call: &Call,
    long: fn(i64, i64) -> i64,
    double: fn(f64, i32) -> f64,
) -> Result<ArrayRef> {
    let digits = if call.arguments.len() > 1 {
        call.longs(1)?.clone()
    } else {
        Int64Array::from(vec![0; call.rows])
    };
    let digits = digits.iter();
    if is_long(call)? {
        let pairs = call.longs(0)?.iter().zip(digits);
        let values = pairs.map(|(value, digits)| {
            let (value, digits) = (value?, digits?);
            match u32::try_from(-digits.max(-19)) {
                // Digits after the point change no whole number.
                Err(_) | Ok(0) => Some(value),
                Ok(places) => Some(match 10_i64.checked_pow(places) {
                    Some(unit) => long(value, unit),
                    None => 0,
                }),
            }
        });
        return Ok(Arc::new(values.collect::<Int64Array>()));
    }
    let pairs = call.doubles(0)?.iter().zip(digits);
    let values = pairs.map(|(value, digits)| {
        let (value, digits) = (value?, digits?);
        // Beyond these, no digit of a DOUBLE is left or all are.
        Some(double(value, digits.clamp(-330, 330) as i32))
    });
    Ok(Arc::new(values.collect::<Float64Array>()))
}

fn trunc(call: &Call) -> Result<ArrayRef> {
    rounded(call, |value, unit| value - value % unit, |value, digits| decimal(value, digits, false))
}

/// Halves go away from zero.
fn round(call: &Call) -> Result<ArrayRef> {
    let long = |value: i64, unit: i64| {
        let rest = value % unit;
        let down = value - rest;
        if rest.unsigned_abs() >= unit.unsigned_abs() / 2 {
            down.saturating_add(unit.saturating_mul(rest.signum()))
        } else {
            down
        }
    };
    rounded(call, long, |value, digits| decimal(value, digits, true))
}

/// Cuts or rounds the digits that people see, not the bits behind them: 2.675 with two digits is
/// 2.68, although its bits are a little less.
fn decimal(value: f64, digits: i32, round: bool) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    let text = format!("{:e}", value.abs());
    let Some((mantissa, exponent)) = text.split_once('e') else { return value };
    let Ok(exponent) = exponent.parse::<i32>() else { return value };
    let all: Vec<u8> =
        mantissa.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let keep = exponent + 1 + digits;
    let Ok(keep) = usize::try_from(keep) else { return 0.0_f64.copysign(value) };
    let Some(next) = all.get(keep) else { return value };
    let up = round && *next >= 5;
    let kept = all.get(..keep).unwrap_or_default();
    let mut digits_kept: String = kept.iter().map(|digit| char::from(digit + b'0')).collect();
    if digits_kept.is_empty() {
        digits_kept.push('0');
    }
    // At most 17 digits: a number of 64 bits holds them.
    let Ok(mut whole) = digits_kept.parse::<u64>() else { return value };
    whole += u64::from(up);
    let scaled = format!("{whole}e{}", exponent + 1 - keep as i32);
    scaled.parse::<f64>().unwrap_or(value).copysign(value)
}

fn floor(call: &Call) -> Result<ArrayRef> {
    whole(call, f64::floor)
}

fn ceil(call: &Call) -> Result<ArrayRef> {
    whole(call, f64::ceil)
}

fn whole(call: &Call, change: fn(f64) -> f64) -> Result<ArrayRef> {
    if is_long(call)? {
        return Ok(Arc::clone(call.argument(0)?));
    }
    Ok(Arc::new(call.doubles(0)?.iter().map(|value| value.map(change)).collect::<Float64Array>()))
}

fn power(call: &Call) -> Result<ArrayRef> {
    let pairs = call.doubles(0)?.iter().zip(call.doubles(1)?.iter());
    Ok(Arc::new(pairs.map(|(a, b)| Some(a?.powf(b?))).collect::<Float64Array>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_people_see() {
        for (value, digits, rounded, cut) in [
            (2.675, 2, 2.68, 2.67),
            (-2.5, 0, -3.0, -2.0),
            (0.49, 0, 0.0, 0.0),
            (0.5, 0, 1.0, 0.0),
            (1234.5, -2, 1200.0, 1200.0),
            (1250.0, -2, 1300.0, 1200.0),
            (99.99, 1, 100.0, 99.9),
            (1e300, 5, 1e300, 1e300),
            (1e-300, 5, 0.0, 0.0),
            (5.0, -1, 10.0, 0.0),
            (5.0, -2, 0.0, 0.0),
        ] {
            assert_eq!(decimal(value, digits, true), rounded, "round {value} {digits}");
            assert_eq!(decimal(value, digits, false), cut, "trunc {value} {digits}");
        }
    }
}
