//! An accumulator of `yeoul-agg` as DataFusion drives it, for many groups or for one.
//!
//! Invariant: the state between two plans is one column of the aggregate's own states.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Float64Array, StringArray,
};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use yeoul_agg::{Aggregate, Input, sketches};

use super::failed;

/// What comes in.
#[derive(Debug, Clone)]
pub(super) enum Take {
    /// Raw values of this type; of text at most so many bytes are kept.
    Values {
        raw: DataType,
        text_bytes: Option<usize>,
    },
    States,
}

/// What goes out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish {
    Value,
    State,
    Quantile(f64),
}

#[derive(Debug)]
pub(super) struct Groups {
    aggregate: Aggregate,
    state: DataType,
    take: Take,
    finish: Finish,
    inner: Box<dyn yeoul_agg::Accumulator>,
}

impl Groups {
    pub(super) fn new(
        aggregate: Aggregate,
        state: DataType,
        take: Take,
        finish: Finish,
    ) -> Result<Self> {
        let inner = match &take {
            Take::Values { raw, .. } => aggregate.accumulator(Some(raw)),
            Take::States => aggregate.merger(&state),
        };
        Ok(Self { inner: inner.map_err(failed)?, aggregate, state, take, finish })
    }

    fn fresh(&self) -> Result<Self> {
        Self::new(self.aggregate, self.state.clone(), self.take.clone(), self.finish)
    }

    fn add(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        chosen: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let Some(first) = values.first() else {
            return exec_err!("{} without a value", self.aggregate);
        };
        let mut input = Arc::clone(first);
        let (mut times, mut records) = (None, None);
        if self.aggregate.needs_time() && matches!(self.take, Take::Values { .. }) {
            let Some(given) = values.get(1) else {
                return exec_err!("{} without a time", self.aggregate);
            };
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            times = Some(cast(given, &micros)?);
            if let [_, _, partitions, offsets, ..] = values
                && partitions.data_type() == &DataType::Int32
                && offsets.data_type() == &DataType::Int64
            {
                records = Some((Arc::clone(partitions), Arc::clone(offsets)));
            }
        }
        let kept = kept(chosen, times.as_ref(), input.len());
        let mut some_groups = Vec::new();
        let groups = match &kept {
            Some(kept) => {
                input = filter(&input, kept)?;
                times = times.map(|times| filter(&times, kept)).transpose()?;
                if let Some((partitions, offsets)) = &mut records {
                    (*partitions, *offsets) = (filter(partitions, kept)?, filter(offsets, kept)?);
                }
                let chosen = groups.iter().zip(kept.values()).filter(|(_, kept)| *kept);
                some_groups.extend(chosen.map(|(group, _)| *group));
                &some_groups
            }
            None => groups,
        };
        match &self.take {
            Take::States => {
                let states = cast(&input, &self.state)?;
                self.inner.merge(groups, total, &states).map_err(failed)
            }
            Take::Values { text_bytes, .. } => {
                if let Some(bytes) = text_bytes {
                    input = cut(&input, *bytes)?;
                }
                let times = times.as_ref().map(|times| {
                    let times = times.as_primitive::<TimestampMicrosecondType>();
                    times.values().as_ref()
                });
                let origin = records.as_ref().map(|(partitions, offsets)| {
                    let partitions = partitions.as_primitive::<Int32Type>().values().as_ref();
                    (partitions, offsets.as_primitive::<Int64Type>().values().as_ref())
                });
                let input = Input { values: Some(&input), times, origin };
                self.inner.update(groups, total, input).map_err(failed)
            }
        }
    }

    /// The first groups, taken out.
    fn taken(&mut self, emit: EmitTo) -> Result<Self> {
        let count = match emit {
            EmitTo::All => self.inner.groups(),
            EmitTo::First(count) => count.min(self.inner.groups()),
        };
        let mut taken = self.fresh()?;
        if count == self.inner.groups() {
            std::mem::swap(&mut taken.inner, &mut self.inner);
            return Ok(taken);
        }
        let first: Vec<usize> = (0..count).collect();
        let states = self.inner.state_of(&first).map_err(failed)?;
        taken.inner.merge(&first, count, &states).map_err(failed)?;
        self.inner.forget_first(count);
        Ok(taken)
    }

    fn finished(&mut self) -> Result<ArrayRef> {
        match self.finish {
            Finish::Value => self.inner.finish().map_err(failed),
            Finish::State => self.inner.state().map_err(failed),
            Finish::Quantile(rank) => {
                let states = self.inner.finish().map_err(failed)?;
                let quantile = |sketch: Option<&[u8]>| -> Result<Option<f64>> {
                    let Some(sketch) = sketch else { return Ok(None) };
                    let found = sketches::quantiles(sketch, &[rank]).map_err(failed)?;
                    Ok(found.and_then(|found| found.first().copied()))
                };
                let found = states.as_binary::<i32>().iter().map(quantile);
                Ok(Arc::new(found.collect::<Result<Float64Array>>()?))
            }
        }
    }
}

/// Rows that pass the filter and have a time; `None`: all.
fn kept(
    chosen: Option<&BooleanArray>,
    times: Option<&ArrayRef>,
    rows: usize,
) -> Option<BooleanArray> {
    let times = times.filter(|times| times.null_count() > 0);
    if chosen.is_none() && times.is_none() {
        return None;
    }
    let mut kept = BooleanBufferBuilder::new(rows);
    for row in 0..rows {
        let passes = chosen.is_none_or(|chosen| chosen.is_valid(row) && chosen.value(row));
        kept.append(passes && times.is_none_or(|times| times.is_valid(row)));
    }
    Some(BooleanArray::new(kept.finish(), None))
}

/// Texts with at most so many bytes, cut between characters.
fn cut(values: &ArrayRef, bytes: usize) -> Result<ArrayRef> {
    let text =
        matches!(values.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if !text {
        return Ok(Arc::clone(values));
    }
    let texts = cast(values, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    if texts.iter().flatten().all(|text| text.len() <= bytes) {
        return Ok(Arc::clone(values));
    }
    let short = |text: &'_ str| text.floor_char_boundary(bytes);
    let cut = texts.iter().map(|text| text.and_then(|text| text.get(..short(text))));
    Ok(Arc::new(cut.collect::<StringArray>()))
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        chosen: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.add(values, groups, chosen, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.taken(emit)?.finished()
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.taken(emit)?.inner.state().map_err(failed)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let [states] = values else { return exec_err!("one column of states is merged") };
        self.inner.merge(groups, total, states).map_err(failed)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        chosen: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |values| values.len());
        let own: Vec<usize> = (0..rows).collect();
        let mut each = self.fresh()?;
        each.add(values, &own, chosen, rows)?;
        Ok(vec![each.inner.state().map_err(failed)?])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size_bytes()
    }
}

/// The same for one group.
#[derive(Debug)]
pub(super) struct One(pub(super) Groups);

impl One {
    /// A group that nothing was added to has a state and a value, too.
    fn begin(&mut self) -> Result<()> {
        let none = arrow::array::new_empty_array(&self.0.state);
        self.0.inner.merge(&[], 1, &none).map_err(failed)
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; values.first().map_or(0, |values| values.len())];
        self.0.add(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.begin()?;
        ScalarValue::try_from_array(&self.0.finished()?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.inner.size_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.begin()?;
        let state = self.0.inner.state().map_err(failed)?;
        Ok(vec![ScalarValue::try_from_array(&state, 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states.first().map_or(0, |states| states.len())];
        GroupsAccumulator::merge_batch(&mut self.0, states, &groups, 1)
    }
}
