//! The disk as a trait: the log, the facts and the table segments reach files only through it,
//! so that the simulated one can show every state a crash may leave behind.
//!
//! Paths are relative to the disk's root. What is written is durable after `sync_data` of the
//! file; that the file exists (or was renamed, or is gone) after `sync_dir` of its folder.

mod real;
pub mod sim;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;
pub use sim::SimDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// For reading; must exist.
    Read,
    /// For reading and writing; must exist.
    Write,
    /// For reading and writing; made when missing.
    Create,
    /// For reading and writing; must not exist.
    CreateNew,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
    pub len_bytes: u64,
}

/// Keeps a lock for as long as it lives.
pub trait DiskLock: Debug + Send + Sync {}

/// A folder tree.
pub trait Disk: Debug + Send + Sync {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// In the order of their names.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Replaces what stands at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in this folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written, as the file system counts them.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Of the file system the root is on, used or not.
    fn total_bytes(&self) -> io::Result<u64>;
    /// Takes an exclusive lock, or fails with [`io::ErrorKind::WouldBlock`] when another process
    /// holds it. `note` (this process's id) is left in the file for the other to read.
    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn DiskLock>>;

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.open(path, Open::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The whole file, refused when it is longer than `limit_bytes`.
    fn read_all(&self, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path, Open::Read)?;
        let len = file.len_bytes()?;
        if len > limit_bytes {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} has {len} bytes, at most {limit_bytes} are read", path.display()),
            ));
        }
        let mut out = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut out, 0)?;
        Ok(out)
    }
}

/// An open file; positions are bytes from its start.
pub trait DiskFile: Debug + Send + Sync {
    /// May read fewer bytes than asked; 0 at the end.
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of it, growing the file when it ends beyond its length.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    fn len_bytes(&self) -> io::Result<u64>;
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// After it returned, all that was written and the length are durable. A failure is final:
    /// the kernel may have dropped the pages, so a second call proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..)
            && !rest.is_empty()
        {
            match self.read_at(rest, at + done as u64) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("file ends at byte {}", at + done as u64),
                    ));
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
