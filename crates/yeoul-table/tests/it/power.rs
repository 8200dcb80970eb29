//! Power cuts: a table over the real log, both on the simulated disk, stopped after every action
//! and left in every state a file system may leave.
//!
//! Checked: what a seal reported is there, each record's row once, no file of the manifest is
//! damaged, and the table goes on from its position.

use std::sync::Arc;

use yeoul_base::disk::sim::{Action, Crash, Image};
use yeoul_base::{ManualClock, MemStore, Offset, SeededRand, SimDisk};
use yeoul_log::{Log, LogOptions};
use yeoul_table::{Table, TableSpec};

use super::{PART, columns, offsets, rows};

fn options() -> LogOptions {
    LogOptions {
        reserve_bytes: 0,
        slot_bytes: [16 << 10; 3],
        group_bytes: 16 << 10,
        checkpoint_bytes: 1 << 30,
        segment_bytes: 4 << 10,
        inline: true,
        ..LogOptions::default()
    }
}

fn open(disk: &SimDisk) -> (Log, Table) {
    let clock = Arc::new(ManualClock::at_ms(1_000));
    let disk = Arc::new(disk.clone());
    let rand = Arc::new(SeededRand::new(7));
    let (log, _) = Log::open(disk.clone(), clock.clone(), rand, options()).unwrap();
    let spec = TableSpec::new("films", "korean_movies", columns());
    let table = Table::open(Arc::new(log.clone()), disk, clock, spec).unwrap();
    (log, table)
}

/// Runs to the end; returns the disk and (journal length, sealed offset) after each seal.
fn run(disk: &SimDisk) -> Vec<(usize, Offset)> {
    let (log, table) = open(disk);
    let mut acked = vec![(disk.journal_len(), 0)];
    for round in 0..4 {
        table.append(rows(round * 50, round * 50 + 50)).unwrap();
        table.seal().unwrap();
        acked.push((disk.journal_len(), round * 50 + 50));
    }
    drop((table, log));
    acked
}

fn check(image: &Image, sealed: Offset, place: &str) {
    let disk = SimDisk::from_image(image);
    let (_log, table) = open(&disk);
    let next = table.next_offset(PART).unwrap_or(0);
    assert!(next >= sealed, "{place}: sealed up to {sealed}, found {next}");
    assert_eq!(offsets(&table.snapshot()), (0..next).collect::<Vec<_>>(), "{place}");
    assert_eq!(table.fates().used, next as u64, "{place}");
    table.append(rows(next, next + 10)).unwrap();
    table.seal().unwrap();
    assert_eq!(offsets(&table.snapshot()), (0..next + 10).collect::<Vec<_>>(), "{place}");
}

/// Every `every`-th action of the journal, so that a plain run takes seconds.
fn crash_everywhere(disk: &SimDisk, acked: &[(usize, Offset)], every: usize) {
    let rand = SeededRand::new(11);
    let mut replay = disk.replay();
    let mut checked = 0;
    while replay.step() {
        // Before the first action recorded there was no log to open.
        let Some((_, sealed)) = acked.iter().rev().find(|(at, _)| *at <= replay.at()) else {
            continue;
        };
        if !replay.at().is_multiple_of(every) {
            continue;
        }
        for crash in Crash::ALL {
            let place = format!("after {} of {} actions, {crash:?}", replay.at(), replay.len());
            check(&replay.image(crash, &rand), *sealed, &place);
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} crashes were looked at");
}

#[test]
fn a_power_cut_at_any_moment_neither_loses_nor_doubles_a_row() {
    let disk = SimDisk::new();
    let acked = run(&disk);
    crash_everywhere(&disk, &acked, 3);
}

/// The test of the test: with a store that is always durable, a table that does not sync its
/// files must be caught.
#[test]
fn a_forgotten_sync_is_noticed() {
    for forget in [None, Some(Action::Sync), Some(Action::SyncDir)] {
        let (disk, store) = (SimDisk::new(), MemStore::new());
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let open = |disk: &SimDisk| {
            let spec = TableSpec::new("films", "korean_movies", columns());
            let disk = Arc::new(disk.clone());
            Table::open(Arc::new(store.clone()), disk, clock.clone(), spec)
        };
        let table = open(&disk).unwrap();
        if let Some(action) = forget {
            disk.forget_syncs(action);
        }
        table.append(rows(0, 50)).unwrap();
        table.seal().unwrap();
        drop(table);
        let mut replay = disk.replay();
        while replay.step() {}
        let image = replay.image(Crash::PowerCut, &SeededRand::new(11));
        let found = open(&SimDisk::from_image(&image));
        let whole = found.is_ok_and(|table| table.damage().is_empty());
        assert_eq!(whole, forget.is_none(), "{forget:?}");
    }
}
