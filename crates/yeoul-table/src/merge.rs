//! One sorted stream of rows from many: what compaction writes.
//!
//! Invariant: of each input only the rows of one batch are in memory, and rows come out in the
//! order of their keys, those of equal keys in the order of the inputs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::row::Rows;

use crate::error::TableError;
use crate::sort::Order;

/// Rows of a batch that comes out, about.
const OUT_ROWS: usize = 8_192;

/// A sorted input.
pub(crate) type Run = Box<dyn Iterator<Item = Result<RecordBatch, TableError>>>;

/// Where an input stands. Compares the other way round: the heap gives the largest.
struct Cursor {
    run: usize,
    row: usize,
    keys: std::rc::Rc<Rows>,
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cursor {}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.keys.row(self.row), other.keys.row(other.row));
        theirs.cmp(&ours).then_with(|| other.run.cmp(&self.run))
    }
}

/// See the module's head.
pub(crate) struct Merge<'a> {
    order: &'a Order,
    runs: Vec<Run>,
    heap: BinaryHeap<Cursor>,
    /// Batches that rows of the next batch are taken from, by their number.
    batches: Vec<RecordBatch>,
    /// The number of each input's batch in `batches`.
    current: Vec<usize>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(order: &'a Order, runs: Vec<Run>) -> Result<Self, TableError> {
        let count = runs.len();
        let mut merge = Self {
            order,
            runs,
            heap: BinaryHeap::with_capacity(count),
            batches: Vec::new(),
            current: vec![0; count],
        };
        for run in 0..count {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    /// Takes the next batch of an input that has no row left.
    fn advance(&mut self, run: usize) -> Result<(), TableError> {
        while let Some(input) = self.runs.get_mut(run)
            && let Some(batch) = input.next()
        {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let keys = std::rc::Rc::new(self.order.keys(&batch)?);
            if let Some(current) = self.current.get_mut(run) {
                *current = self.batches.len();
            }
            self.batches.push(batch);
            self.heap.push(Cursor { run, row: 0, keys });
            break;
        }
        Ok(())
    }

    /// The next rows; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, TableError> {
        let mut picked = Vec::with_capacity(OUT_ROWS);
        while picked.len() < OUT_ROWS {
            let Some(mut top) = self.heap.peek_mut() else { break };
            let run = top.run;
            picked.push((self.current.get(run).copied().unwrap_or(0), top.row));
            top.row += 1;
            if top.row < top.keys.num_rows() {
                continue;
            }
            std::collections::binary_heap::PeekMut::pop(top);
            self.advance(run)?;
        }
        if picked.is_empty() {
            return Ok(None);
        }
        let inputs: Vec<&RecordBatch> = self.batches.iter().collect();
        let out = interleave_record_batch(&inputs, &picked)?;
        self.forget();
        Ok(Some(out))
    }

    /// Lets go of batches whose rows are all out.
    fn forget(&mut self) {
        let mut kept = Vec::with_capacity(self.runs.len());
        for cursor in &self.heap {
            let Some(at) = self.current.get_mut(cursor.run) else { continue };
            if let Some(batch) = self.batches.get(*at) {
                *at = kept.len();
                kept.push(batch.clone());
            }
        }
        self.batches = kept;
    }
}
