//! Records of one partition → rows of the table, letters for those that cannot be, and the fate
//! of each.
//!
//! Invariant: each record is used, filtered or dead, exactly one of them. An error of a batch is
//! narrowed down by halves until it is one record's own.

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Schema as ArrowSchema, TimestampMicrosecondType, UInt32Type};
use yeoul_base::{Append, Clock, Fates, PartId, Store};
use yeoul_format::{RowDecoder, RowOptions};
use yeoul_log::batch::{BatchBuilder, Codec, Record};
use yeoul_log::dead::{self, DeadLetter};
use yeoul_table::{RollupBy, Rows, TIME};

use super::reading::{From, Reading, TimeFrom};
use super::spec::TableIngest;
use super::time;
use crate::epoch::Step;
use crate::part::Part;

/// Dead letters are batched like rows.
const LETTERS_BYTES: usize = 512 << 10;

/// A record that could not be used: its place, at which stage, why.
pub(super) type Dead = (usize, &'static str, String);

/// Records of one partition → rows of the table.
pub(super) struct Converter<'a> {
    pub(super) spec: &'a TableIngest,
    pub(super) store: &'a dyn Store,
    pub(super) clock: &'a dyn Clock,
    pub(super) component: &'a str,
    pub(super) reading: &'a Reading,
}

/// Rows that are ready, with the places of their records.
#[derive(Debug, Default)]
pub(super) struct Made {
    batches: Vec<(RecordBatch, Vec<u32>)>,
    pub(super) dead: Vec<Dead>,
    filtered: u64,
}

impl Converter<'_> {
    pub(super) fn rows(&self, part: &Part, records: &[Record]) -> Result<Rows, Step> {
        let passed = part.passed();
        let mut made = self.make(records).map_err(Step::Failed)?;
        made.dead.sort_by_key(|(at, ..)| *at);
        let rows = made.joined(self.reading).map_err(|error| Step::Failed(error.to_string()))?;
        let offsets: Vec<_> = made
            .batches
            .iter()
            .flat_map(|(_, origins)| origins)
            .filter_map(|at| records.get(*at as usize).map(|record| record.offset))
            .collect();
        let used = offsets.len() as u64;
        let dead_count = made.dead.len() as u64 + passed.bad;
        let fates = Fates {
            read: records.len() as u64 + passed.bad + passed.skipped,
            used,
            filtered: made.filtered,
            dead: dead_count,
            aborted: passed.skipped,
            out: used,
            ..Fates::default()
        };
        Ok(Rows {
            part: part.id,
            partition: i32::try_from(part.number).unwrap_or(i32::MAX),
            from: part.at,
            next: passed.next,
            rows,
            offsets,
            fates,
            dead: if dead_count > 0 {
                self.letters(part, records, &made.dead)?
            } else {
                Vec::new()
            },
        })
    }

    /// Decodes, finds times, computes and filters.
    pub(super) fn make(&self, records: &[Record]) -> Result<Made, String> {
        let reading = self.reading;
        let options = RowOptions { rest: reading.rest, zone: self.spec.timezone };
        let mut decoder = RowDecoder::extracting(&reading.extracts, reading.strict, options);
        let mut origins: Vec<u32> = Vec::with_capacity(records.len());
        let mut made = Made::default();
        for (at, record) in (0u32..).zip(records) {
            let read = reading.value.read(record.value.as_deref());
            let pushed = read.and_then(|value| {
                decoder.push(value.as_deref()).map_err(|reason| reason.to_string())
            });
            match pushed {
                Ok(()) => origins.push(at),
                Err(reason) => made.dead.push((at as usize, "decode", reason)),
            }
        }
        let fields = decoder.finish().map_err(|error| error.to_string())?;
        let rows = self.with_times(fields, records, origins, &mut made)?;
        narrow(reading, rows, &mut made)?;
        Ok(made)
    }

    /// The input of the transforms: rows that have a time.
    fn with_times(
        &self,
        fields: RecordBatch,
        records: &[Record],
        origins: Vec<u32>,
        made: &mut Made,
    ) -> Result<(RecordBatch, UInt32Array), String> {
        let reading = self.reading;
        let (times, bad) = match reading.time_from {
            TimeFrom::Read(at) => reading.time.read(fields.column(at), &reading.reader)?,
            TimeFrom::Record | TimeFrom::Made(_) => {
                let stamps = origins.iter().filter_map(|at| records.get(*at as usize));
                time::of_records(stamps.map(|record| record.timestamp_ms))
            }
        };
        let all = made_of(reading, times, &fields)?;
        let origins = UInt32Array::from(origins);
        keep_timed(all, origins, bad, made)
    }

    fn letters(&self, part: &Part, records: &[Record], dead: &[Dead]) -> Result<Vec<Append>, Step> {
        let target = dead::partition(self.store, self.component)?;
        let now = self.clock.now_ms();
        let mut builder = BatchBuilder::new(Codec::None);
        let mut appends = Vec::new();
        let letter = |stage, reason, offset, key, value| DeadLetter {
            component: self.component,
            stage,
            reason,
            topic: Some(&part.topic),
            partition: Some(part.number),
            offset: Some(offset),
            key,
            value,
        };
        for (at, stage, reason) in dead {
            let Some(record) = records.get(*at) else { continue };
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            if builder.len_bytes() + value.map_or(0, <[u8]>::len) > LETTERS_BYTES {
                flush(target, &mut builder, &mut appends);
            }
            letter(stage, reason, record.offset, key, value).push(&mut builder, now);
        }
        if let Some(bad) = part.bad() {
            flush(target, &mut builder, &mut appends);
            letter("read", &bad.reason, bad.first_offset, None, Some(&bad.bytes))
                .push(&mut builder, now);
        }
        flush(target, &mut builder, &mut appends);
        Ok(appends)
    }
}

/// `__time` and what was read, as the transforms see it.
fn made_of(
    reading: &Reading,
    times: ArrayRef,
    fields: &RecordBatch,
) -> Result<RecordBatch, String> {
    let schema = fields.schema();
    let mut columns = vec![times];
    let read = schema.fields().iter().zip(fields.columns());
    columns.extend(read.filter(|(field, _)| field.name() != TIME).map(|(_, it)| Arc::clone(it)));
    batch(&reading.input, columns, fields.num_rows())
}

fn batch(
    schema: &Arc<ArrowSchema>,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, String> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| error.to_string())
}

/// Leaves out rows without a time; those are dead.
fn keep_timed(
    rows: RecordBatch,
    origins: UInt32Array,
    bad: Vec<(usize, String)>,
    made: &mut Made,
) -> Result<(RecordBatch, UInt32Array), String> {
    let times = rows.column(0);
    if times.null_count() == 0 {
        return Ok((rows, origins));
    }
    let keep: BooleanArray = (0..times.len()).map(|row| Some(times.is_valid(row))).collect();
    for (row, reason) in bad {
        if let Some(at) = origins.values().get(row)
            && times.is_null(row)
        {
            made.dead.push((*at as usize, "time", reason));
        }
    }
    kept(&rows, &origins, &keep)
}

fn kept(
    rows: &RecordBatch,
    origins: &UInt32Array,
    keep: &BooleanArray,
) -> Result<(RecordBatch, UInt32Array), String> {
    let told = |error: arrow::error::ArrowError| error.to_string();
    let rows = filter_record_batch(rows, keep).map_err(told)?;
    let origins = filter(origins, keep).map_err(told)?;
    Ok((rows, origins.as_primitive::<UInt32Type>().clone()))
}

/// Computes all rows; where that fails, each half of them.
fn narrow(
    reading: &Reading,
    (rows, origins): (RecordBatch, UInt32Array),
    made: &mut Made,
) -> Result<(), String> {
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let mut part = Made::default();
    let reason = match compute(reading, &rows, &origins, &mut part) {
        Ok(()) => {
            made.batches.append(&mut part.batches);
            made.dead.append(&mut part.dead);
            made.filtered += part.filtered;
            return Ok(());
        }
        Err(reason) => reason,
    };
    if rows.num_rows() == 1 {
        let at = origins.values().first().copied().unwrap_or_default();
        made.dead.push((at as usize, "row", reason));
        return Ok(());
    }
    let half = rows.num_rows() / 2;
    for (from, count) in [(0, half), (half, rows.num_rows() - half)] {
        narrow(reading, (rows.slice(from, count), origins.slice(from, count)), made)?;
    }
    Ok(())
}

/// Transforms, filter and metric inputs. An error may be one row's.
fn compute(
    reading: &Reading,
    rows: &RecordBatch,
    origins: &UInt32Array,
    made: &mut Made,
) -> Result<(), String> {
    let mut transformed = Vec::with_capacity(reading.transforms.len());
    for transform in &reading.transforms {
        let told = |error| format!("transform `{}`: {error}", transform.field.name());
        transformed.push(transform.run(rows).map_err(told)?);
    }
    let width = rows.num_columns();
    let column = |at: &usize| match at.checked_sub(width) {
        None => rows.columns().get(*at).cloned(),
        Some(made) => transformed.get(made).cloned(),
    };
    let mut columns: Vec<ArrayRef> = reading.made_from.iter().filter_map(column).collect();
    let mut bad = Vec::new();
    if let TimeFrom::Made(at) = reading.time_from
        && let (Some(times), Some(first)) = (transformed.get(at), columns.first_mut())
    {
        (*first, bad) = reading.time.read(times, &reading.reader)?;
    }
    let rows = batch(&reading.made, columns, rows.num_rows())?;
    let (mut rows, mut origins) = keep_timed(rows, origins.clone(), bad, made)?;
    if let Some(condition) = &reading.filter {
        let wanted = condition.run(&rows).map_err(|error| format!("`where`: {error}"))?;
        let wanted = match wanted.as_boolean() {
            plain if plain.null_count() == 0 => plain.clone(),
            with_nulls => prep_null_mask_filter(with_nulls),
        };
        made.filtered += (wanted.len() - wanted.true_count()) as u64;
        (rows, origins) = kept(&rows, &origins, &wanted)?;
    }
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let mut metrics = Vec::with_capacity(reading.metrics.len());
    for metric in &reading.metrics {
        let told = |error| format!("metric `{}`: {error}", metric.field.name());
        metrics.push(metric.run(&rows).map_err(told)?);
    }
    let mut columns = vec![rounded(reading, rows.column(0))];
    for from in &reading.appended_from {
        columns.extend(match from {
            From::Row(at) => rows.columns().get(*at).cloned(),
            From::Metric(at) => metrics.get(*at).cloned(),
        });
    }
    let appended = batch(&reading.appended, columns, rows.num_rows())?;
    made.batches.push((appended, origins.values().to_vec()));
    Ok(())
}

fn rounded(reading: &Reading, times: &ArrayRef) -> ArrayRef {
    let (by, interval) = reading.round;
    if by == RollupBy::None {
        return Arc::clone(times);
    }
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let rounded = times.unary::<_, TimestampMicrosecondType>(|time| by.floor(time, interval));
    Arc::new(rounded.with_timezone("UTC"))
}

impl Made {
    /// Rows with the places of their records.
    pub(super) fn batches(&self) -> impl Iterator<Item = (&RecordBatch, &[u32])> {
        self.batches.iter().map(|(batch, origins)| (batch, origins.as_slice()))
    }

    /// All rows in the order of their records.
    fn joined(&self, reading: &Reading) -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
        match self.batches.as_slice() {
            [] => Ok(None),
            [(only, _)] => Ok(Some(only.clone())),
            several => {
                let batches = several.iter().map(|(batch, _)| batch);
                arrow::compute::concat_batches(&reading.appended, batches).map(Some)
            }
        }
    }
}

fn flush(part: PartId, builder: &mut BatchBuilder, appends: &mut Vec<Append>) {
    if let Some(batch) = builder.finish() {
        appends.push(Append { part, batch });
    }
}
