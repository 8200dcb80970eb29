//! Whole files: the examples are read, and each bad file in `bad/` gives exactly the text that
//! lies beside it in `snapshots/`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use yeoul_pipeline::{Pipeline, Report, Trigger, Vars, check, check_outside, load};

/// One variable is set; there are no files.
struct FewVars;

impl Vars for FewVars {
    fn env(&self, name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "s3cr3t".to_owned())
    }

    fn file(&self, _: &Path, _: &str) -> Result<String, String> {
        Err("no such file".to_owned())
    }
}

fn read(file: &str, text: &str) -> Result<Vec<Pipeline>, Report> {
    let files = vec![Pipeline::parse(file, text, &FewVars)?];
    check(&files)?;
    Ok(files)
}

#[test]
fn bad_files_say_what_where_and_what_to_do() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/bad"));
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 12);
    for path in paths {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let report = read(&format!("{stem}.yaml"), &text).expect_err(stem);
        let shown = report.render(false, 100);
        assert!(!shown.contains("s3cr3t") && !format!("{report}").contains("s3cr3t"));
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(stem, shown);
        });
    }
}

#[test]
fn a_missing_file_is_named() {
    let report = load(&[PathBuf::from("no/such.yaml")], &FewVars).unwrap_err();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("missing_file", report.render(false, 100));
    });
}

#[test]
fn the_examples_are_read() {
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"));
    for name in ["movies", "bikes"] {
        let path = examples.join(name).join("pipeline.yaml");
        let files = load(&[path], &FewVars).unwrap_or_else(|report| panic!("{report}"));
        let [pipeline] = files.as_slice() else { panic!("one file") };
        assert_eq!(pipeline.name, name);
        assert_eq!(pipeline.timezone, chrono_tz::Asia::Seoul);
        assert_eq!((pipeline.sources.len(), pipeline.streams.len()), (1, 1));
        assert_eq!(Pipeline::inputs(&pipeline.streams[0].spec.sql).len(), 2);
        assert!(!pipeline.tests.is_empty());
        assert!(pipeline.base_dir.ends_with(name));
    }
}

fn pipeline(file: &str, text: &str) -> Pipeline {
    Pipeline::parse(file, text, &FewVars).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn files_of_one_node_are_looked_at_together() {
    let one = pipeline("a.yaml", "sources: { movies: { generate: { shape: movies } } }");
    let two = pipeline("b.yaml", "tables: { films: { from: movies } }");
    assert_eq!(check(&[one.clone(), two.clone()]), Ok(()));
    assert!(check(std::slice::from_ref(&two)).is_err(), "alone, the topic is not there");
    let again = pipeline("c.yaml", "node: { memory: 1GB }\ntables:\n  films: { from: movies }");
    let more = pipeline("d.yaml", "node: { memory: 2GB }");
    let report = check(&[one, two, again, more]).unwrap_err();
    assert_eq!(
        report.to_string(),
        "c.yaml:3:3: table `films` is defined twice\n\
         d.yaml:1:1: `node` is set here and in c.yaml"
    );
    let hint = report.problems[0].hint.as_deref().unwrap();
    assert!(hint.ends_with("(the first is here: b.yaml:1:11)"), "{hint}");
}

#[test]
fn a_planner_s_error_is_shown_in_the_file() {
    let text = "streams:\n  a:\n    sql: |\n      SELECT 한글,\n        nope\n      FROM b\n  c: { sql: \"SELECT nope FROM b\" }\n";
    let file = pipeline("a.yaml", text);
    let at = |stream: usize, line, column| {
        file.sql_problem(&file.streams[stream], Some((line, column)), "no column", None)
            .line_column()
    };
    assert_eq!(at(0, 1, 8), (4, 14));
    assert_eq!(at(0, 2, 3), (5, 9));
    assert_eq!(at(1, 1, 8), (7, 21));
    let whole = file.sql_problem(&file.streams[1], None, "too slow", None);
    assert_eq!(whole.line_column(), (7, 3));
}

#[test]
fn what_the_machine_lacks_is_told_at_its_place() {
    let text = "sources:\n  m: { tail: { path: none-such.tsv } }\nlookups:\n  l: { file: { path: none-such.csv } }\n";
    let report = check_outside(&[pipeline("here/a.yaml", text)]);
    let text = report.to_string();
    assert!(text.starts_with("here/a.yaml:2:3: tail: no file matches `none-such.tsv`"), "{text}");
    assert!(text.contains("\nhere/a.yaml:4:14: lookup: here/none-such.csv: "), "{text}");
}

#[test]
fn settings_reach_the_model() {
    let text = "
timezone: Asia/Seoul
node: { kafka: ['127.0.0.1:9092', '0.0.0.0:9093=kafka:9093'], memory: 512MB, disk: 90% }
topics:
  movies:
    retention: { time: 7d, bytes: 100MB }
    durability: relaxed
    config: { max.message.bytes: 1048576, cleanup.policy: delete, retention.ms: 5, x: true }
sources:
  one: { tail: { path: a.tsv }, decode: tsv, to: movies }
  \"007\": { generate: { shape: bikes } }
streams:
  s: { sql: 'SELECT * FROM Movies', key: [a, b], trigger: available_now }
  t: { sql: 'SELECT * FROM s', key: a }
";
    let file = pipeline("dir/p.yaml", text);
    assert_eq!(check(std::slice::from_ref(&file)), Ok(()));
    assert_eq!(file.name, "p");
    let config = file.topics[0].spec.kafka_config();
    let config: Vec<_> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        config,
        [
            "cleanup.policy=delete",
            "max.message.bytes=1048576",
            "retention.bytes=100000000",
            "retention.ms=5",
            "x=true",
            "yeoul.durability=relaxed"
        ]
    );
    assert_eq!(
        (file.sources[0].spec.to.as_str(), file.sources[1].spec.to.as_str()),
        ("movies", "007")
    );
    assert_eq!(file.streams[0].spec.key.as_ref().unwrap().0, ["a", "b"]);
    assert_eq!(file.streams[0].spec.trigger, Some(Trigger::AvailableNow));
    assert_eq!(file.streams[1].spec.key.as_ref().unwrap().0, ["a"]);
    assert_eq!(
        file.components(),
        ["topic/movies", "source/one", "source/007", "stream/s", "stream/t"]
    );
}

#[test]
fn hostile_files_are_refused_without_harm() {
    let deep = format!("a: {}", "[".repeat(100_000));
    let wide = format!("topics:\n{}", "  x: {}\n".repeat(20_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    for text in [
        &deep,
        &wide,
        bomb,
        "\0",
        "%YAML 9\n---\n",
        "a: b: c",
        "- - -",
        "&a *a",
        "? {}",
        "---\n---\n",
    ] {
        let shown = match Pipeline::parse("h.yaml", text, &FewVars) {
            Ok(_) => continue,
            Err(report) => report.to_string(),
        };
        assert!(shown.starts_with("h.yaml:"), "{shown}");
        assert!(shown.lines().count() <= 51, "{shown}");
    }
}

#[test]
fn the_document_s_example_is_a_pipeline() {
    let document = include_str!("../../../../docs/pipeline.md");
    let example = document.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let files = read("docs/pipeline.yaml", example).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(files[0].components().len(), 8);
    assert_eq!(files[0].tests.len(), 2);
}
