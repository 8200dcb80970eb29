//! One table segment: its fact, and reading its file.
//!
//! Invariant: the file of a segment never changes. It is removed only when the segment left the
//! manifest and the last snapshot that pins it is gone.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use tracing::warn;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{Disk, DiskFile, FactKey, FactKind, Open};

use crate::error::TableError;

const VERSION: u8 = 1;
/// The footer and both indexes of a usual file lie in here; what else it holds costs little.
pub(crate) const TAIL_BYTES: u64 = 64 << 10;

/// A name for one file, never given twice in a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    /// Sixteen hexadecimal digits, as in the file's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What the manifest says of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentMeta {
    pub id: SegmentId,
    pub rows: u64,
    /// The file's length.
    pub bytes: u64,
    pub min_us: i64,
    pub max_us: i64,
    /// CRC-32C of the file's last bytes: a footer that is not the written one is never used.
    pub tail_crc: u32,
}

impl SegmentMeta {
    pub(crate) fn key(table: &str, id: SegmentId) -> FactKey {
        let mut key = prefix(table);
        key.extend_from_slice(&id.0.to_be_bytes());
        FactKey::new(FactKind::TableSegment, key)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.u64(self.rows).u64(self.bytes).i64(self.min_us).i64(self.max_us);
        out.u64(u64::from(self.tail_crc));
        out.finish()
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, TableError> {
        let id = key
            .last_chunk::<8>()
            .map(|bytes| SegmentId(u64::from_be_bytes(*bytes)))
            .ok_or_else(|| TableError::Corrupt("a segment's key is too short".into()))?;
        let fields = || -> Result<Self, FieldError> {
            let mut input = FieldReader::versioned(value, VERSION)?;
            let meta = Self {
                id,
                rows: input.u64("rows")?,
                bytes: input.u64("bytes")?,
                min_us: input.i64("min_us")?,
                max_us: input.i64("max_us")?,
                tail_crc: input.u32("tail_crc")?,
            };
            input.end()?;
            Ok(meta)
        };
        fields().map_err(|error| TableError::Corrupt(format!("fact of segment {id}: {error}")))
    }
}

/// What all keys of a table start with; a name holds no zero byte, so no prefix is another's.
pub(crate) fn prefix(table: &str) -> Vec<u8> {
    let mut key = table.as_bytes().to_vec();
    key.push(0);
    key
}

/// One immutable Parquet file.
#[derive(Debug)]
pub struct Segment {
    pub meta: SegmentMeta,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    footer: Mutex<Option<Arc<ParquetMetaData>>>,
    doomed: AtomicBool,
}

impl Segment {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: &Path, meta: SegmentMeta) -> Self {
        let path = crate::folder::segment_file(folder, meta.id);
        Self { meta, path, disk, footer: Mutex::new(None), doomed: AtomicBool::new(false) }
    }

    /// Relative to the disk's root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file for reading. Its length is checked against the manifest.
    pub fn open(&self) -> Result<SegmentFile, TableError> {
        let file = self.disk.open(&self.path, Open::Read).map_err(TableError::disk(&self.path))?;
        let len = file.len_bytes().map_err(TableError::disk(&self.path))?;
        if len != self.meta.bytes {
            return Err(TableError::Corrupt(format!(
                "{} has {len} bytes, its fact says {}",
                self.path.display(),
                self.meta.bytes
            )));
        }
        Ok(SegmentFile { file, len })
    }

    /// The file's footer with both page indexes; read and checked once, then kept.
    pub fn footer(&self) -> Result<Arc<ParquetMetaData>, TableError> {
        let mut footer = self.footer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(footer) = footer.as_ref() {
            return Ok(Arc::clone(footer));
        }
        let file = self.open()?;
        let tail = self.meta.bytes.min(TAIL_BYTES);
        let bytes = file
            .read(self.meta.bytes - tail..self.meta.bytes)
            .map_err(TableError::disk(&self.path))?;
        if crc32c::crc32c(&bytes) != self.meta.tail_crc {
            return Err(TableError::Corrupt(format!(
                "{} ends in other bytes than were written",
                self.path.display()
            )));
        }
        let read = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .parse_and_finish(&file)?;
        Ok(Arc::clone(footer.insert(Arc::new(read))))
    }

    /// The file goes away with the last holder of this segment.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Acquire)
            && let Err(error) = self.disk.remove_file(&self.path)
        {
            // No fact names it any more: the next open removes it.
            warn!(file = %self.path.display(), %error, "cannot remove a dropped table segment");
        }
    }
}

/// An open file of a segment.
#[derive(Debug, Clone)]
pub struct SegmentFile {
    file: Arc<dyn DiskFile>,
    len: u64,
}

impl SegmentFile {
    /// The bytes of `range`; a range beyond the end is an error before anything is allocated.
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let len = range.end.checked_sub(range.start).filter(|_| range.end <= self.len);
        let Some(len) = len.and_then(|len| usize::try_from(len).ok()) else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a range beyond the file"));
        };
        let mut out = vec![0; len];
        self.file.read_exact_at(&mut out, range.start)?;
        Ok(Bytes::from(out))
    }
}

impl Length for SegmentFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for SegmentFile {
    type T = SegmentRead;

    fn get_read(&self, start: u64) -> Result<SegmentRead, ParquetError> {
        Ok(SegmentRead { file: Arc::clone(&self.file), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read(start..start.saturating_add(length as u64))?)
    }
}

/// Reads a file from some place on.
#[derive(Debug)]
pub struct SegmentRead {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Read for SegmentRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fact_has_the_documented_bytes() {
        let meta = SegmentMeta {
            id: SegmentId(0x0000_0001_0000_0002),
            rows: 300,
            bytes: 5,
            min_us: -1,
            max_us: 64,
            tail_crc: 0xffff_ffff,
        };
        let key = SegmentMeta::key("films", meta.id);
        assert_eq!(key.key, &b"films\0\0\0\0\x01\0\0\0\x02"[..]);
        let value = meta.encode();
        assert_eq!(value, &b"\x01\xac\x02\x05\x01\x80\x01\xff\xff\xff\xff\x0f"[..]);
        assert_eq!(SegmentMeta::decode(&key.key, &value).unwrap(), meta);
        for cut in 0..value.len() {
            let cut = value.slice(..cut);
            assert!(matches!(SegmentMeta::decode(&key.key, &cut), Err(TableError::Corrupt(_))));
        }
    }
}
