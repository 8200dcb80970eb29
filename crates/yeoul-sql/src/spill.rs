//! Files for what does not fit into memory: the only files a query writes.
//!
//! Invariant: all of them are in one folder that is emptied at start, together never hold more
//! than their limit, and each goes away with the query that made it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;
use yeoul_base::{Disk, DiskFile, Open};

use crate::options::Spill;

/// Read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Queries leave this much of the disk to the log.
const FREE_BYTES_MIN: u64 = 256 << 20;
/// Folders within each other that are emptied at start; the engine itself makes none.
const EMPTY_DEPTH: usize = 4;

/// Makes the files.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    limit: u64,
    used: Arc<AtomicU64>,
    next: AtomicU64,
}

impl Files {
    /// Empties the folder: nothing in it outlives the process that wrote it.
    pub(crate) fn open(spill: &Spill) -> io::Result<Self> {
        spill.disk.create_dir_all(&spill.folder)?;
        empty(spill.disk.as_ref(), &spill.folder, EMPTY_DEPTH)?;
        Ok(Self {
            disk: Arc::clone(&spill.disk),
            folder: spill.folder.clone(),
            limit: spill.bytes,
            used: Arc::default(),
            next: AtomicU64::new(0),
        })
    }
}

fn empty(disk: &dyn Disk, folder: &Path, depth: usize) -> io::Result<()> {
    for entry in disk.list(folder)? {
        let path = folder.join(&entry.name);
        if !entry.is_dir {
            disk.remove_file(&path)?;
        } else if depth > 0 {
            empty(disk, &path, depth - 1)?;
            disk.remove_dir(&path)?;
        }
    }
    Ok(())
}

impl TempFileFactory for Files {
    fn create_temp_file(&self, description: &str) -> Result<Arc<dyn SpillFile>> {
        if self.disk.free_bytes()? < FREE_BYTES_MIN {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{description} needs the disk, which is almost full"
            )));
        }
        let path = self.folder.join(format!("{}.spill", self.next.fetch_add(1, Ordering::Relaxed)));
        let file = self.disk.open(&path, Open::CreateNew)?;
        Ok(Arc::new(Spilled(Arc::new(Inner {
            disk: Arc::clone(&self.disk),
            path,
            file,
            len: AtomicU64::new(0),
            limit: self.limit,
            used: Arc::clone(&self.used),
        }))))
    }
}

/// One file; removed when the last who reads or writes it is gone.
#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    len: AtomicU64,
    limit: u64,
    used: Arc<AtomicU64>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.used.fetch_sub(self.len.load(Ordering::Acquire), Ordering::AcqRel);
        if let Err(error) = self.disk.remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a query's file stays until the next start");
        }
    }
}

#[derive(Debug)]
struct Spilled(Arc<Inner>);

impl SpillFile for Spilled {
    fn size(&self) -> Option<u64> {
        Some(self.0.len.load(Ordering::Acquire))
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let inner = Arc::clone(&self.0);
        // Reads where the executor runs, as table segments are read: what was just written is
        // mostly still in the page cache.
        let chunks = futures::stream::try_unfold((inner, 0), |(inner, at)| async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = inner.file.read_at(&mut chunk, at)?;
            chunk.truncate(read);
            let next = at + read as u64;
            Ok((read > 0).then(|| (Bytes::from(chunk), (inner, next))))
        });
        Ok(Box::pin(chunks))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        Ok(Box::new(Writer(Arc::clone(&self.0))))
    }
}

struct Writer(Arc<Inner>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let inner = &self.0;
        let more = bytes.len() as u64;
        let before = inner.used.fetch_add(more, Ordering::AcqRel);
        if before + more > inner.limit {
            inner.used.fetch_sub(more, Ordering::AcqRel);
            let text = format!("queries may put {} bytes on disk", inner.limit);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        // Counted before it is written: a failed write must not make room for another.
        let at = inner.len.fetch_add(more, Ordering::AcqRel);
        inner.file.write_all_at(bytes, at)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        // Never synced: after a crash nobody reads it.
        Ok(())
    }
}
