//! What can be asked of the bytes of one sketch, and of several together.
//!
//! All take bytes from anywhere: what is not a sketch of the kind is an error, found before
//! anything is allocated that the bytes do not hold.

use datasketches::common::NumStdDev;

use crate::error::AggError;
use crate::hll::Hll;
use crate::quantiles::Quantiles;
use crate::sketch::Sketch;
use crate::theta::Theta;

/// Distinct values of an HLL sketch, about.
pub fn hll_estimate(bytes: &[u8]) -> Result<f64, AggError> {
    Hll::read(bytes)?.estimate()
}

/// Estimate, lower and upper bound of an HLL sketch at one to three standard deviations.
pub fn hll_bounds(bytes: &[u8], deviations: u8) -> Result<[f64; 3], AggError> {
    let deviations = match deviations {
        1 => NumStdDev::One,
        2 => NumStdDev::Two,
        3 => NumStdDev::Three,
        other => {
            return Err(AggError::Argument(format!("one to three deviations, not {other}")));
        }
    };
    Hll::read(bytes)?.bounds(deviations)
}

/// One HLL sketch of several, with at most 2^`lg_k` registers.
pub fn hll_union(lg_k: u8, sketches: &[&[u8]]) -> Result<Vec<u8>, AggError> {
    crate::Aggregate::Hll { lg_k }.check()?;
    let mut union = Hll::new(lg_k);
    for sketch in sketches {
        union.merge(sketch)?;
    }
    Ok(union.to_bytes())
}

/// Distinct values of a theta sketch, about.
pub fn theta_estimate(bytes: &[u8]) -> Result<f64, AggError> {
    Ok(Theta::read(bytes)?.estimate())
}

/// A theta sketch of what any of these has, of at most 2^`lg_k` hashes.
pub fn theta_union(lg_k: u8, sketches: &[&[u8]]) -> Result<Vec<u8>, AggError> {
    crate::Aggregate::Theta { lg_k }.check()?;
    let mut union = Theta::new(lg_k);
    for sketch in sketches {
        union.merge(sketch)?;
    }
    Ok(union.to_bytes())
}

/// A theta sketch of what all of these have.
pub fn theta_intersect(sketches: &[&[u8]]) -> Result<Vec<u8>, AggError> {
    restrict(sketches, true)
}

/// A theta sketch of what the first has and none of the others.
pub fn theta_not(sketches: &[&[u8]]) -> Result<Vec<u8>, AggError> {
    restrict(sketches, false)
}

fn restrict(sketches: &[&[u8]], both: bool) -> Result<Vec<u8>, AggError> {
    let Some((first, others)) = sketches.split_first() else {
        return Err(AggError::Argument("no theta sketch was given".to_owned()));
    };
    let mut kept = Theta::read(first)?;
    for other in others {
        kept.restrict(&Theta::read(other)?, both);
    }
    Ok(kept.to_bytes())
}

/// The values at some ranks (0 to 1) of a quantiles sketch; `None` when it is empty.
pub fn quantiles(bytes: &[u8], ranks: &[f64]) -> Result<Option<Vec<f64>>, AggError> {
    if let Some(rank) = ranks.iter().find(|rank| !(0.0..=1.0).contains(*rank)) {
        return Err(AggError::Argument(format!("a rank is between 0 and 1, not {rank}")));
    }
    Ok(Quantiles::read(bytes)?.quantiles(ranks))
}

/// The share of a quantiles sketch's values that are not above `value`; `None` when it is empty.
pub fn quantiles_rank(bytes: &[u8], value: f64) -> Result<Option<f64>, AggError> {
    Ok(Quantiles::read(bytes)?.rank(value))
}

/// How many values a quantiles sketch has seen.
pub fn quantiles_count(bytes: &[u8]) -> Result<u64, AggError> {
    Ok(Quantiles::read(bytes)?.count())
}
