//! `yeoul check` and `yeoul test`: what a pipeline file means, and whether it does what its own
//! tests say. Neither starts nor writes anything.
#![expect(
    clippy::disallowed_methods,
    reason = "looks at files the pipeline names, outside the data directory"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use yeoul_base::{Clock, SystemClock};
use yeoul_connect::SourceConfig;
use yeoul_format::{LineDecoder, Schema};
use yeoul_log::batch::Record;
use yeoul_pipeline::{Pipeline, Report, SystemVars, TestInput, TestSpec};
use yeoul_stream::{Lookups, Taken, TopicSchema};

use crate::node::plan::{self, Plans};
use crate::output::{self, Failure, Output};

/// How much of an outside line `--rows` looks at.
const LINE_BYTES_MAX: usize = 1 << 20;
const RENDER_WIDTH: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Pipeline files, or folders of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Also send this many real rows of each source through every edge, and show them
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Pipeline files, or folders of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Reads pipelines; what is wrong is shown at its line.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<Pipeline>, Failure> {
    yeoul_pipeline::load(paths, &SystemVars).map_err(|report| drawn(&report))
}

pub(crate) fn drawn(report: &Report) -> Failure {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Failure::drawn(report.render(color, RENDER_WIDTH))
}

/// What both commands stand on.
struct Checked {
    pipelines: Vec<Pipeline>,
    lookups: Lookups,
    plans: Plans,
}

fn prepare(files: &[PathBuf]) -> Result<Checked, Failure> {
    let pipelines = load(files)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let lookups = plan::lookups(&pipelines, clock);
    let plans = Plans::make(&pipelines, &lookups, None);
    plans.problems(&pipelines).map_err(|report| drawn(&report))?;
    for source in pipelines.iter().flat_map(|pipeline| &pipeline.sources) {
        // With such a decoder no node starts, so it is more than a warning.
        if let Some(Err(error)) = source.spec.decode.as_ref().map(LineDecoder::new) {
            return Err(Failure::new(format!("source/{}: {error}", source.name)));
        }
    }
    Ok(Checked { pipelines, lookups, plans })
}

pub(crate) async fn check(args: CheckArgs, output: Output) -> Result<ExitCode, Failure> {
    let checked = prepare(&args.files)?;
    let mut warnings = Vec::new();
    for pipeline in &checked.pipelines {
        for source in &pipeline.sources {
            let spec = &source.spec;
            let found = spec.config.check(spec.decode.as_ref(), &pipeline.base_dir);
            warnings.extend(found.into_iter().map(|problem| {
                let hint = problem.hint.map_or_else(String::new, |hint| format!(" {hint}"));
                format!("source/{}: {}{hint}", source.name, problem.message)
            }));
        }
    }
    for lookup in checked.lookups.status() {
        warnings.extend(lookup.problem.map(|why| format!("lookup/{}: {why}", lookup.name)));
    }
    let edges = edges(&checked);
    if output == Output::Json {
        let edges: BTreeMap<_, _> =
            edges.iter().map(|(topic, schema)| (topic, columns(*schema))).collect();
        output::line(json!({ "edges": edges, "warnings": warnings }).to_string())?;
    } else {
        for (topic, schema) in &edges {
            output::line(format!("{topic}\n  {}", columns_text(*schema)))?;
        }
        show_streams(&checked)?;
        warnings.iter().for_each(|warning| output::remark(format!("warning: {warning}")));
    }
    if let Some(rows) = args.rows {
        show_rows(&checked, rows, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn edges(checked: &Checked) -> Vec<(&String, Option<&Schema>)> {
    let topics = checked.plans.topics.iter();
    topics
        .map(|(name, schema)| match schema {
            TopicSchema::Known(schema) => (name, Some(schema)),
            TopicSchema::Unknown => (name, None),
        })
        .collect()
}

fn columns(schema: Option<&Schema>) -> Value {
    let Some(schema) = schema else { return Value::Null };
    let columns = schema.columns.iter();
    columns.map(|column| json!({ "name": column.name, "type": column.ty.to_string() })).collect()
}

fn columns_text(schema: Option<&Schema>) -> String {
    match schema {
        None => "columns unknown until records come".to_owned(),
        Some(schema) => {
            let columns = schema.columns.iter();
            let columns: Vec<_> = columns.map(|c| format!("{} {}", c.name, c.ty)).collect();
            columns.join(", ")
        }
    }
}

fn show_streams(checked: &Checked) -> Result<(), Failure> {
    for stream in &checked.plans.streams {
        match &stream.plan {
            Ok(plan) => {
                let from = plan.inputs.join(", ");
                let with = if plan.lookups.is_empty() {
                    String::new()
                } else {
                    format!(", lookups {}", plan.lookups.join(", "))
                };
                output::line(format!("stream/{}: {from}{with} → {}", stream.name, stream.name))?;
            }
            Err(error) => output::line(format!("stream/{} waits: {error}", stream.name))?,
        }
    }
    for pipeline in &checked.pipelines {
        for table in &pipeline.tables {
            output::line(format!("table/{}: from {}", table.name, table.spec.from))?;
        }
    }
    Ok(())
}

/// Topic → its records, as they would be.
type Flowing = BTreeMap<String, Vec<Bytes>>;

fn show_rows(checked: &Checked, most: usize, output: Output) -> Result<(), Failure> {
    let mut flowing = Flowing::new();
    for pipeline in &checked.pipelines {
        for source in &pipeline.sources {
            let SourceConfig::Tail(tail) = &source.spec.config else { continue };
            for path in tail.path.iter() {
                let lines = first_lines(&pipeline.base_dir.join(path), most)?;
                feed(pipeline, &source.name, &lines, &mut flowing)?;
            }
        }
    }
    run_streams(checked, &mut flowing)?;
    for (topic, records) in &flowing {
        output::remark(format!("{topic}:"));
        for record in records.iter().take(most) {
            let text = String::from_utf8_lossy(record).into_owned();
            let shown = match output {
                Output::Table => format!("  {text}"),
                Output::Json => json!({ "topic": topic, "value": text }).to_string(),
            };
            output::line(shown)?;
        }
    }
    Ok(())
}

fn first_lines(path: &Path, most: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let Ok(file) = File::open(path) else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for line in BufReader::new(file).split(b'\n').take(most) {
        let mut line = line?;
        line.truncate(LINE_BYTES_MAX);
        lines.push(line);
    }
    Ok(lines)
}

/// Lines through a source's decoder; the ones it refuses are told and left out.
fn feed(
    pipeline: &Pipeline,
    source: &str,
    lines: &[Vec<u8>],
    flowing: &mut Flowing,
) -> Result<Vec<String>, Failure> {
    let Some(source) = pipeline.sources.iter().find(|candidate| candidate.name == source) else {
        return Err(Failure::new(format!("there is no source `{source}`")));
    };
    let decoder = source.spec.decode.as_ref().map(LineDecoder::new).transpose()?;
    let mut refused = Vec::new();
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut record = Vec::new();
        let decoded = match &decoder {
            Some(decoder) => decoder.decode(line, &mut record).map_err(|error| error.to_string()),
            None => {
                record.extend_from_slice(line);
                Ok(())
            }
        };
        match decoded {
            Ok(()) => flowing.entry(source.spec.to.clone()).or_default().push(record.into()),
            Err(reason) => refused.push(reason),
        }
    }
    Ok(refused)
}

fn run_streams(checked: &Checked, flowing: &mut Flowing) -> Result<(), Failure> {
    for stream in &checked.plans.streams {
        let plan = match &stream.plan {
            Ok(plan) => plan,
            Err(error) => return Err(Failure::new(format!("stream/{}: {error}", stream.name))),
        };
        for input in &plan.inputs {
            let Some(records) = flowing.get(input) else { continue };
            let taken: Vec<_> =
                records.iter().zip(0..).map(|(value, at)| taken(value, at)).collect();
            let done = plan.run_batch(input, &taken, &checked.lookups)?;
            let out = flowing.entry(stream.name.clone()).or_default();
            out.extend(done.rows.into_iter().map(|row| row.value));
        }
    }
    Ok(())
}

fn taken(value: &Bytes, offset: i64) -> Taken {
    let value = Some(value.clone());
    let record = Record { offset, timestamp_ms: 0, key: None, value, headers: Vec::new() };
    Taken { partition: 0, record }
}

pub(crate) async fn test(args: TestArgs, output: Output) -> Result<ExitCode, Failure> {
    let checked = prepare(&args.files)?;
    let mut results = Vec::new();
    for pipeline in &checked.pipelines {
        for test in &pipeline.tests {
            let differences = run_test(&checked, pipeline, test)?;
            results.push((test.name.clone(), differences));
        }
    }
    let failed = results.iter().filter(|(_, differences)| !differences.is_empty()).count();
    for (name, differences) in &results {
        let passed = differences.is_empty();
        if output == Output::Json {
            let result = json!({ "test": name, "passed": passed, "differences": differences });
            output::line(result.to_string())?;
            continue;
        }
        output::line(format!("{} {name}", if passed { "ok    " } else { "FAILED" }))?;
        for difference in differences {
            output::line(format!("         {}", difference.replace('\n', "\n         ")))?;
        }
    }
    output::remark(format!("{} passed, {failed} failed", results.len() - failed));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_test(
    checked: &Checked,
    pipeline: &Pipeline,
    test: &TestSpec,
) -> Result<Vec<String>, Failure> {
    let mut flowing = Flowing::new();
    match &test.input {
        TestInput::Lines { source, lines } => {
            let lines: Vec<_> = lines.iter().map(|line| line.clone().into_bytes()).collect();
            feed(pipeline, source, &lines, &mut flowing)?;
        }
        TestInput::Records { topic, records } => {
            let records = records.iter().map(|record| Bytes::from(record.to_string()));
            flowing.entry(topic.clone()).or_default().extend(records);
        }
    }
    run_streams(checked, &mut flowing)?;
    let mut differences = Vec::new();
    for (name, expected) in &test.expect {
        // A table holds the rows of its topic.
        let table = pipeline.tables.iter().find(|table| table.name == *name);
        let topic = match table {
            Some(table) if !flowing.contains_key(name) => &table.spec.from,
            _ => name,
        };
        let records = flowing.get(topic).map(Vec::as_slice).unwrap_or_default();
        let rows: Result<Vec<Value>, _> =
            records.iter().map(|record| serde_json::from_slice(record)).collect();
        if let Err(difference) = yeoul_pipeline::compare(expected, &rows?) {
            differences.push(format!("{name}: {difference}"));
        }
    }
    Ok(differences)
}
