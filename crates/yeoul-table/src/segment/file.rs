//! Reading an open file of a segment: what is handed out was checked against the checksums it
//! was written with.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes, BytesMut};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use yeoul_base::DiskFile;

use super::{BLOCK_BYTES, Place, Segment, SegmentMeta, read_tail};
use crate::error::TableError;
use crate::footers::Footer;

/// Eight hexadecimal digits for each block.
pub(crate) fn blocks_text(blocks: &[u32]) -> String {
    let mut text = String::with_capacity(blocks.len() * 8);
    for block in blocks {
        text.push_str(&format!("{block:08x}"));
    }
    text
}

pub(super) fn blocks_of(text: &str) -> Option<Vec<u32>> {
    let digits = text.as_bytes().chunks(8);
    digits
        .map(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 8)?;
            u32::from_str_radix(digits, 16).ok()
        })
        .collect()
}

/// An open file of a segment.
#[derive(Debug, Clone)]
pub struct SegmentFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Arc<Place>,
    meta: SegmentMeta,
    file: Arc<dyn DiskFile>,
    footer: Arc<Footer>,
    /// The end of the file, read when first needed.
    tail: OnceLock<Bytes>,
}

impl SegmentFile {
    pub(super) fn new(
        segment: &Segment,
        file: Arc<dyn DiskFile>,
        footer: Arc<Footer>,
        tail: Option<Bytes>,
    ) -> Self {
        let tail = tail.map_or_else(OnceLock::new, OnceLock::from);
        let (place, meta) = (Arc::clone(&segment.place), segment.meta);
        Self { inner: Arc::new(Inner { place, meta, file, footer, tail }) }
    }

    /// The footer with both page indexes.
    pub fn footer(&self) -> &Arc<ParquetMetaData> {
        &self.inner.footer.parquet
    }

    /// The bytes of `range`; a range beyond the end is an error before anything is allocated.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, TableError> {
        let inner = self.inner.as_ref();
        if range.start > range.end || range.end > inner.meta.bytes {
            let what = format!("bytes {} to {} are asked for", range.start, range.end);
            return Err(inner.place.damaged(&what));
        }
        let tail_start = inner.meta.tail_start();
        if range.start >= tail_start {
            return inner.tail_range(range);
        }
        if range.end <= tail_start {
            return inner.block_range(range);
        }
        let mut out = BytesMut::from(inner.block_range(range.start..tail_start)?);
        out.extend_from_slice(&inner.tail_range(tail_start..range.end)?);
        Ok(out.freeze())
    }
}

impl Inner {
    fn tail_range(&self, range: Range<u64>) -> Result<Bytes, TableError> {
        let tail = match self.tail.get() {
            Some(tail) => tail,
            None => {
                let tail = read_tail(&self.place, &self.meta, self.file.as_ref())?;
                self.tail.get_or_init(|| tail)
            }
        };
        Ok(part(tail, self.meta.tail_start(), &range))
    }

    fn block_range(&self, range: Range<u64>) -> Result<Bytes, TableError> {
        let first = range.start / BLOCK_BYTES;
        let start = first * BLOCK_BYTES;
        let end = (range.end.div_ceil(BLOCK_BYTES) * BLOCK_BYTES).max(start);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, start).map_err(TableError::disk(&self.place.path))?;
        let written = self.footer.blocks.iter().skip(usize::try_from(first).unwrap_or(usize::MAX));
        let blocks = bytes.chunks(BLOCK_BYTES as usize);
        for (at, (block, written)) in blocks.zip(written).enumerate() {
            if crc32c::crc32c(block) != *written {
                let from = start + at as u64 * BLOCK_BYTES;
                let what = format!("bytes {from} to {} changed", from + BLOCK_BYTES);
                return Err(self.place.damaged(&what));
            }
        }
        Ok(part(&Bytes::from(bytes), start, &range))
    }
}

/// `range` of a file, of which `bytes` begin at `start`; the caller knows that it lies within.
fn part(bytes: &Bytes, start: u64, range: &Range<u64>) -> Bytes {
    let at = |place: u64| usize::try_from(place - start).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

impl Length for SegmentFile {
    fn len(&self) -> u64 {
        self.inner.meta.bytes
    }
}

impl ChunkReader for SegmentFile {
    type T = SegmentRead;

    fn get_read(&self, start: u64) -> Result<SegmentRead, ParquetError> {
        Ok(SegmentRead { file: self.clone(), at: start, block: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let range = start..start.saturating_add(length as u64);
        self.read(range).map_err(|error| ParquetError::External(error.into()))
    }
}

/// Reads a file from some place on, block by block.
#[derive(Debug)]
pub struct SegmentRead {
    file: SegmentFile,
    /// Where `block` ends.
    at: u64,
    block: Bytes,
}

impl Read for SegmentRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            let block_end = (self.at / BLOCK_BYTES + 1) * BLOCK_BYTES;
            let end = block_end.min(self.file.inner.meta.bytes).max(self.at);
            self.block = self.file.read(self.at..end).map_err(io::Error::other)?;
            self.at = end;
        }
        let len = self.block.len().min(out.len());
        if let Some(out) = out.get_mut(..len) {
            self.block.copy_to_slice(out);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_as_they_are_read() {
        let blocks = vec![0, 1, 0xdead_beef, u32::MAX];
        let text = blocks_text(&blocks);
        assert_eq!(text, "0000000000000001deadbeefffffffff");
        assert_eq!(blocks_of(&text), Some(blocks));
        assert_eq!(blocks_of(""), Some(Vec::new()));
        assert_eq!(blocks_of("0000000"), None);
        assert_eq!(blocks_of("0000000x"), None);
    }
}
