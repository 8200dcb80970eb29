//! Documents that must not go stale: the map lists every crate and none that is gone, every
//! format document is named by the code that writes the format, every link to a file of this
//! tree leads somewhere.

use std::path::Path;

use super::Finding;
use crate::repo::Repo;

const MAP: &str = "ARCHITECTURE.md";
const MAP_LINES_MAX: usize = 250;

pub(super) fn check(repo: &Repo, files: &[String]) -> Vec<Finding> {
    let mut findings = map(repo, files);
    findings.extend(formats(repo, files));
    let written_by_hand = |file: &&String| file.ends_with(".md") && !file.starts_with("ui/dist/");
    for file in files.iter().filter(written_by_hand) {
        if let Ok(text) = repo.read(file) {
            findings.extend(links(repo, file, &text));
        }
    }
    findings
}

fn map(repo: &Repo, files: &[String]) -> Vec<Finding> {
    let text = match repo.read(MAP) {
        Ok(text) => text,
        Err(message) => {
            return vec![Finding::new(MAP, 0, format!("{message}: every tree needs its map"))];
        }
    };
    let crates: Vec<&str> = files
        .iter()
        .filter_map(|file| file.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"))
        .collect();
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MAP_LINES_MAX {
        let what =
            format!("{lines} lines, at most {MAP_LINES_MAX}: it is a map, move detail into docs/");
        findings.push(Finding::new(MAP, 0, what));
    }
    let named = crate_names(&text);
    for name in &crates {
        if !named.iter().any(|(found, _)| found == name) {
            let what = format!("does not say what crates/{name} is: add a paragraph");
            findings.push(Finding::new(MAP, 0, what));
        }
    }
    for (name, line) in &named {
        if !crates.contains(&name.as_str()) {
            let what = format!("names {name}, and there is no crates/{name}: take it out");
            findings.push(Finding::new(MAP, *line, what));
        }
    }
    findings
}

/// Crate names in a text (`yeoul` alone counts only in backticks: it is the product's name too),
/// with the line where each first stands.
fn crate_names(text: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            let name = word.trim_end_matches('-').replace('_', "-");
            let of_crate = name.strip_prefix("yeoul-").is_some_and(|rest| {
                // `yeoul-data` is the default folder of the node, not a crate.
                !rest.is_empty() && !rest.starts_with("data")
            });
            if of_crate && !found.iter().any(|(known, _)| *known == name) {
                found.push((name, at + 1));
            }
        }
        let shell = ["`yeoul`", "**yeoul**", "`crates/yeoul`", "yeoul/ "];
        let names_shell = shell.iter().any(|form| line.contains(form));
        if names_shell && !found.iter().any(|(known, _)| known == "yeoul") {
            found.push(("yeoul".to_owned(), at + 1));
        }
    }
    found
}

fn formats(repo: &Repo, files: &[String]) -> Vec<Finding> {
    let documents: Vec<&String> =
        files.iter().filter(|f| f.starts_with("docs/formats/") && f.ends_with(".md")).collect();
    let sources: Vec<String> = files
        .iter()
        .filter(|f| f.ends_with(".rs") || f.ends_with(".ts") || f.ends_with(".tsx"))
        .filter_map(|f| repo.read(f).ok())
        .collect();
    let unnamed = documents.into_iter().filter(|document| {
        let name = document.trim_start_matches("docs/");
        !sources.iter().any(|source| source.contains(name))
    });
    unnamed
        .map(|document| {
            let what = "no source file names this document: the code that writes the format must point at it, or the format is gone";
            Finding::new(document, 0, what)
        })
        .collect()
}

fn links(repo: &Repo, file: &str, text: &str) -> Vec<Finding> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in link_targets(line) {
            let path = target.split('#').next().unwrap_or("");
            if path.is_empty() || path.contains(':') || path.starts_with("//") {
                continue;
            }
            if !repo.root.join(folder).join(path).exists() {
                let what =
                    format!("the link to {path} leads nowhere: mend the path or take it out");
                findings.push(Finding::new(file, at + 1, what));
            }
        }
    }
    findings
}

/// What stands in the round brackets of `[text](target)`, without code spans.
fn link_targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        let in_span = line.get(..at).is_some_and(|b| b.matches('`').count() % 2 == 1);
        let rest = line.get(at + 2..).unwrap_or("");
        if let Some(end) = rest.find([')', ' '])
            && !in_span
            && let Some(target) = rest.get(..end)
        {
            found.push(target);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_taken_from_text_only() {
        let line = "see [a](docs/a.md#part) and `[b](c.md)` and [d](e.md \"title\")";
        assert_eq!(link_targets(line), ["docs/a.md#part", "e.md"]);
    }

    #[test]
    fn crates_are_recognised_in_every_spelling() {
        let text = "`yeoul` wires.\ncrates/yeoul-log and yeoul_base; ./yeoul-data is a folder\n";
        let names: Vec<String> = crate_names(text).into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["yeoul", "yeoul-log", "yeoul-base"]);
    }
}
