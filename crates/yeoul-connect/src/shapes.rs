//! Made-up records in true shapes: each a function of a seed and a number, so that the same
//! record comes out whenever it is asked for. All words here are our own.

pub mod bikes;
pub mod heartrate;
pub mod movies;

use yeoul_base::{Rand, SeededRand};
use yeoul_format::{Columns, Origin, Schema};

use crate::config::Shape;

/// Choices that depend on the seed and two numbers only.
fn dice(seed: u64, a: u64, b: u64) -> SeededRand {
    let first = SeededRand::new(seed ^ a.wrapping_mul(0xd6e8_feb8_6659_fd93)).next_u64();
    SeededRand::new(first ^ b.wrapping_mul(0xa076_1d64_78bd_642f))
}

fn pick<'a>(dice: &SeededRand, words: &[&'a str]) -> &'a str {
    let at = dice.below(words.len() as u64) as usize;
    words.get(at).copied().unwrap_or_default()
}

/// The columns of such records.
pub(crate) fn columns(shape: Shape) -> Columns {
    let ddl = match shape {
        Shape::Bikes => bikes::COLUMNS,
        Shape::Movies => movies::COLUMNS,
        Shape::Heartrate => heartrate::COLUMNS,
    };
    // The texts are constants of this crate and a test parses each.
    Columns::parse(ddl).unwrap_or_default()
}

/// What a topic of such records holds.
pub(crate) fn schema(shape: Shape) -> Schema {
    Schema::new(columns(shape).into_vec(), Origin::Decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_its_columns() {
        assert_eq!(schema(Shape::Bikes).columns.len(), 8);
        assert_eq!(schema(Shape::Movies).columns.len(), 6);
        assert_eq!(schema(Shape::Heartrate).columns.len(), 3);
    }
}
