//! Wide documents without a setting: every place of real tweets can be asked for by its path,
//! and the answer is the document's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Node, wait_for, yeoul_in};

const PIPELINE: &str = "topics: { tweets: {} }\ntables: { tweets: { from: tweets } }\n";
/// Places asked for, spread over all of them.
const ASKED: usize = 150;

fn produce(node: &Node, records: &str) {
    let args = ["produce", "tweets", "--bootstrap-server", &node.kafka];
    let said = yeoul_in(Path::new("."), &args, records);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_place_answers_alike_with_a_column_and_without() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tweets.yaml"), PIPELINE).unwrap();
    let node = Node::run(folder.path(), &["tweets.yaml"]);
    // More places than there are columns: the later ones have none.
    let places: Vec<_> = (0..300).map(|n| format!("\"p{n}\":{n}")).collect();
    let one = format!("{{\"id\":1,\"o\":{{{}}}}}\n", places.join(","));
    produce(&node, &format!("{one}{}", "{\"id\":2,\"o\":{\"p0\":7,\"p299\":9}}\n"));
    node.wait_number("SELECT count(*) FROM tweets", 2);
    for place in ["o.p0", "o.p298"] {
        let number: u64 = place[3..].parse().unwrap();
        let sum = if number == 0 { 7 } else { number };
        let rows = node.sql(&format!("SELECT max(\"{place}\"), sum(\"{place}\") FROM tweets"));
        assert_eq!(json!(rows.unwrap()), json!([[sum, sum]]), "{place}");
    }
}

/// Files whose lines are records; arrays and envelopes are taken apart.
fn tweets() -> Option<Vec<Value>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/tweets");
    let folder = PathBuf::from(folder);
    if !folder.is_dir() {
        assert!(std::env::var_os("YEOUL_REQUIRE_REAL").is_none(), "no {}", folder.display());
        println!("skipped: no {}", folder.display());
        return None;
    }
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        let read = if path.extension().is_some_and(|end| end == "gz") {
            Command::new("gzip").arg("-dc").arg(path).output().unwrap().stdout
        } else {
            fs::read(path).unwrap()
        };
        let text = String::from_utf8(read).unwrap();
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Array(items)) => all.extend(items),
            Ok(mut whole) => {
                let list = ["statuses", "results"].into_iter().find(|it| whole[it].is_array());
                match list.map(|list| whole[list].take()) {
                    Some(Value::Array(items)) => all.extend(items),
                    _ => all.push(whole),
                }
            }
            Err(_) => all.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok())),
        }
    }
    all.retain(Value::is_object);
    Some(all)
}

fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, Vec<Value>>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, found);
            }
        }
        Value::Null | Value::Array(_) => {}
        leaf => found.entry(path.to_owned()).or_default().push(leaf.clone()),
    }
}

/// As a query shows it: text, numbers and truth as their text.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(String::new, |number| number.to_string())
        }
        other => other.to_string(),
    }
}

#[test]
fn real_tweets_answer_every_path() {
    let Some(tweets) = tweets() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tweets.yaml"), PIPELINE).unwrap();
    let node = Node::run(folder.path(), &["tweets.yaml"]);
    for lines in tweets.chunks(500) {
        produce(&node, &lines.iter().map(|tweet| format!("{tweet}\n")).collect::<String>());
    }
    node.wait_number("SELECT count(*) FROM tweets", tweets.len() as u64);
    let dead = node.component("audit", "table/tweets");
    assert_eq!(dead["dead"], 0, "{dead}");
    let mut found = BTreeMap::new();
    for tweet in &tweets {
        leaves(tweet, "", &mut found);
    }
    let paths: Vec<_> = found.into_iter().collect();
    assert!(paths.len() > 300, "{}", paths.len());
    let step = (paths.len() / ASKED).max(1);
    for (path, values) in paths.iter().step_by(step) {
        if path.contains('"') || values.iter().any(|value| value.is_f64()) {
            continue;
        }
        let query = format!(
            "SELECT count(\"{path}\"), count(DISTINCT CAST(\"{path}\" AS VARCHAR)), \
            min(CAST(\"{path}\" AS VARCHAR)) FROM tweets"
        );
        let rows = wait_for(path, || node.sql(&query));
        let mut texts: Vec<_> = values.iter().map(shown).collect();
        texts.sort();
        let least = texts.first().cloned();
        assert_eq!(rows[0][0], values.len(), "{path}");
        assert_eq!(rows[0][2], json!(least), "{path}");
    }
}

#[test]
fn a_row_leads_back_to_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let rolled = "  hours:\n    from: tweets\n    time: { column: at }\n    rollup: { by: hour, \
        dimensions: [lang], metrics: { rows: count(*) } }\n";
    let text =
        format!("topics: {{ tweets: {{}} }}\ntables:\n  tweets: {{ from: tweets }}\n{rolled}");
    fs::write(folder.path().join("tweets.yaml"), text).unwrap();
    let node = Node::run(folder.path(), &["tweets.yaml"]);
    let lines: String = [("ko", 5), ("en", 6), ("ko", 7), ("ko", 65)]
        .iter()
        .map(|(lang, minute)| {
            let at = format!("2026-01-01T{:02}:{:02}:00Z", 10 + minute / 60, minute % 60);
            format!("{{\"lang\":\"{lang}\",\"at\":\"{at}\"}}\n")
        })
        .collect();
    produce(&node, &lines);
    node.wait_number("SELECT count(*) FROM tweets", 4);
    node.wait_number("SELECT sum(\"rows\") FROM hours", 4);
    let ask = |body: Value| {
        let header = ["Content-Type: application/json"];
        let answer = node.send("POST", "/api/v1/trace", &header, &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let exact = ask(json!({ "table": "tweets", "row": { "lang": "en" } }));
    assert_eq!((&exact["topic"], &exact["rows"]), (&json!("tweets"), &json!(1)));
    assert_eq!(exact["records"][0]["offset"], 1);
    assert!(exact["records"][0]["value"].as_str().unwrap().contains("\"en\""));
    let of_origin = ask(json!({ "table": "tweets", "row": { "_partition": 0, "_offset": 3 } }));
    assert_eq!(of_origin["records"][0]["offset"], 3);
    let row = json!({ "__time": "2026-01-01T10:00:00Z", "lang": "ko", "rows": 2 });
    let hour = ask(json!({ "table": "hours", "row": row }));
    let counted: u64 =
        hour["ranges"].as_array().unwrap().iter().map(|it| it["count"].as_u64().unwrap()).sum();
    assert_eq!((counted, &hour["rows"]), (2, &json!(1)), "{hour}");
    assert!(hour["ranges"].as_array().unwrap().iter().all(|it| it["expired"] == false));
    let none = node.send(
        "POST",
        "/api/v1/trace",
        &["Content-Type: application/json"],
        "{\"table\":\"no\",\"row\":{}}",
    );
    assert_eq!(none.status, 404);
}
