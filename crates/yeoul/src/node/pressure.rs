//! How pressed the node is: queries wait or are refused before ingestion suffers.
//!
//! Invariant: looking costs nothing; the sampler decides twice a second.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use yeoul_sql::{Pressed, Pressure};

/// Samples in a row in which tables fell further behind.
const GROWING: u32 = 4;
/// Records that tables may be behind without anybody waiting.
const LAG_MIN: u64 = 20_000;
/// Parts of a hundred of the machine's memory that are left.
const WAIT_BELOW: u64 = 5;
const REFUSE_BELOW: u64 = 2;

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    level: AtomicU8,
    lag: Mutex<Lag>,
}

#[derive(Debug, Default)]
struct Lag {
    last: u64,
    growing: u32,
}

impl Lag {
    /// Whether tables fall behind: a backfill is far behind too, but gets nearer.
    fn falls_behind(&mut self, lag: u64) -> bool {
        self.growing = if lag > self.last && lag > LAG_MIN { self.growing + 1 } else { 0 };
        self.last = lag;
        self.growing >= GROWING
    }
}

impl Gauge {
    /// `lag`: records that all tables together are behind; `memory`: what the machine has left,
    /// in parts of a hundred.
    pub(crate) fn sample(&self, lag: u64, memory: Option<u64>) {
        let behind = self.lag.lock().unwrap_or_else(PoisonError::into_inner).falls_behind(lag);
        let level = match memory {
            Some(left) if left < REFUSE_BELOW => 2,
            Some(left) if left < WAIT_BELOW => 1,
            _ => u8::from(behind),
        };
        if self.level.swap(level, Ordering::AcqRel) < level {
            tracing::warn!(lag, ?memory, "queries wait: ingestion needs the machine");
        }
    }
}

impl Pressure for Gauge {
    fn pressed(&self) -> Pressed {
        match self.level.load(Ordering::Acquire) {
            0 => Pressed::No,
            1 => Pressed::Wait,
            _ => Pressed::Refuse,
        }
    }
}

/// What the machine has left of its memory, in parts of a hundred, where it says so.
pub(crate) fn memory_left() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(text: &str) -> Option<u64> {
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    number("MemAvailable:")?.saturating_mul(100).checked_div(number("MemTotal:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_falls_behind_holds_queries_and_one_that_catches_up_does_not() {
        let gauge = Gauge::default();
        for lag in (1..=9).rev() {
            gauge.sample(lag * 1_000_000, Some(50));
            assert_eq!(gauge.pressed(), Pressed::No, "a backfill");
        }
        for lag in 1..=3 {
            gauge.sample(2_000_000 + lag, Some(50));
            assert_eq!(gauge.pressed(), Pressed::No);
        }
        gauge.sample(3_000_000, Some(50));
        assert_eq!(gauge.pressed(), Pressed::Wait);
        gauge.sample(2_900_000, Some(50));
        assert_eq!(gauge.pressed(), Pressed::No);
    }

    #[test]
    fn memory_that_ends_holds_and_then_refuses_queries() {
        let gauge = Gauge::default();
        for (left, pressed) in
            [(Some(4), Pressed::Wait), (Some(1), Pressed::Refuse), (None, Pressed::No)]
        {
            gauge.sample(0, left);
            assert_eq!(gauge.pressed(), pressed);
        }
        let text = "MemTotal:       2000 kB\nMemFree: 1 kB\nMemAvailable:    500 kB\n";
        assert_eq!(parse(text), Some(25));
        assert_eq!(parse("nothing"), None);
    }
}
