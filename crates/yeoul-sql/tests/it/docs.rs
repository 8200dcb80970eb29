//! `docs/sql.md` names every function there is, and none that is not.

use std::collections::BTreeSet;

use yeoul_sql::QueryOptions;
use yeoul_sql::encode::{Rows, Style};

use super::{World, runtime};

/// What the syntax knows and no list of functions does.
const SYNTAX: &[&str] = &[
    "CASE",
    "CAST",
    "TRY_CAST",
    "EXTRACT",
    "TRIM",
    "MOD",
    "TODAY",
    "LOCALTIMESTAMP",
    "CURRENT_TIMESTAMP",
    "LATEST",
    "EARLIEST",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "ARRAY",
    "CUBE",
    "ROLLUP",
];

/// Names in code font within the section of functions: before the first bracket.
fn named(text: &str) -> BTreeSet<String> {
    let functions = text.split("## Functions").nth(1).unwrap();
    let functions = functions.split("\n## ").next().unwrap();
    let codes = functions.split('`').skip(1).step_by(2);
    let names = codes.filter_map(|code| {
        let name = code.split(['(', '[']).next().unwrap();
        let is_name = !name.is_empty()
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        is_name.then(|| name.to_owned())
    });
    names.collect()
}

/// Words that are units, types and the like, not functions.
const OTHER: &[&str] = &[
    "EPOCH", "SECOND", "MINUTE", "HOUR", "DAY", "DOW", "DOY", "WEEK", "MONTH", "QUARTER", "YEAR",
    "BIGINT", "DOUBLE", "SUM", "PT5M", "P1D", "P1W", "P3M", "OVER", "GROUPING",
];

#[test]
fn the_documented_functions_are_those_there_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql.md");
    let named = named(&std::fs::read_to_string(path).unwrap());
    let runtime = runtime();
    let world = World::new(runtime.handle());
    let sql = "SELECT ROUTINE_NAME FROM INFORMATION_SCHEMA.ROUTINES";
    let output = runtime.block_on(world.engine.query(sql, &QueryOptions::default())).unwrap();
    let mut there = BTreeSet::new();
    for batch in &output.batches {
        let rows = Rows::new(batch, Style::default()).unwrap();
        for row in 0..rows.len() {
            let mut name = String::new();
            rows.csv(row, &mut name);
            there.insert(name);
        }
    }
    let known = |name: &String| {
        there.contains(name) || SYNTAX.contains(&name.as_str()) || OTHER.contains(&name.as_str())
    };
    let gone: Vec<_> = named.iter().filter(|name| !known(name)).collect();
    // "Each is called LIST_… too."
    let twin = |name: &str| name.strip_prefix("LIST_").map(|rest| format!("ARRAY_{rest}"));
    let missing: Vec<_> = there
        .difference(&named)
        .filter(|name| !twin(name).is_some_and(|twin| named.contains(&twin)))
        .collect();
    assert!(gone.is_empty() && missing.is_empty(), "not there: {gone:?}\nnot said: {missing:?}");
    assert!(there.len() > 150, "{}", there.len());
}
