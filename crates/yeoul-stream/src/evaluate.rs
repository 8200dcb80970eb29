//! A batch of one topic's records through a plan: output rows with their keys, dead letters with
//! their reasons, and what became of every record.
//!
//! Invariant: each record is used, filtered or dead, exactly one of them. An error in a batch is
//! narrowed down by halves until it is one record's own, so a bad row never takes a good one
//! with it.

use arrow::datatypes::Schema;
use bytes::Bytes;
use serde_json::Value;
use yeoul_base::limits::MESSAGE_BYTES_DEFAULT;
use yeoul_format::RowEncoder;

use crate::input::{Decoded, Taken};
use crate::lookup::{LookupSet, Lookups};
use crate::operator::{Branch, EvalError, Flow, run};
use crate::plan::Plan;
use crate::spec::PlanError;

/// What all rows of one record may hold: with an epoch's own they must fit into one frame.
const RECORD_ROWS_BYTES_MAX: usize = 8 << 20;

/// A record that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Its place among the records given.
    pub origin: u32,
    /// `decode` or `row`.
    pub stage: &'static str,
    pub reason: String,
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutRow {
    /// The place of the record it was made from.
    pub origin: u32,
    /// `None`: the stream has no key, or its only column is null.
    pub key: Option<Bytes>,
    /// A JSON object.
    pub value: Bytes,
}

/// What one batch became.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// In the order of their origins.
    pub rows: Vec<OutRow>,
    /// In the order of their origins.
    pub dead: Vec<Dead>,
    /// Records looked at: fewer than given when `rows` reached its limit of bytes.
    pub records: u32,
    /// Records that made at least one row.
    pub used: u64,
    /// Records that made none and are not dead.
    pub filtered: u64,
}

impl Plan {
    /// Runs records of `topic` through the query without a store: for `check --rows` and tests.
    ///
    /// # Errors
    /// The plan does not read the topic, or a lookup is not loaded.
    pub fn run_batch(
        &self,
        topic: &str,
        records: &[Taken],
        lookups: &Lookups,
    ) -> Result<Evaluated, PlanError> {
        let source = self.sources.iter().position(|source| source.topic == topic);
        let source =
            source.ok_or_else(|| PlanError::new(format!("the query does not read `{topic}`")))?;
        let lookups = lookups.snapshot(&self.lookups);
        self.evaluate(source, records, &lookups, usize::MAX, MESSAGE_BYTES_DEFAULT)
            .map_err(PlanError::waiting)
    }

    /// `bytes_max`: rows are made until they hold so many bytes, at least those of one record.
    /// `row_bytes_max`: a record of which a row is larger is dead. The error is what the stream
    /// has to wait for.
    pub(crate) fn evaluate(
        &self,
        source: usize,
        records: &[Taken],
        lookups: &LookupSet,
        bytes_max: usize,
        row_bytes_max: usize,
    ) -> Result<Evaluated, String> {
        let Some(topic) = self.sources.get(source) else { return Ok(Evaluated::default()) };
        let branches: Vec<&Branch> =
            self.branches.iter().filter(|branch| branch.source == source).collect();
        let columns: Vec<usize> =
            branches.iter().flat_map(|branch| branch.columns.iter().copied()).collect();
        let decoded =
            Decoded::new(topic, records, &columns, self.zone).map_err(|error| error.to_string())?;
        let mut dead: Vec<Dead> = Vec::new();
        let mut flows = Vec::new();
        let mut starts = Vec::with_capacity(branches.len());
        for branch in &branches {
            starts.push(decoded.flow(&branch.columns).map_err(|error| error.to_string())?);
        }
        narrow(&branches, starts, lookups, &mut flows, &mut dead)?;
        let undecoded = decoded.dead.into_iter();
        dead.extend(undecoded.map(|(origin, reason)| Dead { origin, stage: "decode", reason }));
        let mut writer = Writer {
            out: Evaluated { dead, ..Evaluated::default() },
            bytes: 0,
            bytes_max,
            row_bytes_max,
        };
        writer.write(self, &flows, records.len());
        Ok(writer.out)
    }
}

/// Rows as records, cut behind the record whose rows reach `bytes_max`.
struct Writer {
    out: Evaluated,
    bytes: usize,
    bytes_max: usize,
    row_bytes_max: usize,
}

impl Writer {
    fn write(&mut self, plan: &Plan, flows: &[Flow], records: usize) {
        let places = |(flow, rows): (usize, &Flow)| {
            let origins = rows.origins.values().iter().zip(0usize..);
            origins.map(|(origin, row)| (*origin, flow, row)).collect::<Vec<_>>()
        };
        let mut order: Vec<_> = flows.iter().enumerate().flat_map(places).collect();
        order.sort_by_key(|(origin, ..)| *origin);
        let encoder = RowEncoder::new(&plan.arrow);
        let keys = KeyWriter::new(plan);
        self.out.records = u32::try_from(records).unwrap_or(u32::MAX);
        for rows in order.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some((origin, ..)) = rows.first().copied() else { continue };
            if self.bytes >= self.bytes_max {
                self.out.records = origin;
                break;
            }
            let from = self.out.rows.len();
            match self.record(rows, flows, &encoder, &keys) {
                Ok(()) => self.out.used += 1,
                Err(reason) => {
                    self.out.rows.truncate(from);
                    self.out.dead.push(Dead { origin, stage: "row", reason });
                }
            }
        }
        let records = self.out.records;
        self.out.dead.retain(|dead| dead.origin < records);
        self.out.dead.sort_by_key(|dead| dead.origin);
        self.out.filtered = u64::from(records) - self.out.used - self.out.dead.len() as u64;
    }

    /// All rows of one record, or none.
    fn record(
        &mut self,
        rows: &[(u32, usize, usize)],
        flows: &[Flow],
        encoder: &RowEncoder,
        keys: &KeyWriter<'_>,
    ) -> Result<(), String> {
        let mut all = 0;
        for (origin, flow, row) in rows {
            let Some(flow) = flows.get(*flow) else { continue };
            let mut value = Vec::with_capacity(128);
            encoder.encode(&flow.batch, *row, &mut value);
            let key = keys.key(&flow.batch, *row);
            let bytes = value.len() + key.as_ref().map_or(0, Bytes::len);
            if bytes > self.row_bytes_max {
                let most = self.row_bytes_max;
                return Err(format!("its row has {bytes} bytes, the output topic takes {most}"));
            }
            all += bytes;
            if all > RECORD_ROWS_BYTES_MAX {
                return Err(format!("its rows have more than {RECORD_ROWS_BYTES_MAX} bytes"));
            }
            self.out.rows.push(OutRow { origin: *origin, key, value: value.into() });
        }
        self.bytes += all;
        Ok(())
    }
}

/// Runs all branches over the rows; where that fails, over each half of them.
fn narrow(
    branches: &[&Branch],
    starts: Vec<Flow>,
    lookups: &LookupSet,
    flows: &mut Vec<Flow>,
    dead: &mut Vec<Dead>,
) -> Result<(), String> {
    let rows = starts.first().map_or(0, |flow| flow.origins.len());
    if rows == 0 {
        return Ok(());
    }
    let attempt = branches.iter().zip(&starts);
    let attempt = attempt.map(|(branch, flow)| run(&branch.operators, flow.clone(), lookups));
    let reason = match attempt.collect::<Result<Vec<_>, _>>() {
        Ok(made) => {
            flows.extend(made);
            return Ok(());
        }
        Err(EvalError::Wait(problem)) => return Err(problem),
        Err(EvalError::TooMany(limit)) => {
            format!("the record matches more than {limit} rows of a lookup")
        }
        Err(EvalError::Row(reason)) => reason,
    };
    if rows == 1 {
        let origin = starts.first().and_then(|flow| flow.origins.values().first().copied());
        dead.push(Dead { origin: origin.unwrap_or_default(), stage: "row", reason });
        return Ok(());
    }
    let half = rows / 2;
    for (from, count) in [(0, half), (half, rows - half)] {
        let part = |flow: &Flow| Flow {
            batch: flow.batch.slice(from, count),
            origins: flow.origins.slice(from, count),
        };
        narrow(branches, starts.iter().map(part).collect(), lookups, flows, dead)?;
    }
    Ok(())
}

/// Writes record keys.
struct KeyWriter<'a> {
    columns: &'a [usize],
    encoder: RowEncoder,
}

impl<'a> KeyWriter<'a> {
    fn new(plan: &'a Plan) -> Self {
        let columns = plan.key.iter().filter_map(|at| plan.arrow.fields().get(*at).cloned());
        let schema = Schema::new(columns.collect::<Vec<_>>());
        Self { columns: &plan.key, encoder: RowEncoder::new(&schema) }
    }

    /// One column: its text, as people read it. Several: a JSON array of them.
    fn key(&self, batch: &arrow::array::RecordBatch, row: usize) -> Option<Bytes> {
        if self.columns.is_empty() {
            return None;
        }
        let columns = batch.project(self.columns).ok()?;
        let mut text = Vec::new();
        self.encoder.encode(&columns, row, &mut text);
        let fields: serde_json::Map<String, Value> = serde_json::from_slice(&text).ok()?;
        let mut values = fields.into_iter().map(|(_, value)| value);
        if self.columns.len() > 1 {
            return Some(Value::Array(values.collect()).to_string().into());
        }
        match values.next()? {
            Value::Null => None,
            Value::String(text) => Some(text.into()),
            other => Some(other.to_string().into()),
        }
    }
}

/// Kafka's default partitioner: the same key goes where every Kafka client puts it.
pub(crate) fn partition_of(key: &[u8], partitions: usize) -> usize {
    let hash = murmur2(key) & 0x7fff_ffff;
    hash as usize % partitions.max(1)
}

fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ key.len() as u32;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word.wrapping_mul(M);
        let word = (word ^ word >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafkas_clients_put_them() {
        // Kafka's own test vectors of Utils.murmur2.
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
    }
}
