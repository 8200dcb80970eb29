//! A table's lines in a pipeline file → what feeds it, with everything that is wrong told at the
//! field that says it.

use std::fmt;

use yeoul_format::{Extract, Schema, parse_place};
use yeoul_pipeline::{Granularity, InOrder, Named, Pipeline, RollupSpec, TableSpec, TimeSpec};
use yeoul_stream::{
    MetricInput, Missing, Reads, RollupIngest, SpecProblem, TableIngest, TimeColumn, TimeFormat,
    Transform, ValueFormat, read_metric,
};

/// What is wrong with a table, and under which fields of it.
#[derive(Debug)]
pub(super) struct TableProblem {
    pub(super) fields: Vec<String>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.fields.join("."), self.message)
    }
}

impl TableProblem {
    fn new(fields: &[&str], message: impl Into<String>) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Self { fields, message: message.into(), hint: None }
    }
}

impl From<SpecProblem> for TableProblem {
    fn from(problem: SpecProblem) -> Self {
        Self { fields: problem.fields, message: problem.message, hint: None }
    }
}

/// What feeds the table.
pub(super) fn ingest(
    pipeline: &Pipeline,
    table: &Named<TableSpec>,
) -> Result<TableIngest, TableProblem> {
    let spec = &table.spec;
    let mut ingest = match &spec.druid {
        Some(text) => return druid(table, text),
        None => TableIngest::new(&table.name, &spec.from),
    };
    ingest.timezone = pipeline.timezone;
    ingest.suspended = spec.suspended;
    ingest.start = spec.start.clone().unwrap_or_default();
    ingest.time = spec.time.as_ref().map(|spec| time(spec, pipeline)).transpose()?;
    ingest.granularity = match spec.partition {
        Granularity::Hour => yeoul_table::Granularity::Hour,
        Granularity::Day => yeoul_table::Granularity::Day,
        Granularity::Week => yeoul_table::Granularity::Week,
        Granularity::Month => yeoul_table::Granularity::Month,
        Granularity::Year => yeoul_table::Granularity::Year,
        Granularity::All => yeoul_table::Granularity::All,
    };
    ingest.retention = spec.retention.time.map(|time| time.0);
    ingest.retention_bytes = spec.retention.bytes.map(|size| size.0);
    if let Some(decode) = &spec.decode
        && *decode != yeoul_format::Decode::Json
    {
        ingest.value = ValueFormat::Line(decode.clone());
    }
    ingest.reads = reads(spec)?;
    let InOrder(transforms) = &spec.transform;
    let transform = |(name, sql): &(String, String)| Transform {
        name: name.clone(),
        sql: sql.clone(),
        ty: None,
    };
    ingest.transforms = transforms.iter().map(transform).collect();
    ingest.filter.clone_from(&spec.filter);
    ingest.select.clone_from(&spec.select);
    ingest.rollup = spec.rollup.as_ref().map(rollup).transpose()?;
    Ok(ingest)
}

/// The spec says it all; what is written beside it would not be followed.
fn druid(table: &Named<TableSpec>, text: &str) -> Result<TableIngest, TableProblem> {
    let spec = &table.spec;
    let beside = [
        ("time", spec.time.is_some()),
        ("decode", spec.decode.is_some()),
        ("columns", !spec.columns.0.is_empty()),
        ("transform", !spec.transform.0.is_empty()),
        ("where", spec.filter.is_some()),
        ("select", spec.select.is_some()),
        ("rollup", spec.rollup.is_some()),
    ];
    if let Some((field, _)) = beside.into_iter().find(|(_, set)| *set) {
        let message = format!("beside `druid` there is no `{field}`: say it in the spec");
        return Err(TableProblem::new(&[field], message));
    }
    let told = |message: String| TableProblem::new(&["druid"], message);
    let read = serde_json::from_str(text).map_err(|error| told(format!("not JSON: {error}")))?;
    let mut ingest = yeoul_druid::spec::table(&read, &table.name, &spec.from)
        .map_err(|error| told(error.to_string()))?;
    ingest.suspended = spec.suspended;
    ingest.start = spec.start.clone().unwrap_or_default();
    ingest.retention = spec.retention.time.map(|time| time.0);
    ingest.retention_bytes = spec.retention.bytes.map(|size| size.0);
    Ok(ingest)
}

/// Everything that can be found out before records come. `columns`: the topic's, when known.
pub(super) fn check(
    pipeline: &Pipeline,
    table: &Named<TableSpec>,
    columns: Option<&Schema>,
) -> Result<(), TableProblem> {
    Ok(ingest(pipeline, table)?.check(columns)?)
}

fn time(spec: &TimeSpec, pipeline: &Pipeline) -> Result<TimeColumn, TableProblem> {
    let format = spec.format.as_deref().map(TimeFormat::named).unwrap_or_default();
    let zone = spec.zone.as_deref().and_then(|zone| zone.parse().ok());
    let mut time = TimeColumn { format, zone, ..TimeColumn::new(&spec.column) };
    if let Some(text) = &spec.missing {
        let reader = TimeColumn::new("").reader(pipeline.timezone);
        let micros = reader.ok().and_then(|reader| reader.text(text));
        let Some(micros) = micros else {
            let message = format!("`{text}` is not a time: write one such as 2000-01-01T00:00:00Z");
            return Err(TableProblem::new(&["time", "missing"], message));
        };
        time.missing = Some(Missing { micros, also_unreadable: true });
    }
    Ok(time)
}

fn reads(spec: &TableSpec) -> Result<Reads, TableProblem> {
    let InOrder(columns) = &spec.columns;
    let mut declared = Vec::with_capacity(columns.len());
    for (name, column) in columns {
        let path = column.path.as_deref().unwrap_or(name);
        let place =
            parse_place(path).map_err(|what| TableProblem::new(&["columns", name], what))?;
        declared.push(Extract::at(name, column.ty.clone(), place));
    }
    Ok(Reads::Topic { declared })
}

fn rollup(spec: &RollupSpec) -> Result<RollupIngest, TableProblem> {
    let by = spec.by.parse().map_err(|what: String| TableProblem::new(&["rollup", "by"], what))?;
    let InOrder(written) = &spec.metrics;
    let mut metrics: Vec<MetricInput> = Vec::with_capacity(written.len());
    for (name, text) in written {
        let metric = read_metric(name, text)
            .map_err(|what| TableProblem::new(&["rollup", "metrics", name], what))?;
        metrics.push(metric);
    }
    Ok(RollupIngest { by, dimensions: Some(spec.dimensions.clone()), metrics })
}
