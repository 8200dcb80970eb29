//! `tables` and `redo`: a table made again keeps its rows, one that is fed is not dropped, one
//! that nothing feeds goes with its files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Node, wait_for};

const SHOP: &str = "\
name: shop
sources:
  films:
    tail: { path: [films.tsv], read_from: beginning }
    decode: { tsv: { columns: { time: int, name: string } } }
";
const TABLES: &str = "\
tables:
  dated: { from: films, time: { column: time } }
";

fn parquet_files(data: &Path) -> usize {
    let Ok(entries) = fs::read_dir(data.join("tables/dated")) else { return 0 };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".parquet")).count()
}

fn listed(node: &Node) -> Vec<Value> {
    let said = node.ask(&["tables", "list", "--output", "json"]);
    assert!(said.code == 0, "{}", said.err);
    said.json().as_array().unwrap().clone()
}

#[test]
fn tables_are_made_again_kept_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    fs::write(&file, format!("{SHOP}{TABLES}")).unwrap();
    let lines: String = (0..500).map(|n| format!("{}\tfilm {n}\n", 1_709_251_200 + n)).collect();
    fs::write(folder.path().join("films.tsv"), lines).unwrap();
    let node = Node::run(folder.path(), &["shop.yaml"]);
    node.wait_number("SELECT count(*) FROM dated", 500);

    // Nobody can say yes here: what was made is given up, and the table is as it was.
    let said = node.ask(&["redo", "dated"]);
    assert!(
        said.code != 0 && said.err.contains("rows before: 500, rows after: 500"),
        "{}",
        said.err
    );
    assert!(said.err.contains("--yes"), "{}", said.err);
    let redo = node.get("/api/v1/tables/dated/redo").json();
    assert_eq!(redo, json!({ "redo": null, "rows": 500 }));

    let said = node.ask(&["redo", "table/dated", "--yes", "--output", "json"]);
    assert!(said.code == 0, "{}", said.err);
    let told = json!({ "table": "dated", "rows_before": 500, "rows_after": 500 });
    assert_eq!(said.json(), told);
    node.wait_number("SELECT count(DISTINCT name) FROM dated", 500);
    let tables = listed(&node);
    assert_eq!((&tables[0]["rows"], &tables[0]["state"]), (&json!(500), &json!("running")));
    assert!(tables[0]["segments"].as_u64().unwrap() >= 1);
    let data = folder.path().join("data");
    assert!(parquet_files(&data) >= 1);
    let said = node.ask(&["tables", "describe", "dated"]);
    assert!(said.code == 0 && said.out.contains("rows   500"), "{}", said.out);

    let said = node.ask(&["tables", "drop", "dated", "--yes"]);
    assert!(said.code != 0 && said.err.contains("is fed by a pipeline"), "{}", said.err);
    let said = node.ask(&["redo", "nothing", "--yes"]);
    assert!(said.code != 0 && said.err.contains("no table `nothing`"), "{}", said.err);

    fs::write(&file, SHOP).unwrap();
    let said = node.ask(&["apply", file.to_str().unwrap()]);
    assert!(said.code == 0, "{}", said.err);
    assert_eq!(listed(&node)[0]["state"], "stopped", "its files are there still");
    let said = node.ask(&["tables", "drop", "dated", "--yes"]);
    assert!(said.code == 0 && said.err.contains("500 rows"), "{}", said.err);
    assert_eq!(listed(&node), Vec::<Value>::new());
    assert_eq!(parquet_files(&data), 0);
    let said = node.ask(&["tables", "drop", "dated", "--yes"]);
    assert!(said.code != 0 && said.err.contains("there is no table `dated`"), "{}", said.err);

    // Named again, it begins anew.
    fs::write(&file, format!("{SHOP}{TABLES}")).unwrap();
    let said = node.ask(&["apply", file.to_str().unwrap()]);
    assert!(said.code == 0, "{}", said.err);
    wait_for("the table again", || node.sql("SELECT count(*) FROM dated").map(drop));
    node.wait_number("SELECT count(*) FROM dated", 500);
}
