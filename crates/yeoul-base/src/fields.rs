//! The codec of facts: fields one after another, each either a varint, a fixed number or a
//! length-prefixed run of bytes. No tags: the first byte a component writes is its version.
//!
//! Reading is bounded by the bytes at hand: a length that the input cannot hold is an error
//! before anything is allocated. Bytes: `docs/formats/facts.md`.

use bytes::Bytes;
use thiserror::Error;

/// The bytes are not what their reader expects; says which field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("bad field `{field}`: {what}")]
pub struct FieldError {
    pub field: &'static str,
    pub what: &'static str,
}

/// Writes fields into a growing buffer.
#[derive(Debug, Default, Clone)]
pub struct FieldWriter {
    out: Vec<u8>,
}

impl FieldWriter {
    /// Starts with the version byte that the reader will check.
    pub fn versioned(version: u8) -> Self {
        Self { out: vec![version] }
    }

    pub fn u64(&mut self, mut value: u64) -> &mut Self {
        // LEB128: seven bits a byte, the high bit says that more follow.
        while value >= 0x80 {
            self.out.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
        self
    }

    /// Signed numbers are folded so that small magnitudes stay short.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.u64(((value << 1) ^ (value >> 63)) as u64)
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64);
        self.out.extend_from_slice(value);
        self
    }

    pub fn str(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.push(u8::from(value));
        self
    }

    pub fn id16(&mut self, value: &[u8; 16]) -> &mut Self {
        self.out.extend_from_slice(value);
        self
    }

    pub fn opt_str(&mut self, value: Option<&str>) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            self.str(value);
        }
        self
    }

    pub fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }

    /// Takes what was written and leaves an empty writer behind.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.out))
    }
}

/// Reads fields back in the order they were written.
#[derive(Debug, Clone)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Checks the version byte.
    pub fn versioned(input: &'a [u8], version: u8) -> Result<Self, FieldError> {
        match input.split_first() {
            Some((first, rest)) if *first == version => Ok(Self { rest }),
            Some(_) => Err(FieldError { field: "version", what: "written by another version" }),
            None => Err(FieldError { field: "version", what: "no bytes at all" }),
        }
    }

    pub fn u64(&mut self, field: &'static str) -> Result<u64, FieldError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) =
                self.rest.split_first().ok_or(FieldError { field, what: "cut short" })?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(FieldError { field, what: "number above 64 bits" });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FieldError { field, what: "number above 64 bits" })
    }

    pub fn u32(&mut self, field: &'static str) -> Result<u32, FieldError> {
        u32::try_from(self.u64(field)?)
            .map_err(|_| FieldError { field, what: "number above 32 bits" })
    }

    pub fn i64(&mut self, field: &'static str) -> Result<i64, FieldError> {
        let folded = self.u64(field)?;
        Ok(((folded >> 1) as i64) ^ -((folded & 1) as i64))
    }

    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], FieldError> {
        let len = self.u64(field)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (value, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(FieldError { field, what: "length beyond the end" })?;
        self.rest = rest;
        Ok(value)
    }

    pub fn str(&mut self, field: &'static str) -> Result<&'a str, FieldError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| FieldError { field, what: "not UTF-8" })
    }

    pub fn bool(&mut self, field: &'static str) -> Result<bool, FieldError> {
        let (byte, rest) =
            self.rest.split_first().ok_or(FieldError { field, what: "cut short" })?;
        self.rest = rest;
        match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FieldError { field, what: "neither 0 nor 1" }),
        }
    }

    pub fn id16(&mut self, field: &'static str) -> Result<[u8; 16], FieldError> {
        let (value, rest) =
            self.rest.split_first_chunk::<16>().ok_or(FieldError { field, what: "cut short" })?;
        self.rest = rest;
        Ok(*value)
    }

    pub fn opt_str(&mut self, field: &'static str) -> Result<Option<&'a str>, FieldError> {
        if self.bool(field)? { self.str(field).map(Some) } else { Ok(None) }
    }

    /// A count of elements that each take at least `min_bytes` (1 when 0): refused when the rest
    /// of the input could not hold them.
    pub fn count(&mut self, field: &'static str, min_bytes: usize) -> Result<usize, FieldError> {
        let count = usize::try_from(self.u64(field)?).unwrap_or(usize::MAX);
        if count > self.rest.len() / min_bytes.max(1) {
            return Err(FieldError { field, what: "more elements than the input can hold" });
        }
        Ok(count)
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses bytes after the last field.
    pub fn end(self) -> Result<(), FieldError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FieldError { field: "end", what: "bytes after the last field" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<(), FieldError> {
        let mut out = FieldWriter::versioned(3);
        out.u64(0).u64(u64::MAX).i64(i64::MIN).i64(-1).str("여울").bool(true).id16(&[7; 16]);
        out.opt_str(None).opt_str(Some(""));
        let bytes = out.finish();
        let mut read = FieldReader::versioned(&bytes, 3)?;
        assert_eq!(read.u64("a")?, 0);
        assert_eq!(read.u64("b")?, u64::MAX);
        assert_eq!(read.i64("c")?, i64::MIN);
        assert_eq!(read.i64("d")?, -1);
        assert_eq!(read.str("e")?, "여울");
        assert!(read.bool("f")?);
        assert_eq!(read.id16("g")?, [7; 16]);
        assert_eq!(read.opt_str("h")?, None);
        assert_eq!(read.opt_str("i")?, Some(""));
        read.end()
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_before_allocating() {
        let mut out = FieldWriter::default();
        out.u64(u64::MAX);
        let bytes = out.finish();
        assert!(FieldReader::new(&bytes).bytes("x").is_err());
        assert!(FieldReader::new(&bytes).count("x", 1).is_err());
        assert!(FieldReader::new(&[0xff; 11]).u64("x").is_err());
        assert!(FieldReader::versioned(&[], 1).is_err());
        assert!(FieldReader::versioned(&[2], 1).is_err());
    }
}
