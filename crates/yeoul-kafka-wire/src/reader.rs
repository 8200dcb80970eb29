//! The reading direction, bounded by the frame.
//!
//! Invariant: what is allocated is at most the bytes of the frame times [`Budget::unfolds_by`]
//! (and a little, for the smallest frames), and at most [`Budget::elements`] elements, whatever
//! the frame claims. So who holds a frame can count what it unfolds to before it does.

use bytes::{Buf, Bytes};

use crate::codec::{Codec, Field, Records};
use crate::error::WireError;

/// What one frame may unfold to beside its own bytes.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Array elements of the whole frame, at all depths together.
    pub elements: usize,
    /// Bytes of memory beside the frame per byte of the frame, above [`UNFOLDS_LEAST`].
    pub unfolds_by: usize,
}

/// What every frame may unfold to, however short.
pub const UNFOLDS_LEAST: usize = 4 << 10;
/// What an allocation takes at least.
const ALLOCATION_LEAST: usize = 16;

impl Budget {
    /// For requests from anywhere: 10,000 partitions in each of several arrays fit many times.
    pub const REQUEST: Self = Self { elements: 200_000, unfolds_by: 16 };
    /// For produce requests: nearly all of one is batches, which stay where they are.
    pub const PRODUCE: Self = Self { elements: 200_000, unfolds_by: 1 };
    /// For answers of a server that a person chose.
    pub const RESPONSE: Self = Self { elements: 4_000_000, unfolds_by: 64 };
    /// For headers, which have no arrays.
    pub(crate) const HEADER: Self = Self { elements: 0, unfolds_by: 16 };
}

/// Reads one message from a frame. Byte fields are slices of the frame, not copies.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    version: i16,
    flexible: bool,
    elements_left: usize,
    memory_left: usize,
    budget: Budget,
}

impl Reader {
    pub fn new(frame: Bytes, version: i16, flexible: bool, budget: Budget) -> Self {
        let memory_left = frame.len().saturating_mul(budget.unfolds_by) + UNFOLDS_LEAST;
        let elements_left = budget.elements;
        Self { rest: frame, version, flexible, elements_left, memory_left, budget }
    }

    /// Takes memory before it is allocated.
    fn unfold(&mut self, bytes: usize) -> Result<(), WireError> {
        let left = self.memory_left.checked_sub(bytes);
        self.memory_left = left.ok_or(WireError::Unfolds(self.budget.unfolds_by))?;
        Ok(())
    }

    /// How many elements an array has, without reading them; 0 for null.
    pub fn array_len(&mut self) -> Result<usize, WireError> {
        Ok(self.len_i32()?.unwrap_or(0))
    }

    /// What was not read yet.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    fn take(&mut self, len: usize) -> Result<Bytes, WireError> {
        if len > self.rest.len() {
            return Err(WireError::CutShort { wanted: len, left: self.rest.len() });
        }
        Ok(self.rest.split_to(len))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let value = *self
            .rest
            .first_chunk::<N>()
            .ok_or(WireError::CutShort { wanted: N, left: self.rest.len() })?;
        self.rest.advance(N);
        Ok(value)
    }

    /// At most five bytes; the fifth may hold four bits only.
    fn uvarint(&mut self) -> Result<u32, WireError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed::<1>()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(WireError::BadVarint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::BadVarint)
    }

    /// A compact length: 0 is null, else the length plus one.
    fn compact_len(&mut self) -> Result<Option<usize>, WireError> {
        Ok(self.uvarint()?.checked_sub(1).map(|len| len as usize))
    }

    fn signed_len(len: i64) -> Result<Option<usize>, WireError> {
        match len {
            -1 => Ok(None),
            len => usize::try_from(len).map(Some).map_err(|_| WireError::BadLength(len)),
        }
    }

    fn len_i32(&mut self) -> Result<Option<usize>, WireError> {
        if self.flexible {
            return self.compact_len();
        }
        Self::signed_len(i32::from_be_bytes(self.fixed()?).into())
    }

    fn len_i16(&mut self) -> Result<Option<usize>, WireError> {
        if self.flexible {
            return self.compact_len();
        }
        Self::signed_len(i16::from_be_bytes(self.fixed()?).into())
    }
}

impl Codec for Reader {
    fn version(&self) -> i16 {
        self.version
    }

    fn int<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError> {
        *bytes = self.fixed()?;
        Ok(())
    }

    fn text(&mut self, value: &mut Option<String>) -> Result<(), WireError> {
        *value = match self.len_i16()? {
            None => None,
            Some(len) => {
                let bytes = self.take(len)?;
                self.unfold(if len == 0 { 0 } else { len.max(ALLOCATION_LEAST) })?;
                let text = std::str::from_utf8(&bytes).map_err(|_| WireError::NotUtf8)?;
                Some(text.to_owned())
            }
        };
        Ok(())
    }

    fn bytes(&mut self, value: &mut Option<Bytes>) -> Result<(), WireError> {
        *value = match self.len_i32()? {
            None => None,
            Some(len) => Some(self.take(len)?),
        };
        Ok(())
    }

    fn records(&mut self, value: &mut Records) -> Result<(), WireError> {
        let mut bytes = None;
        self.bytes(&mut bytes)?;
        value.0 = bytes.into_iter().filter(|bytes| !bytes.is_empty()).collect();
        Ok(())
    }

    fn array<T: Field + Default>(&mut self, value: &mut Option<Vec<T>>) -> Result<(), WireError> {
        let Some(count) = self.len_i32()? else {
            *value = None;
            return Ok(());
        };
        // Every element takes at least a byte, so this bounds the count by the frame.
        if count > self.rest.len() {
            return Err(WireError::TooManyElements { wanted: count, left: self.rest.len() });
        }
        self.elements_left = self
            .elements_left
            .checked_sub(count)
            .ok_or(WireError::OverBudget(self.budget.elements))?;
        self.unfold(count.saturating_mul(size_of::<T>()))?;
        // Grown as elements arrive: a count that the rest does not keep costs nothing.
        let mut items = Vec::new();
        for _ in 0..count {
            let mut item = T::default();
            item.walk(self)?;
            items.push(item);
        }
        *value = Some(items);
        Ok(())
    }

    fn tags(&mut self) -> Result<(), WireError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.uvarint()?;
        for _ in 0..count {
            // A tag takes two bytes at least, so the end of the frame ends this loop.
            let _tag = self.uvarint()?;
            let len = self.uvarint()? as usize;
            self.take(len)?;
        }
        Ok(())
    }
}
