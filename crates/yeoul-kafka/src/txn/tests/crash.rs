//! Transactions over the real log on a simulated disk, crashed after every action in every way
//! the disk knows. Whatever is left, a transaction is open with all its facts or over with none,
//! its markers are in all partitions or in none, and its offset agrees with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::disk::sim::Crash;
use yeoul_base::{
    Append, Commit, FactKind, Isolation, ManualClock, NewTopic, PartId, SeededRand, SimDisk, Store,
    TopicId,
};
use yeoul_log::batch::{BatchBuilder, BatchHeader, Codec, split};
use yeoul_log::{Log, LogOptions};

use crate::group::{Claim, Committed, Groups, OffsetKey};
use crate::options::GroupOptions;
use crate::txn::{Identity, Status, Transactions};

const ID: &str = "crashed";
const GROUP: &str = "g";
const TRANSACTIONS: i64 = 6;

fn open(disk: &SimDisk, clock: &Arc<ManualClock>) -> Log {
    let options = LogOptions {
        reserve_bytes: 0,
        slot_bytes: [16 << 10; 3],
        group_bytes: 16 << 10,
        segment_bytes: 4 << 10,
        unsplit_bytes: 64 << 10,
        hot_bytes: 0,
        inline: true,
        ..LogOptions::default()
    };
    let rand = Arc::new(SeededRand::new(3));
    let (log, _) = Log::open(Arc::new(disk.clone()), clock.clone(), rand, options).expect("opens");
    log
}

struct World {
    log: Arc<Log>,
    clock: Arc<ManualClock>,
    transactions: Transactions,
    topic: TopicId,
    parts: BTreeSet<PartId>,
    sequences: BTreeMap<PartId, i32>,
}

impl World {
    /// Over a log with the topic.
    fn over(log: Log, clock: Arc<ManualClock>) -> Option<Self> {
        let topics = log.topics();
        let topic = topics.get("t")?;
        let (id, parts) = (topic.id, topic.partitions.iter().copied().collect());
        let log = Arc::new(log);
        let transactions = Transactions::new(log.clone(), clock.clone());
        Some(Self { log, clock, transactions, topic: id, parts, sequences: BTreeMap::new() })
    }

    fn produce(&mut self, from: Identity, part: PartId) {
        let guard = self.transactions.admit(ID, from, part).expect("in the transaction");
        let sequence = self.sequences.entry(part).or_default();
        let mut batch = BatchBuilder::new(Codec::None);
        batch.transactional().producer(from.producer_id, from.epoch, *sequence);
        batch.push(1_000, None, Some(b"x"), &[]);
        *sequence += 1;
        let batch = batch.finish().expect("not empty");
        let appends = vec![Append { part, batch }];
        let commit = Commit { guards: vec![guard], appends, ..Commit::default() };
        self.log.commit(commit).expect("appended");
    }

    async fn add_offset(&self, from: Identity, offset: i64) {
        let groups = Groups::new(
            self.log.clone(),
            self.clock.clone(),
            Arc::new(SeededRand::new(4)),
            GroupOptions::default(),
            None,
        );
        self.transactions.add_group(ID, from, GROUP).await.expect("added");
        let key = OffsetKey { topic: self.topic, partition: 0 };
        let value = Committed {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
            committed_ms: 1,
            expires_ms: None,
        };
        let claim =
            Claim { group: GROUP.into(), generation: -1, transactional: true, ..Claim::default() };
        let offsets = BTreeMap::from([(key, value)]);
        let added = self.transactions.add_offsets(ID, from, &groups, &claim, &offsets).await;
        added.expect("added");
    }

    /// Markers of a partition: commits, aborts.
    fn markers(&self, part: PartId) -> (i64, i64) {
        let read = self.log.read(part, 0, 1 << 20, Isolation::Uncommitted).expect("readable");
        let mut counts = (0, 0);
        for batch in read.batches.into_iter().flat_map(split) {
            let batch: Bytes = batch.expect("whole");
            if BatchHeader::parse(&batch).expect("a header").is_control() {
                let records = yeoul_log::batch::decode(&batch).expect("a marker");
                let commit = records[0].key.as_ref().expect("a key")[3] == 1;
                if commit { counts.0 += 1 } else { counts.1 += 1 }
            }
        }
        counts
    }

    fn offset(&self) -> Option<i64> {
        let key = OffsetKey { topic: self.topic, partition: 0 }.fact(GROUP);
        let value = self.log.fact(key.kind, &key.key)?;
        Some(Committed::decode(&value).expect("decodes").offset)
    }

    fn check(&self) {
        let found = self.transactions.describe(ID).expect("decodes");
        let left = |kind| self.log.facts(kind, &[]).len();
        let (parts, pending) = (left(FactKind::TransactionPart), left(FactKind::TransactionOffset));
        let open = found.as_ref().is_some_and(|found| found.status == Status::Ongoing);
        let number = found.map_or(0, |found| i64::try_from(found.number).expect("small"));
        let ended = number - i64::from(open);
        // Those with an odd number are committed.
        let (commits, aborts) = ((ended + 1) / 2, ended / 2);
        for part in &self.parts {
            assert_eq!(self.markers(*part), (commits, aborts), "markers in {part}");
            let ends = self.log.ends(*part).expect("there");
            assert!(open || ends.stable == ends.high, "{part} is stuck at {ends:?}");
        }
        assert_eq!(self.offset(), (commits > 0).then_some(2 * commits - 1), "the group's offset");
        assert!(open || parts + pending == 0, "{parts} partitions and {pending} offsets are left");
        assert!(!open || parts == self.parts.len(), "{parts} partitions are open");
    }
}

/// Runs transactions to the end and returns the disk they were written to.
async fn run() -> SimDisk {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::at_ms(1_000_000));
    let log = open(&disk, &clock);
    let new = NewTopic { name: "t".into(), partitions: 2, config: BTreeMap::new() };
    log.create_topic(new).expect("created");
    let mut world = World::over(log, clock).expect("a topic");
    let producer = world.transactions.init(ID, 10_000, None).await.expect("given");
    for number in 1..=TRANSACTIONS {
        world.transactions.add_partitions(ID, producer, &world.parts).await.expect("added");
        for part in world.parts.clone() {
            world.produce(producer, part);
        }
        world.add_offset(producer, number).await;
        world.transactions.end(ID, producer, number % 2 == 1).await.expect("ended");
        world.check();
    }
    disk
}

#[tokio::test]
async fn a_crash_leaves_no_transaction_half_ended() {
    let disk = run().await;
    let rand = SeededRand::new(1);
    let mut replay = disk.replay();
    let (mut images, mut open_ones) = (0, 0);
    loop {
        for crash in Crash::ALL {
            let image = replay.image(crash, &rand);
            let clock = Arc::new(ManualClock::at_ms(1_000_000));
            let log = open(&SimDisk::from_image(&image), &clock);
            let Some(world) = World::over(log, clock) else { continue };
            images += 1;
            world.check();
            let found = world.transactions.describe(ID).expect("decodes");
            if found.is_none_or(|found| found.status != Status::Ongoing) {
                continue;
            }
            // What is open ends by its time, in the next process.
            open_ones += 1;
            world.clock.advance(std::time::Duration::from_secs(11));
            world.transactions.tick().await;
            for part in &world.parts {
                let ends = world.log.ends(*part).expect("there");
                assert_eq!(ends.stable, ends.high, "{part} is stuck");
            }
        }
        if !replay.step() {
            break;
        }
    }
    assert!(images > 100 && open_ones > 20, "{images} images, {open_ones} with an open one");
}
