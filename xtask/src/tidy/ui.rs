//! The committed build of the UI must come from the committed sources. Node is not needed to
//! check that: the build leaves a hash of its sources in `ui/dist/SOURCE_HASH`, and this module
//! makes the same hash. The recipe is written down in `ui/README.md` as well.

use std::fs;

use sha2::{Digest, Sha256};

use super::Finding;
use crate::repo::{Outcome, Repo};

const HASH_FILE: &str = "ui/dist/SOURCE_HASH";
const FOLDERS: [&str; 2] = ["ui/src", "ui/public"];
const FILES: [&str; 5] = [
    "ui/index.html",
    "ui/package.json",
    "ui/package-lock.json",
    "ui/vite.config.ts",
    "ui/tsconfig.json",
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let made = match source_hash(repo) {
        Ok(hash) => hash,
        Err(message) => return vec![Finding::new("ui", 0, message)],
    };
    let remedy = "run `npm ci && npm run build` in ui/ and commit ui/dist";
    match repo.read(HASH_FILE) {
        Ok(written) if written.trim() == made => Vec::new(),
        Ok(_) => vec![Finding::new(
            HASH_FILE,
            1,
            format!("ui/dist was built from other sources: {remedy}"),
        )],
        Err(message) => vec![Finding::new(HASH_FILE, 0, format!("{message}: {remedy}"))],
    }
}

/// Prints the hash of the sources, or writes it where the build would.
pub(crate) fn ui_hash(repo: &Repo, write: bool) -> Outcome {
    let hash = source_hash(repo)?;
    if write {
        return repo.write(HASH_FILE, &format!("{hash}\n"));
    }
    println!("{hash}");
    Ok(())
}

/// SHA-256 over every source file in byte order of its path below `ui/`: the path, a zero byte,
/// the length as 8 bytes little-endian, the content.
fn source_hash(repo: &Repo) -> Result<String, String> {
    let mut files: Vec<String> = FOLDERS.iter().flat_map(|f| repo.files(f, |_| true)).collect();
    files.extend(FILES.map(str::to_owned));
    files.sort_unstable();
    let mut hash = Sha256::new();
    for file in &files {
        let content = fs::read(repo.path(file)).map_err(|e| format!("{file}: {e}"))?;
        hash.update(file.trim_start_matches("ui/").as_bytes());
        hash.update([0]);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(&content);
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
