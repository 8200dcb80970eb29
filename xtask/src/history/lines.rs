//! A history as text: one JSON object per line, written by the client that did the operation when
//! it knew how it ended. Times are nanoseconds of one monotonic clock of the machine.
//!
//! Every line: `op`, and where it applies `proc` (who), `gen` (which life of it), `t_inv`, `t_ret`,
//! `topic`, `partition`, `outcome`: `ok`, `fail` (certainly not done) or `info` (unknown).
//!
//! | op | more | meaning |
//! |---|---|---|
//! | run | `lso_limit_ns` | how long a last stable offset may stay behind |
//! | topic | `topic`, `compact`, `retention` | what may vanish from a topic without a request |
//! | send | `value`, `offset`, `txn`, `key`, `tombstone`, `retries` | `value` is unique in the run, and a producer's (`proc`, `gen`) values ascend; `retries`: the client may send again without a sequence, so twice is right |
//! | txn | `txn`, `tried`: `commit` or `abort`, `group`, `consumed` | how transaction `txn` of this producer ended, and the input `[topic, partition, [offset…]]` it moved a group over |
//! | poll | `iso`: `rc` or `ru`, `mode`: `assign` or `subscribe`, `epoch`, `recs` | what one poll gave of one partition: `[offset, value]`, value `null` when the payload's checksum is wrong; `epoch` changes when the consumer was placed anew |
//! | commit | `group`, `offset` | a group's position was committed |
//! | committed | `group`, `offset` | a group's position was asked for |
//! | marks | `high`, `stable`, `start` | the partition's offsets as told to a client |
//! | delete | `offset` | records below it were asked to be deleted |
//! | drained | `iso`, `start`, `end` | the polls of this `proc` in this partition were the final read, from `start` to `end` |
//!
//! Other ops (`crash`, `assign`, `subscribe`, `admin`) are counted and kept for people.

use serde::Deserialize;

use super::model::{Delete, Drain, History, Marks, NONE, Outcome, Poll, Position, Record, Send};

#[derive(Deserialize)]
struct Line<'a> {
    op: &'a str,
    #[serde(default)]
    proc: &'a str,
    #[serde(default, rename = "gen")]
    life: u32,
    #[serde(default)]
    t_inv: u64,
    #[serde(default)]
    t_ret: u64,
    topic: Option<&'a str>,
    partition: Option<u32>,
    outcome: Option<&'a str>,
    key: Option<&'a str>,
    value: Option<u64>,
    offset: Option<i64>,
    txn: Option<u32>,
    #[serde(default)]
    tombstone: bool,
    #[serde(default)]
    retries: bool,
    tried: Option<&'a str>,
    group: Option<&'a str>,
    #[serde(default, borrow)]
    consumed: Vec<(&'a str, u32, Vec<u64>)>,
    iso: Option<&'a str>,
    mode: Option<&'a str>,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    recs: Vec<(u64, Option<u64>)>,
    high: Option<i64>,
    stable: Option<i64>,
    start: Option<i64>,
    end: Option<i64>,
    #[serde(default)]
    compact: bool,
    #[serde(default)]
    retention: bool,
    lso_limit_ns: Option<u64>,
}

impl Line<'_> {
    fn part(&self, history: &mut History) -> Result<u32, String> {
        let topic = need(self.topic, "topic")?;
        Ok(history.part(topic, need(self.partition, "partition")?))
    }

    fn outcome(&self) -> Result<Outcome, String> {
        match need(self.outcome, "outcome")? {
            "ok" => Ok(Outcome::Ok),
            "fail" => Ok(Outcome::Fail),
            "info" => Ok(Outcome::Info),
            other => Err(format!("an outcome is ok, fail or info, not {other}")),
        }
    }

    fn committed_only(&self) -> Result<bool, String> {
        match need(self.iso, "iso")? {
            "rc" => Ok(true),
            "ru" => Ok(false),
            other => Err(format!("iso is rc or ru, not {other}")),
        }
    }
}

fn need<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("`{name}` is missing"))
}

/// Reads one line into the history.
pub(super) fn add(history: &mut History, text: &str) -> Result<(), String> {
    let line: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    history.line_count += 1;
    match line.op {
        "run" => history.stable_limit_ns = line.lso_limit_ns,
        "topic" => {
            let topic = need(line.topic, "topic")?;
            history.topic(topic, line.compact, line.retention);
        }
        "send" => send(history, &line)?,
        "txn" => txn(history, &line)?,
        "poll" => poll(history, &line)?,
        "commit" | "committed" => position(history, &line)?,
        "marks" => {
            let part = line.part(history)?;
            let fields = [line.high, line.stable, line.start];
            history.marks.push(Marks { part, t_inv: line.t_inv, t_ret: line.t_ret, fields });
        }
        "delete" => {
            let part = line.part(history)?;
            let before = at(line.offset)?;
            let done = line.outcome()? == Outcome::Ok;
            history.deletes.push(Delete {
                part,
                t_inv: line.t_inv,
                t_ret: line.t_ret,
                before,
                done,
            });
        }
        "drained" => {
            let part = line.part(history)?;
            history.drains.push(Drain {
                reader: history.names.id(line.proc),
                part,
                committed_only: line.committed_only()?,
                start: at(line.start)?,
                end: at(line.end)?,
            });
        }
        _ => {}
    }
    Ok(())
}

fn at(offset: Option<i64>) -> Result<u64, String> {
    let offset = need(offset, "offset")?;
    u64::try_from(offset).map_err(|_| format!("{offset} is not an offset"))
}

fn send(history: &mut History, line: &Line<'_>) -> Result<(), String> {
    let producer = history.names.life(line.proc, line.life);
    let txn = line.txn.map_or(NONE, |number| history.txn(producer, number));
    let one = Send {
        value: need(line.value, "value")?,
        part: line.part(history)?,
        producer,
        txn,
        key: line.key.map_or(NONE, |key| history.names.id(key)),
        offset: line.offset.filter(|o| *o >= 0).map(|o| o.unsigned_abs()),
        t_ret: line.t_ret,
        outcome: line.outcome()?,
        tombstone: line.tombstone,
        retries: line.retries,
    };
    history.sends.push(one);
    Ok(())
}

fn txn(history: &mut History, line: &Line<'_>) -> Result<(), String> {
    let producer = history.names.life(line.proc, line.life);
    let index = history.txn(producer, need(line.txn, "txn")?);
    let commit = match need(line.tried, "tried")? {
        "commit" => true,
        "abort" => false,
        other => return Err(format!("tried is commit or abort, not {other}")),
    };
    let outcome = line.outcome()?;
    history.end_txn(index, commit, outcome, line.t_inv);
    if !line.consumed.is_empty() {
        let group = history.names.id(need(line.group, "group")?);
        for (topic, partition, offsets) in &line.consumed {
            let part = history.part(topic, *partition);
            history.consumed.extend(offsets.iter().map(|offset| (group, part, *offset, index)));
        }
    }
    Ok(())
}

fn poll(history: &mut History, line: &Line<'_>) -> Result<(), String> {
    let part = line.part(history)?;
    let first = history.records.len();
    let records = line.recs.iter().map(|(offset, value)| Record::new(part, *offset, *value));
    history.records.extend(records);
    let one = Poll {
        reader: history.names.id(line.proc),
        consumer: history.names.life(line.proc, line.life),
        epoch: line.epoch,
        part,
        t_inv: line.t_inv,
        t_ret: line.t_ret,
        committed_only: line.committed_only()?,
        assigned: need(line.mode, "mode")? == "assign",
        records: first..history.records.len(),
    };
    history.polls.push(one);
    Ok(())
}

fn position(history: &mut History, line: &Line<'_>) -> Result<(), String> {
    let done = line.op == "committed" || line.outcome()? == Outcome::Ok;
    let Some(offset) = line.offset.filter(|o| *o >= 0) else { return Ok(()) };
    let part = line.part(history)?;
    history.positions.push(Position {
        group: history.names.id(need(line.group, "group")?),
        part,
        t_inv: line.t_inv,
        t_ret: line.t_ret,
        offset: offset.unsigned_abs(),
        asked: line.op == "committed",
        done,
    });
    Ok(())
}
