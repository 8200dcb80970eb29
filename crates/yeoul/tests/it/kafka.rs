//! The node's own readers and its topics as Kafka's tools see them, through the commands that
//! speak Kafka's protocol.

use std::fs;
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::support::{Node, Said, wait_for, yeoul_in};

const PIPELINE: &str = "\
topics:
  clicks:
    durability: relaxed
    schema: 'id INT'
streams:
  odd: { sql: 'SELECT id FROM clicks WHERE id % 2 = 1' }
tables:
  odd_clicks: { from: odd }
";

/// A command that talks Kafka to this node.
fn kafka(node: &Node, args: &[&str], input: &str) -> Said {
    let mut all = args.to_vec();
    all.extend(["--bootstrap-server", &node.kafka]);
    yeoul_in(std::path::Path::new("."), &all, input)
}

fn clicks(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{{\"id\":{id}}}\n")).collect()
}

#[test]
fn streams_and_tables_are_consumer_groups_that_nobody_can_move() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("clicks.yaml"), PIPELINE).unwrap();
    let node = Node::run(folder.path(), &["clicks.yaml"]);
    assert_eq!(kafka(&node, &["produce", "clicks"], &clicks(0..10)).code, 0);
    node.wait_number("SELECT count(*) FROM odd_clicks", 5);
    for (group, topic, read) in [("stream/odd", "clicks", 10), ("table/odd_clicks", "odd", 5)] {
        let described = wait_for("the group at its end", || {
            let said = kafka(&node, &["groups", "describe", group, "--output", "json"], "");
            if said.code != 0 {
                return Err(said.err);
            }
            let described = said.json();
            let at = described["offsets"][0]["offset"] == read;
            if at { Ok(described) } else { Err(said.out) }
        });
        assert_eq!(described["state"], "Stable", "{described}");
        assert_eq!(described["offsets"][0]["topic"], topic);
        assert_eq!(described["offsets"][0]["lag"], 0);
        assert_eq!(described["members"].as_array().unwrap().len(), 1);
        let moved = kafka(&node, &["groups", "reset", group, "--to", "beginning", "--yes"], "");
        assert_eq!(moved.code, 1, "{moved:?}");
        assert_eq!(kafka(&node, &["groups", "delete", group], "").code, 1);
    }
    let config = kafka(&node, &["topics", "describe", "clicks", "--output", "json"], "").json();
    assert_eq!(config["config"]["yeoul.durability"], "relaxed");
    let metrics = node.get("/metrics").body;
    let lag = "yeoul_group_lag_records{group=\"stream/odd\",topic=\"clicks\",partition=\"0\"} 0\n";
    assert!(metrics.contains(lag), "{metrics}");
}

#[test]
fn a_topic_made_again_is_read_from_its_start_and_the_table_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("clicks.yaml"), PIPELINE).unwrap();
    let node = Node::run(folder.path(), &["clicks.yaml"]);
    kafka(&node, &["produce", "clicks"], &clicks(0..10));
    node.wait_number("SELECT count(*) FROM odd_clicks", 5);
    assert_eq!(kafka(&node, &["topics", "delete", "clicks"], "").code, 0);
    assert_eq!(kafka(&node, &["topics", "create", "clicks"], "").code, 0);
    kafka(&node, &["produce", "clicks"], &clicks(100..104));
    node.wait_number("SELECT count(*) FROM odd_clicks", 7);
    let message = node.component("status", "stream/odd")["message"].clone();
    let again = "topic `clicks` was made again: reads it from its start";
    assert_eq!(message, Value::from(again));
}

#[test]
fn groups_move_topics_are_trimmed_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &[]);
    let lines = "k1:a\nk2:b\nk3:c\nk4:d\n";
    let produce = ["produce", "t", "-K", ":", "-H", "h=1", "--codec", "lz4"];
    assert_eq!(kafka(&node, &produce, lines).code, 0);
    let read = |args: &[&str]| {
        let mut all = vec!["consume", "t"];
        all.extend(args);
        kafka(&node, &all, "").out
    };
    assert_eq!(read(&["--group", "g", "--max", "3"]), "a\nb\nc\n");
    assert_eq!(read(&["--group", "g"]), "d\n");
    let look = ["groups", "reset", "g", "--to", "2", "--dry-run", "--output", "json"];
    let plan = kafka(&node, &look, "").json();
    let step = &plan[0];
    assert_eq!((&step["from"], &step["to"]), (&Value::from(4), &Value::from(2)));
    let unasked = kafka(&node, &["groups", "reset", "g", "--to", "2"], "");
    assert!(unasked.err.contains("give --yes"), "{unasked:?}");
    assert_eq!(kafka(&node, &["groups", "reset", "g", "--to", "2", "--yes"], "").code, 0);
    assert_eq!(read(&["--group", "g"]), "c\nd\n");

    let whole = read(&["--format", "json"]);
    assert_eq!(kafka(&node, &["produce", "copy", "--format", "json"], &whole).code, 0);
    let copy = kafka(&node, &["consume", "copy", "--format", "table"], "").out;
    assert!(copy.lines().next().unwrap().ends_with("\tk1\th=1\ta"), "{copy}");

    assert_eq!(kafka(&node, &["topics", "trim", "t", "--before", "3", "--yes"], "").code, 0);
    assert_eq!(read(&[]), "d\n");
    let wrong = kafka(&node, &["topics", "create", "x", "--config", "retention.mss=1"], "");
    assert!(wrong.err.contains("retention.mss"), "{wrong:?}");
}

#[test]
fn localhost_is_served_on_both_families() {
    // A machine without IPv6 has nothing to show here.
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 on this machine");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = Node::run(folder.path(), &["--kafka", "localhost:0"]);
    let ready = fs::read_to_string(folder.path().join("ready.json")).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let ports: Vec<u16> = ready["kafka"]
        .as_array()
        .unwrap()
        .iter()
        .map(|addr| addr.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap())
        .collect();
    assert_eq!(ports.len(), 2, "{ready}");
    for host in ["127.0.0.1", "[::1]"] {
        let reached =
            ports.iter().filter(|port| TcpStream::connect(format!("{host}:{port}")).is_ok());
        // The other listener is 127.0.0.1 alone.
        let wanted = if host == "[::1]" { 1 } else { 2 };
        assert_eq!(reached.count(), wanted, "{host} {ready}");
    }
    drop(node);
}
