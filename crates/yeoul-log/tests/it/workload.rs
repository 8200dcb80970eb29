//! Small workloads: at most twelve operations each, by seed, which together reach slot changes,
//! checkpoints, rolls, retention, compaction, duplicates, transactions, and restarts.

mod txns;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{
    Append, Clock, Commit, Disk, ManualClock, NewTopic, PartId, Rand, SeededRand, SimDisk, Store,
};
use yeoul_log::{Log, LogError, LogOptions, Recovered};

use crate::model::{DELETIONS_MS, LastBatch, Model, batch, fact_key};
use crate::support::{NOW_MS, tiny};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Append,
    AppendSeveral,
    Group,
    Produce,
    Duplicate,
    Fact,
    Checkpoint,
    Retention,
    DeleteRecords,
    CreateTopic,
    DeleteTopic,
    AddPartitions,
    TxnAppend,
    TxnEnd,
    TxnGroup,
    Kill,
    Restart,
    /// Several commits of facts of one size: where a slot is used again, each lies where one of
    /// the slot's last use lay.
    FactGroup,
    /// Acknowledged, and a power cut may take it.
    Relaxed,
    Compact,
    /// Seen on the disk, not chosen.
    SlotChange,
    SlotReuse,
    Roll,
    FilesGone,
    /// Log segments that a compaction replaced.
    Compacted,
    /// A compaction below records of transactions.
    CompactedTxn,
    CrashInRecovery,
    CrashInSecondRecovery,
    QuarantinedTail,
    OlderSnapshot,
    KillThenPowerCut,
}

pub(crate) const KINDS: [Kind; 31] = [
    Kind::Append,
    Kind::AppendSeveral,
    Kind::Group,
    Kind::Produce,
    Kind::Duplicate,
    Kind::Fact,
    Kind::Checkpoint,
    Kind::Retention,
    Kind::DeleteRecords,
    Kind::CreateTopic,
    Kind::DeleteTopic,
    Kind::AddPartitions,
    Kind::TxnAppend,
    Kind::TxnEnd,
    Kind::TxnGroup,
    Kind::Kill,
    Kind::Restart,
    Kind::FactGroup,
    Kind::Relaxed,
    Kind::Compact,
    Kind::SlotChange,
    Kind::SlotReuse,
    Kind::Roll,
    Kind::FilesGone,
    Kind::Compacted,
    Kind::CompactedTxn,
    Kind::CrashInRecovery,
    Kind::CrashInSecondRecovery,
    Kind::QuarantinedTail,
    Kind::OlderSnapshot,
    Kind::KillThenPowerCut,
];

pub(crate) type Counts = BTreeMap<Kind, u64>;

/// How far the log was at a moment of the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) begun_at: usize,
    pub(crate) done_at: usize,
    pub(crate) sequence: u64,
    /// Up to here a power cut may take nothing.
    pub(crate) durable: u64,
}

pub(crate) struct Workload {
    pub(crate) disk: SimDisk,
    log: Option<Log>,
    rand: SeededRand,
    now: Model,
    /// The model after each sequence; 0 is the empty log.
    pub(crate) history: Vec<Model>,
    pub(crate) steps: Vec<Step>,
    pub(crate) counts: Counts,
    values: u64,
    topics: u64,
    txns: u64,
    relaxed: BTreeSet<PartId>,
    /// Of every four seeds the last two begin with a topic that is compacted, one with plain
    /// records and one with transactions.
    compacted_first: bool,
    durable: u64,
    /// Of a group a commit was refused for want of space and one behind it, which needs less, was
    /// taken: no model has just that.
    mixed: bool,
    /// How much waits for its file: nothing, some groups, all until a checkpoint.
    split_bytes: usize,
    /// Leaves out what is looked at beside the crashes.
    quick: bool,
    plan: Vec<Kind>,
}

pub(crate) fn open(disk: &SimDisk) -> Result<(Log, Recovered), LogError> {
    open_with(disk, 0)
}

fn open_with(disk: &SimDisk, split_bytes: usize) -> Result<(Log, Recovered), LogError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_ms(NOW_MS));
    let options = LogOptions { lock_note: "sim".into(), split_bytes, ..tiny() };
    Log::open(disk, clock, Arc::new(SeededRand::new(3)), options)
}

/// What the seeds choose from; what makes much happen comes often.
const CHOICES: [Kind; 22] = [
    Kind::Append,
    Kind::Append,
    Kind::Append,
    Kind::AppendSeveral,
    Kind::AppendSeveral,
    Kind::Group,
    Kind::Group,
    Kind::Produce,
    Kind::Produce,
    Kind::Duplicate,
    Kind::Fact,
    Kind::Checkpoint,
    Kind::Checkpoint,
    Kind::Compact,
    Kind::Compact,
    Kind::Retention,
    Kind::DeleteRecords,
    Kind::CreateTopic,
    Kind::DeleteTopic,
    Kind::AddPartitions,
    Kind::Kill,
    Kind::Restart,
];

/// Every other seed is about transactions.
const TXN_CHOICES: [Kind; 22] = [
    Kind::TxnAppend,
    Kind::TxnAppend,
    Kind::TxnAppend,
    Kind::TxnAppend,
    Kind::TxnAppend,
    Kind::TxnEnd,
    Kind::TxnEnd,
    Kind::TxnEnd,
    Kind::TxnGroup,
    Kind::TxnGroup,
    Kind::AppendSeveral,
    Kind::Produce,
    Kind::Checkpoint,
    Kind::Checkpoint,
    Kind::Compact,
    Kind::Compact,
    Kind::Retention,
    Kind::DeleteRecords,
    Kind::DeleteTopic,
    Kind::CreateTopic,
    Kind::Kill,
    Kind::Restart,
];

impl Workload {
    /// Twelve operations: a topic, and eleven the seed chooses.
    pub(crate) fn by_seed(seed: u64) -> Self {
        let rand = SeededRand::new(seed);
        let mut plan = vec![Kind::CreateTopic];
        if seed % 16 == 15 {
            // Enough of them that slots are used again.
            plan.extend(
                (0..24).map(|n| [Kind::FactGroup, Kind::Checkpoint][usize::from(n % 4 == 3)]),
            );
        }
        while plan.len() < 12 {
            let choices = if seed.is_multiple_of(2) { &CHOICES } else { &TXN_CHOICES };
            plan.push(choices[rand.below(choices.len() as u64) as usize]);
        }
        Self::new(seed, plan)
    }

    /// One whose operations are checked less, for tests that run it very often.
    pub(crate) fn quick(seed: u64) -> Self {
        Self { quick: true, ..Self::by_seed(seed) }
    }

    pub(crate) fn new(seed: u64, plan: Vec<Kind>) -> Self {
        Self {
            disk: SimDisk::new(),
            log: None,
            rand: SeededRand::new(seed ^ 0x5eed),
            now: Model::default(),
            history: vec![Model::default()],
            steps: Vec::new(),
            counts: Counts::new(),
            values: 0,
            topics: 0,
            txns: 0,
            relaxed: BTreeSet::new(),
            compacted_first: seed % 4 >= 2,
            durable: 0,
            mixed: false,
            split_bytes: [0, 4_000, 40_000][(seed / 4 % 3) as usize],
            quick: false,
            plan,
        }
    }

    /// Does all of it. The log is left as a kill would leave it.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.log = Some(self.open()?);
        for kind in self.plan.clone() {
            *self.counts.entry(kind).or_default() += 1;
            let begun_at = self.disk.journal_len();
            self.operate(kind)?;
            let sequence = self.begun();
            if matches!(kind, Kind::Checkpoint | Kind::Compact | Kind::Kill | Kind::Restart) {
                self.durable = sequence;
            }
            let durable = self.durable;
            *self.counts.entry(Kind::Relaxed).or_default() += u64::from(durable < sequence);
            let done_at = self.disk.journal_len();
            self.steps.push(Step { begun_at, done_at, sequence, durable });
            let log = self.log();
            let everywhere = || if self.quick { Ok(()) } else { self.now.check_everywhere(&log) };
            let checked = self.now.check(&log).and_then(|()| everywhere());
            checked.map_err(|error| format!("before any crash: {error}"))?;
        }
        self.log = None;
        if !self.quick {
            self.look_at_disk();
        }
        Ok(())
    }

    /// Sequence of the last commit that was asked for.
    pub(crate) fn begun(&self) -> u64 {
        (self.history.len() - 1) as u64
    }

    pub(crate) fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// The log as the last operation left it, after [`Workload::run`] failed.
    pub(crate) fn take_log(&mut self) -> Option<Log> {
        self.log.take()
    }

    /// What was committed without a failure may not be lost, unless all of it was relaxed.
    fn is_relaxed(&self, commit: &Commit) -> bool {
        let relaxed = |append: &Append| self.relaxed.contains(&append.part);
        commit.facts.is_empty() && commit.appends.iter().all(relaxed)
    }

    fn log(&self) -> Log {
        self.log.clone().expect("open")
    }

    fn below(&self, bound: usize) -> usize {
        self.rand.below(bound as u64) as usize
    }

    /// A value nobody else has; some are long, so that segments roll and slots fill.
    fn value(&mut self) -> String {
        self.values += 1;
        let long = [3, 3, 40, 900, 2_500][self.below(5)];
        format!("{}{}", self.values, ".".repeat(long))
    }

    fn part(&self) -> Option<PartId> {
        let parts: Vec<_> = self.now.parts.keys().copied().collect();
        (!parts.is_empty()).then(|| parts[self.below(parts.len())])
    }

    /// The model goes one commit further.
    fn note(&mut self) {
        if let Some(before) = self.history.last() {
            for part in before.parts.keys().filter(|part| self.now.parts.contains_key(part)) {
                let (was, is) = (before.stable(*part), self.now.stable(*part));
                assert!(was <= is, "the model's stable offset went back from {was} to {is}");
            }
        }
        self.history.push(self.now.clone());
    }

    fn append_commit(&mut self, part: PartId, count: usize) -> Commit {
        let mut values: Vec<_> = (0..count).map(|_| self.value()).collect();
        if self.now.parts[&part].compaction.is_some() && self.below(4) == 0 {
            // The last of them deletes its key.
            values.iter_mut().next_back().into_iter().for_each(|value| value.push('!'));
        }
        let appends = vec![Append { part, batch: batch(&values) }];
        self.now.append(part, &values);
        Commit { appends, ..Commit::default() }
    }

    fn fact_commit(&mut self, commit: &mut Commit) {
        let key = ["a", "b", "c"][self.below(3)];
        let value = (self.below(4) > 0).then(|| self.value());
        match &value {
            Some(value) => {
                self.now.facts.insert(key.into(), value.clone().into());
            }
            None => {
                self.now.facts.remove(key.as_bytes());
            }
        }
        commit.facts.push((fact_key(key), value.map(Bytes::from)));
    }

    fn commit(&mut self, commit: Commit) -> Result<(), String> {
        self.note();
        let strict = !self.is_relaxed(&commit);
        let done = self.log().commit(commit).map_err(|error| error.to_string())?;
        let expected = self.begun();
        if strict {
            self.durable = expected;
        }
        if done.sequence != expected {
            return Err(format!("commit got sequence {}, not {expected}", done.sequence));
        }
        Ok(())
    }

    /// All in one group; the model has them already.
    fn commit_group(&mut self, commits: Vec<Commit>) -> Result<(), String> {
        // Those behind the last strict one may have found no room in its slot: a group of their own.
        let behind = commits.iter().rev().take_while(|commit| self.is_relaxed(commit)).count();
        let strict = behind < commits.len();
        let answers = self.log().commit_all(commits);
        let taken = answers.iter().take_while(|answer| answer.is_ok()).count();
        self.mixed = answers.iter().skip(taken).any(Result::is_ok);
        answers.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        if strict {
            self.durable = self.begun() - behind as u64;
        }
        Ok(())
    }

    fn operate(&mut self, kind: Kind) -> Result<(), String> {
        let Some(part) = self.part().or((kind == Kind::CreateTopic).then_some(PartId(0))) else {
            return self.on_topics(Kind::CreateTopic);
        };
        match kind {
            Kind::Append => {
                let count = 1 + self.below(3);
                let commit = self.append_commit(part, count);
                self.commit(commit)
            }
            Kind::AppendSeveral => {
                let mut commit = Commit::default();
                for part in self.now.parts.keys().copied().collect::<Vec<_>>() {
                    commit.appends.extend(self.append_commit(part, 2).appends);
                    commit.appends.extend(self.append_commit(part, 1).appends);
                }
                self.fact_commit(&mut commit);
                self.commit(commit)
            }
            Kind::Group => {
                let mut commits = Vec::new();
                for _ in 0..4 {
                    let mut commit = self.append_commit(part, 1);
                    self.fact_commit(&mut commit);
                    commits.push(commit);
                    self.note();
                }
                self.commit_group(commits)
            }
            Kind::FactGroup => self.fact_group(),
            Kind::Produce => self.produce(part),
            Kind::Duplicate => {
                if self.now.producers.is_empty() {
                    self.produce(part)?;
                }
                // The check after each operation sends every producer's last batch again.
                Ok(())
            }
            Kind::Fact => {
                let mut commit = Commit::default();
                self.fact_commit(&mut commit);
                self.commit(commit)
            }
            Kind::Checkpoint => self.log().checkpoint().map_err(|error| error.to_string()),
            Kind::Compact => self.compact(),
            Kind::Retention | Kind::DeleteRecords => self.move_starts(kind, part),
            Kind::TxnAppend => self.txn_append(part),
            Kind::TxnEnd => self.txn_end(part),
            Kind::TxnGroup => self.txn_group(part),
            Kind::Kill => self.reopen(false),
            Kind::Restart => self.reopen(true),
            topics => self.on_topics(topics),
        }
    }

    fn fact_group(&mut self) -> Result<(), String> {
        let mut commits = Vec::new();
        // Six frames fill a group's first block of 4 KiB exactly, so that those behind it are
        // whole frames of the slot's last use when only that block was written.
        for key in ["a", "b", "c"].into_iter().cycle().take(9) {
            self.values += 1;
            let value = format!("{:0641}", self.values);
            self.now.facts.insert(key.into(), value.clone().into());
            let facts = vec![(fact_key(key), Some(Bytes::from(value)))];
            commits.push(Commit { facts, ..Commit::default() });
            self.note();
        }
        self.commit_group(commits)
    }

    fn produce(&mut self, part: PartId) -> Result<(), String> {
        let id = 1 + self.below(2) as i64;
        let sequence = self.now.producers.get(&(part, id)).map_or(0, |last| last.sequence + 1);
        let value = self.value();
        let base = self.now.parts[&part].records.len() as i64;
        self.now.append(part, std::slice::from_ref(&value));
        let (transactional, fenced) = (false, false);
        let last = LastBatch { epoch: 0, sequence, value, base, transactional, fenced };
        let appends = vec![last.batch(part, id)];
        self.now.producers.insert((part, id), last);
        self.commit(Commit { appends, ..Commit::default() })
    }

    /// No commit: what is there afterwards is one of the things that may be there now.
    fn compact(&mut self) -> Result<(), String> {
        let now_ms = NOW_MS + [0, 0, 2 * DELETIONS_MS][self.below(3)];
        self.now.compact(now_ms);
        if let Some(last) = self.history.last_mut() {
            last.clone_from(&self.now);
        }
        let replaced = self.log().compact(now_ms).map_err(|error| error.to_string())? as u64;
        *self.counts.entry(Kind::Compacted).or_default() += replaced;
        let compacted = self.now.parts.values().filter(|part| part.compaction.is_some());
        let txns = compacted.flat_map(|part| &part.records).any(|entry| entry.txn.is_some());
        *self.counts.entry(Kind::CompactedTxn).or_default() += replaced * u64::from(txns);
        Ok(())
    }

    /// How far starts move is the log's choice; that no record after them is lost is checked.
    fn move_starts(&mut self, kind: Kind, part: PartId) -> Result<(), String> {
        let log = self.log();
        let result = if kind == Kind::Retention {
            log.enforce_retention(NOW_MS + self.below(2) as i64 * 100_000_000_000).map(|_| ())
        } else {
            let high = self.now.parts[&part].records.len();
            let before = self.below(high + 1) as i64;
            log.delete_records(part, before).map(|_| ())
        };
        result.map_err(|error| error.to_string())?;
        let before = self.now.clone();
        for (id, part) in &mut self.now.parts {
            let start = log.ends(*id).map_or(-1, |ends| ends.start);
            if start < part.start {
                return Err(format!("{id}: the start went back from {} to {start}", part.start));
            }
            part.start = start;
        }
        if self.now != before {
            self.note();
            self.durable = self.begun();
        }
        Ok(())
    }

    fn on_topics(&mut self, kind: Kind) -> Result<(), String> {
        let log = self.log();
        let first = self.now.topics.keys().next().cloned();
        match (kind, first) {
            (Kind::DeleteTopic, Some(name)) => {
                log.delete_topic(&name).map_err(|error| error.to_string())?;
                self.now.remove_topic(&name);
            }
            (Kind::AddPartitions, Some(name)) => {
                let total = self.now.topics[&name].len() as u32 + 1;
                let topic = log.add_partitions(&name, total).map_err(|error| error.to_string())?;
                let first = &self.now.parts[&topic.partitions[0]];
                let compacted = first.compaction.is_some();
                self.now.add_topic(&name, &topic.partitions, compacted);
                if self.relaxed.contains(&topic.partitions[0]) {
                    self.relaxed.extend(topic.partitions.iter());
                }
            }
            _ => {
                self.topics += 1;
                let name = format!("t{}", self.topics);
                let relaxed = self.below(3) == 0;
                let durability = if relaxed { "relaxed" } else { "ack" };
                let first = self.topics == 1 && self.compacted_first;
                let compacted = first || self.below(4) == 0;
                let policy = match (compacted, self.below(3)) {
                    (true, 0) => "compact,delete",
                    (true, _) => "compact",
                    (false, _) => "delete",
                };
                // Only closed log segments are compacted: there are more of them.
                let segment_bytes = if compacted { "1000" } else { "2500" };
                let config = [
                    ("cleanup.policy", policy),
                    ("min.cleanable.dirty.ratio", "0"),
                    ("delete.retention.ms", "10000"),
                    ("retention.bytes", "6000"),
                    ("segment.bytes", segment_bytes),
                    ("yeoul.durability", durability),
                ];
                let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
                let new = NewTopic { name: name.clone(), partitions: 2, config };
                let topic = log.create_topic(new).map_err(|error| error.to_string())?;
                self.now.add_topic(&name, &topic.partitions, compacted);
                if relaxed {
                    self.relaxed.extend(topic.partitions.iter());
                }
            }
        }
        self.note();
        self.durable = self.begun();
        Ok(())
    }

    fn reopen(&mut self, clean: bool) -> Result<(), String> {
        if let Some(log) = self.log.take()
            && clean
        {
            log.close();
        }
        self.log = Some(self.open()?);
        Ok(())
    }

    fn open(&self) -> Result<Log, String> {
        let opened = open_with(&self.disk, self.split_bytes);
        opened.map(|(log, _)| log).map_err(|error| error.to_string())
    }

    /// Counts what happened below the surface.
    fn look_at_disk(&mut self) {
        let mut replay = self.disk.replay();
        let mut seen = BTreeMap::new();
        let mut first = BTreeMap::new();
        while replay.step() {
            if !replay.at().is_multiple_of(8) && replay.at() != replay.len() {
                continue;
            }
            let image = replay.image(yeoul_base::disk::sim::Crash::Kill, &self.rand);
            for (path, bytes) in &image.files {
                seen.insert(path.clone(), ());
                if path.starts_with("wal") && bytes.first().is_some_and(|byte| *byte != 0) {
                    let heads: &mut Vec<Vec<u8>> = first.entry(path.clone()).or_default();
                    let head = bytes[..64].to_vec();
                    if heads.last() != Some(&head) {
                        heads.push(head);
                    }
                }
            }
        }
        let image = self.disk.image();
        let logs = seen.keys().filter(|path| path.starts_with("parts"));
        let gone = logs.clone().filter(|path| !image.files.contains_key(*path)).count() as u64;
        let mut by_part = BTreeMap::<&Path, u64>::new();
        for path in logs {
            *by_part.entry(path.parent().unwrap_or(Path::new(""))).or_default() += 1;
        }
        let rolls = by_part.values().map(|files| files - 1).sum();
        let changes = first.len().saturating_sub(1) as u64;
        let reuse = first.values().map(|heads| heads.len() as u64 - 1).sum();
        for (kind, count) in [
            (Kind::SlotChange, changes),
            (Kind::SlotReuse, reuse),
            (Kind::Roll, rolls),
            (Kind::FilesGone, gone),
        ] {
            *self.counts.entry(kind).or_default() += count;
        }
    }
}
