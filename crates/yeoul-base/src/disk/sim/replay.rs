//! From the journal to crash images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Image, Ino, Op};
use crate::rand::Rand;

/// What a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crash {
    /// All of it: only the process died.
    Kill,
    /// Nothing of it.
    PowerCut,
    /// Each block, each change of a length and each change of a directory by chance.
    Torn { block_bytes: usize },
    /// All data, no change of a directory.
    NoNames,
    /// All changes of directories, lengths as they were last, but zeros for the data.
    ZeroFilled,
}

impl Crash {
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::PowerCut,
        Self::Torn { block_bytes: 512 },
        Self::Torn { block_bytes: 4096 },
        Self::NoNames,
        Self::ZeroFilled,
    ];
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Arc<Vec<u8>>,
    /// Writes and lengths since the last sync, in order.
    pending: Vec<Op>,
}

/// Walks through a journal; at every step it can give images of a crash at that moment.
#[derive(Debug, Clone)]
pub struct Replay {
    journal: Vec<Op>,
    at: usize,
    inodes: Vec<Inode>,
    files: BTreeMap<PathBuf, Ino>,
    dirs: BTreeSet<PathBuf>,
    /// Changes of names that no folder's sync has saved, in order.
    pending: Vec<Op>,
}

impl Replay {
    pub(super) fn new(begin: &Image, journal: Vec<Op>) -> Self {
        let mut files = BTreeMap::new();
        let mut inodes = Vec::new();
        for (path, bytes) in &begin.files {
            files.insert(path.clone(), inodes.len());
            inodes.push(Inode { durable: Arc::clone(bytes), pending: Vec::new() });
        }
        Self { journal, at: 0, inodes, files, dirs: begin.dirs.clone(), pending: Vec::new() }
    }

    /// Actions in the journal.
    pub fn len(&self) -> usize {
        self.journal.len()
    }

    pub fn is_empty(&self) -> bool {
        self.journal.is_empty()
    }

    /// Actions done so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Does the next action; false at the end.
    pub fn step(&mut self) -> bool {
        let Some(op) = self.journal.get(self.at).cloned() else { return false };
        self.at += 1;
        match op {
            Op::Write { ino, .. } | Op::SetLen { ino, .. } => self.inode(ino).pending.push(op),
            Op::Sync { ino } => {
                let inode = self.inode(ino);
                for op in std::mem::take(&mut inode.pending) {
                    apply(Arc::make_mut(&mut inode.durable), &op);
                }
            }
            Op::SyncFailed { ino } => self.inode(ino).pending.clear(),
            Op::SyncDir { path } => {
                let (saved, pending) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|op| folders(op).contains(&path.as_path()));
                self.pending = pending;
                let saved: Vec<Op> = saved;
                saved.iter().for_each(|op| link(&mut self.files, &mut self.dirs, op));
            }
            named => self.pending.push(named),
        }
        true
    }

    fn inode(&mut self, ino: Ino) -> &mut Inode {
        if ino >= self.inodes.len() {
            self.inodes.resize_with(ino + 1, Inode::default);
        }
        // Just made long enough; the fallback is for the compiler's sake.
        match self.inodes.get_mut(ino) {
            Some(inode) => inode,
            None => unreachable!("inode {ino} was added above"),
        }
    }

    /// What a crash at this moment may leave.
    pub fn image(&self, crash: Crash, rand: &dyn Rand) -> Image {
        let chance = || rand.below(2) == 0;
        let (mut files, mut dirs) = (self.files.clone(), self.dirs.clone());
        for op in &self.pending {
            let kept = match crash {
                Crash::Kill | Crash::ZeroFilled => true,
                Crash::PowerCut | Crash::NoNames => false,
                Crash::Torn { .. } => chance(),
            };
            if kept {
                link(&mut files, &mut dirs, op);
            }
        }
        // What lies below a lost folder is lost with it.
        let reachable = |path: &Path, dirs: &BTreeSet<PathBuf>| {
            let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
            above.into_iter().all(|above| dirs.contains(above))
        };
        let dirs: BTreeSet<_> =
            dirs.iter().filter(|path| reachable(path, &dirs)).cloned().collect();
        let mut image = Image { files: BTreeMap::new(), dirs };
        for (path, ino) in files {
            if reachable(&path, &image.dirs) {
                let bytes = self.inodes.get(ino).map(|inode| content(inode, crash, rand));
                image.files.insert(path, bytes.unwrap_or_default());
            }
        }
        image
    }
}

fn content(inode: &Inode, crash: Crash, rand: &dyn Rand) -> Arc<Vec<u8>> {
    if inode.pending.is_empty() {
        return Arc::clone(&inode.durable);
    }
    let mut out = inode.durable.to_vec();
    for op in &inode.pending {
        match (crash, op) {
            (Crash::PowerCut, _) => {}
            (Crash::Kill | Crash::NoNames, op) => apply(&mut out, op),
            (Crash::ZeroFilled, Op::Write { at, bytes, .. }) => {
                let end = usize::try_from(*at).unwrap_or(usize::MAX) + bytes.len();
                if out.len() < end {
                    out.resize(end, 0);
                }
            }
            (Crash::ZeroFilled, op) => apply(&mut out, op),
            (Crash::Torn { block_bytes }, Op::Write { at, bytes, .. }) => {
                torn(&mut out, *at, bytes, block_bytes, rand);
            }
            (Crash::Torn { .. }, op) => {
                if rand.below(2) == 0 {
                    apply(&mut out, op);
                }
            }
        }
    }
    Arc::new(out)
}

/// Writes some blocks of a write; a block that is missing between others reads as it did, or as
/// zeros where the file had no bytes.
fn torn(out: &mut Vec<u8>, at: u64, bytes: &[u8], block: usize, rand: &dyn Rand) {
    let mut at = usize::try_from(at).unwrap_or(usize::MAX);
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = (block - at % block).min(rest.len());
        let (piece, after) = rest.split_at(len);
        if rand.below(2) == 0 {
            write(out, at as u64, piece);
        }
        at += len;
        rest = after;
    }
}

pub(super) fn apply(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { at, bytes, .. } => write(out, *at, bytes),
        Op::SetLen { len, .. } => out.resize(usize::try_from(*len).unwrap_or(usize::MAX), 0),
        _ => {}
    }
}

pub(super) fn write(out: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let end = at.saturating_add(bytes.len());
    if out.len() < end {
        out.resize(end, 0);
    }
    if let Some(place) = out.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

/// The folders whose sync saves a change of a name.
fn folders(op: &Op) -> Vec<&Path> {
    match op {
        Op::Link { path, .. }
        | Op::Unlink { path }
        | Op::MakeDir { path }
        | Op::RemoveDir { path } => vec![path.parent().unwrap_or(Path::new(""))],
        Op::Rename { from, to, .. } => {
            vec![to.parent().unwrap_or(Path::new("")), from.parent().unwrap_or(Path::new(""))]
        }
        _ => Vec::new(),
    }
}

pub(super) fn link(files: &mut BTreeMap<PathBuf, Ino>, dirs: &mut BTreeSet<PathBuf>, op: &Op) {
    match op {
        Op::Link { path, ino } => {
            files.insert(path.clone(), *ino);
        }
        Op::Unlink { path } => {
            files.remove(path);
        }
        Op::Rename { from, to, ino } => {
            if files.get(from) == Some(ino) {
                files.remove(from);
            }
            files.insert(to.clone(), *ino);
        }
        Op::MakeDir { path } => {
            dirs.insert(path.clone());
        }
        Op::RemoveDir { path } => {
            dirs.remove(path);
        }
        _ => {}
    }
}
