//! Lookups: small relations that streams join. Read from a file outside, again when their time
//! has come; an epoch sees one version of each from its first to its last row.
//!
//! Invariant: the columns and types of a lookup are those of its first reading. A file that no
//! longer fits is refused, said, and the rows before it stay.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::util::display::FormatOptions;
use yeoul_base::Clock;
use yeoul_format::{
    Column, ColumnType, Decode, Delimited, LineDecoder, Origin, RowDecoder, RowOptions, Schema,
};

/// A lookup is kept in memory, once for each join.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// A file that could not be read is tried again after this long.
const RETRY: Duration = Duration::from_secs(2);

/// What a lookup's file holds; by its ending when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupFormat {
    /// First line names the columns.
    Csv,
    /// First line names the columns.
    Tsv,
    /// One JSON object a line.
    Json,
}

/// Which of several rows with one key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    First,
    Last,
    /// None: the file is refused.
    #[default]
    Error,
}

/// A lookup as the pipeline file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupSpec {
    pub name: String,
    /// Already resolved against the folder of the pipeline file.
    pub path: PathBuf,
    pub format: Option<LookupFormat>,
    /// One row for each value of these columns; without any every row stays, and a join takes
    /// all that match.
    pub key: Vec<String>,
    pub keep: Keep,
    /// How often the file is read again; without it never.
    pub reload: Option<Duration>,
}

/// One version of a lookup's rows.
#[derive(Debug)]
pub(crate) struct LookupData {
    pub(crate) version: u64,
    pub(crate) rows: RecordBatch,
}

/// The versions that an epoch uses, by name.
pub(crate) type LookupSet = HashMap<String, Arc<LookupData>>;

/// For status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupStatus {
    pub name: String,
    pub rows: usize,
    /// Counts up with each reading; 0 before the first.
    pub version: u64,
    pub loaded_ms: Option<i64>,
    /// Why the last reading failed.
    pub problem: Option<String>,
}

#[derive(Debug)]
struct Entry {
    spec: LookupSpec,
    data: Option<Arc<LookupData>>,
    loaded_ms: Option<i64>,
    problem: Option<String>,
    /// Monotonic; `None`: never again.
    due: Option<Duration>,
}

/// All lookups of a pipeline.
#[derive(Debug)]
pub struct Lookups {
    entries: Mutex<BTreeMap<String, Entry>>,
    clock: Arc<dyn Clock>,
}

impl Lookups {
    /// Reads each file once; one that cannot be read is tried again later.
    pub fn new(specs: impl IntoIterator<Item = LookupSpec>, clock: Arc<dyn Clock>) -> Self {
        let now = clock.monotonic();
        let entry = |spec: LookupSpec| {
            let name = spec.name.clone();
            (name, Entry { spec, data: None, loaded_ms: None, problem: None, due: Some(now) })
        };
        let entries = Mutex::new(specs.into_iter().map(entry).collect());
        let lookups = Self { entries, clock };
        lookups.refresh();
        lookups
    }

    /// None at all.
    pub fn none(clock: Arc<dyn Clock>) -> Self {
        Self::new([], clock)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads again the files whose time has come.
    pub fn refresh(&self) {
        let now = self.clock.monotonic();
        for entry in self.entries().values_mut() {
            if entry.due.is_some_and(|due| due <= now) {
                entry.load(now, self.clock.now_ms());
            }
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.entries().keys().cloned().collect()
    }

    /// As [`crate::Inputs::lookup`].
    pub fn schema(&self, name: &str) -> Option<Result<SchemaRef, String>> {
        let entries = self.entries();
        let entry = entries.get(name)?;
        Some(match &entry.data {
            Some(data) => Ok(data.rows.schema()),
            None => Err(entry.problem.clone().unwrap_or_else(|| "not read yet".into())),
        })
    }

    pub fn status(&self) -> Vec<LookupStatus> {
        let status = |(name, entry): (&String, &Entry)| LookupStatus {
            name: name.clone(),
            rows: entry.data.as_ref().map_or(0, |data| data.rows.num_rows()),
            version: entry.data.as_ref().map_or(0, |data| data.version),
            loaded_ms: entry.loaded_ms,
            problem: entry.problem.clone(),
        };
        self.entries().iter().map(status).collect()
    }

    /// What an epoch uses.
    pub(crate) fn snapshot(&self, names: &[String]) -> LookupSet {
        let entries = self.entries();
        let data = |name: &String| Some((name.clone(), entries.get(name)?.data.clone()?));
        names.iter().filter_map(data).collect()
    }
}

impl Entry {
    fn load(&mut self, now: Duration, now_ms: i64) {
        let before = self.data.as_ref().map(|data| data.rows.schema());
        let loaded = read(&self.spec).and_then(|rows| fit(rows, before.as_ref()));
        match loaded {
            Ok(rows) => {
                let version = self.data.as_ref().map_or(0, |data| data.version) + 1;
                self.data = Some(Arc::new(LookupData { version, rows }));
                self.loaded_ms = Some(now_ms);
                self.problem = None;
                self.due = self.spec.reload.map(|every| now + every);
            }
            Err(problem) => {
                tracing::warn!(lookup = self.spec.name, problem, "lookup not read");
                self.problem = Some(problem);
                self.due = Some(now + self.spec.reload.unwrap_or(RETRY));
            }
        }
    }
}

fn read(spec: &LookupSpec) -> Result<RecordBatch, String> {
    let path = spec.path.display();
    let failed = |error: std::io::Error| format!("{path}: {error}");
    let size = std::fs::metadata(&spec.path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{path} has {size} bytes; a lookup has at most {FILE_BYTES_MAX}"));
    }
    // A user's file, not of the data directory: read as it is, never written.
    let bytes = std::fs::read(&spec.path).map_err(failed)?;
    let ending = spec.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let format = match (spec.format, ending.to_ascii_lowercase().as_str()) {
        (Some(format), _) => format,
        (None, "tsv" | "txt" | "tab") => LookupFormat::Tsv,
        (None, "json" | "jsonl" | "ndjson") => LookupFormat::Json,
        (None, _) => LookupFormat::Csv,
    };
    let rows = parse(&bytes, format).map_err(|problem| format!("{path}: {problem}"))?;
    keyed(rows, &spec.key, spec.keep).map_err(|problem| format!("{path}: {problem}"))
}

fn parse(bytes: &[u8], format: LookupFormat) -> Result<RecordBatch, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
    let options = Delimited { header: true, ..Delimited::default() };
    let decoder = match format {
        LookupFormat::Csv => LineDecoder::new(&Decode::Csv(options)),
        LookupFormat::Tsv => LineDecoder::new(&Decode::Tsv(options)),
        LookupFormat::Json => LineDecoder::new(&Decode::Json),
    };
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    if decoder.expects_header() {
        let (_, header) = lines.next().ok_or("the file is empty")?;
        let header = header.strip_suffix(b"\r").unwrap_or(header);
        decoder = decoder.with_header(header).map_err(|error| format!("line 1: {error}"))?;
    }
    let mut records = Vec::new();
    for (number, line) in lines {
        if !decoder.is_blank(line) {
            let mut record = Vec::with_capacity(line.len() + 64);
            decoder.decode(line, &mut record).map_err(|error| format!("line {number}: {error}"))?;
            records.push((number, record));
        }
    }
    let values = || records.iter().map(|(_, record)| record.as_slice());
    let schema = match format {
        LookupFormat::Json => yeoul_format::infer(values()),
        // The decoder writes every named field of every line as text.
        _ => texts(values().next())?,
    };
    let mut rows = RowDecoder::new(&schema, RowOptions::default());
    for (number, record) in &records {
        rows.push(Some(record)).map_err(|error| format!("line {number}: {error}"))?;
    }
    let rows = rows.finish().map_err(|error| error.to_string())?;
    if format == LookupFormat::Json { Ok(rows) } else { numbers(&rows) }
}

fn texts(first: Option<&[u8]>) -> Result<Schema, String> {
    let first = first.ok_or("the file has no rows, so its columns are not known")?;
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(first).map_err(|error| error.to_string())?;
    let columns = object.into_iter().map(|(name, _)| Column::new(name, ColumnType::String));
    Ok(Schema::new(columns.collect(), Origin::Inferred))
}

/// A column of text becomes numbers when every value, written again, is the same text: `007` and
/// `1.50` stay text.
fn numbers(rows: &RecordBatch) -> Result<RecordBatch, String> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let texts: &StringArray = column.as_string();
        // A blank field is null, as in a source's decoder.
        let texts: StringArray =
            texts.iter().map(|text| text.filter(|text| !text.is_empty())).collect();
        let all = |fits: &dyn Fn(&str) -> bool| {
            texts.null_count() < texts.len() && texts.iter().flatten().all(fits)
        };
        let data_type = if all(&|text| text.parse().is_ok_and(|n: i64| n.to_string() == text)) {
            DataType::Int64
        } else if all(&|text| {
            text.parse().is_ok_and(|n: f64| n.is_finite() && n.to_string() == text)
        }) {
            DataType::Float64
        } else {
            DataType::Utf8
        };
        columns.push(strict_cast(&(Arc::new(texts) as ArrayRef), &data_type)?);
        fields.push(Field::new(field.name(), data_type, true));
    }
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns)
        .map_err(|error| error.to_string())
}

fn strict_cast(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(column, data_type, &options).map_err(|error| error.to_string())
}

/// Leaves one row for each key. A key with a null never matches; its rows stay out.
fn keyed(rows: RecordBatch, key: &[String], keep: Keep) -> Result<RecordBatch, String> {
    if key.is_empty() {
        return Ok(rows);
    }
    let mut columns = Vec::new();
    for name in key {
        let column = rows.column_by_name(name).ok_or_else(|| {
            let schema = rows.schema();
            let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            format!("no column `{name}` for `key:`; there are {}", names.join(", "))
        })?;
        let options = FormatOptions::default();
        let text = arrow::util::display::ArrayFormatter::try_new(column, &options)
            .map_err(|error| error.to_string())?;
        columns.push((column, text));
    }
    let mut place: HashMap<Vec<String>, usize> = HashMap::new();
    let mut kept: Vec<u32> = Vec::new();
    for row in 0..rows.num_rows() {
        if columns.iter().any(|(column, _)| column.is_null(row)) {
            continue;
        }
        let value: Vec<_> = columns.iter().map(|(_, text)| text.value(row).to_string()).collect();
        let row_number = u32::try_from(row).map_err(|_| "too many rows".to_owned())?;
        match (place.get(&value).and_then(|at| kept.get_mut(*at)), keep) {
            (None, _) => {
                place.insert(value, kept.len());
                kept.push(row_number);
            }
            (Some(_), Keep::First) => {}
            (Some(slot), Keep::Last) => *slot = row_number,
            (Some(_), Keep::Error) => {
                return Err(format!(
                    "`{}` appears more than once; `keep: first` or `keep: last` chooses",
                    value.join(", ")
                ));
            }
        }
    }
    take_record_batch(&rows, &UInt32Array::from(kept)).map_err(|error| error.to_string())
}

/// A later reading must have the columns of the first.
fn fit(rows: RecordBatch, before: Option<&SchemaRef>) -> Result<RecordBatch, String> {
    let Some(before) = before else { return Ok(rows) };
    let column = |field: &Arc<Field>| {
        let name = field.name();
        let column = rows.column_by_name(name).ok_or(format!("column `{name}` is gone"))?;
        strict_cast(column, field.data_type()).map_err(|error| format!("column `{name}`: {error}"))
    };
    let columns = before.fields().iter().map(column).collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(before), columns).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
