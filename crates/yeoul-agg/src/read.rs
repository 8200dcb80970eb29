//! Reading the bytes of sketches: little-endian, nothing allocated beyond what the bytes hold.

use crate::error::AggError;

/// Bytes of one kind of sketch, read from the front.
#[derive(Debug)]
pub(crate) struct Bytes<'a> {
    sketch: &'static str,
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(sketch: &'static str, bytes: &'a [u8]) -> Self {
        Self { sketch, rest: bytes }
    }

    pub(crate) fn refuse(&self, what: impl Into<String>) -> AggError {
        AggError::Sketch { sketch: self.sketch, what: what.into() }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AggError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.refuse("the bytes end too early"));
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, AggError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, AggError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, AggError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, AggError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn f64(&mut self) -> Result<f64, AggError> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], AggError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.refuse(format!("{len} bytes wanted, {} left", self.rest.len())));
        };
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u32s(&mut self, count: usize) -> Result<Vec<u32>, AggError> {
        let (items, _) = self.take(count.saturating_mul(4))?.as_chunks::<4>();
        Ok(items.iter().map(|item| u32::from_le_bytes(*item)).collect())
    }

    pub(crate) fn u64s(&mut self, count: usize) -> Result<Vec<u64>, AggError> {
        let (items, _) = self.take(count.saturating_mul(8))?.as_chunks::<8>();
        Ok(items.iter().map(|item| u64::from_le_bytes(*item)).collect())
    }

    pub(crate) fn f64s(&mut self, count: usize) -> Result<Vec<f64>, AggError> {
        let (items, _) = self.take(count.saturating_mul(8))?.as_chunks::<8>();
        Ok(items.iter().map(|item| f64::from_le_bytes(*item)).collect())
    }
}
