//! `apply`: what did not change goes on untouched, what fails is taken back, and no record is
//! lost or doubled on any side.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Node, Said, Writer, wait_for};

/// Two ways beside each other: orders stay as they are, visits are changed.
const SHOP: &str = "\
name: shop
sources:
  orders:
    tail: { path: [orders.tsv], read_from: beginning }
    decode: { tsv: { columns: { id: int, name: string } } }
  visits:
    tail: { path: [visits.tsv], read_from: beginning }
    decode: { tsv: { columns: { id: int, name: string } } }
streams:
  buyers:
    sql: SELECT id, name FROM orders
    key: id
  guests:
    sql: SELECT id, name FROM visits
    key: id
tables:
  sales: { from: buyers }
  pages: { from: guests }
";
const ORDERS: [&str; 3] = ["source/orders", "stream buyers", "table sales"];

struct Shop {
    folder: tempfile::TempDir,
    orders: Writer,
    visits: Writer,
}

impl Shop {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
        let orders = Writer::start(&folder.path().join("orders.tsv"));
        let visits = Writer::start(&folder.path().join("visits.tsv"));
        Self { folder, orders, visits }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the file anew and applies it.
    fn apply(&self, node: &Node, text: &str, more: &[&str]) -> Said {
        let file = self.path().join("shop.yaml");
        fs::write(&file, text).unwrap();
        let mut args = vec!["apply", file.to_str().unwrap(), "--output", "json"];
        args.extend(more);
        node.ask(&args)
    }

    /// Ends the writing; then every line must be in its table once.
    fn all_arrived(self, node: &Node) {
        for (table, lines) in [("sales", self.orders.finish()), ("pages", self.visits.finish())] {
            node.wait_number(&format!("SELECT count(*) FROM {table}"), lines);
            let query = format!("SELECT count(DISTINCT id), min(id), max(id) FROM {table}");
            let rows = node.sql(&query).unwrap();
            assert_eq!(rows, [[json!(lines), json!(0), json!(lines - 1)]], "{table}");
        }
        balanced(node);
    }
}

/// Every component accounts for all it read, and hands on what the next one takes.
fn balanced(node: &Node) {
    wait_for("a balanced audit without lag", || {
        let audit = node.get("/api/v1/audit").json();
        assert_eq!(audit["balanced"], true, "{audit}");
        let entries = audit["components"].as_array().unwrap();
        let idle = entries.iter().all(|entry| entry["lag"] == 0);
        if idle { Ok(()) } else { Err(audit.to_string()) }
    });
}

fn changes(answer: &Value) -> Vec<(String, String)> {
    let changes = answer["changes"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    changes.map(|change| (text(&change["component"]), text(&change["change"]))).collect()
}

fn rows_arrive(node: &Node) {
    for table in ["sales", "pages"] {
        wait_for("rows", || {
            let rows = node.sql(&format!("SELECT count(*) FROM {table}"))?;
            if rows[0][0].as_u64() > Some(0) { Ok(()) } else { Err(format!("{rows:?}")) }
        });
    }
}

fn epochs(node: &Node, stream: &str) -> Option<u64> {
    node.component("status", stream)["detail"]["lastProgress"]["batchId"].as_u64()
}

#[test]
fn what_did_not_change_runs_on() {
    let shop = Shop::open();
    let node = Node::run(shop.path(), &["shop.yaml"]);
    rows_arrive(&node);
    let threads: Vec<_> = ORDERS.iter().map(|name| node.thread(name)).collect();
    let mut changed_thread = node.thread("stream guests");
    let mut last = (epochs(&node, "stream/buyers").unwrap(), 0, 0);
    for turn in 0..4 {
        let sql = if turn % 2 == 0 { "upper(name) AS name" } else { "name" };
        let text =
            SHOP.replace("SELECT id, name FROM visits", &format!("SELECT id, {sql} FROM visits"));
        let answer = shop.apply(&node, &text, &[]).json();
        assert_eq!(answer["applied"], true, "{answer}");
        for (component, change) in changes(&answer) {
            let wanted = if component == "stream/guests" { "change" } else { "keep" };
            assert_eq!(change, wanted, "{component}");
        }
        let now: Vec<_> = ORDERS.iter().map(|name| node.thread(name)).collect();
        assert_eq!(now, threads, "the same threads go on");
        let anew = node.thread("stream guests");
        assert!(anew.is_none() || anew != changed_thread, "the changed stream has another thread");
        changed_thread = anew;
        // It works on: epochs and counts rise from where they were, and never begin again.
        last = wait_for("further epochs", || {
            let epoch = epochs(&node, "stream/buyers").expect("progress is never forgotten");
            let out = |id: &str| node.component("audit", id)["out"].as_u64().unwrap();
            let now = (epoch, out("source/orders"), out("table/sales"));
            assert!(now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2, "{now:?} < {last:?}");
            if now.0 > last.0 && now.1 > last.1 { Ok(now) } else { Err(format!("{now:?}")) }
        });
    }
    shop.all_arrived(&node);
    assert!(node.stop().success());
}

#[test]
fn a_failing_apply_changes_nothing() {
    let shop = Shop::open();
    let node = Node::run(shop.path(), &["shop.yaml"]);
    rows_arrive(&node);
    let before = node.get("/api/v1/pipelines").body;
    let threads: Vec<_> = ORDERS.iter().map(|name| node.thread(name)).collect();

    // Refused before anything stops: the place of the word that is wrong is told.
    let typo = shop.apply(
        &node,
        &SHOP.replace("SELECT id, name FROM visits", "SELECT id, nmae FROM visits"),
        &[],
    );
    assert_eq!((typo.code, typo.out.as_str()), (1, ""), "{typo:?}");
    assert!(typo.err.contains("shop.yaml:14:") && typo.err.contains("nmae"), "{}", typo.err);

    // Found only when the source starts: its old self has stopped and its topic's columns are
    // written by then.
    let topic = node.get("/api/v1/topics/visits").json()["schema"].clone();
    let good = "visits.tsv], read_from: beginning }\n    decode: { tsv: { columns: {";
    let bad = good.replace("columns: {", "encoding: klingon, columns: { more: double,");
    let late = SHOP.replace(good, &bad);
    assert_ne!(late, SHOP);
    let late = shop.apply(&node, &late, &[]);
    assert_eq!((late.code, late.out.as_str()), (1, ""), "{late:?}");
    assert!(late.err.contains("source/visits") && late.err.contains("klingon"), "{}", late.err);
    assert!(late.err.contains("what ran before runs on"), "{}", late.err);
    assert_eq!(node.get("/api/v1/topics/visits").json()["schema"], topic);

    assert_eq!(node.get("/api/v1/pipelines").body, before);
    let now: Vec<_> = ORDERS.iter().map(|name| node.thread(name)).collect();
    assert_eq!(now, threads, "what the change did not name was not touched");
    shop.all_arrived(&node);
}

#[test]
fn a_dry_run_only_tells() {
    let shop = Shop::open();
    let node = Node::run(shop.path(), &["shop.yaml"]);
    rows_arrive(&node);
    let before = (node.get("/api/v1/pipelines").body, node.thread("stream guests"));
    let text =
        SHOP.replace("FROM visits", "FROM visits WHERE id < 0") + "  more: { from: guests }\n";
    let answer = shop.apply(&node, &text, &["--dry-run"]).json();
    assert_eq!(answer["applied"], false);
    let touched: Vec<_> =
        changes(&answer).into_iter().filter(|(_, change)| change != "keep").collect();
    let touched: Vec<_> = touched.iter().map(|(of, how)| (of.as_str(), how.as_str())).collect();
    assert_eq!(touched, [("stream/guests", "change"), ("table/more", "add")]);
    assert_eq!((node.get("/api/v1/pipelines").body, node.thread("stream guests")), before);
    assert_eq!(node.component("status", "table/more"), Value::Null);
    shop.all_arrived(&node);
}

#[test]
fn what_came_over_the_api_survives_a_restart() {
    let shop = Shop::open();
    let node = Node::run(shop.path(), &[]);
    assert_eq!(node.get("/api/v1/pipelines").json(), json!([]));
    let answer = shop.apply(&node, SHOP, &[]).json();
    assert_eq!(answer["applied"], true);
    rows_arrive(&node);
    let kept = node.get("/api/v1/pipelines").json()[0]["text"].clone();
    assert!(node.stop().success());

    let node = Node::run(shop.path(), &[]);
    assert_eq!(node.get("/api/v1/pipelines").json()[0]["text"], kept);
    node.kill();

    let node = Node::run(shop.path(), &[]);
    let answer = shop.apply(&node, SHOP, &[]).json();
    assert_eq!(answer["applied"], false, "the same file is no change: {answer}");
    shop.all_arrived(&node);
}

#[test]
fn a_file_may_use_what_another_one_defines() {
    let shop = Shop::open();
    let node = Node::run(shop.path(), &["shop.yaml"]);
    let more = shop.path().join("more.yaml");
    fs::write(&more, "name: more\ntables:\n  also_sales: { from: buyers }\n").unwrap();
    let answer = node.ask(&["apply", more.to_str().unwrap(), "--output", "json"]).json();
    assert!(changes(&answer).contains(&("table/also_sales".to_owned(), "add".to_owned())));
    fs::write(&more, "name: more\ntables:\n  also_sales: { from: byers }\n").unwrap();
    let wrong = node.ask(&["apply", more.to_str().unwrap()]);
    assert!(wrong.code == 1 && wrong.err.contains("more.yaml:3:"), "{wrong:?}");
    assert!(wrong.err.contains("Did you mean `buyers`?"), "{wrong:?}");
    let lines = shop.orders.written();
    wait_for("the second table to fill", || {
        let rows = node.sql("SELECT count(*) FROM also_sales")?;
        if rows[0][0].as_u64() >= Some(lines) { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    // What was kept is looked at together with the file it needs.
    node.kill();
    let node = Node::run(shop.path(), &["shop.yaml"]);
    let rows = "SELECT count(*) FROM also_sales";
    wait_for("the second table", || node.sql(rows));
    shop.all_arrived(&node);
}
