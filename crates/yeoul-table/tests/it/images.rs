//! Every crash of a whole life: records in the log, a table fed by them, its seals, compaction,
//! retention, a redo that is given up, one that is switched in, a drop. After each action on the
//! one simulated disk, in every state a crash may leave, the log and the table are opened again
//! and fed to the end.
//!
//! Checked: the rows are the topic's records, each once; no file is there that no fact names, and
//! none is missing; what is being made again goes on or starts anew.

mod plant;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yeoul_base::disk::sim::{Crash, Image};
use yeoul_base::{
    Append, Commit, Disk, ManualClock, NewTopic, Offset, PartId, SeededRand, SimDisk, Store,
};
use yeoul_log::batch::{BatchBuilder, Codec};
use yeoul_log::{Log, LogOptions};
use yeoul_table::{Redo, Table, TableError, TableSpec, stored_tables};

use super::{columns, offsets, rows};
use plant::{Plant, PlantedDisk, PlantedStore};

const TOPIC: &str = "korean_movies";
/// Of a `rows` hour each: a day.
const EACH: i64 = 24;
const KEEP_DAYS: u64 = 6;

fn options() -> LogOptions {
    LogOptions {
        reserve_bytes: 0,
        slot_bytes: [64 << 10; 3],
        group_bytes: 16 << 10,
        checkpoint_bytes: 1 << 30,
        segment_bytes: 64 << 10,
        inline: true,
        ..LogOptions::default()
    }
}

/// What runs on one disk.
struct Node {
    store: Arc<dyn Store>,
    table: Table,
    part: PartId,
    clock: Arc<ManualClock>,
}

impl Node {
    fn open(disk: &SimDisk, plant: Option<Plant>, retention: bool) -> Result<Self, TableError> {
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let rand = Arc::new(SeededRand::new(7));
        let (log, _) = Log::open(Arc::new(disk.clone()), clock.clone(), rand, options()).unwrap();
        let (store, disk): (Arc<dyn Store>, Arc<dyn Disk>) = match plant {
            Some(plant) => (
                Arc::new(PlantedStore::new(Arc::new(log), disk.clone(), plant)),
                Arc::new(PlantedDisk::new(disk.clone(), plant)),
            ),
            None => (Arc::new(log), Arc::new(disk.clone())),
        };
        let topic = match store.topics().get(TOPIC) {
            Some(topic) => Arc::clone(topic),
            None => store
                .create_topic(NewTopic {
                    name: TOPIC.into(),
                    partitions: 1,
                    config: Default::default(),
                })
                .unwrap(),
        };
        let mut spec = TableSpec::new("films", TOPIC, columns());
        if retention {
            spec.retention = Some(std::time::Duration::from_secs(KEEP_DAYS * 86_400));
        }
        let table = Table::open(Arc::clone(&store), disk, clock.clone(), spec)?;
        Ok(Self { store, table, part: topic.partitions[0], clock })
    }

    fn end(&self) -> Offset {
        self.store.ends(self.part).unwrap().high
    }

    /// `EACH` records more.
    fn put(&self) {
        let mut batch = BatchBuilder::new(Codec::None);
        for _ in 0..EACH {
            batch.push(1_000, None, Some(b"x"), &[]);
        }
        let appends = vec![Append { part: self.part, batch: batch.finish().unwrap() }];
        self.store.commit(Commit { appends, ..Commit::default() }).unwrap();
    }

    /// Everything up to `end` into `table`. What a row holds follows from its record's offset.
    fn feed(&self, table: &Table, end: Offset) {
        let from = table.next_offset(self.part).unwrap_or(0);
        if from < end {
            let mut input = rows(from, end);
            input.part = self.part;
            table.append(input).unwrap();
        }
    }

    fn finish(&self, redo: &Redo) {
        self.feed(&redo.table, self.end());
        self.table.finish_redo(redo, &[self.part]).unwrap();
    }
}

/// A whole life; returns how long the journal was when each record was acknowledged.
fn live(disk: &SimDisk, plant: Option<Plant>, retention: bool) -> Vec<(usize, Offset)> {
    let node = Node::open(disk, plant, retention).unwrap();
    let mut acked = vec![(disk.journal_len(), 0)];
    let mut put = |node: &Node| {
        node.put();
        acked.push((disk.journal_len(), node.end()));
        node.feed(&node.table, node.end());
    };
    for _ in 0..8 {
        put(&node);
        node.table.seal().unwrap();
    }
    put(&node);
    node.table.compact(&|| false).unwrap().unwrap();
    if retention {
        node.clock.advance(std::time::Duration::from_secs(14 * 86_400));
        node.table.seal().unwrap();
        assert!(node.table.apply_retention().unwrap() > 0);
        return acked;
    }
    // Given up after a part of it is sealed.
    let redo = node.table.begin_redo(false).unwrap();
    node.feed(&redo.table, 3 * EACH);
    redo.table.seal().unwrap();
    node.table.cancel_redo(redo).unwrap();
    // Switched in, while the table goes on.
    let mut redo = node.table.begin_redo(false).unwrap();
    for day in 1..9 {
        node.feed(&redo.table, day * EACH);
        redo.table.seal().unwrap();
    }
    redo.table.compact(&|| false).unwrap().unwrap();
    put(&node);
    node.table.seal().unwrap();
    node.table.confirm_redo(&mut redo).unwrap();
    node.finish(&redo);
    put(&node);
    node.table.seal().unwrap();
    // Dropped, and fed from the start again as a restart would.
    node.table.drop_all().unwrap();
    drop((redo, node));
    acked.push((disk.journal_len(), 11 * EACH));
    acked
}

fn files(disk: &SimDisk) -> BTreeSet<PathBuf> {
    let folder = Path::new("tables/films");
    disk.image().files.into_keys().filter(|path| path.starts_with(folder)).collect()
}

fn named(tables: &[&Table]) -> BTreeSet<PathBuf> {
    let snapshots = tables.iter().map(|table| table.snapshot());
    let segments = snapshots.flat_map(|it| it.segments.iter().cloned().collect::<Vec<_>>());
    segments.map(|segment| segment.path().to_owned()).collect()
}

/// Opens what a crash left; what is wrong with it.
fn judge(image: &Image, acked: Offset, retention: bool) -> Result<(), String> {
    let disk = SimDisk::from_image(image);
    let node = Node::open(&disk, None, retention).map_err(|error| error.to_string())?;
    let redo = node.table.resume_redo().map_err(|error| error.to_string())?;
    let tables: Vec<&Table> =
        std::iter::once(&node.table).chain(redo.as_ref().map(|redo| redo.table.as_ref())).collect();
    same("files and facts", &files(&disk), &named(&tables))?;
    if node.end() < acked {
        return Err(format!("{acked} records were acknowledged, {} are there", node.end()));
    }
    let wanted: Vec<Offset> = (0..node.end()).collect();
    let expect = |table: &Table, what: &str| {
        let mut found = offsets(&table.snapshot());
        if retention {
            // Whole days at the start may be gone, and nothing else.
            let gone = found.first().map_or(0, |first| first / EACH * EACH);
            let mut all: Vec<_> = (0..gone).collect();
            all.append(&mut found);
            found = all;
        }
        same(what, &found, &wanted)
    };
    node.feed(&node.table, node.end());
    expect(&node.table, "rows after a restart")?;
    if node.table.fates().used != node.end() as u64 {
        return Err(format!("{:?} of {} records", node.table.fates(), node.end()));
    }
    if let Some(redo) = redo {
        node.finish(&redo);
        drop(redo);
        expect(&node.table, "rows made again")?;
    }
    node.table.seal().map_err(|error| error.to_string())?;
    same("files in the end", &files(&disk), &named(&[&node.table]))?;
    let stored = stored_tables(node.store.as_ref()).map_err(|error| error.to_string())?;
    let names: Vec<_> = stored.iter().map(|table| table.name.as_str()).collect();
    same("tables", &names, &if node.end() > 0 { vec!["films"] } else { vec![] })?;
    drop(node);
    // Once more, as nothing is hidden in memory.
    let node = Node::open(&disk, None, retention).map_err(|error| error.to_string())?;
    same("positions", &node.table.next_offset(node.part).unwrap_or(0), &node.end())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}, wanted {wanted:?}")) }
}

/// How many images were judged, and what was wrong with the first that was.
fn crash_everywhere(
    disk: &SimDisk,
    acked: &[(usize, Offset)],
    every: usize,
    retention: bool,
) -> (usize, Option<String>) {
    let rand = SeededRand::new(11);
    let mut replay = disk.replay();
    let mut judged = 0;
    while replay.step() {
        let at = replay.at();
        // Before the first action recorded there was no log to open.
        let Some((_, acked)) = acked.iter().rev().find(|(then, _)| *then <= at) else { continue };
        if !at.is_multiple_of(every) {
            continue;
        }
        for crash in Crash::ALL {
            let image = replay.image(crash, &rand);
            judged += 1;
            let verdict = std::panic::catch_unwind(|| judge(&image, *acked, retention))
                .unwrap_or_else(|_| Err("it panicked".into()));
            if let Err(what) = verdict {
                let place = format!("after {at} of {} actions, {crash:?}: {what}", replay.len());
                return (judged, Some(place));
            }
        }
    }
    (judged, None)
}

/// How many of the actions a plain run looks at; all with `YEOUL_CRASH_EVERY=1`.
fn every(usual: usize) -> usize {
    let set = std::env::var("YEOUL_CRASH_EVERY").ok();
    set.and_then(|every| every.parse().ok()).unwrap_or(usual)
}

#[test]
fn no_crash_loses_or_doubles_a_row_or_leaves_a_file() {
    for retention in [false, true] {
        let disk = SimDisk::new();
        let acked = live(&disk, None, retention);
        let (judged, wrong) = crash_everywhere(&disk, &acked, every(3), retention);
        println!("{judged} crash images, retention {retention}, {} actions", disk.journal_len());
        assert_eq!(wrong, None);
        assert!(judged > 50, "only {judged}");
    }
}

/// The test of the test: each of these mistakes must show in some image.
#[test]
fn planted_mistakes_are_noticed() {
    for plant in Plant::ALL {
        let disk = SimDisk::new();
        let retention = plant == Plant::DeleteBeforeCommit;
        let acked = live(&disk, Some(plant), retention);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let (judged, wrong) = crash_everywhere(&disk, &acked, 1, retention);
        std::panic::set_hook(hook);
        println!("{plant:?}: {judged} images, {wrong:?}");
        assert!(wrong.is_some(), "{plant:?} went unnoticed in {judged} images");
    }
}
