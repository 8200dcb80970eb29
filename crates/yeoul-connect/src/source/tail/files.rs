//! Finds the files a source follows, by their names and by what they are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::position::{FileId, Position};
use super::reader::Reader;
use crate::config::{TailConfig, matches};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) id: FileId,
    pub(super) path: PathBuf,
}

impl Match {
    /// `None` for what is no plain file: reading a pipe or a device could wait for ever.
    fn of(path: PathBuf) -> Option<Self> {
        let meta = fs::metadata(&path).ok()?;
        meta.is_file().then(|| Self { id: FileId::of(&meta), path })
    }
}

/// All plain files that match and are not excluded, each once whatever its names are.
pub(super) fn find(base_dir: &Path, config: &TailConfig) -> Vec<Match> {
    let exclude: Vec<_> =
        config.exclude.iter().filter_map(|pattern| glob::Pattern::new(pattern).ok()).collect();
    let excluded = |path: &Path| {
        exclude.iter().any(|pattern| {
            if pattern.as_str().contains('/') {
                pattern.matches_path(path.strip_prefix(base_dir).unwrap_or(path))
                    || pattern.matches_path(path)
            } else {
                path.file_name().is_some_and(|name| pattern.matches(&name.to_string_lossy()))
            }
        })
    };
    let mut found: Vec<Match> = Vec::new();
    for pattern in config.path.iter() {
        for path in matches(base_dir, pattern).filter(|path| !excluded(path)) {
            if let Some(file) = Match::of(path)
                && found.iter().all(|known| known.id != file.id)
            {
                found.push(file);
            }
        }
    }
    found
}

/// Files that are known by their identity but not by a name, found beside where they were.
pub(super) fn renamed(known: &BTreeMap<FileId, (Bytes, Position)>) -> Vec<Match> {
    let mut found = Vec::new();
    let mut folders: Vec<_> =
        known.values().filter_map(|(_, position)| Path::new(&position.path).parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for file in entries.flatten().filter_map(|entry| Match::of(entry.path())) {
            if known.contains_key(&file.id) {
                found.push(file);
            }
        }
    }
    found.sort_by_key(|file| known.get(&file.id).map(|(_, position)| position.seen_ms));
    found
}

#[expect(clippy::disallowed_methods, reason = "a file of the user, not of the data directory")]
pub(super) fn open(found: &Match) -> io::Result<Reader> {
    let file = File::open(&found.path)?;
    // Between finding and opening another file may have taken the name; then the next look
    // finds that one.
    if FileId::of(&file.metadata()?) == found.id {
        Ok(Reader::new(file))
    } else {
        Err(io::Error::other("the file was replaced while it was opened"))
    }
}
