//! What a table would make of records, without a table: for previews.

use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Clock, MemStore, Store, SystemClock, TopicId, TopicInfo};
use yeoul_format::{RowEncoder, infer};
use yeoul_log::batch::Record;

use super::convert::Converter;
use super::reading::Reading;
use super::spec::{SpecProblem, TableIngest};

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previewed {
    /// Its row before it is rolled up, as a JSON object.
    Row(Bytes),
    Filtered,
    /// It would be a dead letter, for this reason.
    Dead(String),
}

/// Runs values with their timestamps (ms) the way of the table.
///
/// # Errors
/// The table cannot be fed like this.
pub fn preview(
    ingest: &TableIngest,
    values: &[(i64, Option<Bytes>)],
) -> Result<Vec<Previewed>, SpecProblem> {
    let topic = TopicInfo {
        name: Arc::from(ingest.topic.as_str()),
        id: TopicId([0; 16]),
        partitions: Arc::from([]),
        config: Default::default(),
        created_ms: 0,
    };
    let samples: Vec<Bytes> = values.iter().filter_map(|(_, value)| value.clone()).collect();
    let schema = infer(samples.iter().map(AsRef::as_ref));
    let columns = ingest.reads.columns(&topic, &schema, &samples);
    let reading = Reading::plan(ingest, &columns)?;
    let (store, clock) = (MemStore::new(), SystemClock::new());
    let converter = Converter {
        spec: ingest,
        store: &store as &dyn Store,
        clock: &clock as &dyn Clock,
        component: "preview",
        reading: &reading,
    };
    let record = |(at, (timestamp_ms, value)): (usize, &(i64, Option<Bytes>))| Record {
        offset: i64::try_from(at).unwrap_or(i64::MAX),
        timestamp_ms: *timestamp_ms,
        key: None,
        value: value.clone(),
        headers: Vec::new(),
    };
    let records: Vec<_> = values.iter().enumerate().map(record).collect();
    let told = |message| SpecProblem { fields: Vec::new(), message };
    let made = converter.make(&records).map_err(told)?;
    let mut previewed = vec![Previewed::Filtered; values.len()];
    for (at, _, reason) in &made.dead {
        if let Some(slot) = previewed.get_mut(*at) {
            *slot = Previewed::Dead(reason.clone());
        }
    }
    let encoder = RowEncoder::new(&reading.appended);
    for (batch, origins) in made.batches() {
        for (row, at) in origins.iter().enumerate() {
            let mut text = Vec::new();
            encoder.encode(batch, row, &mut text);
            if let Some(slot) = previewed.get_mut(*at as usize) {
                *slot = Previewed::Row(text.into());
            }
        }
    }
    Ok(previewed)
}
