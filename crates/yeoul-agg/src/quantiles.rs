//! Classic quantiles sketches of doubles with the compact bytes of Apache DataSketches (serial
//! version 3), which Druid's `quantilesDoublesSketch` is.
//!
//! The last values (fewer than 2k) are kept as they came; level i holds nothing or k sorted
//! values, each for 2^(i+1) of those that came. When 2k values meet on a level, every other one
//! goes up. Which half goes is decided by a hash of the count and the level, not by chance: the
//! same steps give the same sketch. Other merges of the same values give other ones, within the
//! error.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::Float64Type;

use crate::aggregate::Kind;
use crate::error::AggError;
use crate::hash;
use crate::read::Bytes;
use crate::sketch::Sketch;
use crate::value::normal;

const SERIAL_VERSION: u8 = 3;
const FAMILY_QUANTILES: u8 = 8;
const BIG_ENDIAN: u8 = 1;
const EMPTY: u8 = 4;
const COMPACT: u8 = 8;
const SORTED: u8 = 16;
/// So that no weight or count overflows.
const COUNT_MAX: u64 = 1 << 48;

#[derive(Debug, Clone)]
pub(crate) struct Quantiles {
    k: u16,
    count: u64,
    min: f64,
    max: f64,
    base: Vec<f64>,
    levels: Vec<Vec<f64>>,
}

/// Every `step`-th value, from `start` on.
fn every(values: &[f64], start: usize, step: usize) -> Vec<f64> {
    values.iter().copied().skip(start).step_by(step).collect()
}

impl Quantiles {
    pub(crate) fn new(k: u16) -> Self {
        let (base, levels) = (Vec::new(), Vec::new());
        Self { k, count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, base, levels }
    }

    fn width(&self) -> usize {
        2 * usize::from(self.k)
    }

    /// A number below `bound` that depends on what the sketch has seen.
    fn pick(&self, level: usize, bound: usize) -> usize {
        let seed = hash::hash(&self.count.to_le_bytes(), level as u64).0;
        (seed % bound as u64) as usize
    }

    fn add(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.count += 1;
        self.base.push(value);
        if self.base.len() == self.width() {
            let mut base = std::mem::take(&mut self.base);
            base.sort_unstable_by(f64::total_cmp);
            let half = every(&base, self.pick(0, 2), 2);
            base.clear();
            self.base = base;
            self.carry(0, half);
        }
    }

    /// Puts k sorted values on a level, and up as long as it is taken.
    fn carry(&mut self, mut level: usize, mut values: Vec<f64>) {
        loop {
            if self.levels.len() <= level {
                self.levels.resize(level + 1, Vec::new());
            }
            let start = self.pick(level + 1, 2);
            let Some(place) = self.levels.get_mut(level) else { return };
            if place.is_empty() {
                *place = values;
                return;
            }
            values.append(place);
            // Two sorted runs: this finds and merges them.
            values.sort_by(f64::total_cmp);
            values = every(&values, start, 2);
            level += 1;
        }
    }

    pub(crate) fn union(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if other.k < self.k {
            let mut smaller = Self::new(other.k);
            smaller.absorb(self);
            *self = smaller;
        }
        self.absorb(other);
    }

    /// `other` has the same k or a multiple of it.
    fn absorb(&mut self, other: &Self) {
        for value in &other.base {
            self.add(*value);
        }
        let factor = usize::from(other.k / self.k);
        let lift = factor.trailing_zeros() as usize;
        for (level, values) in other.levels.iter().enumerate().filter(|(_, v)| !v.is_empty()) {
            let start = self.pick(level, factor);
            self.carry(level + lift, every(values, start, factor));
            self.count += (self.width() as u64) << (level + lift);
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Reads bytes of a compact sketch.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, AggError> {
        let mut input = Bytes::new("a quantiles sketch of doubles", bytes);
        let _preamble = input.u8()?;
        let version = input.u8()?;
        let family = input.u8()?;
        let flags = input.u8()?;
        let k = input.u16()?;
        let _unused = input.u16()?;
        if version != SERIAL_VERSION || family != FAMILY_QUANTILES || flags & BIG_ENDIAN != 0 {
            return Err(input.refuse(format!("version {version}, family {family}")));
        }
        if !k.is_power_of_two() || !(2..=32_768).contains(&k) {
            return Err(input.refuse(format!("k is {k}")));
        }
        let mut read = Self::new(k);
        if flags & EMPTY != 0 {
            return Ok(read);
        }
        read.count = input.u64()?;
        if read.count == 0 || read.count >= COUNT_MAX || flags & COMPACT == 0 {
            return Err(input.refuse(format!("{} values, flags {flags}", read.count)));
        }
        read.min = input.f64()?;
        read.max = input.f64()?;
        let width = read.width() as u64;
        read.base = input.f64s((read.count % width) as usize)?;
        let mut taken = read.count / width;
        while taken > 0 {
            let values = if taken & 1 == 1 { input.f64s(usize::from(k))? } else { Vec::new() };
            if !values.is_sorted() {
                return Err(input.refuse("a level is not sorted"));
            }
            read.levels.push(values);
            taken >>= 1;
        }
        let in_range = |value: &f64| *value >= read.min && *value <= read.max;
        if !read.base.iter().chain(read.levels.iter().flatten()).all(in_range) {
            return Err(input.refuse("a value outside of its smallest and largest"));
        }
        Ok(read)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Values and the number each stands for, in order.
    fn weighted(&self) -> Vec<(f64, u64)> {
        let base = self.base.iter().map(|value| (*value, 1));
        let levels = self.levels.iter().enumerate();
        let levels = levels.flat_map(|(level, v)| v.iter().map(move |v| (*v, 2_u64 << level)));
        let mut all: Vec<_> = base.chain(levels).collect();
        all.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        all
    }

    /// The smallest kept value that at least the share `rank` of all is not above, for each rank;
    /// `None` when no value came. Ranks are clamped to 0..=1.
    pub(crate) fn quantiles(&self, ranks: &[f64]) -> Option<Vec<f64>> {
        if self.count == 0 {
            return None;
        }
        let all = self.weighted();
        let mut sum = 0;
        let sums: Vec<u64> = all
            .iter()
            .map(|(_, weight)| {
                sum += weight;
                sum
            })
            .collect();
        let quantile = |rank: &f64| {
            if *rank <= 0.0 {
                return self.min;
            }
            let wanted = (rank * self.count as f64).ceil() as u64;
            let at = sums.partition_point(|sum| *sum < wanted);
            all.get(at).filter(|_| *rank < 1.0).map_or(self.max, |(value, _)| *value)
        };
        Some(ranks.iter().map(quantile).collect())
    }

    /// The share of values that are not above `value`; `None` when no value came.
    pub(crate) fn rank(&self, value: f64) -> Option<f64> {
        let below =
            self.weighted().iter().filter(|(kept, _)| *kept <= value).map(|(_, n)| n).sum::<u64>();
        (self.count > 0).then(|| below as f64 / self.count as f64)
    }
}

impl Sketch for Quantiles {
    const NAME: &'static str = "quantiles";
    type Item = f64;

    fn items(values: &ArrayRef, mut each: impl FnMut(usize, f64)) -> Result<(), AggError> {
        let values = normal(values, Kind::Double)?;
        for (row, value) in values.as_primitive::<Float64Type>().iter().enumerate() {
            if let Some(value) = value.filter(|value| !value.is_nan()) {
                each(row, value);
            }
        }
        Ok(())
    }

    fn offer(&mut self, value: f64) {
        self.add(value);
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), AggError> {
        let other = Self::read(bytes)?;
        if self.count + other.count >= COUNT_MAX {
            let sketch = "a quantiles sketch of doubles";
            return Err(AggError::Sketch { sketch, what: "too many values in all".to_owned() });
        }
        self.union(&other);
        Ok(())
    }

    fn to_bytes(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + 8 * self.base.len());
        let empty = self.count == 0;
        let flags = COMPACT | SORTED | if empty { EMPTY } else { 0 };
        out.extend([if empty { 1 } else { 2 }, SERIAL_VERSION, FAMILY_QUANTILES, flags]);
        out.extend(self.k.to_le_bytes());
        out.extend([0, 0]);
        if empty {
            return out;
        }
        self.base.sort_unstable_by(f64::total_cmp);
        out.extend(self.count.to_le_bytes());
        let bounds = [self.min, self.max];
        let values = bounds.iter().chain(&self.base).chain(self.levels.iter().flatten());
        values.for_each(|value| out.extend(value.to_le_bytes()));
        out
    }

    fn finish(sketches: &mut [Self]) -> Result<ArrayRef, AggError> {
        let bytes = sketches.iter_mut().map(|sketch| Some(sketch.to_bytes()));
        Ok(Arc::new(bytes.collect::<BinaryArray>()))
    }

    fn heap(&self) -> usize {
        // A level is empty or has k values.
        let levels = self.levels.iter().map(Vec::capacity).sum::<usize>();
        (self.base.capacity() + levels) * size_of::<f64>()
            + self.levels.capacity() * size_of::<Vec<f64>>()
    }
}
