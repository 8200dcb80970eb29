//! Answers kept while nothing that they were made of changed.
//!
//! Invariant: an answer is found only by the same plan (literals, zone and row limit included)
//! over the same tables in the same generation, and only when the plan gives the same rows each
//! time it runs. A table's generation grows before whoever appended hears of it; so nobody who
//! knows of a row gets an answer without it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

use crate::catalog::DRUID;
use crate::engine::Planned;
use crate::options::QueryOptions;

/// Of all answers together.
const BYTES_MAX: usize = 32 << 20;
/// Of one: what a page shows, not what somebody exports.
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// A plan, its key and what the maps take, about.
const ENTRY_BYTES: usize = 16 << 10;

/// One state of a table, and of no other in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TableState {
    /// Of the table as it was opened.
    pub(crate) serial: u64,
    pub(crate) generation: u64,
}

/// What an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AnswerKey {
    plan: LogicalPlan,
    inputs: Vec<(String, TableState)>,
    zone: Option<String>,
    max_rows: usize,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) truncated: bool,
}

/// What an answer of this plan would be kept under; `None`: it may be another one next time.
pub(crate) fn key(planned: &Planned, options: &QueryOptions) -> Option<AnswerKey> {
    if !options.kept_answers {
        return None;
    }
    if matches!(planned.plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) {
        return None;
    }
    let mut inputs = Vec::with_capacity(planned.inputs.len());
    for found in planned.inputs.values() {
        if found.schema != DRUID {
            return None;
        }
        inputs.push((found.name.clone(), found.state?));
    }
    inputs.sort_by(|a, b| a.0.cmp(&b.0));
    if inputs.is_empty() || !same_each_time(&planned.plan) {
        return None;
    }
    let zone = planned.state.config().options().execution.time_zone.clone();
    Some(AnswerKey { plan: planned.plan.clone(), inputs, zone, max_rows: options.max_rows })
}

/// Whether no function of the plan looks at the clock or rolls dice.
fn same_each_time(plan: &LogicalPlan) -> bool {
    let mut same = true;
    let looked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let steady = match expr {
                    Expr::ScalarFunction(call) => {
                        call.func.signature().volatility == Volatility::Immutable
                    }
                    Expr::Placeholder(_) => false,
                    _ => true,
                };
                same &= steady;
                Ok(if same { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })
        })
    });
    looked.is_ok() && same
}

/// The answers of an engine; the ones used longest ago go first.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Arc<AnswerKey>, Entry>,
    /// When used → key.
    uses: BTreeMap<u64, Arc<AnswerKey>>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<Answer>,
    used: u64,
    bytes: usize,
}

impl Answers {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &AnswerKey) -> Option<Arc<Answer>> {
        self.kept().get(key)
    }

    /// Keeps an answer when it is small.
    pub(crate) fn put(&self, key: AnswerKey, answer: Answer) {
        let bytes = bytes_of(&answer.batches);
        if bytes <= ENTRY_BYTES_MAX {
            self.kept().put(key, answer, bytes + ENTRY_BYTES);
        }
    }
}

/// Whether so many bytes may still become an answer that is kept.
pub(crate) fn is_small(batches: &[RecordBatch]) -> bool {
    bytes_of(batches) <= ENTRY_BYTES_MAX
}

fn bytes_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

impl Kept {
    fn get(&mut self, key: &AnswerKey) -> Option<Arc<Answer>> {
        let entry = self.entries.get_mut(key)?;
        let name = self.uses.remove(&entry.used)?;
        self.clock += 1;
        entry.used = self.clock;
        self.uses.insert(self.clock, name);
        Some(Arc::clone(&entry.answer))
    }

    fn put(&mut self, key: AnswerKey, answer: Answer, bytes: usize) {
        self.remove(&key);
        self.clock += 1;
        let key = Arc::new(key);
        self.uses.insert(self.clock, Arc::clone(&key));
        let entry = Entry { answer: Arc::new(answer), used: self.clock, bytes };
        self.entries.insert(key, entry);
        self.bytes += bytes;
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.uses.first_key_value()
        {
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &AnswerKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.uses.remove(&entry.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};

    use super::*;

    fn key(number: i64, generation: u64) -> AnswerKey {
        let plan = LogicalPlanBuilder::empty(true).project([lit(number)]).unwrap().build().unwrap();
        let inputs = vec![("t".to_owned(), TableState { serial: 1, generation })];
        AnswerKey { plan, inputs, zone: None, max_rows: 10 }
    }

    fn answer(rows: usize) -> Answer {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
        let batch = RecordBatch::try_from_iter([("n", values)]).unwrap();
        Answer { schema: batch.schema(), batches: vec![batch], truncated: false }
    }

    #[test]
    fn an_answer_is_found_by_its_plan_and_generation_alone() {
        let answers = Answers::default();
        answers.put(key(1, 1), answer(1));
        assert!(answers.get(&key(1, 1)).is_some());
        assert!(answers.get(&key(1, 2)).is_none());
        assert!(answers.get(&key(2, 1)).is_none());
        let other_zone = AnswerKey { zone: Some("Asia/Seoul".into()), ..key(1, 1) };
        assert!(answers.get(&other_zone).is_none());
    }

    #[test]
    fn the_budget_holds_and_large_answers_are_not_kept() {
        let answers = Answers::default();
        answers.put(key(0, 0), answer(ENTRY_BYTES_MAX / 8 + 1));
        assert!(answers.get(&key(0, 0)).is_none());
        for number in 0..200 {
            answers.put(key(number, 0), answer(100_000));
            assert!(answers.get(&key(0, 0)).is_some(), "used each time");
            assert!(answers.kept().bytes <= BYTES_MAX);
        }
        let kept = answers.kept();
        assert!(kept.entries.len() < 50 && kept.entries.len() == kept.uses.len());
    }
}
