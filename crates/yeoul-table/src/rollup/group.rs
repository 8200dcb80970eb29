//! Which rows of some columns are equal.
//!
//! Invariant: groups are numbered in the order of their first rows; null equals null.

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::TableError;

/// The groups of some rows.
#[derive(Debug)]
pub(crate) struct Groups {
    /// The group of each row.
    pub(crate) of_rows: Vec<usize>,
    /// The first row of each group.
    pub(crate) first_rows: UInt32Array,
}

impl Groups {
    pub(crate) fn find(columns: &[ArrayRef]) -> Result<Self, TableError> {
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let rows = converter.convert_columns(columns)?;
        let mut table = Table::new(rows.num_rows());
        let mut of_rows = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            of_rows.push(table.group_of(&rows, row));
        }
        Ok(Self { of_rows, first_rows: UInt32Array::from(table.first_rows) })
    }

    pub(crate) fn count(&self) -> usize {
        self.first_rows.len()
    }
}

/// Open addressing; twice as many places as rows, so a free one is always near.
struct Table {
    hasher: RandomState,
    /// Group + 1 and some bits of its hash; 0 is free.
    places: Vec<(u32, u32)>,
    first_rows: Vec<u32>,
}

impl Table {
    fn new(rows: usize) -> Self {
        let places = vec![(0, 0); (rows * 2).next_power_of_two()];
        Self { hasher: RandomState::with_seeds(1, 2, 3, 4), places, first_rows: Vec::new() }
    }

    fn group_of(&mut self, rows: &Rows, row: usize) -> usize {
        let bytes = rows.row(row);
        let hash = self.hasher.hash_one(bytes.as_ref());
        let (tag, mask) = ((hash >> 32) as u32, self.places.len() - 1);
        let mut at = hash as usize & mask;
        loop {
            let Some(place) = self.places.get_mut(at) else { return 0 };
            let group = place.0 as usize;
            if group == 0 {
                self.first_rows.push(row as u32);
                *place = (self.first_rows.len() as u32, tag);
                return self.first_rows.len() - 1;
            }
            if place.1 == tag
                && let Some(first) = self.first_rows.get(group - 1)
                && rows.row(*first as usize) == bytes
            {
                return group - 1;
            }
            at = (at + 1) & mask;
        }
    }
}
