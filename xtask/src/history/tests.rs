//! For every anomaly the smallest history that has it, and beside it one that differs in just what
//! makes it right.

use serde_json::{Value, json};

use super::anomaly::{Findings, Kind};
use super::model::History;
use super::{judge, lines};

pub(super) fn judged(ops: &[Value]) -> Findings {
    let mut history = History::default();
    for op in ops {
        lines::add(&mut history, &op.to_string()).expect("a line of the history");
    }
    judge(&mut history)
}

/// `wrong` has exactly this anomaly, `right` has none.
fn told_apart(kind: Kind, wrong: &[Value], right: &[Value]) {
    let found = judged(wrong);
    assert!(found.has(kind), "{} not found: {:?}", kind.name(), found.by_kind());
    let found = judged(right);
    let said: Vec<String> = found.examples().collect();
    assert_eq!(found.total(), 0, "{}: the near miss: {said:?}", kind.name());
}

fn send(value: u64, offset: i64, outcome: &str) -> Value {
    json!({"op": "send", "proc": "p", "t_inv": 10, "t_ret": 11, "topic": "t", "partition": 0,
        "value": value, "offset": offset, "outcome": outcome})
}

fn with(mut op: Value, fields: Value) -> Value {
    if let (Value::Object(op), Value::Object(fields)) = (&mut op, fields) {
        op.extend(fields);
    }
    op
}

fn poll(t: u64, recs: Value) -> Value {
    json!({"op": "poll", "proc": "c", "t_inv": t, "t_ret": t + 1, "topic": "t", "partition": 0,
        "iso": "rc", "mode": "assign", "epoch": 1, "recs": recs})
}

fn drain(iso: &str, end: u64, recs: Value) -> [Value; 2] {
    let reader = format!("drain-{iso}");
    [
        with(poll(1000, recs), json!({"proc": reader, "iso": iso})),
        json!({"op": "drained", "proc": reader, "topic": "t", "partition": 0, "iso": iso,
            "start": 0, "end": end}),
    ]
}

fn txn(number: u32, tried: &str, outcome: &str, t_inv: u64) -> Value {
    json!({"op": "txn", "proc": "p", "txn": number, "tried": tried, "outcome": outcome,
        "t_inv": t_inv, "t_ret": t_inv + 1})
}

fn in_txn(value: u64, offset: i64, number: u32) -> Value {
    with(send(value, offset, "ok"), json!({"txn": number}))
}

fn marks(t: u64, high: i64, stable: i64, start: i64) -> Value {
    json!({"op": "marks", "topic": "t", "partition": 0, "t_inv": t, "t_ret": t + 1,
        "high": high, "stable": stable, "start": start})
}

#[test]
fn one_offset_holds_one_value() {
    let sent = [send(1, 0, "ok"), send(2, -1, "info")];
    let wrong = [
        &sent[..],
        &[poll(20, json!([[0, 1]])), with(poll(30, json!([[0, 2]])), json!({"epoch": 2}))],
    ]
    .concat();
    let right = [
        &sent[..],
        &[poll(20, json!([[0, 1]])), with(poll(30, json!([[0, 1]])), json!({"epoch": 2}))],
    ]
    .concat();
    told_apart(Kind::InconsistentOffset, &wrong, &right);
    // What the acknowledgement said counts as seen.
    told_apart(
        Kind::InconsistentOffset,
        &[&sent[..], &[poll(20, json!([[0, 2]]))]].concat(),
        &[&sent[..], &[poll(20, json!([[1, 2]]))]].concat(),
    );
}

#[test]
fn an_acknowledged_record_stays() {
    let sent = |outcome| {
        [send(1, 0, "ok"), send(2, if outcome == "ok" { 1 } else { -1 }, outcome), send(3, 2, "ok")]
    };
    let read = drain("ru", 3, json!([[0, 1], [2, 3]]));
    let wrong = [&sent("ok")[..], &read].concat();
    told_apart(
        Kind::LostWrite,
        &wrong,
        &[&sent("ok")[..], &drain("ru", 3, json!([[0, 1], [1, 2], [2, 3]]))].concat(),
    );
    let unknown = judged(&[&sent("info")[..], &drain("ru", 2, json!([[0, 1], [1, 3]]))].concat());
    assert!(!unknown.has(Kind::LostWrite), "an unknown outcome may be absent");
}

#[test]
fn what_was_seen_once_stays() {
    let sent = [send(1, 0, "ok"), send(2, -1, "info")];
    let seen = poll(20, json!([[0, 1], [1, 2]]));
    let wrong = [&sent[..], std::slice::from_ref(&seen), &drain("rc", 1, json!([[0, 1]]))].concat();
    let right = [&sent[..], &[seen], &drain("rc", 2, json!([[0, 1], [1, 2]]))].concat();
    told_apart(Kind::LostWrite, &wrong, &right);
}

#[test]
fn the_last_read_reaches_the_last_acknowledged_record() {
    let sent = [send(1, 0, "ok"), send(2, 1, "ok")];
    let wrong = [&sent[..], &drain("ru", 1, json!([[0, 1]]))].concat();
    let right = [&sent[..], &drain("ru", 2, json!([[0, 1], [1, 2]]))].concat();
    told_apart(Kind::Unseen, &wrong, &right);
    // Deleted before anybody looked: below the start of the log.
    let mut read = drain("ru", 2, json!([]));
    read[1]["start"] = json!(2);
    assert_eq!(judged(&[&sent[..], &read].concat()).total(), 0);
}

#[test]
fn a_value_lies_at_one_offset() {
    let sent = [send(1, 0, "ok"), send(2, 1, "ok")];
    let wrong = [&sent[..], &[poll(20, json!([[0, 1], [1, 2], [2, 1]]))]].concat();
    let right = [&sent[..], &[poll(20, json!([[0, 1], [1, 2]]))]].concat();
    told_apart(Kind::Duplicate, &wrong, &right);
    let retried =
        [with(send(1, 1, "ok"), json!({"retries": true})), poll(20, json!([[0, 1], [1, 1]]))];
    assert_eq!(
        judged(&retried).total(),
        0,
        "a client that repeats without a sequence may write twice"
    );
}

#[test]
fn aborted_and_refused_records_are_not_read() {
    let read = poll(40, json!([[0, 1]]));
    let ended = |tried, outcome| [in_txn(1, 0, 7), txn(7, tried, outcome, 20), read.clone()];
    told_apart(Kind::AbortedRead, &ended("abort", "ok"), &ended("commit", "ok"));
    told_apart(Kind::AbortedRead, &ended("abort", "info"), &ended("commit", "info"));
    told_apart(Kind::AbortedRead, &[in_txn(1, 0, 7), read.clone()], &ended("commit", "ok"));
    let uncommitted = with(read.clone(), json!({"iso": "ru"}));
    told_apart(
        Kind::AbortedRead,
        &[send(1, -1, "fail"), uncommitted.clone()],
        &[in_txn(1, 0, 7), txn(7, "abort", "ok", 20), uncommitted],
    );
}

#[test]
fn nobody_sees_a_value_before_its_commit() {
    let ended = |t_inv| [in_txn(1, 0, 7), txn(7, "commit", "ok", t_inv), poll(40, json!([[0, 1]]))];
    told_apart(Kind::PrecommittedRead, &ended(42), &ended(41));
    let mut uncommitted = ended(42);
    uncommitted[2]["iso"] = json!("ru");
    assert_eq!(judged(&uncommitted).total(), 0);
}

#[test]
fn a_transaction_is_whole() {
    let sent = [in_txn(1, 0, 7), in_txn(2, 1, 7), txn(7, "commit", "info", 20)];
    let wrong = [&sent[..], &drain("rc", 3, json!([[0, 1]]))].concat();
    told_apart(
        Kind::TornTransaction,
        &wrong,
        &[&sent[..], &drain("rc", 3, json!([[0, 1], [1, 2]]))].concat(),
    );
    assert_eq!(
        judged(&[&sent[..], &drain("rc", 3, json!([]))].concat()).total(),
        0,
        "or not at all"
    );
}

fn three() -> [Value; 3] {
    [send(1, 0, "ok"), send(2, 1, "ok"), send(3, 2, "ok")]
}

#[test]
fn a_placed_consumer_neither_skips_nor_goes_back() {
    let all = with(poll(15, json!([[0, 1], [1, 2], [2, 3]])), json!({"proc": "other"}));
    let polls = |first: Value, second: Value, epoch: u64, mode: &str| {
        let how = json!({"mode": mode});
        let second = with(with(poll(30, second), json!({"epoch": epoch})), how.clone());
        [&three()[..], &[all.clone(), with(poll(20, first), how), second]].concat()
    };
    let skip = polls(json!([[0, 1]]), json!([[2, 3]]), 1, "assign");
    told_apart(Kind::PollSkip, &skip, &polls(json!([[0, 1]]), json!([[2, 3]]), 2, "assign"));
    told_apart(Kind::PollSkip, &skip, &polls(json!([[0, 1]]), json!([[2, 3]]), 1, "subscribe"));
    let back = polls(json!([[1, 2]]), json!([[1, 2]]), 1, "assign");
    told_apart(
        Kind::NonmonotonicPoll,
        &back,
        &polls(json!([[1, 2]]), json!([[2, 3]]), 1, "assign"),
    );
    let delete = json!({"op": "delete", "topic": "t", "partition": 0, "offset": 2, "outcome": "info", "t_inv": 25, "t_ret": 29});
    told_apart(Kind::PollSkip, &skip, &[&skip[..], &[delete]].concat());
}

#[test]
fn one_poll_is_in_order_and_whole_also_in_a_group() {
    let all = with(poll(15, json!([[0, 1], [1, 2], [2, 3]])), json!({"proc": "other"}));
    let one = |recs: Value| {
        [&three()[..], &[all.clone(), with(poll(20, recs), json!({"mode": "subscribe"}))]].concat()
    };
    told_apart(Kind::IntPollSkip, &one(json!([[0, 1], [2, 3]])), &one(json!([[1, 2], [2, 3]])));
    told_apart(
        Kind::IntNonmonotonicPoll,
        &one(json!([[1, 2], [0, 1]])),
        &one(json!([[0, 1], [1, 2]])),
    );
}

#[test]
fn the_order_of_sending_is_the_order_of_the_log() {
    let acked = |first, second| [send(1, first, "ok"), send(2, second, "ok")];
    told_apart(Kind::NonmonotonicSend, &acked(1, 0), &acked(0, 1));
    let unknown = |recs| [send(1, -1, "info"), send(2, -1, "info"), poll(20, recs)];
    told_apart(
        Kind::NonmonotonicSend,
        &unknown(json!([[0, 2], [1, 1]])),
        &unknown(json!([[0, 1], [1, 2]])),
    );
}

#[test]
fn a_record_is_consumed_by_one_transaction() {
    let took = |number: u32, outcome: &str, offsets: Value| {
        let more = json!({"group": "g", "consumed": [["t", 0, offsets]]});
        with(txn(number, "commit", outcome, 50), more)
    };
    let told = json!({"op": "committed", "group": "g", "topic": "t", "partition": 0, "offset": 3, "t_inv": 60, "t_ret": 61});
    let read = poll(20, json!([[0, 1], [1, 2], [2, 3]]));
    let history = |ends: &[Value]| [&three()[..], ends, &[read.clone(), told.clone()]].concat();
    let right = history(&[took(1, "ok", json!([0, 1])), took(2, "ok", json!([2]))]);
    told_apart(
        Kind::ConsumeCount,
        &history(&[took(1, "ok", json!([0, 1])), took(2, "ok", json!([1, 2]))]),
        &right,
    );
    told_apart(
        Kind::ConsumeCount,
        &history(&[took(1, "ok", json!([0])), took(2, "ok", json!([2]))]),
        &right,
    );
    let repeated =
        [took(1, "ok", json!([0, 1])), took(3, "info", json!([2])), took(2, "ok", json!([2]))];
    told_apart(
        Kind::ConsumeCount,
        &history(&[took(1, "ok", json!([0, 1])), took(3, "info", json!([2]))]),
        &history(&repeated),
    );
}

#[test]
fn offsets_do_not_go_back() {
    for (wrong, right) in [
        ([marks(10, 5, 5, 0), marks(20, 4, 4, 0)], [marks(10, 5, 5, 0), marks(20, 5, 5, 0)]),
        ([marks(10, 5, 4, 0), marks(20, 5, 3, 0)], [marks(10, 5, 4, 0), marks(20, 5, 4, 0)]),
        ([marks(10, 5, 5, 2), marks(20, 5, 5, 1)], [marks(10, 5, 5, 2), marks(20, 5, 5, 2)]),
        // Asked at the same time: either may have been first.
        ([marks(10, 5, 5, 0), marks(12, 4, 4, 0)], [marks(10, 5, 5, 0), marks(11, 4, 4, 0)]),
    ] {
        told_apart(Kind::WentBack, &wrong, &right);
    }
    told_apart(
        Kind::WentBack,
        &[send(1, 4, "ok"), marks(20, 4, 4, 0)],
        &[send(1, 4, "ok"), marks(20, 5, 5, 0)],
    );
    told_apart(
        Kind::WentBack,
        &[send(1, 0, "ok"), poll(20, json!([[0, 1]])), marks(30, 1, 0, 0)],
        &[send(1, 0, "ok"), poll(20, json!([[0, 1]])), marks(30, 1, 1, 0)],
    );
    let delete = |outcome| json!({"op": "delete", "topic": "t", "partition": 0, "offset": 3, "outcome": outcome, "t_inv": 5, "t_ret": 6});
    told_apart(
        Kind::WentBack,
        &[delete("ok"), marks(10, 5, 5, 2)],
        &[delete("info"), marks(10, 5, 5, 2)],
    );
}

#[test]
fn committed_offsets_do_not_go_back() {
    let commit = |outcome| json!({"op": "commit", "group": "g", "topic": "t", "partition": 0, "offset": 5, "outcome": outcome, "t_inv": 10, "t_ret": 11});
    let told = |offset| json!({"op": "committed", "group": "g", "topic": "t", "partition": 0, "offset": offset, "t_inv": 20, "t_ret": 21});
    told_apart(Kind::WentBack, &[commit("ok"), told(4)], &[commit("ok"), told(5)]);
    told_apart(Kind::WentBack, &[commit("ok"), told(4)], &[commit("info"), told(4)]);
}

#[test]
fn the_stable_offset_does_not_stick() {
    let limit = json!({"op": "run", "lso_limit_ns": 100});
    let rows =
        |stable| [limit.clone(), marks(10, 5, 3, 0), marks(60, 6, 3, 0), marks(120, 6, stable, 0)];
    told_apart(Kind::StableStuck, &rows(3), &rows(4));
    let sent = [send(1, 0, "ok"), in_txn(2, 1, 7), txn(7, "abort", "ok", 20)];
    let ends = |stable| {
        let committed = drain("rc", stable, json!([[0, 1]]));
        [&sent[..], &committed, &drain("ru", 3, json!([[0, 1], [1, 2]]))].concat()
    };
    told_apart(Kind::StableStuck, &ends(1), &ends(3));
}

#[test]
fn an_offset_is_missing_only_for_a_control_batch() {
    let read = |end| drain("ru", end, json!([[0, 1], [1, 2]]));
    let sent = [send(1, 0, "ok"), in_txn(2, 1, 7), txn(7, "commit", "ok", 20)];
    let wrong = [&sent[..], &read(4)].concat();
    told_apart(Kind::OffsetGap, &wrong, &[&sent[..], &read(3)].concat());
    let plain = [send(1, 0, "ok"), send(2, 1, "ok")];
    told_apart(Kind::OffsetGap, &[&plain[..], &read(3)].concat(), &[&plain[..], &read(2)].concat());
}

#[test]
fn records_are_where_they_were_sent_and_whole() {
    let elsewhere = with(poll(20, json!([[0, 1]])), json!({"partition": 1}));
    told_apart(
        Kind::WrongTopic,
        &[send(1, -1, "info"), elsewhere],
        &[send(1, -1, "info"), poll(20, json!([[0, 1]]))],
    );
    told_apart(
        Kind::BrokenPayload,
        &[send(1, 0, "ok"), poll(20, json!([[0, null]]))],
        &[send(1, 0, "ok"), poll(20, json!([[0, 1]]))],
    );
    told_apart(
        Kind::UnknownValue,
        &[send(1, 0, "ok"), poll(20, json!([[0, 1], [1, 9]]))],
        &[send(1, 0, "ok"), poll(20, json!([[0, 1]]))],
    );
}

#[test]
fn compaction_keeps_the_newest_of_every_key() {
    let topic = json!({"op": "topic", "topic": "t", "compact": true});
    let keyed = |value, offset, key: &str| with(send(value, offset, "ok"), json!({"key": key}));
    let sent = [topic, keyed(1, 0, "a"), keyed(2, 1, "b"), keyed(3, 2, "a")];
    let wrong = [&sent[..], &drain("ru", 3, json!([[1, 2]]))].concat();
    told_apart(
        Kind::LostWrite,
        &wrong,
        &[&sent[..], &drain("ru", 3, json!([[1, 2], [2, 3]]))].concat(),
    );
    let mut gone = sent.to_vec();
    gone[3]["tombstone"] = json!(true);
    assert_eq!(judged(&[&gone[..], &drain("ru", 3, json!([[1, 2]]))].concat()).total(), 0);
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let mut history = History::default();
    for line in ["{", r#"{"op":"send"}"#, r#"{"op":"poll","topic":"t","partition":0}"#] {
        assert!(lines::add(&mut history, line).is_err(), "{line}");
    }
}
