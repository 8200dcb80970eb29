//! Randomness comes from outside, so that a seed replays.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random bits. Not for secrets.
pub trait Rand: Debug + Send + Sync {
    fn next_u64(&self) -> u64;

    /// A number below `bound`; 0 when `bound` is 0. The bias for small bounds is below 2⁻³².
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    fn bytes16(&self) -> [u8; 16] {
        let mut out = [0; 16];
        let (low, high) = out.split_at_mut(8);
        low.copy_from_slice(&self.next_u64().to_le_bytes());
        high.copy_from_slice(&self.next_u64().to_le_bytes());
        out
    }
}

/// Random bits seeded by the operating system once per process.
#[derive(Debug)]
pub struct OsRand(SeededRand);

impl OsRand {
    pub fn new() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // The standard library seeds this hasher from the operating system.
        let seed = RandomState::new().build_hasher().finish();
        Self(SeededRand::new(seed ^ u64::from(std::process::id()).rotate_left(32)))
    }
}

impl Default for OsRand {
    fn default() -> Self {
        Self::new()
    }
}

impl Rand for OsRand {
    fn next_u64(&self) -> u64 {
        self.0.next_u64()
    }
}

/// SplitMix64: small, fast, the same sequence for the same seed.
#[derive(Debug)]
pub struct SeededRand {
    state: AtomicU64,
}

impl SeededRand {
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }
}

impl Rand for SeededRand {
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
