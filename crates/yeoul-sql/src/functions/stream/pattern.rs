//! Date patterns as Spark and Java write them (`yyyy-MM-dd HH:mm:ss.SSS`), for reading and
//! writing local times.
//!
//! Letters: `y u Y M d H k h K m s S a E D` and the zone's `X x Z V z`; text stands in single
//! quotes (two of them make one). Another letter is an error when the pattern is read, never a
//! guess. `x` is an offset as in Java; Joda's week year is refused by [`parse_joda`].

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

/// Patterns are short; a longer one is a mistake or an attack.
const PATTERN_BYTES_MAX: usize = 256;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A pattern, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Text(String),
    /// A letter and how often it stands in a row.
    Field(char, usize),
}

impl Item {
    fn is_number(&self) -> bool {
        match self {
            Self::Field('M', count) => *count < 3,
            Self::Field(letter, _) => "yuYdHkhKmsSD".contains(*letter),
            Self::Text(text) => text.starts_with(|c: char| c.is_ascii_digit()),
        }
    }
}

/// Reads a pattern of Joda's, as Druid takes them: `x` and `w` are its week year and week, and
/// three or more `Z` are a zone's name.
///
/// # Errors
/// Which letter is not known.
pub fn parse_joda(pattern: &str) -> Result<Pattern, String> {
    let mut read = parse(pattern)?;
    for item in &mut read.items {
        match item {
            Item::Field('x' | 'X', _) => {
                return Err(format!(
                    "week years in the date pattern `{pattern}` are not supported"
                ));
            }
            Item::Field(letter @ 'Z', count) if *count >= 3 => *letter = 'V',
            _ => {}
        }
    }
    Ok(read)
}

/// Reads a pattern; the error says which letter is not known.
pub fn parse(pattern: &str) -> Result<Pattern, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a date pattern has at most {PATTERN_BYTES_MAX} bytes"));
    }
    let mut items = Vec::new();
    let mut text = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(letter) = chars.next() {
        if letter == '\'' {
            quoted(&mut chars, &mut text, pattern)?;
        } else if letter.is_ascii_alphabetic() {
            if !"yuYMdHkhKmsSaEDXxZVz".contains(letter) {
                return Err(format!("`{letter}` in the date pattern `{pattern}` is not supported"));
            }
            if !text.is_empty() {
                items.push(Item::Text(std::mem::take(&mut text)));
            }
            let mut count = 1;
            while chars.next_if_eq(&letter).is_some() {
                count += 1;
            }
            items.push(Item::Field(letter, count));
        } else {
            text.push(letter);
        }
    }
    if !text.is_empty() {
        items.push(Item::Text(text));
    }
    Ok(Pattern { items })
}

fn quoted(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    text: &mut String,
    pattern: &str,
) -> Result<(), String> {
    if chars.next_if_eq(&'\'').is_some() {
        text.push('\'');
        return Ok(());
    }
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') => return Ok(()),
            Some(letter) => text.push(letter),
            None => return Err(format!("the date pattern `{pattern}` has an open quote")),
        }
    }
}

/// What reading has found so far; what a pattern does not hold keeps its default.
#[derive(Debug)]
struct Found {
    year: i32,
    month: u32,
    day: u32,
    day_of_year: Option<u32>,
    hour: u32,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    /// Seconds east of UTC.
    offset: Option<i32>,
    /// By its name.
    zone: Option<Tz>,
}

impl Pattern {
    /// Writes an instant (µs since 1970 in UTC) as local time of `zone`. `None`: the instant is
    /// outside the calendar.
    pub fn format(&self, micros: i64, zone: Tz, out: &mut String) -> Option<()> {
        let utc = chrono::DateTime::from_timestamp_micros(micros)?.naive_utc();
        let offset = zone.offset_from_utc_datetime(&utc);
        let east = offset.fix().local_minus_utc();
        let local = utc.checked_add_signed(chrono::TimeDelta::seconds(i64::from(east)))?;
        for item in &self.items {
            match item {
                Item::Text(text) => out.push_str(text),
                Item::Field(letter, count) => {
                    write_field(*letter, *count, local, east, &offset.to_string(), zone, out);
                }
            }
        }
        Some(())
    }

    /// Reads a text as an instant in µs since 1970 UTC; without an offset in the text it is
    /// local time of `zone`.
    pub fn read(&self, text: &str, zone: Tz) -> Option<i64> {
        let mut found = Found {
            year: 1970,
            month: 1,
            day: 1,
            day_of_year: None,
            hour: 0,
            afternoon: None,
            minute: 0,
            second: 0,
            nanos: 0,
            offset: None,
            zone: None,
        };
        let mut rest = text;
        for (index, item) in self.items.iter().enumerate() {
            let tight = self.items.get(index + 1).is_some_and(Item::is_number);
            rest = match item {
                Item::Text(text) => rest.strip_prefix(text.as_str())?,
                Item::Field(letter, count) => read_field(*letter, *count, tight, rest, &mut found)?,
            };
        }
        if rest.is_empty() { found.instant(zone) } else { None }
    }
}

impl Found {
    fn instant(&self, zone: Tz) -> Option<i64> {
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(self.year, day)?,
            None => NaiveDate::from_ymd_opt(self.year, self.month, self.day)?,
        };
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let time = NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        let local = NaiveDateTime::new(date, time);
        match self.offset {
            Some(east) => Some(local.and_utc().timestamp_micros() - i64::from(east) * 1_000_000),
            None => local_to_utc(local, self.zone.unwrap_or(zone)),
        }
    }
}

/// µs since 1970 UTC of a local time. Of two such instants (clocks went back) the earlier; a
/// time that was skipped (clocks went forward) moves on by the gap, as in Java.
pub fn local_to_utc(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    if let Some(instant) = zone.from_local_datetime(&local).earliest() {
        return Some(instant.timestamp_micros());
    }
    let before = local.checked_sub_signed(chrono::TimeDelta::days(1))?;
    let east = zone.offset_from_utc_datetime(&before).fix().local_minus_utc();
    Some(local.and_utc().timestamp_micros() - i64::from(east) * 1_000_000)
}

fn write_field(
    letter: char,
    count: usize,
    local: NaiveDateTime,
    east: i32,
    abbreviation: &str,
    zone: Tz,
    out: &mut String,
) {
    let named = |names: &[&str], index: u32, out: &mut String| {
        let name = names.get(index as usize).copied().unwrap_or_default();
        out.push_str(if count > 3 { name } else { name.get(..3).unwrap_or(name) });
    };
    let number = |value: i64, out: &mut String| out.push_str(&format!("{value:0count$}"));
    match letter {
        'y' | 'u' | 'Y' if count == 2 => number(i64::from(local.year().rem_euclid(100)), out),
        'y' | 'u' | 'Y' => number(i64::from(local.year()), out),
        'M' if count > 2 => named(&MONTHS, local.month0(), out),
        'M' => number(i64::from(local.month()), out),
        'd' => number(i64::from(local.day()), out),
        'D' => number(i64::from(local.ordinal()), out),
        'H' => number(i64::from(local.hour()), out),
        'k' => number(i64::from((local.hour() + 23) % 24 + 1), out),
        'h' => number(i64::from(local.hour12().1), out),
        'K' => number(i64::from(local.hour() % 12), out),
        'm' => number(i64::from(local.minute()), out),
        's' => number(i64::from(local.second()), out),
        'S' => {
            let digits = format!("{:09}", local.nanosecond() % 1_000_000_000);
            out.push_str(digits.get(..count.min(9)).unwrap_or(&digits));
        }
        'a' => out.push_str(if local.hour() < 12 { "AM" } else { "PM" }),
        'E' => named(&DAYS, local.weekday().num_days_from_monday(), out),
        'X' if east == 0 => out.push('Z'),
        'X' | 'x' | 'Z' => {
            let colon = if letter != 'Z' && count >= 3 { ":" } else { "" };
            let (sign, east) = (if east < 0 { '-' } else { '+' }, east.abs());
            let (hours, minutes) = (east / 3600, east / 60 % 60);
            if letter != 'Z' && count == 1 && minutes == 0 {
                out.push_str(&format!("{sign}{hours:02}"));
            } else {
                out.push_str(&format!("{sign}{hours:02}{colon}{minutes:02}"));
            }
        }
        'V' => out.push_str(zone.name()),
        _ => out.push_str(abbreviation),
    }
}

/// Reads one field from the front of `rest`; gives what is left. `tight`: digits follow, so the
/// field has exactly as many digits as letters.
fn read_field<'a>(
    letter: char,
    count: usize,
    tight: bool,
    rest: &'a str,
    found: &mut Found,
) -> Option<&'a str> {
    match letter {
        'a' => {
            let (half, after) = rest.split_at_checked(2)?;
            found.afternoon = Some(match half {
                "AM" | "am" => false,
                "PM" | "pm" => true,
                _ => return None,
            });
            return Some(after);
        }
        'M' if count > 2 => {
            let (index, after) = read_name(&MONTHS, count, rest)?;
            found.month = index + 1;
            return Some(after);
        }
        'E' => return Some(read_name(&DAYS, count, rest)?.1),
        'X' | 'x' | 'Z' => {
            let (east, after) = read_offset(rest)?;
            found.offset = Some(east);
            return Some(after);
        }
        'V' | 'z' => return read_zone(rest, found),
        _ => {}
    }
    let (least, most) = match (letter, tight) {
        ('S', _) | (_, true) => (count, count),
        ('y' | 'u' | 'Y', _) => (count, count.max(9)),
        _ => (count, count.max(2)),
    };
    let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits < least || digits > 9 {
        return None;
    }
    let (number, after) = rest.split_at_checked(digits)?;
    let value: u32 = number.parse().ok()?;
    match letter {
        'y' | 'u' | 'Y' if count == 2 => found.year = 2000 + i32::try_from(value).ok()?,
        'y' | 'u' | 'Y' => found.year = i32::try_from(value).ok()?,
        'M' => found.month = value,
        'd' => found.day = value,
        'D' => found.day_of_year = Some(value),
        'k' => found.hour = value % 24,
        'H' | 'h' | 'K' => found.hour = value,
        'm' => found.minute = value,
        's' => found.second = value,
        _ => found.nanos = value * 10u32.pow(9u32.checked_sub(u32::try_from(digits).ok()?)?),
    }
    Some(after)
}

/// A zone's name: IANA's, `UTC`, `GMT`, `Z`, or an abbreviation that means one zone to most.
fn read_zone<'a>(rest: &'a str, found: &mut Found) -> Option<&'a str> {
    const KNOWN: [(&str, Tz); 12] = [
        ("Z", Tz::UTC),
        ("EST", Tz::America__New_York),
        ("EDT", Tz::America__New_York),
        ("CST", Tz::America__Chicago),
        ("CDT", Tz::America__Chicago),
        ("MST", Tz::America__Denver),
        ("MDT", Tz::America__Denver),
        ("PST", Tz::America__Los_Angeles),
        ("PDT", Tz::America__Los_Angeles),
        ("KST", Tz::Asia__Seoul),
        ("JST", Tz::Asia__Tokyo),
        ("CEST", Tz::Europe__Berlin),
    ];
    if rest.starts_with(['+', '-']) {
        let (east, after) = read_offset(rest)?;
        found.offset = Some(east);
        return Some(after);
    }
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    let end = rest.find(|c| !of_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, zone)| *zone);
    found.zone = Some(known.or_else(|| name.parse().ok())?);
    Some(after)
}

fn read_name<'a>(names: &[&str], count: usize, rest: &'a str) -> Option<(u32, &'a str)> {
    names.iter().zip(0u32..).find_map(|(name, index)| {
        let name = if count > 3 { name } else { name.get(..3)? };
        let (head, after) = rest.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some((index, after))
    })
}

/// `Z`, `+09`, `+0900` or `+09:00`: seconds east of UTC and what follows.
pub(super) fn read_offset(rest: &str) -> Option<(i32, &str)> {
    if let Some(after) = rest.strip_prefix(['Z', 'z']) {
        return Some((0, after));
    }
    let sign = match rest.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let two = |text: &str| -> Option<i32> {
        let digits = text.get(..2)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let after = rest.get(1..)?;
    let hours = two(after)?;
    let after = after.get(2..)?;
    let with_colon = after.strip_prefix(':');
    let (minutes, after) = match two(with_colon.unwrap_or(after)) {
        Some(minutes) => (minutes, with_colon.unwrap_or(after).get(2..)?),
        None if with_colon.is_some() => return None,
        None => (0, after),
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    Some((sign * (hours * 3600 + minutes * 60), after))
}
