//! Cases as text: sections that start with `--- `, each with its lines.
//!
//! `--- topic NAME` (then, on the same line, Spark's DDL, or nothing: the schema is inferred),
//! `--- lookup NAME.csv [KEY]`, `--- sql`, `--- key`, `--- zone`, `--- expect`, `--- dead`.

use std::path::PathBuf;

use yeoul_format::{Columns, Origin, Schema};

use crate::lookup::{Keep, LookupSpec};
use crate::spec::StreamSpec;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) schema: Option<Schema>,
    pub(super) records: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) spec: StreamSpec,
    pub(super) topics: Vec<Topic>,
    /// Sorted.
    pub(super) expect: Vec<String>,
    /// Values of the dead letters, sorted.
    pub(super) dead: Vec<String>,
    lookups: Vec<LookupSpec>,
    _folder: tempfile::TempDir,
}

impl Case {
    /// One topic without records.
    pub(super) fn simple(topic: &str, ddl: &str, sql: &str) -> Self {
        Self::parse("simple", &format!("--- topic {topic} {ddl}\n--- sql\n{sql}\n"))
    }

    pub(super) fn lookups(&self) -> Vec<LookupSpec> {
        self.lookups.clone()
    }

    fn parse(name: &str, text: &str) -> Self {
        let mut case = Self {
            name: name.to_owned(),
            spec: StreamSpec::new("s", ""),
            topics: Vec::new(),
            expect: Vec::new(),
            dead: Vec::new(),
            lookups: Vec::new(),
            _folder: tempfile::tempdir().unwrap(),
        };
        for section in text.split("--- ").skip(1) {
            let (head, body) = section.split_once('\n').unwrap_or((section, ""));
            let (kind, rest) = head.split_once(' ').unwrap_or((head, ""));
            let mut lines: Vec<String> = body.lines().map(str::to_owned).collect();
            match kind {
                "topic" => {
                    let (name, ddl) = rest.split_once(' ').unwrap_or((rest, ""));
                    let declared = |ddl| Columns::parse(ddl).unwrap().into_vec();
                    let schema = (!ddl.trim().is_empty())
                        .then(|| Schema::new(declared(ddl), Origin::Declared));
                    case.topics.push(Topic { name: name.into(), schema, records: lines });
                }
                "lookup" => case.lookup(rest, body),
                "sql" => case.spec.sql = body.to_owned(),
                "key" => case.spec.key = lines,
                "zone" => case.spec.timezone = body.trim().parse().unwrap(),
                "expect" => {
                    lines.sort();
                    case.expect = lines;
                }
                "dead" => {
                    lines.sort();
                    case.dead = lines;
                }
                other => panic!("{name}: what is `{other}`?"),
            }
        }
        case
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fn lookup(&mut self, head: &str, body: &str) {
        let (file, key) = head.split_once(' ').unwrap_or((head, ""));
        let path = self._folder.path().join(file);
        std::fs::write(&path, body).unwrap();
        let name = file.split('.').next().unwrap().to_owned();
        let key = key.split_whitespace().map(str::to_owned).collect();
        let spec = LookupSpec { name, path, format: None, key, keep: Keep::First, reload: None };
        self.lookups.push(spec);
    }
}

pub(super) fn all() -> Vec<Case> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases"));
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let case = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Case::parse(&name, &std::fs::read_to_string(path).unwrap())
    };
    paths.iter().map(case).collect()
}
