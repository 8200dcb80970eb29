//! Lengths of time and sizes as people write them: `60s`, `7d`, `100MB`, `90%`.
//!
//! Invariant: what `Display` writes is read back as the same value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// A size: a whole number and `B`, `KB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`,
/// `GiB`, `TiB` (powers of 1024); without a unit, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A size, or a part of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskLimit {
    Bytes(u64),
    /// 1 to 100.
    Percent(u8),
}

const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A number and its unit; the unit is empty when there is none.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim()))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*scale)
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        scaled(text, &TIME_UNITS).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| {
            format!("`{text}` is not a length of time\nWrite a number and a unit: 500ms, 60s, 10m, 2h, 7d.")
        })
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = scaled(text, &SIZE_UNITS).or_else(|| text.trim().parse().ok());
        bytes.map(Self).ok_or_else(|| {
            format!("`{text}` is not a size\nWrite a number and a unit: 64KB, 100MB, 2GB; or KiB, MiB, GiB for powers of 1024.")
        })
    }
}

impl FromStr for DiskLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match number_and_unit(text) {
            Some((percent @ 1..=100, "%")) => {
                Ok(Self::Percent(u8::try_from(percent).unwrap_or(100)))
            }
            Some((_, "%")) => Err(format!("`{text}` is not a part of the disk\nWrite 1% to 100%.")),
            _ => text.parse().map(|Size(bytes)| Self::Bytes(bytes)),
        }
    }
}

/// A size such as `512MB`, in bytes; `Err` says what is wrong and how to write it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let size: Result<Size, String> = text.parse();
    size.map(|Size(bytes)| bytes).map_err(|message| message.replace('\n', ": "))
}

/// The largest unit that gives a whole number.
fn written(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let unit = units.iter().filter(|(_, scale)| value.is_multiple_of(*scale)).max_by_key(|u| u.1);
    match unit {
        Some((unit, scale)) if value > 0 => write!(f, "{}{unit}", value / scale),
        _ => write!(f, "{value}{}", units.first().map_or("", |unit| unit.0)),
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIME_UNITS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(f, self.0, &SIZE_UNITS)
    }
}

impl fmt::Display for DiskLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => Size(*bytes).fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

macro_rules! as_text {
    ($($ty:ident, $pattern:literal, $about:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $ty {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($ty).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string", "integer"],
                    "pattern": $pattern,
                    "description": $about,
                })
            }
        }
    )*};
}

as_text! {
    Time, r"^\s*\d+\s*(ms|s|m|h|d)\s*$|\$\{", "A length of time: 500ms, 60s, 10m, 2h, 7d.";
    Size, r"^\s*\d+\s*([KMGT]i?B|B)?\s*$|\$\{", "A size: 100MB (10^6), 64KiB (2^10), or bytes.";
    DiskLimit, r"^\s*\d+\s*([KMGT]i?B|B|%)?\s*$|\$\{", "A size, or a part of the disk: 90%.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written() {
        for (text, ms) in [("500ms", 500), ("60s", 60_000), ("2 h", 7_200_000), ("7d", 604_800_000)]
        {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.0.as_millis(), ms);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!("60s".parse::<Time>().unwrap().to_string(), "1m");
        assert_eq!("100MB".parse(), Ok(Size(100_000_000)));
        assert_eq!("4MiB".parse(), Ok(Size(4 << 20)));
        assert_eq!("1048576".parse(), Ok(Size(1 << 20)));
        assert_eq!(Size(100_000_000).to_string(), "100MB");
        assert_eq!(Size(4 << 20).to_string(), "4MiB");
        assert_eq!("90%".parse(), Ok(DiskLimit::Percent(90)));
        assert_eq!("2GB".parse(), Ok(DiskLimit::Bytes(2_000_000_000)));
        for bad in ["", "s", "60", "60x", "-1s", "1.5h", "99999999999999999999d"] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
        for bad in ["", "MB", "10XB", "20000000TB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert!("0%".parse::<DiskLimit>().is_err() && "101%".parse::<DiskLimit>().is_err());
    }
}
