//! The test of the tests: bugs planted one at a time must each be noticed, by crashing a few
//! dozen workloads or by the tests of faults. One that is not noticed means that the tester
//! looks away there.

use yeoul_base::SimDisk;
use yeoul_log::{Planted, plant};

use crate::calls;
use crate::crash::{self, Seen};
use crate::flips;
use crate::workload::{Workload, open};

/// Workloads until a bug must have been noticed.
const WORKLOADS: u64 = 96;
const IMAGES: usize = 120;

/// Planted for as long as it lives.
struct Bug;

impl Bug {
    fn new(bug: Planted) -> Self {
        plant(Some(bug));
        Self
    }
}

impl Drop for Bug {
    fn drop(&mut self) {
        plant(None);
    }
}

/// The workload and its crashes; the first thing that is not as it must be.
fn crashed(seed: u64) -> Result<(), String> {
    let mut workload = Workload::quick(seed);
    workload.run()?;
    crash::crash(&workload, seed, IMAGES, &mut Seen::default())
}

fn noticed(bug: Planted) -> Option<String> {
    let _planted = Bug::new(bug);
    match bug {
        Planted::SyncAgain | Planted::SegmentSyncAgain => {
            (0..8).find_map(|seed| calls::fail_each(seed, &mut calls::Counts::default()).err())
        }
        Planted::SkipDamaged | Planted::TrustSegments => {
            (0..8).find_map(|seed| flips::flip_many(seed, 400, &mut flips::Counts::default()).err())
        }
        _ => (0..WORKLOADS).find_map(|seed| crashed(seed).err()),
    }
}

#[test]
fn every_planted_bug_is_noticed() {
    // Without one all of it passes; else everything would be "noticed".
    assert_eq!((0..4).find_map(|seed| crashed(seed).err()), None);
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        match noticed(bug) {
            Some(how) => println!("{bug:?}: {}", how.chars().take(150).collect::<String>()),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
    assert!(open(&SimDisk::new()).is_ok());
}
