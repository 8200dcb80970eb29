//! The writing direction. Large byte fields are kept as they are beside what is encoded, so an
//! answer with megabytes of batches is not copied before it goes to the socket.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Codec, Field, Records};
use crate::error::WireError;

/// Byte fields from this size on become a chunk of their own.
const CHUNK_BYTES_MIN: usize = 4 << 10;

/// An encoded frame, its length prefix included, in pieces that follow one another.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub chunks: Vec<Bytes>,
}

impl Frame {
    pub fn len_bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// All pieces as one.
    pub fn concat(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len_bytes());
        self.chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
        out.freeze()
    }
}

/// Writes one frame; the length is put in front by [`Writer::finish`].
#[derive(Debug)]
pub struct Writer {
    chunks: Vec<Bytes>,
    open: BytesMut,
    version: i16,
    flexible: bool,
}

impl Writer {
    pub fn new(version: i16, flexible: bool) -> Self {
        let mut open = BytesMut::with_capacity(256);
        open.put_i32(0);
        Self { chunks: Vec::new(), open, version, flexible }
    }

    /// Whether lengths are compact from here on: headers and bodies differ in it.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    pub fn finish(mut self) -> Frame {
        let total: usize = self.chunks.iter().map(Bytes::len).sum::<usize>() + self.open.len();
        let len = u32::try_from(total.saturating_sub(4)).unwrap_or(u32::MAX).to_be_bytes();
        if self.chunks.is_empty() {
            if let Some(head) = self.open.first_chunk_mut::<4>() {
                *head = len;
            }
            return Frame { chunks: vec![self.open.freeze()] };
        }
        // The first chunk was frozen with a zero length in front; replace it by a patched copy,
        // which is small: large fields are chunks of their own.
        if let Some(first) = self.chunks.first_mut() {
            let mut patched = BytesMut::from(first.as_ref());
            if let Some(head) = patched.first_chunk_mut::<4>() {
                *head = len;
            }
            *first = patched.freeze();
        }
        if !self.open.is_empty() {
            self.chunks.push(self.open.freeze());
        }
        Frame { chunks: self.chunks }
    }

    fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.open.put_u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.open.put_u8(value as u8);
    }

    fn len_i32(&mut self, len: Option<usize>) -> Result<(), WireError> {
        let len = match len {
            None => -1,
            Some(len) => i32::try_from(len).map_err(|_| WireError::TextTooLong(len))?,
        };
        if self.flexible {
            self.uvarint((len + 1).unsigned_abs());
        } else {
            self.open.put_i32(len);
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &Bytes) {
        if bytes.len() < CHUNK_BYTES_MIN {
            self.open.extend_from_slice(bytes);
            return;
        }
        self.chunks.push(self.open.split().freeze());
        self.chunks.push(bytes.clone());
    }
}

impl Codec for Writer {
    fn version(&self) -> i16 {
        self.version
    }

    fn int<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError> {
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    fn text(&mut self, value: &mut Option<String>) -> Result<(), WireError> {
        let len = value.as_ref().map(String::len);
        if self.flexible {
            self.len_i32(len)?;
        } else {
            let len = match len {
                None => -1,
                Some(len) => i16::try_from(len).map_err(|_| WireError::TextTooLong(len))?,
            };
            self.open.put_i16(len);
        }
        if let Some(text) = value {
            self.open.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }

    fn bytes(&mut self, value: &mut Option<Bytes>) -> Result<(), WireError> {
        self.len_i32(value.as_ref().map(Bytes::len))?;
        if let Some(bytes) = value {
            self.raw(bytes);
        }
        Ok(())
    }

    fn records(&mut self, value: &mut Records) -> Result<(), WireError> {
        self.len_i32(Some(value.len_bytes()))?;
        value.0.iter().for_each(|bytes| self.raw(bytes));
        Ok(())
    }

    fn array<T: Field + Default>(&mut self, value: &mut Option<Vec<T>>) -> Result<(), WireError> {
        self.len_i32(value.as_ref().map(Vec::len))?;
        value.iter_mut().flatten().try_for_each(|item| item.walk(self))
    }

    fn tags(&mut self) -> Result<(), WireError> {
        if self.flexible {
            self.open.put_u8(0);
        }
        Ok(())
    }
}
