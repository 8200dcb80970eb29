//! The options of sources as a pipeline file writes them, the kind as key:
//! `tail: { path: movies.tsv }`. The siblings `decode:` and `to:` are the pipeline's.

mod every;
mod paths;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yeoul_format::{Decode, LineDecoder, Schema};

pub use every::Every;
pub use paths::Paths;
pub(crate) use paths::matches;

use crate::shapes;

/// One kind of source and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceConfig {
    /// Follows files line by line, across rotation and truncation.
    Tail(TailConfig),
    /// Makes records up, the same ones for the same seed.
    Generate(GenerateConfig),
}

/// Options of `tail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TailConfig {
    /// Files, or patterns with `*`, `**`, `?` and `[…]`; one or a list. Relative paths start at
    /// the folder of the pipeline file.
    pub path: Paths,
    /// Patterns of files to leave out; without a `/` they are compared with the file's name.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Where files that are there at the very first start are read from. Files that appear later
    /// are always read from their beginning.
    #[serde(default)]
    pub read_from: ReadFrom,
}

/// See [`TailConfig::read_from`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    Beginning,
    #[default]
    End,
}

/// Options of `generate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateConfig {
    /// What the records look like.
    pub shape: Shape,
    /// Records per second; default 10. Not for `bikes`, which has `every`.
    pub rate: Option<f64>,
    /// `bikes`: how often all stations report; default 10s.
    pub every: Option<Every>,
    /// `bikes`: how many stations, at most 2700, the default.
    pub stations: Option<u32>,
    /// Ends after so many records; default never.
    pub count: Option<u64>,
    /// Other seeds make other records; default 1.
    #[serde(default = "default_seed")]
    pub seed: u64,
}

fn default_seed() -> u64 {
    1
}

/// What generated records look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Seoul's public bikes: stations with racks and bikes, all values as text.
    Bikes,
    /// Films, with the blanks and short rows of a real export.
    Movies,
    /// Heartbeats of watches, times as arrays of numbers.
    Heartrate,
}

/// Something that will not work, found before the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

impl SourceConfig {
    /// What can be told wrong without starting: options, and files that are not there (which at
    /// run time is only waited for). Relative paths start at `base_dir`.
    pub fn check(&self, decode: Option<&Decode>, base_dir: &Path) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(Err(error)) = decode.map(LineDecoder::new) {
            problems.push(Problem { message: error.to_string(), hint: None });
        }
        match self {
            Self::Tail(tail) => tail.check(base_dir, &mut problems),
            Self::Generate(generate) => generate.check(&mut problems),
        }
        problems
    }

    /// The schema of the topic it fills; `None` when the records must be looked at.
    pub fn output_schema(&self, decode: Option<&Decode>) -> Option<Schema> {
        match (self, decode) {
            (_, Some(decode)) => decode.schema(),
            (Self::Tail(_), None) => None,
            (Self::Generate(generate), None) => Some(shapes::schema(generate.shape)),
        }
    }
}

impl TailConfig {
    fn check(&self, base_dir: &Path, problems: &mut Vec<Problem>) {
        if self.path.is_empty() {
            problems.push(Problem::new("tail: `path` names no file", "Give a file or a pattern."));
        }
        for pattern in self.path.iter().chain(&self.exclude) {
            if let Err(error) = glob::Pattern::new(pattern) {
                problems.push(Problem::new(
                    format!("tail: `{pattern}` is not a pattern: {error}"),
                    "A literal `[`, `*` or `?` is written `[[]`, `[*]` or `[?]`.",
                ));
            }
        }
        for pattern in self.path.iter() {
            if !paths::found(base_dir, pattern) {
                problems.push(Problem::new(
                    format!("tail: no file matches `{pattern}` in {}", base_dir.display()),
                    "At run time the source waits for it to appear; check the path if it should be there now.",
                ));
            }
        }
    }
}

impl GenerateConfig {
    fn check(&self, problems: &mut Vec<Problem>) {
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e6)) {
            problems.push(Problem::new(
                "generate: `rate` is not between 0 and 1000000",
                "It counts records per second, such as 10 or 0.5.",
            ));
        }
        if self.every.is_some_and(|every| every.0.is_zero()) {
            problems.push(Problem::new("generate: `every` is 0", "Write a time such as 10s."));
        }
        let bikes = self.shape == Shape::Bikes;
        let misplaced = [
            ("rate", bikes && self.rate.is_some()),
            ("every", !bikes && self.every.is_some()),
            ("stations", !bikes && self.stations.is_some()),
        ];
        for (option, _) in misplaced.iter().filter(|(_, wrong)| *wrong) {
            problems.push(Problem::new(
                format!("generate: `{option}` does not belong to this shape"),
                "`bikes` takes `every` and `stations`, the others take `rate`.",
            ));
        }
        let max = shapes::bikes::STATIONS as u32;
        if self.stations.is_some_and(|stations| stations == 0 || stations > max) {
            problems.push(Problem::new(
                format!("generate: `stations` is not between 1 and {max}"),
                "Leave it out for all of them.",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SourceConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn as_a_file_writes_it() {
        let one = parse(r#"{"tail":{"path":"a.tsv"}}"#).unwrap();
        let list = parse(r#"{"tail":{"path":["a.tsv"],"read_from":"end","exclude":[]}}"#).unwrap();
        assert_eq!(one, list);
        let bikes = parse(r#"{"generate":{"shape":"bikes","every":"500ms"}}"#).unwrap();
        let SourceConfig::Generate(generate) = &bikes else { panic!("{bikes:?}") };
        assert_eq!(generate.every.unwrap().0.as_millis(), 500);
        assert_eq!(generate.seed, 1);
        assert_eq!(parse(&serde_json::to_string(&bikes).unwrap()).unwrap(), bikes);
        let error = parse(r#"{"tail":{"path":"a","raed_from":"end"}}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `raed_from`"), "{error}");
        assert!(parse(r#"{"generate":{"shape":"cars"}}"#).is_err());
        assert!(parse(r#"{"generate":{"shape":"bikes","every":"5 parsecs"}}"#).is_err());
    }

    #[test]
    fn problems_are_found_before_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let tail = parse(r#"{"tail":{"path":["there.*","missing.tsv","a[b"]}}"#).unwrap();
        let file = dir.path().join("there.tsv");
        std::os::unix::fs::symlink("/dev/null", file).unwrap();
        let messages: Vec<_> =
            tail.check(None, dir.path()).into_iter().map(|problem| problem.message).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].contains("`a[b` is not a pattern"), "{messages:?}");
        assert!(messages[1].contains("no file matches `missing.tsv`"), "{messages:?}");
        let odd = parse(r#"{"generate":{"shape":"movies","every":"1s","rate":0}}"#).unwrap();
        assert_eq!(odd.check(None, dir.path()).len(), 2);
        let bikes = parse(r#"{"generate":{"shape":"bikes"}}"#).unwrap();
        assert_eq!(bikes.check(None, dir.path()), []);
        assert_eq!(bikes.output_schema(None).unwrap().columns.len(), 8);
        assert_eq!(tail.output_schema(None), None);
    }
}
