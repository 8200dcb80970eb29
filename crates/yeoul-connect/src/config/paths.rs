//! One path or a list of them, and the files they name.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many patterns one source may have.
const PATTERNS_MAX: usize = 1_000;

/// Paths or patterns; written as one text when there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths(Vec<String>);

impl From<Vec<String>> for Paths {
    fn from(paths: Vec<String>) -> Self {
        Self(paths)
    }
}

impl Deref for Paths {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Serialize for Paths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            all => all.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathsVisitor)
    }
}

struct PathsVisitor;

impl<'de> Visitor<'de> for PathsVisitor {
    type Value = Paths;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path or a list of paths")
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Paths, E> {
        Ok(Paths(vec![path.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Paths, A::Error> {
        let mut paths = Vec::new();
        while let Some(path) = list.next_element()? {
            if paths.len() == PATTERNS_MAX {
                return Err(Error::custom(format_args!("more than {PATTERNS_MAX} paths")));
            }
            paths.push(path);
        }
        Ok(Paths(paths))
    }
}

impl JsonSchema for Paths {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
            ],
        })
    }
}

/// The names a pattern matches now, whatever they are; nothing for a bad pattern. The folder it
/// starts at is taken literally.
pub(crate) fn matches(base_dir: &Path, pattern: &str) -> impl Iterator<Item = PathBuf> {
    let base = glob::Pattern::escape(&base_dir.to_string_lossy());
    let full = Path::new(&base).join(pattern);
    // A folder that cannot be read is as good as empty: it is tried again at the next look.
    glob::glob(&full.to_string_lossy()).into_iter().flatten().filter_map(Result::ok)
}

pub(super) fn found(base_dir: &Path, pattern: &str) -> bool {
    glob::Pattern::new(pattern).is_err() || matches(base_dir, pattern).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_patterns_start_at_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("odd [name]*");
        std::fs::create_dir_all(base.join("data/deep")).unwrap();
        std::fs::create_dir(base.join("data/deep/a.tsv")).unwrap();
        let count = |base: &Path, pattern: &str| matches(base, pattern).count();
        for pattern in ["data/deep/a.tsv", "./data/*/a.tsv", "data/../data/deep/?.tsv", "**/*.tsv"]
        {
            assert_eq!(count(&base, pattern), 1, "{pattern}");
        }
        assert_eq!(count(&base.join("data"), "../data/deep/a.tsv"), 1);
        // A pipeline file named without a folder: the working directory, which tests have at the
        // crate's root.
        assert_eq!(count(Path::new(""), "Cargo.toml"), 1);
        let absolute = std::env::current_dir().unwrap().join("Cargo.toml");
        assert_eq!(count(&base, &absolute.to_string_lossy()), 1);
    }
}
