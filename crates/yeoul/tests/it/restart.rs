//! Ends of every kind while a file grows: each line is in the table once, and the books balance.

use std::fs;

use serde_json::Value;

use crate::support::{Node, Writer, wait_for};

const FILMS: &str = "\
sources:
  films:
    tail: { path: [films.tsv], read_from: beginning }
    decode: { tsv: { columns: { id: int, name: string } } }
streams:
  odd:
    sql: SELECT id, name FROM films WHERE id % 2 = 1
    key: id
tables:
  every_film: { from: films }
  odd_films: { from: odd }
";

#[test]
fn a_growing_file_comes_through_kills_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("films.yaml"), FILMS).unwrap();
    let writer = Writer::start(&folder.path().join("films.tsv"));
    for turn in 0..4 {
        let node = Node::run(folder.path(), &["films.yaml"]);
        // More than there was at the start is through: the end comes in the middle of work.
        let wanted = writer.written() + 20;
        wait_for("rows of this run", || {
            let rows = node.sql("SELECT count(*) FROM odd_films")?;
            let rows = rows[0][0].as_u64().unwrap();
            if rows * 2 > wanted { Ok(()) } else { Err(format!("{rows} of {wanted}")) }
        });
        if turn == 1 {
            assert!(node.stop().success());
        } else {
            node.kill();
        }
    }
    let lines = writer.finish();
    let node = Node::run(folder.path(), &["films.yaml"]);
    for (table, rows) in [("every_film", lines), ("odd_films", lines / 2)] {
        node.wait_number(&format!("SELECT count(*) FROM {table}"), rows);
        node.wait_number(&format!("SELECT count(DISTINCT id) FROM {table}"), rows);
    }
    let wrong = "SELECT count(*) FROM every_film WHERE name <> concat('name ', id)";
    node.wait_number(wrong, 0);
    books(&node, lines);
}

/// What one gives out is what the next has read and what waits for it.
fn books(node: &Node, lines: u64) {
    let entry = |id: &str| node.component("audit", id);
    let number = |entry: &Value, field: &str| entry[field].as_u64().unwrap();
    assert_eq!(node.get("/api/v1/audit").json()["balanced"], true);
    let (source, stream) = (entry("source/films"), entry("stream/odd"));
    assert_eq!(number(&source, "out"), lines);
    assert_eq!(number(&stream, "filtered"), lines.div_ceil(2));
    for (from, to) in [
        ("source/films", "stream/odd"),
        ("source/films", "table/every_film"),
        ("stream/odd", "table/odd_films"),
    ] {
        let (out, next) = (number(&entry(from), "out"), entry(to));
        assert_eq!(out, number(&next, "read") + number(&next, "lag"), "{from} to {to}: {next}");
    }
}
