//! A scanner of JSON text: checks the grammar of RFC 8259 and hands out values as slices of the
//! input, without building a tree. Numbers keep all their digits, nested values their bytes.
//!
//! Bounded: at most [`DEPTH_MAX`] levels (kept as bits, nothing recurses) and [`KEYS_MAX`] keys.

use std::borrow::Cow;

use thiserror::Error;

/// Levels of arrays and objects within one record.
pub const DEPTH_MAX: u32 = 128;
/// Keys of all objects of one record together.
pub const KEYS_MAX: u32 = 65_536;
/// Bytes of one record.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// The text is not JSON, or beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{what} at byte {at}")]
pub struct JsonError {
    pub what: &'static str,
    /// From the start of the scanned text.
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// One checked value, without the white space around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
}

impl<'a> Raw<'a> {
    /// What stands between the quotes, escapes as they are. For strings only.
    fn inner(&self) -> &'a str {
        self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default()
    }

    /// The text of a string, escapes resolved; any other value as it is written.
    pub(crate) fn unescaped(&self) -> Result<Cow<'a, str>, JsonError> {
        if self.kind == Kind::String { unescape(self.inner()) } else { Ok(self.text.into()) }
    }
}

/// Reads one value, or the members and elements of one, from left to right.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    keys: u32,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, keys: 0 }
    }

    fn error(&self, what: &'static str) -> JsonError {
        JsonError { what, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// What the next value is, judged by its first byte.
    pub(crate) fn kind(&mut self) -> Option<Kind> {
        self.spaces();
        Some(match self.peek()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        })
    }

    /// Goes into the object or array that starts here.
    pub(crate) fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        self.spaces();
        if self.eat(bracket) { Ok(()) } else { Err(self.error("not an object or array")) }
    }

    /// Whether another member or element follows; eats the comma before it or the bracket at
    /// the end.
    fn more(&mut self, close: u8, first: &mut bool) -> Result<bool, JsonError> {
        self.spaces();
        if self.eat(close) {
            return Ok(false);
        }
        if !std::mem::replace(first, false) && !self.eat(b',') {
            return Err(self.error("expected `,` or the closing bracket"));
        }
        Ok(true)
    }

    /// The next member of the opened object: its key as written between the quotes, its value.
    /// `first` is true before the first member and left to this function from then on.
    pub(crate) fn member(
        &mut self,
        first: &mut bool,
    ) -> Result<Option<(&'a str, Raw<'a>)>, JsonError> {
        if !self.more(b'}', first)? {
            return Ok(None);
        }
        self.spaces();
        let start = self.at;
        self.key()?;
        let key = self.text.get(start + 1..self.at - 1).unwrap_or_default();
        self.colon()?;
        Ok(Some((key, self.value()?)))
    }

    /// The next element of the opened array.
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<Option<Raw<'a>>, JsonError> {
        if self.more(b']', first)? { self.value().map(Some) } else { Ok(None) }
    }

    /// Refuses anything but white space after the value.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.spaces();
        if self.at == self.text.len() { Ok(()) } else { Err(self.error("text after the value")) }
    }

    /// Checks the value that starts here, however deep, and returns it.
    pub(crate) fn value(&mut self) -> Result<Raw<'a>, JsonError> {
        let kind = self.kind().ok_or_else(|| self.error("a value is missing"))?;
        let start = self.at;
        // Bit n says whether the container at depth n is an object.
        let mut objects = 0u128;
        let mut depth = 0;
        loop {
            match self.kind().ok_or_else(|| self.error("a value is missing"))? {
                Kind::String => self.string()?,
                Kind::Number => self.number()?,
                Kind::Null => self.literal("null")?,
                Kind::Bool if self.peek() == Some(b't') => self.literal("true")?,
                Kind::Bool => self.literal("false")?,
                container => {
                    if depth == DEPTH_MAX {
                        return Err(self.error("nested more than 128 deep"));
                    }
                    let object = container == Kind::Object;
                    objects = (objects << 1) | u128::from(object);
                    depth += 1;
                    self.at += 1;
                    if self.more(if object { b'}' } else { b']' }, &mut true)? {
                        self.member_start(object)?;
                        continue;
                    }
                    objects >>= 1;
                    depth -= 1;
                }
            }
            // A value ended: close what ends with it, or go on after its comma.
            loop {
                if depth == 0 {
                    let text = self.text.get(start..self.at).unwrap_or_default();
                    return Ok(Raw { kind, text });
                }
                let object = objects & 1 == 1;
                if self.more(if object { b'}' } else { b']' }, &mut false)? {
                    self.member_start(object)?;
                    break;
                }
                objects >>= 1;
                depth -= 1;
            }
        }
    }

    fn member_start(&mut self, object: bool) -> Result<(), JsonError> {
        if object {
            self.spaces();
            self.key()?;
            self.colon()?;
        }
        Ok(())
    }

    fn key(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key in double quotes"));
        }
        self.keys += 1;
        if self.keys > KEYS_MAX {
            return Err(self.error("more than 65,536 keys"));
        }
        self.string()
    }

    fn colon(&mut self) -> Result<(), JsonError> {
        self.spaces();
        if self.eat(b':') { Ok(()) } else { Err(self.error("expected `:`")) }
    }

    fn literal(&mut self, wanted: &'static str) -> Result<(), JsonError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(wanted)) {
            return Err(self.error("neither null, true nor false"));
        }
        self.at += wanted.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits().map_err(|_| JsonError { what: "not a value", at: start })?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += plain_len(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.error("a control character within a string")),
                None => return Err(JsonError { what: "this string is never closed", at: start }),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        let len = match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u')
                if rest.get(1..5).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                6
            }
            _ => return Err(self.error("a wrong escape")),
        };
        self.at += len;
        Ok(())
    }
}

/// How many bytes from the start are neither quote, backslash nor control character. Eight at a
/// time: most of a record is the inside of strings.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let (chunks, _) = bytes.as_chunks::<8>();
    let mut len = 0;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        // A byte of `x - ONES` borrows, so gets its high bit, when it was zero: exact for "does
        // any byte match", which is all that is asked here.
        let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let slash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        if quote | slash | control != 0 {
            break;
        }
        len += 8;
    }
    let rest = bytes.get(len..).unwrap_or_default();
    len + rest.iter().position(special).unwrap_or(rest.len())
}

/// Resolves the escapes of a string's inside, which the scanner has checked.
pub(crate) fn unescape(inner: &str) -> Result<Cow<'_, str>, JsonError> {
    let Some(first) = inner.find('\\') else { return Ok(inner.into()) };
    let mut out = String::with_capacity(inner.len());
    let mut at = first;
    out.push_str(inner.get(..first).unwrap_or_default());
    while let Some(rest) = inner.get(at..)
        && let Some(head) = rest.chars().next()
    {
        if head != '\\' {
            let plain = rest.find('\\').unwrap_or(rest.len());
            out.push_str(rest.get(..plain).unwrap_or_default());
            at += plain;
            continue;
        }
        let wrong = JsonError { what: "half of a surrogate pair", at };
        at += 2;
        match rest.as_bytes().get(1) {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let unit = hex4(rest, 2).ok_or(wrong)?;
                at += 4;
                let mut units = vec![unit];
                if (0xd800..0xdc00).contains(&unit) && rest.get(6..8) == Some("\\u") {
                    units.push(hex4(rest, 8).ok_or(wrong)?);
                    at += 6;
                }
                for char in char::decode_utf16(units) {
                    out.push(char.map_err(|_| wrong)?);
                }
            }
            Some(other) => out.push(char::from(*other)),
            None => return Err(wrong),
        }
    }
    Ok(out.into())
}

fn hex4(text: &str, at: usize) -> Option<u16> {
    u16::from_str_radix(text.get(at..at + 4)?, 16).ok()
}

/// Fails unless the text is exactly one JSON value.
pub(crate) fn check(text: &str) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(text);
    scanner.value()?;
    scanner.end()
}

pub(crate) fn is_json(text: &str) -> bool {
    check(text).is_ok()
}

/// Appends a JSON string: only what must be escaped is, Hangul stays as it is.
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests;
