//! A data directory as it is, but for files that end too early: they read as if zeros followed,
//! which is what a repair makes of them. So the same code that reads the log judges a damaged one,
//! before and after, and comes to the same answer. Nothing can be written through it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yeoul_base::disk::{DiskLock, Entry};
use yeoul_base::{Disk, DiskFile, Open};

/// See the module's head.
#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) disk: Arc<dyn Disk>,
    /// Files that are missing or too short, and how long they should be.
    pub(super) grown: BTreeMap<PathBuf, u64>,
}

#[derive(Debug)]
struct Grown {
    /// `None`: it is missing.
    file: Option<Arc<dyn DiskFile>>,
    len_bytes: u64,
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "an examination changes nothing"))
}

impl Disk for Overlay {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let file = match how {
            // Recovery opens for writing what it may write to later.
            Open::Read | Open::Write => self.disk.open(path, Open::Read),
            Open::Create | Open::CreateNew => return refused(),
        };
        let len_bytes = self.grown.get(path).copied();
        let file = match (file, len_bytes) {
            (Ok(file), _) => Some(file),
            (Err(error), Some(_)) if error.kind() == io::ErrorKind::NotFound => None,
            (Err(error), _) => return Err(error),
        };
        let own = |file: &Arc<dyn DiskFile>| file.len_bytes();
        let own = file.as_ref().map(own).transpose()?.unwrap_or(0);
        Ok(Arc::new(Grown { file, len_bytes: len_bytes.unwrap_or(0).max(own) }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        match self.disk.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn total_bytes(&self) -> io::Result<u64> {
        self.disk.total_bytes()
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path, note)
    }
}

impl DiskFile for Grown {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let read = self.file.as_ref().map_or(Ok(0), |file| file.read_at(out, at))?;
        if read > 0 {
            return Ok(read);
        }
        let left = usize::try_from(self.len_bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let zeros = out.len().min(left);
        out.iter_mut().take(zeros).for_each(|byte| *byte = 0);
        Ok(zeros)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.len_bytes)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }
}
