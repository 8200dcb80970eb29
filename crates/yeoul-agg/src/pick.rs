//! Aggregates that keep one of their values: the smallest, the largest, the first, the last.
//!
//! Invariant: which value is kept depends on the values (and their times and records) only, never
//! on the order they came in.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};

use crate::accumulator::{Accumulator, Input, check, missing};
use crate::aggregate::timed_fields;
use crate::error::AggError;
use crate::value::{Value, normal};

/// Which one stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Smallest,
    Largest,
}

impl Keep {
    fn replaces(self, new_to_old: Ordering) -> bool {
        match self {
            Self::Smallest => new_to_old == Ordering::Less,
            Self::Largest => new_to_old == Ordering::Greater,
        }
    }

    fn timed_name(self) -> &'static str {
        match self {
            Self::Smallest => "first",
            Self::Largest => "last",
        }
    }
}

fn wrong_state(aggregate: &str, expected: DataType, array: &ArrayRef) -> AggError {
    let found = array.data_type().clone();
    AggError::State { aggregate: aggregate.to_owned(), expected, found }
}

/// Smallest or largest values.
#[derive(Debug)]
pub(crate) struct Picks<V> {
    keep: Keep,
    picks: Vec<Option<V>>,
    heap: usize,
}

impl<V: Value> Picks<V> {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, picks: Vec::new(), heap: 0 }
    }

    fn add_all(
        &mut self,
        groups: &[usize],
        total: usize,
        array: &ArrayRef,
    ) -> Result<(), AggError> {
        check(groups, total, array.len())?;
        self.picks.resize(total.max(self.picks.len()), None);
        let values =
            V::array(array).ok_or_else(|| wrong_state("min or max", V::KIND.data_type(), array))?;
        for (index, group) in groups.iter().enumerate() {
            let Some(pick) = self.picks.get_mut(*group).filter(|_| values.is_valid(index)) else {
                continue;
            };
            let better = pick
                .as_ref()
                .is_none_or(|old| self.keep.replaces(V::compare_at(values, index, old)));
            if better {
                self.heap -= pick.as_ref().map_or(0, V::heap);
                let new = pick.insert(V::get(values, index));
                self.heap += new.heap();
            }
        }
        Ok(())
    }
}

impl<V: Value> Accumulator for Picks<V> {
    fn update(&mut self, groups: &[usize], total: usize, input: Input<'_>) -> Result<(), AggError> {
        let values = input.values.ok_or_else(|| missing("min or max"))?;
        self.add_all(groups, total, &normal(values, V::KIND)?)
    }

    fn merge(&mut self, groups: &[usize], total: usize, array: &ArrayRef) -> Result<(), AggError> {
        self.add_all(groups, total, array)
    }

    fn state_of(&mut self, groups: &[usize]) -> Result<ArrayRef, AggError> {
        check(groups, self.picks.len(), groups.len())?;
        let picks = groups.iter().map(|group| self.picks.get(*group).and_then(Option::as_ref));
        Ok(V::build(picks))
    }

    fn finish(&mut self) -> Result<ArrayRef, AggError> {
        Ok(V::build(self.picks.iter().map(Option::as_ref)))
    }

    fn forget_first(&mut self, groups: usize) {
        let gone = self.picks.drain(..groups.min(self.picks.len()));
        self.heap -= gone.map(|pick| pick.as_ref().map_or(0, V::heap)).sum::<usize>();
    }

    fn groups(&self) -> usize {
        self.picks.len()
    }

    fn size_bytes(&self) -> usize {
        self.picks.capacity() * size_of::<Option<V>>() + self.heap
    }
}

/// When a value was: time, then partition and offset of its record.
type Moment = (i64, i32, i64);

/// Values at the smallest or largest time.
#[derive(Debug)]
pub(crate) struct TimedPicks<V> {
    keep: Keep,
    picks: Vec<Option<(Moment, Option<V>)>>,
    heap: usize,
}

impl<V: Value> TimedPicks<V> {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, picks: Vec::new(), heap: 0 }
    }

    /// Whether the value at `index` takes the place of `old`. Null is the smallest value.
    fn better(
        &self,
        moment: Moment,
        values: &V::Array,
        index: usize,
        old: &(Moment, Option<V>),
    ) -> bool {
        let by_value = || match (values.is_valid(index), &old.1) {
            (true, Some(old)) => V::compare_at(values, index, old),
            (new, old) => new.cmp(&old.is_some()),
        };
        self.keep.replaces(moment.cmp(&old.0).then_with(by_value))
    }

    fn offer(&mut self, group: usize, moment: Moment, values: &V::Array, index: usize) {
        let better = match self.picks.get(group) {
            Some(Some(old)) => self.better(moment, values, index, old),
            Some(None) => true,
            None => false,
        };
        if better && let Some(pick) = self.picks.get_mut(group) {
            let value = values.is_valid(index).then(|| V::get(values, index));
            self.heap += value.as_ref().map_or(0, V::heap);
            let old = pick.replace((moment, value)).and_then(|(_, old)| old);
            self.heap -= old.as_ref().map_or(0, V::heap);
        }
    }

    fn build(&self, picks: &[Option<&(Moment, Option<V>)>]) -> Result<ArrayRef, AggError> {
        let moments = || picks.iter().map(|pick| pick.map_or((0, 0, 0), |(moment, _)| *moment));
        let times: TimestampMicrosecondArray = moments().map(|moment| Some(moment.0)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(times.with_timezone("UTC")),
            Arc::new(moments().map(|moment| Some(moment.1)).collect::<Int32Array>()),
            Arc::new(moments().map(|moment| Some(moment.2)).collect::<Int64Array>()),
            V::build(picks.iter().map(|pick| pick.and_then(|(_, value)| value.as_ref()))),
        ];
        let nulls = NullBuffer::from_iter(picks.iter().map(Option::is_some));
        let fields = timed_fields(V::KIND.data_type());
        Ok(Arc::new(StructArray::try_new(fields, columns, Some(nulls))?))
    }
}

impl<V: Value> Accumulator for TimedPicks<V> {
    fn update(&mut self, groups: &[usize], total: usize, input: Input<'_>) -> Result<(), AggError> {
        let name = self.keep.timed_name();
        let array = normal(input.values.ok_or_else(|| missing(name))?, V::KIND)?;
        let times = input.times.ok_or_else(|| AggError::Argument(format!("{name} needs times")))?;
        check(groups, total, array.len())?;
        check(groups, total, times.len())?;
        if let Some((partitions, offsets)) = input.origin {
            check(groups, total, partitions.len())?;
            check(groups, total, offsets.len())?;
        }
        self.picks.resize(total.max(self.picks.len()), None);
        let values =
            V::array(&array).ok_or_else(|| wrong_state(name, V::KIND.data_type(), &array))?;
        let (partitions, offsets) = input.origin.unwrap_or((&[], &[]));
        for (index, (group, time)) in groups.iter().zip(times).enumerate() {
            let partition = partitions.get(index).copied().unwrap_or(0);
            let offset = offsets.get(index).copied().unwrap_or(0);
            self.offer(*group, (*time, partition, offset), values, index);
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[usize], total: usize, array: &ArrayRef) -> Result<(), AggError> {
        check(groups, total, array.len())?;
        self.picks.resize(total.max(self.picks.len()), None);
        let expected = || DataType::Struct(timed_fields(V::KIND.data_type()));
        let wrong = || wrong_state(self.keep.timed_name(), expected(), array);
        let parts = array.as_struct_opt().ok_or_else(wrong)?;
        let [times, partitions, offsets, values] = parts.columns() else { return Err(wrong()) };
        let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
        let partitions = partitions.as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
        let offsets = offsets.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let values = V::array(values).ok_or_else(wrong)?;
        for (index, group) in groups.iter().enumerate() {
            if parts.is_valid(index) {
                let moment = (times.value(index), partitions.value(index), offsets.value(index));
                self.offer(*group, moment, values, index);
            }
        }
        Ok(())
    }

    fn state_of(&mut self, groups: &[usize]) -> Result<ArrayRef, AggError> {
        check(groups, self.picks.len(), groups.len())?;
        let picks: Vec<_> =
            groups.iter().map(|group| self.picks.get(*group).and_then(Option::as_ref)).collect();
        self.build(&picks)
    }

    fn finish(&mut self) -> Result<ArrayRef, AggError> {
        let values = self.picks.iter().map(|pick| pick.as_ref().and_then(|pick| pick.1.as_ref()));
        Ok(V::build(values))
    }

    fn forget_first(&mut self, groups: usize) {
        let gone = self.picks.drain(..groups.min(self.picks.len()));
        let heap = |pick: Option<(Moment, Option<V>)>| {
            pick.and_then(|(_, value)| value).as_ref().map_or(0, V::heap)
        };
        self.heap -= gone.map(heap).sum::<usize>();
    }

    fn groups(&self) -> usize {
        self.picks.len()
    }

    fn size_bytes(&self) -> usize {
        self.picks.capacity() * size_of::<Option<(Moment, Option<V>)>>() + self.heap
    }
}
