//! Theta sketches with the compact bytes of Apache DataSketches (serial version 3).
//!
//! A sketch keeps the smallest hashes of its values, at most 2^lg_k, and a bound (theta) below
//! which it has all. Settled, it holds exactly the smallest 2^lg_k hashes of all values that came,
//! by whatever way: so merges in any order give the same bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use crate::distinct::Distinct;
use crate::error::AggError;
use crate::hash;
use crate::read::Bytes;
use crate::sketch::Sketch;

/// Theta of a sketch that has seen few enough values to keep them all.
const THETA_MAX: u64 = i64::MAX as u64;
const SERIAL_VERSION: u8 = 3;
const FAMILY_COMPACT: u8 = 3;
const BIG_ENDIAN: u8 = 1;
const READ_ONLY: u8 = 2;
const EMPTY: u8 = 4;
const COMPACT: u8 = 8;
const ORDERED: u8 = 16;

/// A number that is equal for sketches whose hashes have the same seed.
fn seed_hash() -> u16 {
    (hash::hash(&hash::SEED.to_le_bytes(), 0).0 & 0xffff) as u16
}

#[derive(Debug, Clone)]
pub(crate) struct Theta {
    lg_k: u8,
    /// No value came yet; a sketch without hashes need not be.
    empty: bool,
    theta: u64,
    hashes: Distinct<u64>,
}

impl Theta {
    pub(crate) fn new(lg_k: u8) -> Self {
        Self { lg_k, empty: true, theta: THETA_MAX, hashes: Distinct::default() }
    }

    /// Reads bytes of a compact sketch of any size.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, AggError> {
        let mut input = Bytes::new("a theta sketch", bytes);
        let preamble = input.u8()? & 0x3f;
        let version = input.u8()?;
        let family = input.u8()?;
        let _lengths = input.u16()?;
        let flags = input.u8()?;
        let seed = input.u16()?;
        if version != SERIAL_VERSION || family != FAMILY_COMPACT || flags & BIG_ENDIAN != 0 {
            return Err(input.refuse(format!(
                "version {version}, family {family}; only compact sketches of version 3 are read"
            )));
        }
        let mut read = Self::new(21);
        if flags & EMPTY != 0 {
            return Ok(read);
        }
        if seed != seed_hash() {
            return Err(input.refuse("its hashes were made with another seed"));
        }
        let count = match preamble {
            1 => 1,
            2 | 3 => {
                let count = input.u32()?;
                input.u32()?;
                count as usize
            }
            other => return Err(input.refuse(format!("a preamble of {other} words"))),
        };
        if preamble == 3 {
            read.theta = input.u64()?;
        }
        let hashes = input.u64s(count)?;
        let in_range = |hash: &u64| *hash > 0 && *hash < read.theta;
        if read.theta == 0 || read.theta > THETA_MAX || !hashes.iter().all(in_range) {
            return Err(input.refuse("a hash or theta out of range"));
        }
        read.hashes = Distinct::from_items(hashes);
        read.empty = false;
        Ok(read)
    }

    fn add(&mut self, hash: u64) {
        if hash > 0 && hash < self.theta && self.hashes.push(hash) {
            self.trim();
        }
    }

    /// The hashes are settled.
    fn trim(&mut self) {
        let most = 1 << self.lg_k;
        if let Some(theta) = self.hashes.items().get(most) {
            self.theta = *theta;
            self.hashes.truncate(most);
        }
    }

    fn settle(&mut self) {
        self.hashes.settle();
        self.trim();
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.empty &= other.empty;
        if other.theta < self.theta {
            self.theta = other.theta;
            self.hashes.settle();
            let below = self.hashes.items().partition_point(|hash| *hash < self.theta);
            self.hashes.truncate(below);
        }
        for hash in other.hashes.items() {
            self.add(*hash);
        }
    }

    /// Keeps what both have, or with `both` false what the other has not.
    pub(crate) fn restrict(&mut self, other: &Self, both: bool) {
        self.settle();
        self.theta = self.theta.min(other.theta);
        if both {
            self.empty |= other.empty;
        }
        let theta = if self.empty { THETA_MAX } else { self.theta };
        let others = other.hashes.items();
        let kept = self.hashes.items().iter().copied().filter(|hash| {
            *hash < theta && others.binary_search(hash).is_ok() == both && !self.empty
        });
        self.hashes = Distinct::from_items(kept.collect());
        self.theta = theta;
    }

    pub(crate) fn estimate(&mut self) -> f64 {
        self.settle();
        self.hashes.items().len() as f64 / (self.theta as f64 / THETA_MAX as f64)
    }
}

impl Sketch for Theta {
    const NAME: &'static str = "theta";
    type Item = u64;

    fn items(values: &ArrayRef, mut each: impl FnMut(usize, u64)) -> Result<(), AggError> {
        hash::each(values, |row, hash| each(row, hash.0 >> 1))
    }

    fn offer(&mut self, hash: u64) {
        self.empty = false;
        self.add(hash);
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), AggError> {
        self.union(&Self::read(bytes)?);
        Ok(())
    }

    fn to_bytes(&mut self) -> Vec<u8> {
        self.settle();
        let hashes = self.hashes.items();
        let words: u8 = match hashes.len() {
            _ if self.empty => 1,
            _ if self.theta < THETA_MAX => 3,
            1 => 1,
            _ => 2,
        };
        let empty = if self.empty { EMPTY } else { 0 };
        let flags = READ_ONLY | COMPACT | ORDERED | empty;
        let mut out = Vec::with_capacity(24 + 8 * hashes.len());
        out.extend([words, SERIAL_VERSION, FAMILY_COMPACT, 0, 0, flags]);
        out.extend(seed_hash().to_le_bytes());
        if words > 1 {
            out.extend((hashes.len() as u32).to_le_bytes());
            out.extend(0_u32.to_le_bytes());
        }
        if words > 2 {
            out.extend(self.theta.to_le_bytes());
        }
        hashes.iter().for_each(|hash| out.extend(hash.to_le_bytes()));
        out
    }

    fn finish(sketches: &mut [Self]) -> Result<ArrayRef, AggError> {
        let counts = sketches.iter_mut().map(|sketch| Some(sketch.estimate().round() as i64));
        Ok(Arc::new(counts.collect::<Int64Array>()))
    }

    fn heap(&self) -> usize {
        self.hashes.heap()
    }
}
