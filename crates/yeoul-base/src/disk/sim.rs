//! The simulated disk: in memory, with a journal of everything that was done to it. From any
//! prefix of the journal it gives [`Image`]s of what a crash at that moment may have left: all
//! of it (the process was killed), only what was synced (the power was cut), or any mixture of
//! unsynced blocks, lengths and directory entries between the two.
//!
//! It is as unkind as file systems are allowed to be: a file's sync does not save its name, a
//! rename may survive without what led to it, blocks of one write may come without the others,
//! and after a failed sync the bytes are never durable though they still read back.

mod replay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskLock, Entry, Open};

pub use replay::{Crash, Replay};

/// Files and folders as a crash left them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Image {
    pub dirs: BTreeSet<PathBuf>,
    pub files: BTreeMap<PathBuf, Arc<Vec<u8>>>,
}

/// What is done to the disk, for faults and for reading the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Write,
    Sync,
    Create,
    Rename,
    Remove,
    SyncDir,
}

/// An error to come: the `after`-th matching action from now fails (0: the next), and `times`
/// in all.
#[derive(Debug, Clone)]
pub struct Fault {
    pub action: Action,
    /// Only paths that contain this.
    pub path: String,
    pub after: u64,
    pub times: u64,
    pub error: io::ErrorKind,
}

/// How one call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallFault {
    /// The device failed. A write may have done half of its work.
    Eio,
    /// No space. A write has done half of its work.
    Enospc,
    /// No more open files; calls that open nothing succeed.
    Emfile,
    /// A write takes two calls, a read gives half; nobody hears of an error.
    Short,
    /// A signal came before anything was done: whoever calls must call again.
    Eintr,
}

impl CallFault {
    pub const ALL: [Self; 5] = [Self::Eio, Self::Enospc, Self::Emfile, Self::Short, Self::Eintr];
}

/// The one call to fail, counting down.
#[derive(Debug, Clone, Copy)]
struct Doomed {
    calls_left: u64,
    fault: CallFault,
}

/// What a call does, for its fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Open,
    Read,
    Write,
    /// Anything else; the standard library calls these again by itself after a signal.
    Other,
}

type Ino = usize;

/// An entry of the journal.
#[derive(Debug, Clone)]
enum Op {
    Write {
        ino: Ino,
        at: u64,
        bytes: Arc<[u8]>,
    },
    SetLen {
        ino: Ino,
        len: u64,
    },
    Sync {
        ino: Ino,
    },
    /// What was pending is never durable.
    SyncFailed {
        ino: Ino,
    },
    Link {
        path: PathBuf,
        ino: Ino,
    },
    Unlink {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        ino: Ino,
    },
    MakeDir {
        path: PathBuf,
    },
    RemoveDir {
        path: PathBuf,
    },
    SyncDir {
        path: PathBuf,
    },
}

#[derive(Debug, Default)]
struct State {
    /// Contents as the process sees them, by inode. What came with an image is copied when it is
    /// written to.
    inodes: Vec<Arc<Vec<u8>>>,
    files: BTreeMap<PathBuf, Ino>,
    dirs: BTreeSet<PathBuf>,
    begin: Image,
    journal: Vec<Op>,
    locks: BTreeSet<PathBuf>,
    faults: Vec<Fault>,
    capacity_bytes: Option<u64>,
    forget_syncs: Vec<Action>,
    doomed: Option<Doomed>,
}

/// See the module's head. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds what a crash left; all of it is durable.
    pub fn from_image(image: &Image) -> Self {
        let mut state = State { begin: image.clone(), ..State::default() };
        state.dirs.clone_from(&image.dirs);
        for (path, bytes) in &image.files {
            state.files.insert(path.clone(), state.inodes.len());
            state.inodes.push(Arc::clone(bytes));
        }
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many actions the journal has: a moment to crash at.
    pub fn journal_len(&self) -> usize {
        self.state().journal.len()
    }

    /// Goes through the journal from its start, giving images on the way.
    pub fn replay(&self) -> Replay {
        let state = self.state();
        Replay::new(&state.begin, state.journal.clone())
    }

    /// The disk as the next process finds it when this one is killed after `actions`: it reads
    /// everything, but what was not synced is still not durable.
    pub fn killed_at(&self, actions: usize) -> Self {
        let state = self.state();
        let begin = Self::from_image(&state.begin);
        {
            let mut killed = begin.state();
            for op in state.journal.iter().take(actions) {
                killed.redo(op);
            }
        }
        begin
    }

    /// Adds an error to come.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Lets the `nth` call from now on fail (0: the next), whatever it is.
    pub fn fail_call(&self, nth: u64, fault: CallFault) {
        self.state().doomed = Some(Doomed { calls_left: nth, fault });
    }

    /// Whether that call was made; forgets it.
    pub fn take_failed_call(&self) -> bool {
        let doomed = self.state().doomed.take();
        doomed.is_none_or(|doomed| doomed.calls_left == u64::MAX)
    }

    /// Bytes all files together may have; `None`: no limit. Growing beyond is
    /// [`io::ErrorKind::StorageFull`].
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// From now on `Sync` or `SyncDir` succeed without making anything durable. Plants the bug
    /// "forgot to sync", to see whether a test would notice.
    pub fn forget_syncs(&self, action: Action) {
        self.state().forget_syncs.push(action);
    }

    /// Changes one byte of a file behind everybody's back; false when there is no such byte.
    pub fn flip(&self, path: &Path, at: u64, mask: u8) -> bool {
        let mut state = self.state();
        let Some(ino) = state.files.get(path).copied() else { return false };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        match state.inodes.get_mut(ino).and_then(|bytes| Arc::make_mut(bytes).get_mut(at)) {
            Some(byte) => {
                *byte ^= mask;
                true
            }
            None => false,
        }
    }

    /// Everything as the process sees it now.
    pub fn image(&self) -> Image {
        let state = self.state();
        let bytes = |ino: &Ino| state.inodes.get(*ino).cloned().unwrap_or_default();
        let files = state.files.iter().map(|(path, ino)| (path.clone(), bytes(ino)));
        Image { dirs: state.dirs.clone(), files: files.collect() }
    }
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

impl State {
    /// Counts a call; what it is to suffer, if it is the one.
    fn call(&mut self, call: Call) -> io::Result<Option<CallFault>> {
        let Some(doomed) = &mut self.doomed else { return Ok(None) };
        match doomed.calls_left {
            0 => doomed.calls_left = u64::MAX,
            u64::MAX => return Ok(None),
            _ => {
                doomed.calls_left -= 1;
                return Ok(None);
            }
        }
        const EIO: i32 = 5;
        const EMFILE: i32 = 24;
        match (doomed.fault, call) {
            (fault @ (CallFault::Eio | CallFault::Enospc), Call::Write) => Ok(Some(fault)),
            (CallFault::Eio, _) => Err(io::Error::from_raw_os_error(EIO)),
            (CallFault::Enospc, Call::Other | Call::Open) => Err(full()),
            (CallFault::Emfile, Call::Open) => Err(io::Error::from_raw_os_error(EMFILE)),
            (CallFault::Short, Call::Read | Call::Write) => Ok(Some(CallFault::Short)),
            (CallFault::Eintr, Call::Read) => Err(io::ErrorKind::Interrupted.into()),
            _ => Ok(None),
        }
    }

    fn write(&mut self, ino: Ino, at: u64, bytes: &[u8]) {
        if let Some(content) = self.inodes.get_mut(ino) {
            replay::write(Arc::make_mut(content), at, bytes);
        }
        self.journal.push(Op::Write { ino, at, bytes: bytes.into() });
    }

    fn fault(&mut self, action: Action, path: &Path) -> io::Result<()> {
        let text = path.to_string_lossy();
        for fault in &mut self.faults {
            if fault.action != action || fault.times == 0 || !text.contains(&fault.path) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times -= 1;
            return Err(io::Error::new(fault.error, format!("injected at {text}")));
        }
        Ok(())
    }

    fn redo(&mut self, op: &Op) {
        match op {
            Op::Write { ino, .. } | Op::SetLen { ino, .. } => {
                if let Some(content) = self.inodes.get_mut(*ino) {
                    replay::apply(Arc::make_mut(content), op);
                }
            }
            Op::Link { .. } => {
                self.inodes.push(Arc::default());
                replay::link(&mut self.files, &mut self.dirs, op);
            }
            named => replay::link(&mut self.files, &mut self.dirs, named),
        }
        self.journal.push(op.clone());
    }

    fn need_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() || self.dirs.contains(parent) {
            Ok(())
        } else {
            Err(not_found(parent))
        }
    }

    fn room_for(&self, more: u64) -> io::Result<()> {
        let used: usize = self
            .files
            .values()
            .filter_map(|ino| self.inodes.get(*ino))
            .map(|bytes| bytes.len())
            .sum();
        match self.capacity_bytes {
            Some(capacity) if used as u64 + more > capacity => Err(full()),
            _ => Ok(()),
        }
    }

    fn has_children(&self, dir: &Path) -> bool {
        let below = |path: &&PathBuf| path.starts_with(dir) && path.as_path() != dir;
        self.files.keys().chain(&self.dirs).any(|path| below(&path))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.call(Call::Open)?;
        let found = state.files.get(path).copied();
        let ino = match (found, how) {
            (Some(_), Open::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(ino), _) => ino,
            (None, Open::Read | Open::Write) => return Err(not_found(path)),
            (None, Open::Create | Open::CreateNew) => {
                state.need_parent(path)?;
                state.fault(Action::Create, path)?;
                let ino = state.inodes.len();
                state.inodes.push(Arc::default());
                state.files.insert(path.to_owned(), ino);
                state.journal.push(Op::Link { path: path.to_owned(), ino });
                ino
            }
        };
        Ok(Arc::new(SimFile { disk: self.clone(), ino, path: path.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.state();
        state.call(Call::Open)?;
        if !dir.as_os_str().is_empty() && !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let name = |path: &PathBuf| {
            (path.parent() == Some(dir))
                .then(|| path.file_name())?
                .map(|n| n.to_string_lossy().into_owned())
        };
        let files = state.files.iter().filter_map(|(path, ino)| {
            let len = state.inodes.get(*ino).map_or(0, |bytes| bytes.len()) as u64;
            Some(Entry { name: name(path)?, is_dir: false, len_bytes: len })
        });
        let dirs = state
            .dirs
            .iter()
            .filter_map(|path| Some(Entry { name: name(path)?, is_dir: true, len_bytes: 0 }));
        let mut entries: Vec<_> = files.chain(dirs).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let mut missing: Vec<_> = dir
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty() && !state.dirs.contains(*path))
            .map(Path::to_owned)
            .collect();
        missing.reverse();
        for path in missing {
            state.call(Call::Other)?;
            state.fault(Action::Create, &path)?;
            state.dirs.insert(path.clone());
            state.journal.push(Op::MakeDir { path });
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.need_parent(to)?;
        state.call(Call::Other)?;
        state.fault(Action::Rename, from)?;
        let ino = state.files.remove(from).ok_or_else(|| not_found(from))?;
        state.files.insert(to.to_owned(), ino);
        state.journal.push(Op::Rename { from: from.to_owned(), to: to.to_owned(), ino });
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::Other)?;
        state.fault(Action::Remove, path)?;
        state.files.remove(path).ok_or_else(|| not_found(path))?;
        state.journal.push(Op::Unlink { path: path.to_owned() });
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.has_children(dir) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if !state.dirs.remove(dir) {
            return Err(not_found(dir));
        }
        state.journal.push(Op::RemoveDir { path: dir.to_owned() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !dir.as_os_str().is_empty() && !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        state.call(Call::Open)?;
        state.call(Call::Other)?;
        state.fault(Action::SyncDir, dir)?;
        if !state.forget_syncs.contains(&Action::SyncDir) {
            state.journal.push(Op::SyncDir { path: dir.to_owned() });
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        let used: usize = state.inodes.iter().map(|bytes| bytes.len()).sum();
        Ok(state.capacity_bytes.unwrap_or(1 << 40).saturating_sub(used as u64))
    }

    fn total_bytes(&self) -> io::Result<u64> {
        Ok(self.state().capacity_bytes.unwrap_or(1 << 40))
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Box<dyn DiskLock>> {
        if !self.state().locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let lock = SimLock { disk: self.clone(), path: path.to_owned() };
        let file = self.open(path, Open::Create)?;
        file.set_len(0)?;
        file.write_all_at(note.as_bytes(), 0)?;
        Ok(Box::new(lock))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    ino: Ino,
    /// As it was opened; for faults.
    path: PathBuf,
}

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let short = state.call(Call::Read)?.is_some();
        let bytes = state.inodes.get(self.ino).map(|bytes| bytes.as_slice()).unwrap_or_default();
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let rest = bytes.get(from..).unwrap_or_default();
        let len = rest.len().min(out.len());
        let len = if short { len.div_ceil(2) } else { len };
        if let (Some(to), Some(from)) = (out.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.fault(Action::Write, &self.path)?;
        let len = state.inodes.get(self.ino).map_or(0, |bytes| bytes.len()) as u64;
        state.room_for((at + bytes.len() as u64).saturating_sub(len))?;
        let Some(fault) = state.call(Call::Write)? else {
            state.write(self.ino, at, bytes);
            return Ok(());
        };
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        state.write(self.ino, at, first);
        match fault {
            CallFault::Eio => Err(io::Error::other("injected into a write")),
            CallFault::Enospc => Err(full()),
            _ => {
                state.write(self.ino, at + first.len() as u64, rest);
                Ok(())
            }
        }
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes.get(self.ino).map_or(0, |bytes| bytes.len()) as u64)
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call(Call::Other)?;
        state.fault(Action::Write, &self.path)?;
        if let Some(content) = state.inodes.get_mut(self.ino) {
            Arc::make_mut(content).resize(usize::try_from(len_bytes).unwrap_or(usize::MAX), 0);
        }
        state.journal.push(Op::SetLen { ino: self.ino, len: len_bytes });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let ino = self.ino;
        let failed = state.call(Call::Other).and_then(|_| state.fault(Action::Sync, &self.path));
        if let Err(error) = failed {
            state.journal.push(Op::SyncFailed { ino });
            return Err(error);
        }
        if !state.forget_syncs.contains(&Action::Sync) {
            state.journal.push(Op::Sync { ino });
        }
        Ok(())
    }
}
