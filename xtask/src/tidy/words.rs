//! Words that belong to one machine and not to the project: absolute paths of a workplace, names
//! of its tools, hosts of package registries. They are put together from parts here, so that this
//! file does not hold what it looks for.

use std::fs;

use super::Finding;
use crate::repo::Repo;

/// Lock files name registries by their nature.
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "ui/package-lock.json"];

pub(super) fn check(repo: &Repo, files: &[String]) -> Vec<Finding> {
    let paths = ["work", "root", "farm"].map(|folder| format!("/{folder}/"));
    let words = [
        ["COM", "PASS"].concat(),
        ["steering", " repo"].concat(),
        ["../shared/", "DESIGN"].concat(),
        ["index.", "crates.io"].concat(),
        ["static.", "crates.io"].concat(),
        ["registry.", "npmjs.org"].concat(),
        ["files.", "pythonhosted.org"].concat(),
        ["py", "pi.org"].concat(),
        ["proxy.", "golang.org"].concat(),
        ["deb.", "debian.org"].concat(),
    ];
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| !LOCK_FILES.contains(&f.as_str())) {
        let Ok(bytes) = fs::read(repo.path(file)) else {
            continue;
        };
        // A zero byte means that nobody reads this file as text.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        if text.contains('\0') {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let path = paths.iter().find(|path| names_path(line, path));
            let word = words.iter().find(|word| line.contains(word.as_str()));
            if let Some(found) = path.or(word) {
                let what =
                    format!("`{found}` belongs to one machine: take it out or make it relative");
                findings.push(Finding::new(file, at + 1, what));
            }
        }
    }
    findings
}

/// True when an absolute path starts with `path`, and not when it is the middle of a longer one
/// or part of an address.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().last());
        let after = line.get(at + path.len()..).and_then(|t| t.chars().next());
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && !"._-~/*}".contains(c));
        starts && after.is_some_and(|c| c.is_ascii_lowercase() || c == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::names_path;

    #[test]
    fn only_absolute_paths_count() {
        let path = ["/wo", "rk/"].concat();
        assert!(names_path(&format!("cd {path}main"), &path));
        assert!(names_path(&format!("\"{path}.cache\""), &path));
        assert!(!names_path(&format!("home{path}main"), &path));
        assert!(!names_path(&format!("cd {path}"), &path));
    }
}
