//! Many sketches of one kind, one per group.
//!
//! Invariant: what is not a sketch of the kind is an error before any group has changed by it.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::accumulator::{Accumulator, Input, check, missing};
use crate::error::AggError;

/// One kind of sketch.
pub(crate) trait Sketch: Clone + Debug + Send + Sync + 'static {
    const NAME: &'static str;
    /// What is added.
    type Item;

    /// Calls `each` with the row and the item of every value that counts.
    fn items(values: &ArrayRef, each: impl FnMut(usize, Self::Item)) -> Result<(), AggError>;
    fn offer(&mut self, item: Self::Item);
    fn merge(&mut self, bytes: &[u8]) -> Result<(), AggError>;
    /// In the form that does not depend on the order things came in, as far as there is one.
    fn to_bytes(&mut self) -> Vec<u8>;
    /// The finished values.
    fn finish(sketches: &mut [Self]) -> Result<ArrayRef, AggError>;
    /// Bytes on the heap.
    fn heap(&self) -> usize;
}

#[derive(Debug)]
pub(crate) struct Sketches<S> {
    empty: S,
    sketches: Vec<S>,
    heap: usize,
}

impl<S: Sketch> Sketches<S> {
    pub(crate) fn new(empty: S) -> Self {
        Self { empty, sketches: Vec::new(), heap: 0 }
    }

    fn grow(&mut self, total: usize) {
        if self.sketches.len() < total {
            self.sketches.resize(total, self.empty.clone());
        }
    }
}

impl<S: Sketch> Accumulator for Sketches<S> {
    fn update(&mut self, groups: &[usize], total: usize, input: Input<'_>) -> Result<(), AggError> {
        let values = input.values.ok_or_else(|| missing(S::NAME))?;
        check(groups, total, values.len())?;
        self.grow(total);
        let (sketches, heap) = (&mut self.sketches, &mut self.heap);
        S::items(values, |row, item| {
            if let Some(sketch) = groups.get(row).and_then(|group| sketches.get_mut(*group)) {
                *heap -= sketch.heap();
                sketch.offer(item);
                *heap += sketch.heap();
            }
        })
    }

    fn merge(&mut self, groups: &[usize], total: usize, array: &ArrayRef) -> Result<(), AggError> {
        check(groups, total, array.len())?;
        self.grow(total);
        let array = cast_binary::<S>(array)?;
        let states = array.as_binary::<i32>();
        for (group, state) in groups.iter().zip(states) {
            if let (Some(sketch), Some(state)) = (self.sketches.get_mut(*group), state) {
                self.heap -= sketch.heap();
                let merged = sketch.merge(state);
                self.heap += sketch.heap();
                merged?;
            }
        }
        Ok(())
    }

    fn state_of(&mut self, groups: &[usize]) -> Result<ArrayRef, AggError> {
        check(groups, self.sketches.len(), groups.len())?;
        let mut states = BinaryBuilder::new();
        for group in groups {
            if let Some(sketch) = self.sketches.get_mut(*group) {
                let before = sketch.heap();
                states.append_value(sketch.to_bytes());
                self.heap = self.heap + sketch.heap() - before;
            }
        }
        Ok(Arc::new(states.finish()))
    }

    fn finish(&mut self) -> Result<ArrayRef, AggError> {
        let finished = S::finish(&mut self.sketches);
        self.heap = self.sketches.iter().map(S::heap).sum();
        finished
    }

    fn forget_first(&mut self, groups: usize) {
        let gone = self.sketches.drain(..groups.min(self.sketches.len()));
        self.heap -= gone.map(|sketch| sketch.heap()).sum::<usize>();
    }

    fn groups(&self) -> usize {
        self.sketches.len()
    }

    fn size_bytes(&self) -> usize {
        self.sketches.capacity() * size_of::<S>() + self.heap
    }
}

fn cast_binary<S: Sketch>(array: &ArrayRef) -> Result<ArrayRef, AggError> {
    match array.data_type() {
        DataType::Binary => Ok(Arc::clone(array)),
        DataType::LargeBinary | DataType::BinaryView | DataType::Null => {
            Ok(cast(array, &DataType::Binary)?)
        }
        found => Err(AggError::State {
            aggregate: S::NAME.to_owned(),
            expected: DataType::Binary,
            found: found.clone(),
        }),
    }
}
