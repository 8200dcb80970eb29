//! A history in memory: names are numbers, records know the send they came from, and the log of
//! every partition is put together from all that anybody saw of it.

use std::collections::HashMap;
use std::ops::Range;

/// No transaction, no key.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Fail,
    Info,
}

/// What must have become of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// In the log, visible to everybody.
    Must,
    /// Unknown: either way is right.
    May,
    /// In the log or not, but never visible to a committed reader.
    Aborted,
    /// Certainly refused: nowhere.
    Never,
}

/// Names as numbers.
#[derive(Default)]
pub(super) struct Names {
    ids: HashMap<String, u32>,
    names: Vec<String>,
    lives: HashMap<(u32, u32), u32>,
}

impl Names {
    pub(super) fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = number(self.names.len());
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// One life of a process: what it knew before is gone.
    pub(super) fn life(&mut self, name: &str, life: u32) -> u32 {
        let process = self.id(name);
        let next = number(self.lives.len());
        *self.lives.entry((process, life)).or_insert(next)
    }

    pub(super) fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("?", String::as_str)
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(NONE)
}

#[derive(Default, Clone, Copy)]
pub(super) struct Topic {
    pub(super) compact: bool,
    pub(super) retention: bool,
}

pub(super) struct Part {
    pub(super) topic: u32,
    pub(super) partition: u32,
}

pub(super) struct Send {
    pub(super) value: u64,
    pub(super) part: u32,
    pub(super) producer: u32,
    pub(super) txn: u32,
    pub(super) key: u32,
    pub(super) offset: Option<u64>,
    pub(super) t_ret: u64,
    pub(super) outcome: Outcome,
    pub(super) tombstone: bool,
    pub(super) retries: bool,
}

/// A transaction: known from its sends even when nobody tells how it ended.
pub(super) struct Txn {
    /// A commit was asked for (an abort, or nothing, otherwise).
    pub(super) commit: bool,
    pub(super) outcome: Outcome,
    pub(super) end_inv: u64,
    /// A committed reader saw one of its values.
    pub(super) seen: bool,
}

impl Txn {
    pub(super) fn committed(&self) -> bool {
        self.commit && (self.outcome == Outcome::Ok || (self.outcome == Outcome::Info && self.seen))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) part: u32,
    pub(super) offset: u64,
    /// `None`: the payload was broken.
    pub(super) value: Option<u64>,
    /// Index into the sends, `NONE` when nobody sent it.
    pub(super) send: u32,
}

impl Record {
    pub(super) fn new(part: u32, offset: u64, value: Option<u64>) -> Self {
        Self { part, offset, value, send: NONE }
    }
}

pub(super) struct Poll {
    pub(super) reader: u32,
    pub(super) consumer: u32,
    pub(super) epoch: u64,
    pub(super) part: u32,
    pub(super) t_inv: u64,
    pub(super) t_ret: u64,
    pub(super) committed_only: bool,
    pub(super) assigned: bool,
    pub(super) records: Range<usize>,
}

pub(super) struct Marks {
    pub(super) part: u32,
    pub(super) t_inv: u64,
    pub(super) t_ret: u64,
    /// High watermark, last stable offset, log start; where they were told.
    pub(super) fields: [Option<i64>; 3],
}

pub(super) struct Delete {
    pub(super) part: u32,
    pub(super) t_inv: u64,
    pub(super) t_ret: u64,
    pub(super) before: u64,
    pub(super) done: bool,
}

pub(super) struct Position {
    pub(super) group: u32,
    pub(super) part: u32,
    pub(super) t_inv: u64,
    pub(super) t_ret: u64,
    pub(super) offset: u64,
    /// Told by the broker, not told to it.
    pub(super) asked: bool,
    pub(super) done: bool,
}

pub(super) struct Drain {
    pub(super) reader: u32,
    pub(super) part: u32,
    pub(super) committed_only: bool,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// One place of a log as somebody saw it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) part: u32,
    pub(super) offset: u64,
    pub(super) value: u64,
    pub(super) send: u32,
}

#[derive(Default)]
pub(super) struct History {
    pub(super) line_count: u64,
    pub(super) names: Names,
    pub(super) topics: HashMap<u32, Topic>,
    pub(super) parts: Vec<Part>,
    part_ids: HashMap<(u32, u32), u32>,
    txn_ids: HashMap<(u32, u32), u32>,
    /// Sorted by value once finished.
    pub(super) sends: Vec<Send>,
    pub(super) txns: Vec<Txn>,
    /// Sorted by consumer, epoch, partition and time once finished.
    pub(super) polls: Vec<Poll>,
    pub(super) records: Vec<Record>,
    pub(super) marks: Vec<Marks>,
    pub(super) deletes: Vec<Delete>,
    pub(super) positions: Vec<Position>,
    /// Group, partition, offset, transaction.
    pub(super) consumed: Vec<(u32, u32, u64, u32)>,
    pub(super) drains: Vec<Drain>,
    pub(super) stable_limit_ns: Option<u64>,
    /// Everything polled, by place; then what committed readers polled of it.
    pub(super) seen: Vec<Seen>,
    pub(super) seen_committed: Vec<Seen>,
}

impl History {
    pub(super) fn part(&mut self, topic: &str, partition: u32) -> u32 {
        let topic = self.names.id(topic);
        let next = number(self.parts.len());
        let id = *self.part_ids.entry((topic, partition)).or_insert(next);
        if id == next {
            self.parts.push(Part { topic, partition });
        }
        id
    }

    pub(super) fn topic(&mut self, name: &str, compact: bool, retention: bool) {
        let id = self.names.id(name);
        self.topics.insert(id, Topic { compact, retention });
    }

    /// A producer's transaction by its number; new ones count as never ended.
    pub(super) fn txn(&mut self, producer: u32, numbered: u32) -> u32 {
        let next = number(self.txns.len());
        let id = *self.txn_ids.entry((producer, numbered)).or_insert(next);
        if id == next {
            let never =
                Txn { commit: false, outcome: Outcome::Info, end_inv: u64::MAX, seen: false };
            self.txns.push(never);
        }
        id
    }

    pub(super) fn end_txn(&mut self, txn: u32, commit: bool, outcome: Outcome, t_inv: u64) {
        if let Some(txn) = self.txns.get_mut(txn as usize) {
            (txn.commit, txn.outcome, txn.end_inv) = (commit, outcome, t_inv);
        }
    }

    /// Sorts, and ties records to their sends. Before the checks, once.
    pub(super) fn finish(&mut self) {
        self.sends.sort_unstable_by_key(|send| send.value);
        self.polls.sort_by_key(|p| (p.consumer, p.epoch, p.part, p.t_inv));
        for record in &mut self.records {
            if let Some(value) = record.value {
                let found = self.sends.binary_search_by_key(&value, |send| send.value);
                record.send = found.map_or(NONE, number);
            }
        }
        for poll in &self.polls {
            for record in self.records.get(poll.records.clone()).unwrap_or(&[]) {
                let Some(value) = record.value else { continue };
                let (part, offset, send) = (record.part, record.offset, record.send);
                let seen = Seen { part, offset, value, send };
                self.seen.push(seen);
                if poll.committed_only {
                    self.seen_committed.push(seen);
                    let txn = self.sends.get(send as usize).map_or(NONE, |send| send.txn);
                    if let Some(txn) = self.txns.get_mut(txn as usize) {
                        txn.seen = true;
                    }
                }
            }
        }
        for seen in [&mut self.seen, &mut self.seen_committed] {
            seen.sort_unstable();
            seen.dedup();
        }
    }

    pub(super) fn send(&self, index: u32) -> Option<&Send> {
        self.sends.get(index as usize)
    }

    pub(super) fn txn_of(&self, send: &Send) -> Option<&Txn> {
        self.txns.get(send.txn as usize)
    }

    pub(super) fn fate(&self, send: &Send) -> Fate {
        let alone = match send.outcome {
            Outcome::Ok => Fate::Must,
            Outcome::Fail => return Fate::Never,
            Outcome::Info => Fate::May,
        };
        match self.txn_of(send) {
            None => alone,
            Some(txn) if txn.committed() => alone,
            Some(txn) if txn.commit && txn.outcome == Outcome::Info => Fate::May,
            Some(_) => Fate::Aborted,
        }
    }

    pub(super) fn topic_of(&self, part: u32) -> Topic {
        let topic = self.parts.get(part as usize).map_or(NONE, |part| part.topic);
        self.topics.get(&topic).copied().unwrap_or_default()
    }

    /// `topic/partition`, for people.
    pub(super) fn place(&self, part: u32) -> String {
        match self.parts.get(part as usize) {
            Some(part) => format!("{}/{}", self.names.name(part.topic), part.partition),
            None => "?".to_owned(),
        }
    }

    /// What was seen of one partition, in order of offsets.
    pub(super) fn seen_in(&self, part: u32, committed_only: bool) -> &[Seen] {
        let all = if committed_only { &self.seen_committed } else { &self.seen };
        let from = all.partition_point(|seen| seen.part < part);
        let to = all.partition_point(|seen| seen.part <= part);
        all.get(from..to).unwrap_or(&[])
    }
}
