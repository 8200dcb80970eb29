//! `yeoul demo`: rows and a page soon after the start, and again after a restart.

use std::time::{Duration, Instant};

use crate::support::{Node, wait_for};

/// Generous: this is a debug build, perhaps on a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn rows(node: &Node, table: &str) -> Result<u64, String> {
    let rows = node.sql(&format!("SELECT count(*) FROM {table}"))?;
    rows[0][0].as_u64().filter(|rows| *rows > 0).ok_or_else(|| format!("{rows:?}"))
}

fn shows(demo: &str, table: &str) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "demo", &[demo]);
    let began = Instant::now();
    let first = wait_for("rows", || rows(&node, table));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    wait_for("more rows", || {
        rows(&node, table).and_then(|now| if now > first { Ok(()) } else { Err(now.to_string()) })
    });
    let page = node.get("/");
    assert!(page.status == 200 && page.body.contains("<html"), "{}", page.body);
    assert!(node.said().contains(&format!("http://{}", node.http)), "{}", node.said());
    assert_eq!(node.get("/api/v1/audit").json()["balanced"], true);
    let seen = rows(&node, table).unwrap();
    assert!(node.stop().success());
    let node = Node::start(folder.path(), "demo", &[demo]);
    wait_for("the rows of before", || {
        rows(&node, table).and_then(|now| if now >= seen { Ok(()) } else { Err(now.to_string()) })
    });
}

#[test]
fn bikes() {
    shows("bikes", "stations");
}

#[test]
fn movies() {
    shows("movies", "films");
}
