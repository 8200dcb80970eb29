//! Which files are chosen, over thousands of seals without a byte written.

use super::*;
use crate::spec::CompactLimits;
use yeoul_base::{Rand, SeededRand};

/// Files as compaction would leave them, without any bytes.
struct World {
    files: Vec<SegmentMeta>,
    next: u64,
    sealed_rows: u64,
    written_rows: u64,
    most_files: usize,
    limits: CompactLimits,
}

impl World {
    fn new() -> Self {
        let limits = CompactLimits::default();
        let files = Vec::new();
        Self { files, next: 1, sealed_rows: 0, written_rows: 0, most_files: 0, limits }
    }

    fn add(&mut self, rows: u64, min_us: i64, max_us: i64) {
        let id = SegmentId(self.next);
        self.next += 1;
        let bytes = 4_000 + 20 * rows;
        self.files.push(SegmentMeta {
            id,
            rows,
            bytes,
            min_us,
            max_us,
            tail_bytes: bytes,
            tail_crc: 0,
        });
    }

    /// Folds until nothing is left to do, cutting as often as it is allowed.
    fn settle(&mut self) {
        let mut steps = 0;
        while let Some(ids) =
            choose(self.files.iter().copied(), &HashSet::new(), None, &self.limits)
        {
            steps += 1;
            assert!(steps < 10_000, "compaction does not come to an end");
            let (folded, kept): (Vec<_>, Vec<_>) =
                self.files.iter().partition(|meta| ids.contains(&meta.id));
            self.files = kept;
            let rows: u64 = folded.iter().map(|meta| meta.rows).sum();
            assert!(rows <= self.limits.rows, "a file larger than allowed");
            let min = folded.iter().map(|meta| meta.min_us).min().unwrap();
            let max = folded.iter().map(|meta| meta.max_us).max().unwrap();
            let pieces = (rows / piece_rows_min(folded.len(), rows, &self.limits)).max(1);
            assert!(pieces as usize <= (folded.len() / 4).max(1));
            self.written_rows += rows;
            let step = (max - min) / pieces as i64;
            for piece in 0..pieces {
                let from = min + step * piece as i64;
                let share = rows / pieces + u64::from(piece < rows % pieces);
                self.add(share, from, if piece + 1 == pieces { max } else { from + step });
            }
        }
    }

    fn seal(&mut self, rows: u64, min_us: i64, max_us: i64) {
        self.sealed_rows += rows;
        self.add(rows, min_us, max_us);
        self.settle();
        self.most_files = self.most_files.max(self.files.len());
    }

    fn amplification(&self) -> f64 {
        self.written_rows as f64 / self.sealed_rows as f64
    }
}

const MINUTE_US: i64 = 60_000_000;
const YEARS_US: i64 = 500_000_000_000_000;

#[test]
fn a_row_is_written_again_at_most_twice_a_tier_and_files_stay_few() {
    let rand = SeededRand::new(3);
    for (name, rows, wide) in [
        ("a trickle", 3, false),
        ("a minute a file", 5_000, false),
        ("full seals", 1_000_000, false),
        ("any day at any time", 5_000, true),
        ("full seals of any day", 1_000_000, true),
    ] {
        let mut world = World::new();
        let seals = if rows > 100_000 { 300 } else { 6_000 };
        for seal in 0..seals {
            let at = if wide { rand.below(YEARS_US as u64 / 2) as i64 } else { seal * MINUTE_US };
            let span = if wide { YEARS_US / 2 } else { MINUTE_US - 1 };
            world.seal(rows + rand.below(rows), at, at + span);
        }
        let tiers = f64::from(tier(world.limits.rows)) + 1.0;
        let amplification = world.amplification();
        assert!(amplification <= 2.0 * tiers, "{name}: {amplification}");
        let full = (world.sealed_rows / (world.limits.rows / 32)) as usize;
        assert!(world.files.len() <= full + 56, "{name}: {} files", world.files.len());
    }
}

#[test]
fn a_backlog_skips_tiers() {
    let mut world = World::new();
    for seal in 0..1_440 {
        world.sealed_rows += 2_000;
        world.add(2_000, seal * MINUTE_US, (seal + 1) * MINUTE_US - 1);
    }
    world.settle();
    assert!(world.amplification() <= 2.0, "{}", world.amplification());
    assert!(world.files.len() < 40, "{} files", world.files.len());
}

#[test]
fn what_is_full_unfit_or_about_to_go_is_left_alone() {
    let mut world = World::new();
    for at in 0..20 {
        world.add(100, at * 10, at * 10 + 9);
    }
    let all: HashSet<_> = world.files.iter().map(|meta| meta.id).collect();
    let chosen =
        |unfit: &HashSet<_>, from| choose(world.files.iter().copied(), unfit, from, &world.limits);
    assert_eq!(chosen(&HashSet::new(), None).unwrap().len(), 20);
    assert_eq!(chosen(&all, None), None);
    assert_eq!(chosen(&HashSet::new(), Some(100)).unwrap().len(), 10);
    assert_eq!(chosen(&HashSet::new(), Some(130)), None, "seven are not worth it");
    let small = CompactLimits { rows: 100, ..world.limits };
    assert_eq!(choose(world.files.iter().copied(), &HashSet::new(), None, &small), None);
}

#[test]
fn neighbours_in_time_are_folded_rather_than_strangers() {
    let mut world = World::new();
    for at in 0..8 {
        world.add(100, at * YEARS_US / 8, at * YEARS_US / 8 + 1);
    }
    world.limits.rows = 800;
    for at in 0..8 {
        world.add(100, 1_000 + at, 1_000 + at);
    }
    let ids = choose(world.files.iter().copied(), &HashSet::new(), None, &world.limits).unwrap();
    let near = ids.iter().filter(|id| id.0 > 8).count();
    assert!(near >= 7, "{ids:?}");
}
