//! One table segment: its fact, and reading its file.
//!
//! Invariant: the file of a segment never changes. It is removed only when the segment left the
//! manifest and the last snapshot that pins it is gone. No byte of it is handed out that does
//! not follow the checksums it was written with.

mod file;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use tracing::warn;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{Disk, DiskFile, FactKey, FactKind, Open};

use crate::error::TableError;
use crate::footers::{self, Footer};

pub use file::SegmentFile;
pub(crate) use file::blocks_text;

const VERSION: u8 = 2;
/// Of what lies before the tail, each block has a checksum.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;
/// Key of the footer's metadata that holds the blocks' checksums, eight hexadecimal digits each.
pub(crate) const BLOCKS_KEY: &str = "yeoul.blocks";
/// Key of the footer's metadata that says how the rows are sorted.
pub(crate) const SORT_KEY: &str = "yeoul.sort";

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
    /// How much of the file's end has no block checksums; begins at a multiple of
    /// [`BLOCK_BYTES`] and holds the footer and both indexes.
    pub tail_bytes: u64,
    /// CRC-32C of the tail: a footer that is not the written one is never used.
    pub tail_crc: u32,
}

impl SegmentMeta {
    /// `prefix`: what all keys of the table start with.
    pub(crate) fn key(prefix: &[u8], id: SegmentId) -> FactKey {
        let mut key = prefix.to_vec();
        key.extend_from_slice(&id.0.to_be_bytes());
        FactKey::new(FactKind::TableSegment, key)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.u64(self.rows).u64(self.bytes).i64(self.min_us).i64(self.max_us);
        out.u64(self.tail_bytes).u64(u64::from(self.tail_crc));
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
                tail_bytes: input.u64("tail_bytes")?,
                tail_crc: input.u32("tail_crc")?,
            };
            input.end()?;
            Ok(meta)
        };
        let corrupt = |what: String| TableError::Corrupt(format!("fact of segment {id}: {what}"));
        let meta = fields().map_err(|error| corrupt(error.to_string()))?;
        let start = meta.bytes.checked_sub(meta.tail_bytes);
        if start.is_none_or(|start| start % BLOCK_BYTES != 0) {
            return Err(corrupt(format!("a tail of {} bytes cannot be", meta.tail_bytes)));
        }
        Ok(meta)
    }

    /// Where the tail begins.
    pub(crate) fn tail_start(&self) -> u64 {
        self.bytes.saturating_sub(self.tail_bytes)
    }
}

/// Where a file belongs, for whoever reads it and finds it damaged.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<str>,
    path: PathBuf,
    /// What was found wrong with the file, first.
    damage: OnceLock<String>,
}

impl Place {
    fn damaged(&self, what: &str) -> TableError {
        self.damage.get_or_init(|| what.to_owned());
        let (table, path) = (Arc::clone(&self.table), self.path.clone());
        TableError::Damaged { table, path, what: what.to_owned() }
    }
}

/// One immutable Parquet file.
#[derive(Debug)]
pub struct Segment {
    pub meta: SegmentMeta,
    place: Arc<Place>,
    disk: Arc<dyn Disk>,
    /// Of the footer among all that are kept.
    slot: u64,
    doomed: AtomicBool,
}

impl Segment {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folder: &Path,
        table: Arc<str>,
        meta: SegmentMeta,
    ) -> Self {
        let path = crate::folder::segment_file(folder, meta.id);
        let place = Arc::new(Place { table, path, damage: OnceLock::new() });
        Self { meta, place, disk, slot: footers::new_slot(), doomed: AtomicBool::new(false) }
    }

    /// Relative to the disk's root.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Opens the file for reading: its length and its end are checked against the manifest.
    pub fn open(&self) -> Result<SegmentFile, TableError> {
        let file = self.open_raw()?;
        let (footer, tail) = match footers::get(self.slot) {
            Some(footer) => (footer, None),
            None => {
                let (footer, tail) = self.read_footer(file.as_ref())?;
                (footer, Some(tail))
            }
        };
        Ok(SegmentFile::new(self, file, footer, tail))
    }

    /// That there is a file of the right length.
    pub(crate) fn check(&self) -> Result<(), TableError> {
        self.open_raw().map(drop)
    }

    fn open_raw(&self) -> Result<Arc<dyn DiskFile>, TableError> {
        let file =
            self.disk.open(&self.place.path, Open::Read).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => self.place.damaged("it is not there"),
                _ => TableError::Disk { path: self.place.path.clone(), source },
            })?;
        let len = file.len_bytes().map_err(TableError::disk(&self.place.path))?;
        if len != self.meta.bytes {
            let expected = self.meta.bytes;
            return Err(self
                .place
                .damaged(&format!("it has {len} bytes, its fact says {expected}")));
        }
        Ok(file)
    }

    /// What some reader found wrong with the file.
    pub fn damage(&self) -> Option<&str> {
        self.place.damage.get().map(String::as_str)
    }

    /// The same as an error.
    pub(crate) fn damage_error(&self) -> Option<TableError> {
        self.damage().map(|what| self.place.damaged(what))
    }

    /// The file's footer with both page indexes; read and checked when it is not in memory.
    pub fn footer(&self) -> Result<Arc<ParquetMetaData>, TableError> {
        if let Some(footer) = footers::get(self.slot) {
            return Ok(Arc::clone(&footer.parquet));
        }
        let file = self.open_raw()?;
        self.read_footer(file.as_ref()).map(|(footer, _)| Arc::clone(&footer.parquet))
    }

    /// The footer when it is in memory: for decisions that are not worth opening a file.
    pub fn known_footer(&self) -> Option<Arc<ParquetMetaData>> {
        footers::get(self.slot).map(|footer| Arc::clone(&footer.parquet))
    }

    fn read_footer(&self, file: &dyn DiskFile) -> Result<(Arc<Footer>, Bytes), TableError> {
        let tail = read_tail(&self.place, &self.meta, file)?;
        let mut reader =
            ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        reader.try_parse_sized(&tail, self.meta.bytes)?;
        let parquet = reader.finish()?;
        let metadata = parquet.file_metadata().key_value_metadata().into_iter().flatten();
        let blocks = metadata
            .filter(|entry| entry.key == BLOCKS_KEY)
            .find_map(|entry| file::blocks_of(entry.value.as_deref()?));
        let blocks = blocks
            .filter(|blocks| blocks.len() as u64 * BLOCK_BYTES == self.meta.tail_start())
            .ok_or_else(|| self.place.damaged("its list of checksums does not fit its length"))?;
        let footer = Arc::new(Footer::new(parquet, blocks));
        footers::put(self.slot, Arc::clone(&footer));
        Ok((footer, tail))
    }

    /// The file goes away with the last holder of this segment.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }
}

fn read_tail(place: &Place, meta: &SegmentMeta, file: &dyn DiskFile) -> Result<Bytes, TableError> {
    let mut tail = vec![0; usize::try_from(meta.tail_bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut tail, meta.tail_start()).map_err(TableError::disk(&place.path))?;
    if crc32c::crc32c(&tail) != meta.tail_crc {
        return Err(place.damaged("it ends in other bytes than were written"));
    }
    Ok(Bytes::from(tail))
}

impl Drop for Segment {
    fn drop(&mut self) {
        footers::remove(self.slot);
        if self.doomed.load(Ordering::Acquire)
            && let Err(error) = self.disk.remove_file(&self.place.path)
        {
            // No fact names it any more: the next open removes it.
            warn!(file = %self.place.path.display(), %error, "cannot remove a dropped table segment");
        }
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
            bytes: 65_541,
            min_us: -1,
            max_us: 64,
            tail_bytes: 5,
            tail_crc: 0xffff_ffff,
        };
        let key = SegmentMeta::key(b"films\0", meta.id);
        assert_eq!(key.key, &b"films\0\0\0\0\x01\0\0\0\x02"[..]);
        let value = meta.encode();
        assert_eq!(value, &b"\x02\xac\x02\x85\x80\x04\x01\x80\x01\x05\xff\xff\xff\xff\x0f"[..]);
        assert_eq!(SegmentMeta::decode(&key.key, &value).unwrap(), meta);
        for cut in 0..value.len() {
            let cut = value.slice(..cut);
            assert!(matches!(SegmentMeta::decode(&key.key, &cut), Err(TableError::Corrupt(_))));
        }
        let odd = SegmentMeta { tail_bytes: 6, ..meta }.encode();
        assert!(matches!(SegmentMeta::decode(&key.key, &odd), Err(TableError::Corrupt(_))));
        let largest = SegmentMeta {
            id: SegmentId(u64::MAX),
            rows: u64::MAX,
            bytes: u64::MAX,
            min_us: i64::MIN,
            max_us: i64::MIN,
            tail_bytes: u64::MAX,
            tail_crc: u32::MAX,
        };
        let longest_prefix = [b'n'; 82];
        let key = SegmentMeta::key(&longest_prefix, largest.id);
        assert!(key.key.len() + largest.encode().len() <= 200, "a manifest fact is small");
    }
}
