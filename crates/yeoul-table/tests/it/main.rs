//! Tables over the simulated store and a real folder: visibility, seal, restart, crash.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, damage files and say what it found"
)]

mod compact;
mod crash;
mod damage;
mod images;
mod lifecycle;
mod power;
mod rates;
mod rollup;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use yeoul_base::{Fates, ManualClock, MemStore, Offset, PartId, RealDisk};
use yeoul_table::{OFFSET, Rows, Snapshot, Table, TableError, TableSpec, time_field};

const PART: PartId = PartId(7);
const DAY_US: i64 = 86_400_000_000;

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time_field(),
        Field::new("grade", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]))
}

/// Rows of the offsets `from..next`, each an hour after the other.
fn rows(from: Offset, next: Offset) -> Rows {
    let offsets: Vec<Offset> = (from..next).collect();
    let time = TimestampMicrosecondArray::from_iter_values(
        offsets.iter().map(|offset| offset * DAY_US / 24),
    )
    .with_timezone("UTC");
    let grade = StringArray::from_iter(
        offsets.iter().map(|offset| (offset % 3 != 0).then(|| format!("g{}", offset % 3))),
    );
    let n = Int64Array::from_iter_values(offsets.iter().copied());
    let arrays: Vec<ArrayRef> = vec![Arc::new(time), Arc::new(grade), Arc::new(n)];
    let count = offsets.len() as u64;
    Rows {
        part: PART,
        partition: 0,
        from,
        next,
        rows: Some(RecordBatch::try_new(columns(), arrays).unwrap()),
        offsets,
        fates: Fates { read: count, used: count, out: count, ..Fates::default() },
        dead: Vec::new(),
    }
}

/// What survives a restart, and the table that runs on it.
struct World {
    store: MemStore,
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        Self {
            store: MemStore::new(),
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at_ms(1_000)),
        }
    }

    fn disk(&self) -> Arc<RealDisk> {
        Arc::new(RealDisk::new(self.folder.path()).unwrap())
    }

    fn try_open(&self, spec: TableSpec) -> Result<Table, TableError> {
        Table::open(Arc::new(self.store.clone()), self.disk(), self.clock.clone(), spec)
    }

    fn open(&self) -> Table {
        let mut spec = TableSpec::new("films", "korean_movies", columns());
        spec.sort_by = vec!["grade".into()];
        spec.retention = Some(Duration::from_secs(365 * 86_400));
        self.try_open(spec).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let folder = self.folder.path().join(Path::new("tables/films"));
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The offsets of all visible rows, sorted.
fn offsets(snapshot: &Snapshot) -> Vec<Offset> {
    let mut out = Vec::new();
    let mut take = |batch: &RecordBatch| {
        let column = batch.column_by_name(OFFSET).unwrap().as_primitive::<Int64Type>();
        out.extend(column.values().iter().copied());
    };
    for segment in snapshot.segments.iter() {
        segment.footer().unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(segment.open().unwrap()).unwrap();
        for batch in builder.build().unwrap() {
            take(&batch.unwrap());
        }
    }
    snapshot.chunks.iter().for_each(|chunk| take(&chunk.batch));
    out.sort_unstable();
    out
}
