//! A set that is cheap to add to: a sorted part, and what came since.
//!
//! Invariant: after [`Distinct::settle`] the items are sorted and each is there once, whatever
//! order they came in.

/// Below this many items nothing is sorted.
const UNSORTED_MIN: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct Distinct<T> {
    items: Vec<T>,
    sorted: usize,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { items: Vec::new(), sorted: 0 }
    }
}

impl<T: Ord + Copy> Distinct<T> {
    /// Takes items in any order.
    pub(crate) fn from_items(items: Vec<T>) -> Self {
        let mut set = Self { items, sorted: 0 };
        set.settle();
        set
    }

    /// Adds an item; true when the set settled, which it does each time it has doubled.
    pub(crate) fn push(&mut self, item: T) -> bool {
        self.items.push(item);
        let full = self.items.len() >= 2 * self.sorted.max(UNSORTED_MIN);
        if full {
            self.settle();
        }
        full
    }

    pub(crate) fn settle(&mut self) {
        if self.sorted < self.items.len() {
            self.items.sort_unstable();
            self.items.dedup();
            self.sorted = self.items.len();
        }
    }

    /// Settled: the distinct items in order.
    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    /// Keeps the smallest items of a settled set.
    pub(crate) fn truncate(&mut self, items: usize) {
        self.items.truncate(items);
        self.sorted = self.sorted.min(items);
    }

    pub(crate) fn heap(&self) -> usize {
        self.items.capacity() * size_of::<T>()
    }
}
