//! What users get wrong: the whole message and the exit code, word for word. Folders, ports and
//! process ids differ between runs and are written as names.

use std::fs;
use std::path::Path;

use crate::support::{Node, Said, yeoul_in};

const GOOD: &str = "\
sources:
  films:
    tail: { path: [films.tsv], read_from: beginning }
    decode: { tsv: { columns: { id: int, name: string } } }
streams:
  odd:
    sql: |
      SELECT id, name
      FROM films WHERE id % 2 = 1
tables:
  films: { from: odd }
";

/// With everything replaced that another run would give otherwise.
fn plain(said: &Said, folder: &Path) -> String {
    let mut text = format!("exit {}\n", said.code);
    for (name, part) in [("stdout", &said.out), ("stderr", &said.err)] {
        if !part.is_empty() {
            text.push_str(&format!("── {name}\n{}\n", part.trim_end()));
        }
    }
    let text = text.replace(folder.to_str().unwrap(), "[folder]");
    let text = numbered(&text, "127.0.0.1:", "[port]");
    numbered(&numbered(&text, "pid ", "[pid]"), "process ", "[pid]")
}

/// Puts a name for the digits that follow each `before`.
fn numbered(text: &str, before: &str, name: &str) -> String {
    let mut pieces = text.split(before);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|char: char| char.is_ascii_digit());
        out.push_str(before);
        out.push_str(if rest.len() < piece.len() { name } else { "" });
        out.push_str(rest);
    }
    out
}

macro_rules! told {
    ($name:expr, $folder:expr, $said:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($name, plain(&$said, $folder));
        });
    };
}

/// A node of its own where the test does not care which.
const LISTEN: [&str; 6] =
    ["--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data-dir", "other"];

fn refused(folder: &Path, args: &[&str], input: &str) -> Said {
    let said = yeoul_in(folder, args, input);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said
}

#[test]
fn pipeline_files_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let with = |file: &str, from: &str, to: &str| {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        fs::write(folder.join(file), text).unwrap();
    };
    with("typo.yaml", "read_from", "read_form");
    with("column.yaml", "SELECT id, name", "SELECT id, nmae");
    with("syntax.yaml", "SELECT id, name", "SELEKT id, name");
    with(
        "setting.yaml",
        "sources:",
        "topics: { films: { config: { retention.mss: 5 } } }\nsources:",
    );
    with("start.yaml", "tsv: {", "tsv: { encoding: klingon,");
    let run = |file: &str| {
        let mut args = vec!["run", file];
        args.extend(LISTEN);
        refused(folder, &args, "")
    };
    told!("run_typo", folder, run("typo.yaml"));
    told!("run_unknown_column", folder, run("column.yaml"));
    told!("run_syntax", folder, run("syntax.yaml"));
    told!("run_start_fails", folder, run("start.yaml"));
    told!("run_missing_file", folder, run("nowhere.yaml"));
    told!("check_typo", folder, refused(folder, &["check", "typo.yaml"], ""));
    told!("check_start_fails", folder, refused(folder, &["check", "start.yaml"], ""));
    told!("check_unknown_setting", folder, refused(folder, &["check", "setting.yaml"], ""));
    told!("check_unknown_column", folder, refused(folder, &["check", "column.yaml"], ""));
}

#[test]
fn places_that_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let node = Node::run(folder, &[]);
    let run = |http: &str, kafka: &str, data: &str| {
        refused(folder, &["run", "--http", http, "--kafka", kafka, "--data-dir", data], "")
    };
    let free = "127.0.0.1:0";
    told!("http_taken", folder, run(&node.http, free, "other"));
    told!("kafka_taken", folder, run(free, &node.kafka, "other"));
    told!("data_dir_taken", folder, run(free, free, "data"));
    told!(
        "doctor_of_a_running_node",
        folder,
        refused(folder, &["doctor", "--data-dir", "data"], "")
    );
    told!("not_loopback", folder, run("0.0.0.0:0", free, "other"));
    told!("kafka_not_loopback", folder, run(free, "0.0.0.0:0", "other"));
    told!("no_address", folder, run("8888", free, "other"));
    fs::write(folder.join("file"), "").unwrap();
    told!("data_dir_is_a_file", folder, run(free, free, "file"));
}

#[test]
fn words_no_command_knows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, args) in [
        ("unknown_command", &["frobnicate"][..]),
        ("unknown_flag", &["run", "--htpp", "127.0.0.1:0"]),
        ("no_value", &["run", "--memory-limit"]),
    ] {
        let said = refused(folder, args, "");
        assert_eq!(said.code, 2, "{said:?}");
        told!(name, folder, said);
    }
    // All commands are listed: that text changes with each of them.
    assert_eq!(refused(folder, &[], "").code, 2);
}

#[test]
fn nobody_at_home() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Port 1 is nobody's here, and a client is refused at once.
    let nobody = ["--url", "http://127.0.0.1:1"];
    let sql = ["sql", "SELECT 1", nobody[0], nobody[1]];
    told!("sql_without_a_node", folder, refused(folder, &sql, ""));
    let consume = ["consume", "films", "--bootstrap-server", "127.0.0.1:1"];
    told!("consume_without_a_node", folder, refused(folder, &consume, ""));
}

#[test]
fn questions_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("good.yaml"), GOOD).unwrap();
    fs::write(folder.join("films.tsv"), "1\tone\n2\ttwo\n3\tthree\n").unwrap();
    let node = Node::run(folder, &["good.yaml"]);
    node.wait_number("SELECT count(*) FROM films", 2);
    let refused = |args: &[&str]| {
        let said = node.ask(args);
        assert_ne!(said.code, 0, "{said:?}");
        said
    };
    told!("sql_unknown_column", folder, refused(&["sql", "SELECT nmae FROM films"]));
    told!("sql_unknown_table", folder, refused(&["sql", "SELECT * FROM film"]));
    told!("sql_syntax", folder, refused(&["sql", "SELEKT 1"]));
    told!("sql_writes", folder, refused(&["sql", "DROP TABLE films"]));
    told!("tap_unknown", folder, refused(&["tap", "nobody"]));
    told!("dead_unknown", folder, refused(&["dead", "show", "stream/nobody"]));
}

#[test]
fn what_a_table_cannot_make_is_shown_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let table = "\
tables:
  films:
    from: odd
    time: { column: at, missing: soon }
  more:
    from: odd
    transform:
      upper: upper(nam)
  less:
    from: odd
    rollup:
      by: minute
      dimensions: [name]
      metrics:
        rows: count(*)
        typical: median(id)
";
    let bad = GOOD.replace("tables:\n  films: { from: odd }\n", table);
    fs::write(folder.path().join("films.yaml"), bad).unwrap();
    told!("table_cannot", folder.path(), refused(folder.path(), &["check", "films.yaml"], ""));
}
