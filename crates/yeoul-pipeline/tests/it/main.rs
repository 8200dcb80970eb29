//! Whole files: the examples are read, and each bad file in `bad/` gives exactly the text that
//! lies beside it in `snapshots/`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use yeoul_pipeline::{Pipeline, Report, Vars, check, load};

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
