//! The working tree as the other modules see it: its root, its files in byte order, their text.
//! Generated and foreign folders (`target`, `node_modules`, `.git`) are never walked, so every
//! finding names a file that a person of this project wrote or committed.

use std::fs;
use std::path::{Path, PathBuf};

/// How a command of this tool ends: nothing to say, or one message for people.
pub(crate) type Outcome = Result<(), String>;

/// The root of the working tree.
pub(crate) struct Repo {
    pub(crate) root: PathBuf,
}

/// Folders that hold nothing to judge.
const SKIPPED: [&str; 5] = ["target", "node_modules", ".git", ".venv", "__pycache__"];

impl Repo {
    /// Finds the root from where this crate was built, which holds for `cargo xtask` from any folder.
    pub(crate) fn find() -> Result<Self, String> {
        // As cargo says at the run: a target folder that two checkouts share may hold a program
        // that was built in the other one.
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = here.parent().ok_or_else(|| "xtask has no parent folder".to_owned())?;
        if !root.join("Cargo.toml").is_file() {
            return Err(format!(
                "{} holds no Cargo.toml: run `cargo xtask` from the repository it was built in",
                root.display()
            ));
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The absolute path of a file named relative to the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The text of a file; an error names the file.
    pub(crate) fn read(&self, relative: &str) -> Result<String, String> {
        fs::read_to_string(self.path(relative)).map_err(|e| format!("{relative}: {e}"))
    }

    /// Writes a file and the folders above it.
    pub(crate) fn write(&self, relative: &str, content: &str) -> Outcome {
        let path = self.path(relative);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        fs::write(&path, content).map_err(|e| format!("{relative}: {e}"))
    }

    /// Every file below `folder` (relative, `""` = the root) whose path `wanted` accepts, as
    /// relative paths with `/`, in byte order. A folder that is not there holds no files.
    pub(crate) fn files(&self, folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.path(folder)];
        while let Some(dir) = open.pop() {
            let Ok(entries) = fs::read_dir(&dir) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                let name = entry.file_name();
                if path.is_dir() && !path.is_symlink() {
                    if !SKIPPED.iter().any(|s| name == *s) {
                        open.push(path);
                    }
                } else if let Some(relative) = self.relative(&path)
                    && wanted(&relative)
                {
                    found.push(relative);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// What git would commit: tracked files and new ones that nothing ignores, in byte order.
    pub(crate) fn committed_files(&self) -> Result<Vec<String>, String> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listing = self.git(&arguments)?;
        let mut files: Vec<String> = listing
            .split('\0')
            .filter(|name| !name.is_empty() && self.path(name).is_file())
            .map(str::to_owned)
            .collect();
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }

    /// What a git command prints.
    pub(crate) fn git(&self, arguments: &[&str]) -> Result<String, String> {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(&self.root)
            .output()
            .map_err(|e| format!("git: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("git {}: {}", arguments.join(" "), said.trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn relative(&self, path: &Path) -> Option<String> {
        let relative = path.strip_prefix(&self.root).ok()?;
        Some(relative.to_string_lossy().replace('\\', "/"))
    }
}
