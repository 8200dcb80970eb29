//! The test of the tester: a history of thousands of operations that is right, into which every
//! anomaly is planted once, at a place far from both ends. Each must be found, and the untouched
//! history must be clean. `ten_million_operations` (ignored) is the measure of its speed.

use std::time::Instant;

use serde_json::{Value, json};

use super::anomaly::Kind;
use super::model::History;
use super::tests::judged;
use super::{judge, lines};

const PARTITIONS: u64 = 4;

/// What a simple broker in memory would have told its clients.
struct Told {
    ops: Vec<Value>,
    /// Values by partition and offset; `None` is a control batch. The flag: visible when committed.
    logs: Vec<Vec<Option<(u64, bool)>>>,
    time: u64,
}

impl Told {
    fn tick(&mut self) -> u64 {
        self.time += 10;
        self.time
    }

    fn send(&mut self, proc: &str, value: u64, txn: Option<u32>, visible: bool) {
        let part = value % PARTITIONS;
        let t = self.tick();
        let log = &mut self.logs[part as usize];
        let mut op = json!({"op": "send", "proc": proc, "gen": 1, "t_inv": t, "t_ret": t + 5, "topic": "t",
            "partition": part, "value": value, "offset": log.len(), "outcome": "ok"});
        if let Some(txn) = txn {
            op["txn"] = json!(txn);
        }
        log.push(Some((value, visible)));
        self.ops.push(op);
    }

    fn poll(&mut self, proc: &str, committed: bool, part: u64, from: &mut usize) {
        let t = self.tick();
        let log = &self.logs[part as usize];
        let recs: Vec<(usize, u64)> = log
            .iter()
            .enumerate()
            .skip(*from)
            .filter_map(|(at, entry)| Some((at, (*entry)?)))
            .filter(|(_, (_, visible))| !committed || *visible)
            .map(|(at, (value, _))| (at, value))
            .collect();
        *from = log.len();
        self.ops.push(json!({"op": "poll", "proc": proc, "gen": 1, "t_inv": t, "t_ret": t + 5, "topic": "t",
            "partition": part, "iso": if committed { "rc" } else { "ru" }, "mode": "assign", "epoch": 1,
            "recs": recs}));
    }

    fn marks(&mut self, part: u64) {
        let t = self.tick();
        let end = self.logs[part as usize].len();
        self.ops.push(
            json!({"op": "marks", "topic": "t", "partition": part, "t_inv": t, "t_ret": t + 5,
            "high": end, "stable": end, "start": 0}),
        );
    }
}

fn good(rounds: u64) -> Vec<Value> {
    let mut told = Told { ops: Vec::new(), logs: vec![Vec::new(); PARTITIONS as usize], time: 0 };
    let mut from = vec![[0; 2]; PARTITIONS as usize];
    for round in 0..rounds {
        for n in 0..8 {
            told.send("plain", (1 << 40) + round * 8 + n, None, true);
        }
        let (number, commits) = (u32::try_from(round).expect("few rounds"), round % 3 != 0);
        for n in 0..4 {
            told.send("txn", (2 << 40) + round * 4 + n, Some(number), commits);
        }
        let t = told.tick();
        let tried = if commits { "commit" } else { "abort" };
        told.ops.push(json!({"op": "txn", "proc": "txn", "gen": 1, "txn": number, "tried": tried,
            "outcome": "ok", "t_inv": t, "t_ret": t + 5, "group": "g", "consumed": [["in", 0, [round]]]}));
        told.logs.iter_mut().for_each(|log| log.push(None));
        for part in 0..PARTITIONS {
            let [committed, uncommitted] = &mut from[part as usize];
            told.poll("rc", true, part, committed);
            told.poll("ru", false, part, uncommitted);
            told.marks(part);
        }
        let t = told.tick();
        told.ops.push(
            json!({"op": "commit", "group": "h", "topic": "t", "partition": 0, "outcome": "ok",
            "offset": from[0][0], "t_inv": t, "t_ret": t + 1}),
        );
        told.ops.push(json!({"op": "committed", "group": "h", "topic": "t", "partition": 0,
            "offset": from[0][0], "t_inv": t + 2, "t_ret": t + 3}));
    }
    for reader in ["d1-rc", "d1-ru", "d2-rc", "d2-ru"] {
        for part in 0..PARTITIONS {
            let committed = reader.ends_with("rc");
            told.poll(reader, committed, part, &mut 0);
            told.ops.push(json!({"op": "drained", "proc": reader, "topic": "t", "partition": part,
                "iso": if committed { "rc" } else { "ru" }, "start": 0, "end": told.logs[part as usize].len()}));
        }
    }
    told.ops
}

/// The operation in the middle that fits.
fn middle(ops: &mut [Value], fits: impl Fn(&Value) -> bool) -> &mut Value {
    let all: Vec<usize> = (0..ops.len()).filter(|at| fits(&ops[*at])).collect();
    &mut ops[all[all.len() / 2]]
}

fn is(op: &Value, name: &str, proc: &str) -> bool {
    op["op"] == name && (proc.is_empty() || op["proc"] == proc)
}

fn polled<'a>(ops: &'a mut [Value], proc: &str) -> &'a mut Vec<Value> {
    let op = middle(ops, |op| {
        is(op, "poll", proc) && op["recs"].as_array().is_some_and(|recs| recs.len() >= 3)
    });
    op["recs"].as_array_mut().expect("records")
}

/// Takes a value out of everything that was polled, and out of the final reads.
fn forget(ops: &mut [Value], value: &Value) {
    for op in ops.iter_mut().filter(|op| op["op"] == "poll") {
        op["recs"].as_array_mut().expect("records").retain(|rec| rec[1] != *value);
    }
}

type Plant = fn(&mut Vec<Value>);

const PLANTS: &[(Kind, Plant)] = &[
    (Kind::InconsistentOffset, |ops| {
        let other = polled(ops, "ru")[0][1].clone();
        let op = middle(ops, |op| is(op, "send", "plain") && op["value"] == other);
        op["offset"] = json!(op["offset"].as_u64().expect("offset") + 1);
    }),
    (Kind::LostWrite, |ops| {
        let value = middle(ops, |op| is(op, "send", "plain"))["value"].clone();
        forget(ops, &value);
    }),
    (Kind::LostWrite, |ops| {
        let value = polled(ops, "rc")[1][1].clone();
        for op in ops.iter_mut().filter(|op| is(op, "poll", "d2-rc")) {
            op["recs"].as_array_mut().expect("records").retain(|rec| rec[1] != value);
        }
    }),
    (Kind::Unseen, |ops| {
        let last = ops.iter().rfind(|op| is(op, "send", "plain")).expect("a send").clone();
        let later = json!(last["offset"].as_u64().expect("offset") + 100);
        let mut more = last;
        (more["value"], more["offset"]) = (json!((1_u64 << 40) + 99_999_999), later);
        ops.push(more);
    }),
    (Kind::Duplicate, |ops| {
        let value = polled(ops, "ru")[0][1].clone();
        polled(ops, "ru")[2][1] = value;
    }),
    (Kind::AbortedRead, |ops| {
        middle(ops, |op| is(op, "txn", "") && op["tried"] == "commit")["tried"] = json!("abort");
    }),
    (Kind::AbortedRead, |ops| {
        middle(ops, |op| is(op, "send", "plain"))["outcome"] = json!("fail");
    }),
    (Kind::PrecommittedRead, |ops| {
        let op = middle(ops, |op| is(op, "txn", "") && op["tried"] == "commit");
        op["t_inv"] = json!(op["t_inv"].as_u64().expect("time") + 10_000);
    }),
    (Kind::TornTransaction, |ops| {
        let op = middle(ops, |op| is(op, "txn", "") && op["tried"] == "commit");
        op["outcome"] = json!("info");
        let number = op["txn"].clone();
        let value = middle(ops, |op| is(op, "send", "txn") && op["txn"] == number)["value"].clone();
        forget(ops, &value);
    }),
    (Kind::PollSkip, |ops| {
        polled(ops, "ru").remove(0);
    }),
    (Kind::NonmonotonicPoll, |ops| {
        let first = polled(ops, "ru").clone();
        let op = middle(ops, |op| is(op, "poll", "ru") && op["recs"][0] == first[0]).clone();
        let next =
            ops.iter_mut().filter(|o| is(o, "poll", "ru") && o["partition"] == op["partition"]);
        let next = next.skip_while(|o| o["recs"][0] != first[0]).nth(1).expect("a next poll");
        next["recs"].as_array_mut().expect("records").insert(0, first[2].clone());
    }),
    (Kind::IntPollSkip, |ops| {
        polled(ops, "ru").remove(1);
    }),
    (Kind::IntNonmonotonicPoll, |ops| polled(ops, "ru").swap(0, 1)),
    (Kind::NonmonotonicSend, |ops| {
        for op in ops.iter_mut().filter(|op| op["op"] == "poll") {
            for rec in op["recs"].as_array_mut().expect("records") {
                let swapped = match rec[1].as_u64().expect("value") - (1 << 40) {
                    400 => 404,
                    404 => 400,
                    _ => continue,
                };
                rec[1] = json!((1_u64 << 40) + swapped);
            }
        }
        ops.retain(|op| !(op["op"] == "send" && op["offset"].is_null()));
    }),
    (Kind::ConsumeCount, |ops| {
        let op = middle(ops, |op| is(op, "txn", "") && op["tried"] == "commit");
        let offset = op["consumed"][0][2][0].as_u64().expect("offset");
        // The round before or after committed too: two of three do.
        op["consumed"] = json!([["in", 0, [offset - 1, offset, offset + 1]]]);
    }),
    (Kind::WentBack, |ops| {
        let op = middle(ops, |op| op["op"] == "marks");
        op["high"] = json!(op["high"].as_u64().expect("high") - 20);
    }),
    (Kind::WentBack, |ops| {
        let op = middle(ops, |op| op["op"] == "marks");
        op["stable"] = json!(op["stable"].as_u64().expect("stable") - 20);
    }),
    (Kind::WentBack, |ops| middle(ops, |op| op["op"] == "marks")["start"] = json!(1)),
    (Kind::WentBack, |ops| {
        let op = middle(ops, |op| op["op"] == "committed");
        op["offset"] = json!(op["offset"].as_u64().expect("offset") - 1);
    }),
    (Kind::StableStuck, |ops| {
        ops.push(json!({"op": "run", "lso_limit_ns": 1_000}));
        let in_one = |op: &&mut Value| op["op"] == "marks" && op["partition"] == 1;
        for op in ops.iter_mut().filter(in_one).take(20) {
            op["stable"] = json!(0);
        }
    }),
    (Kind::StableStuck, |ops| {
        for op in
            ops.iter_mut().filter(|op| is(op, "drained", "d1-rc") || is(op, "drained", "d2-rc"))
        {
            op["end"] = json!(op["end"].as_u64().expect("end") - 1);
        }
    }),
    (Kind::OffsetGap, |ops| {
        let op = middle(ops, |op| is(op, "drained", "d1-ru"));
        op["end"] = json!(op["end"].as_u64().expect("end") + 1);
    }),
    (Kind::WrongTopic, |ops| {
        let op = middle(ops, |op| is(op, "send", "plain"));
        op["partition"] = json!((op["partition"].as_u64().expect("partition") + 1) % PARTITIONS);
    }),
    (Kind::BrokenPayload, |ops| polled(ops, "rc")[1][1] = Value::Null),
    (Kind::UnknownValue, |ops| polled(ops, "rc")[1][1] = json!(77)),
];

#[test]
fn every_planted_anomaly_is_found() {
    let right = good(200);
    let found = judged(&right);
    assert_eq!(found.total(), 0, "{:?}", found.examples().collect::<Vec<_>>());
    for (at, (kind, plant)) in PLANTS.iter().enumerate() {
        let mut wrong = right.clone();
        plant(&mut wrong);
        let found = judged(&wrong);
        assert!(found.has(*kind), "plant {at}, {}: found {:?}", kind.name(), found.by_kind());
    }
}

#[test]
#[ignore = "a measure: cargo test --release -p xtask ten_million -- --ignored --nocapture"]
fn ten_million_operations() {
    // A round is 8 + 4 sends and as many records in each of six reads.
    let text: Vec<String> = good(120_000).iter().map(Value::to_string).collect();
    let began = Instant::now();
    let mut history = History::default();
    for line in &text {
        lines::add(&mut history, line).expect("a line");
    }
    let operations = history.sends.len() + history.records.len();
    assert_eq!(judge(&mut history).total(), 0);
    let seconds = began.elapsed().as_secs_f64();
    println!("{operations} operations in {seconds:.1} s");
    assert!(seconds < 120.0, "{operations} operations took {seconds:.0} s");
}
