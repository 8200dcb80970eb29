//! Counts and sums.
//!
//! Invariant: a sum of no value is null, a count of none is 0. Long sums and counts wrap at 64
//! bits: wrapping is associative, so any split gives the same sum; refusing or saturating is not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::compute::take;

use crate::accumulator::{Accumulator, Input, check, indices, missing};
use crate::error::AggError;
use crate::value::{Value, normal};

fn states<'a, V: Value>(array: &'a ArrayRef, aggregate: &str) -> Result<&'a V::Array, AggError> {
    V::array(array).ok_or_else(|| AggError::State {
        aggregate: aggregate.to_owned(),
        expected: V::KIND.data_type(),
        found: array.data_type().clone(),
    })
}

#[derive(Debug, Default)]
pub(crate) struct Count {
    counts: Vec<i64>,
}

impl Count {
    fn add(&mut self, group: usize, more: i64) {
        if let Some(count) = self.counts.get_mut(group) {
            *count = count.wrapping_add(more);
        }
    }
}

impl Accumulator for Count {
    fn update(&mut self, groups: &[usize], total: usize, input: Input<'_>) -> Result<(), AggError> {
        check(groups, total, input.values.map_or(groups.len(), |values| values.len()))?;
        self.counts.resize(total.max(self.counts.len()), 0);
        match input.values.and_then(|values| values.logical_nulls()) {
            None => groups.iter().for_each(|group| self.add(*group, 1)),
            Some(nulls) => {
                for (group, valid) in groups.iter().zip(nulls.iter()) {
                    self.add(*group, i64::from(valid));
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[usize], total: usize, array: &ArrayRef) -> Result<(), AggError> {
        check(groups, total, array.len())?;
        self.counts.resize(total.max(self.counts.len()), 0);
        let counts = states::<i64>(array, "count")?;
        for (group, count) in groups.iter().zip(counts) {
            self.add(*group, count.unwrap_or(0));
        }
        Ok(())
    }

    fn state_of(&mut self, groups: &[usize]) -> Result<ArrayRef, AggError> {
        let indices = indices(groups, self.counts.len())?;
        Ok(take(&Int64Array::from(self.counts.clone()), &indices, None)?)
    }

    fn finish(&mut self) -> Result<ArrayRef, AggError> {
        Ok(Arc::new(Int64Array::from(self.counts.clone())))
    }

    fn state(&mut self) -> Result<ArrayRef, AggError> {
        self.finish()
    }

    fn forget_first(&mut self, groups: usize) {
        self.counts.drain(..groups.min(self.counts.len()));
    }

    fn groups(&self) -> usize {
        self.counts.len()
    }

    fn size_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}

/// A number that can be summed.
pub(crate) trait Addend: Value + Copy + Default {
    fn plus(self, more: Self) -> Self;
}

impl Addend for i64 {
    fn plus(self, more: Self) -> Self {
        self.wrapping_add(more)
    }
}

impl Addend for f64 {
    fn plus(self, more: Self) -> Self {
        self + more
    }
}

#[derive(Debug, Default)]
pub(crate) struct Sum<V> {
    sums: Vec<Option<V>>,
}

pub(crate) type SumLong = Sum<i64>;
pub(crate) type SumDouble = Sum<f64>;

impl<V: Addend> Sum<V> {
    fn add_all(
        &mut self,
        groups: &[usize],
        total: usize,
        array: &ArrayRef,
    ) -> Result<(), AggError> {
        check(groups, total, array.len())?;
        self.sums.resize(total.max(self.sums.len()), None);
        let values = states::<V>(array, "sum")?;
        for (index, group) in groups.iter().enumerate() {
            if values.is_valid(index)
                && let Some(sum) = self.sums.get_mut(*group)
            {
                *sum = Some(sum.unwrap_or_default().plus(V::get(values, index)));
            }
        }
        Ok(())
    }
}

impl<V: Addend> Accumulator for Sum<V> {
    fn update(&mut self, groups: &[usize], total: usize, input: Input<'_>) -> Result<(), AggError> {
        let values = input.values.ok_or_else(|| missing("sum"))?;
        self.add_all(groups, total, &normal(values, V::KIND)?)
    }

    fn merge(&mut self, groups: &[usize], total: usize, array: &ArrayRef) -> Result<(), AggError> {
        self.add_all(groups, total, array)
    }

    fn state_of(&mut self, groups: &[usize]) -> Result<ArrayRef, AggError> {
        check(groups, self.sums.len(), groups.len())?;
        let sums = groups.iter().map(|group| self.sums.get(*group).and_then(Option::as_ref));
        Ok(V::build(sums))
    }

    fn finish(&mut self) -> Result<ArrayRef, AggError> {
        Ok(V::build(self.sums.iter().map(Option::as_ref)))
    }

    fn state(&mut self) -> Result<ArrayRef, AggError> {
        self.finish()
    }

    fn forget_first(&mut self, groups: usize) {
        self.sums.drain(..groups.min(self.sums.len()));
    }

    fn groups(&self) -> usize {
        self.sums.len()
    }

    fn size_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Option<V>>()
    }
}
