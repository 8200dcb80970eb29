//! Every dependency's licence, name and origin against `deny.toml`. The file is cargo-deny's, and
//! cargo-deny reads more of it than this does; this check needs nothing installed, so it can be
//! part of every run. What it reads: `licenses.allow`, `licenses.exceptions`, `bans.deny` (with
//! `wrappers`-less entries) and the rule that everything comes from crates.io.

use crate::metadata::{Graph, Package};
use crate::repo::{Outcome, Repo};

const RULES: &str = "deny.toml";
/// Named in `deny.toml` as allowed only for tests: it aborts the process on hostile input.
const ONLY_FOR_TESTS: [&str; 1] = ["kafka-protocol"];

pub(crate) fn run(repo: &Repo) -> Outcome {
    let rules = Rules::parse(&repo.read(RULES)?)?;
    let graph = Graph::load(repo)?;
    let mut problems = Vec::new();
    let mut judged = 0;
    for package in graph.packages.values() {
        let Some(source) = &package.source else {
            continue;
        };
        judged += 1;
        problems.extend(rules.judge(package));
        if !source.starts_with("registry+") || !source.contains("crates.io") {
            problems.push(format!("{} comes from {source}: only crates.io", name(package)));
        }
    }
    problems.extend(test_only(&graph));
    for problem in &problems {
        println!("error: {problem}");
    }
    println!("licences: {judged} packages, {} problems", problems.len());
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} dependencies break {RULES} (above): replace them, or argue for an exception there",
        problems.len()
    ))
}

/// Banned-outside-tests crates that a shipped crate reaches.
fn test_only(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, member) in graph.members() {
        let reached = graph.below(id, false);
        for below in reached.keys() {
            let found = graph.packages.get(below);
            if found.is_some_and(|p| ONLY_FOR_TESTS.contains(&p.name.as_str())) {
                let way = graph.way(&reached, below);
                problems
                    .push(format!("{} ships a crate that is for tests only: {way}", member.name));
            }
        }
    }
    problems
}

fn name(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

#[derive(Debug)]
struct Rules {
    allow: Vec<String>,
    /// (crate, licence)
    exceptions: Vec<(String, String)>,
    banned: Vec<String>,
}

impl Rules {
    fn parse(text: &str) -> Result<Self, String> {
        let allow = strings(&array(text, "licenses", "allow"));
        if allow.is_empty() {
            return Err(format!("{RULES}: [licenses] allow is empty or not there"));
        }
        let exceptions = array(text, "licenses", "exceptions");
        let exceptions = exceptions.split('}').filter_map(|entry| {
            let words = strings(entry);
            let crate_first = entry.find("crate")? < entry.find("allow")?;
            let (first, second) = (words.first()?.clone(), words.get(1)?.clone());
            Some(if crate_first { (first, second) } else { (second, first) })
        });
        let banned = array(text, "bans", "deny");
        Ok(Self {
            allow,
            exceptions: exceptions.collect(),
            banned: banned
                .split('}')
                .filter(|entry| !entry.contains("wrappers"))
                .flat_map(|entry| strings(entry).into_iter().take(1))
                .collect(),
        })
    }

    fn judge(&self, package: &Package) -> Option<String> {
        if self.banned.contains(&package.name) {
            return Some(format!("{} is banned", name(package)));
        }
        let Some(expression) = &package.license else {
            return Some(format!("{} names no licence", name(package)));
        };
        let allowed = |licence: &str| {
            let excepted = |(of, what): &(String, String)| *of == package.name && what == licence;
            self.allow.iter().any(|a| a == licence) || self.exceptions.iter().any(excepted)
        };
        if satisfied(expression, &allowed) {
            return None;
        }
        Some(format!("{} is under {expression}, which is not allowed", name(package)))
    }
}

/// The text between `[` and its `]` of `key = [ … ]` in a section, comments taken out.
fn array(text: &str, section: &str, key: &str) -> String {
    let mut inside = false;
    let mut body = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.starts_with('[') && line.ends_with(']') && body.is_empty() {
            inside = line.trim_matches(['[', ']']) == section;
            continue;
        }
        let starts = inside && line.split('=').next().map(str::trim) == Some(key);
        if starts || !body.is_empty() {
            body.push_str(line);
            body.push('\n');
            if body.matches('[').count() == body.matches(']').count() {
                break;
            }
        }
    }
    body.split_once('=').map_or(String::new(), |(_, value)| value.to_owned())
}

/// Every quoted string of a text, in order.
fn strings(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// An SPDX expression, with the old `/` for OR. `WITH` only ever adds permissions, so the licence
/// before it decides.
fn satisfied(expression: &str, allowed: &impl Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at, allowed) && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &impl Fn(&str) -> bool) -> bool {
    let mut result = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= both(words, at, allowed);
    }
    result
}

fn both(words: &[&str], at: &mut usize, allowed: &impl Fn(&str) -> bool) -> bool {
    let mut result = single(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= single(words, at, allowed);
    }
    result
}

fn single(words: &[&str], at: &mut usize, allowed: &impl Fn(&str) -> bool) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let result = either(words, at, allowed);
        *at += 1;
        return result;
    }
    let result = allowed(word);
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx() {
        let allowed = |licence: &str| ["MIT", "Unicode-3.0"].contains(&licence);
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "MIT WITH some-exception",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "(GPL-2.0 OR X) AND MIT"] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn rules_are_read_from_toml() {
        let text = "[licenses]\nallow = [\n  \"MIT\", # why\n  \"ISC\",\n]\nexceptions = [\n  { crate = \"a\", allow = [\"MPL-2.0\"] },\n]\n[bans]\ndeny = [{ crate = \"openssl\" }, { crate = \"k\", wrappers = [\"t\"] }]\n";
        let rules = Rules::parse(text).expect("rules");
        assert_eq!(rules.allow, ["MIT", "ISC"]);
        assert_eq!(rules.exceptions, [("a".to_owned(), "MPL-2.0".to_owned())]);
        assert_eq!(rules.banned, ["openssl"]);
        assert!(Rules::parse("[licenses]\n").is_err());
    }
}
