//! The runner of `slt/*.slt`: after `query` (or `druid`, which names columns Druid's way) a
//! statement, `----`, and the answer as CSV with its header; after `error` a statement, `----`
//! and a part of the message with place and hint. Blank lines end a record, `#` starts a comment.

use yeoul_sql::encode::{Rows, Style};
use yeoul_sql::{QueryOptions, Unnamed};

use super::{World, runtime};

struct Case {
    line: usize,
    kind: String,
    sql: String,
    expected: String,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let block: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.is_empty()).collect();
        let split = block.iter().position(|line| *line == "----").expect("a record needs ----");
        cases.push(Case {
            line: number + 1,
            kind: line.to_owned(),
            sql: block[..split].join("\n"),
            expected: block[split + 1..].join("\n"),
        });
    }
    cases
}

fn run(name: &str, text: &str) {
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let cases = cases(text);
    assert!(!cases.is_empty());
    // All of them, so that one run shows all that is wrong.
    let mut wrong = Vec::new();
    for case in cases {
        let mut options = QueryOptions::default();
        if case.kind == "druid" {
            options.unnamed = Unnamed::Numbered;
        }
        let output = runtime.block_on(world.engine.query(&case.sql, &options));
        let place = format!("{name}:{}\n{}", case.line, case.sql);
        match (case.kind.as_str(), output) {
            ("query" | "druid", Ok(output)) => {
                let names: Vec<_> =
                    output.schema.fields().iter().map(|field| field.name().as_str()).collect();
                let mut lines = vec![names.join(",")];
                for batch in &output.batches {
                    let rows = Rows::new(batch, Style::default()).unwrap();
                    for row in 0..rows.len() {
                        let mut line = String::new();
                        rows.csv(row, &mut line);
                        lines.push(line);
                    }
                }
                if lines.join("\n") != case.expected {
                    wrong.push(format!(
                        "{place}\ngot: {}\nnot: {}",
                        lines.join("\n"),
                        case.expected
                    ));
                }
            }
            ("error", Err(error)) => {
                let text = format!("{error} {}", error.hint.clone().unwrap_or_default());
                if !text.contains(&case.expected) {
                    wrong.push(format!("{place}\ngot: {text}"));
                }
            }
            (kind, output) => wrong.push(format!("{place}\n{kind} got {output:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn select() {
    run("select.slt", include_str!("slt/select.slt"));
}

#[test]
fn names() {
    run("names.slt", include_str!("slt/names.slt"));
}

#[test]
fn druid() {
    run("druid.slt", include_str!("slt/druid.slt"));
}

#[test]
fn aggregates() {
    run("aggregates.slt", include_str!("slt/aggregates.slt"));
}

#[test]
fn topics() {
    run("topics.slt", include_str!("slt/topics.slt"));
}

#[test]
fn info() {
    run("info.slt", include_str!("slt/info.slt"));
}

#[test]
fn functions() {
    run("functions.slt", include_str!("slt/functions.slt"));
}

#[test]
fn search() {
    run("search.slt", include_str!("slt/search.slt"));
}

#[test]
fn superset() {
    run("superset.slt", include_str!("slt/superset.slt"));
}

#[test]
fn limits() {
    run("limits.slt", include_str!("slt/limits.slt"));
}

#[test]
fn rest() {
    run("rest.slt", include_str!("slt/rest.slt"));
}
