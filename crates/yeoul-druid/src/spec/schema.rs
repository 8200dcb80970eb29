//! `dataSchema`: time, transforms, dimensions, metrics and granularities.

use yeoul_format::{ColumnType, Step};
use yeoul_sql::functions::stream::time::EpochUnit;
use yeoul_stream::{
    Missing, ReadField, Reads, RollupIngest, TableIngest, TimeColumn, TimeFormat, Transform,
    ValueFormat,
};
use yeoul_table::{Granularity, RollupBy, TIME};

use super::at::At;
use super::input::{self, Input};
use super::{Parts, SpecError, filter, metrics};
use crate::expression;

/// A dimension that is named.
struct Dimension {
    name: String,
    /// `None`: as the records have it.
    ty: Option<ColumnType>,
}

/// Fills in what the spec says.
pub(super) fn read(parts: &Parts<'_>, ingest: &mut TableIngest) -> Result<(), SpecError> {
    const KNOWN: [&str; 7] = [
        "dataSource",
        "timestampSpec",
        "dimensionsSpec",
        "metricsSpec",
        "granularitySpec",
        "transformSpec",
        "parser",
    ];
    parts.data.only(&KNOWN)?;
    let legacy = input::parse_spec(parts)?;
    let part = |name: &str| {
        parts.data.field(name).or_else(|| legacy.as_ref().and_then(|legacy| legacy.field(name)))
    };
    let input = input::read(parts)?;
    let input = match (&legacy, parts.io.as_ref().and_then(|io| io.field("inputFormat"))) {
        (Some(_), None) | (None, _) => input,
        (Some(legacy), Some(_)) => {
            return Err(legacy.error("with `inputFormat` there is no `parser`: keep one of them"));
        }
    };
    ingest.value = input.value.clone();
    let time = time(part("timestampSpec").as_ref())?;
    transforms(part("transformSpec").as_ref(), ingest)?;
    let (rollup, by) = granularity(part("granularitySpec").as_ref(), ingest)?;
    let listed = match parts.data.field("metricsSpec") {
        Some(list) => list.list()?,
        None => Vec::new(),
    };
    let mut inputs = Vec::with_capacity(listed.len());
    for metric in &listed {
        inputs.push(metrics::read(metric)?);
    }
    let dimensions = dimensions(part("dimensionsSpec").as_ref(), &input, &time, &inputs, ingest)?;
    ingest.time = Some(time);
    if rollup {
        ingest.rollup = Some(RollupIngest { by, dimensions, metrics: inputs });
        return Ok(());
    }
    ingest.round = by;
    let names: Vec<String> = inputs.iter().map(|metric| metric.name.clone()).collect();
    for (at, metric) in listed.iter().zip(inputs) {
        ingest.transforms.push(plain(at, metric)?);
    }
    ingest.select = dimensions.map(|dimensions| dimensions.into_iter().chain(names).collect());
    Ok(())
}

/// A metric of a row that stays one row: its value.
fn plain(at: &At<'_>, metric: yeoul_stream::MetricInput) -> Result<Transform, SpecError> {
    use yeoul_agg::Aggregate::{Any, Count, First, Last, Max, Min, Sum};
    if metric.condition.is_some() {
        return Err(at.error("filtered metrics need `rollup`: true"));
    }
    let (sql, ty) = match metric.aggregate {
        Count => ("1".to_owned(), Some(ColumnType::Int)),
        Sum | Min | Max | First | Last | Any => (metric.sql.unwrap_or_default(), metric.ty),
        _ => {
            return Err(
                at.error("sketches need `rollup`: true; a query makes them of plain values")
            );
        }
    };
    Ok(Transform { name: metric.name, sql, ty })
}

fn time(spec: Option<&At<'_>>) -> Result<TimeColumn, SpecError> {
    let auto = TimeFormat::Epoch(EpochUnit::Millis);
    let mut time = TimeColumn { format: auto, ..TimeColumn::new("timestamp") };
    let Some(spec) = spec else { return Ok(time) };
    spec.only(&["column", "format", "missingValue"])?;
    if let Some(column) = spec.field("column") {
        time.column = column.text()?.to_owned();
    }
    if let Some(format) = spec.field("format") {
        time.format = match format.text()? {
            "auto" | "iso" | "millis" => TimeFormat::Epoch(EpochUnit::Millis),
            "posix" => TimeFormat::Epoch(EpochUnit::Seconds),
            "micro" => TimeFormat::Epoch(EpochUnit::Micros),
            "nano" => TimeFormat::Epoch(EpochUnit::Nanos),
            pattern => TimeFormat::Joda(pattern.to_owned()),
        };
        time.reader(chrono_tz::UTC).map_err(|what| format.error(&what))?;
    }
    if let Some(missing) = spec.field("missingValue") {
        let text = missing.value.as_str().map_or_else(|| missing.value.to_string(), str::to_owned);
        let reader = TimeColumn::new("").reader(chrono_tz::UTC);
        let micros = reader.ok().and_then(|reader| reader.text(&text));
        let micros = micros.ok_or_else(|| missing.error("not a time: write it as ISO 8601"))?;
        // As Druid: what stands there and cannot be read is an error all the same.
        time.missing = Some(Missing { micros, also_unreadable: false });
    }
    Ok(time)
}

fn transforms(spec: Option<&At<'_>>, ingest: &mut TableIngest) -> Result<(), SpecError> {
    let Some(spec) = spec else { return Ok(()) };
    spec.only(&["transforms", "filter"])?;
    for transform in spec.field("transforms").map_or(Ok(Vec::new()), |list| list.list())? {
        let kind = transform.needed("type")?;
        if kind.text()? != "expression" {
            return Err(kind.error("transforms are of type `expression`"));
        }
        let text = transform.needed("expression")?;
        expression::parse(text.text()?).map_err(|error| text.error(&error.to_string()))?;
        ingest.transforms.push(Transform {
            name: transform.needed("name")?.text()?.to_owned(),
            sql: text.text()?.to_owned(),
            ty: None,
        });
    }
    if let Some(condition) = spec.field("filter") {
        let text = condition.value.to_string();
        filter::tree(&text).map_err(|what| condition.error(&what))?;
        ingest.filter = Some(text);
    }
    Ok(())
}

/// Whether rows are rolled up, and how far times are rounded.
fn granularity(
    spec: Option<&At<'_>>,
    ingest: &mut TableIngest,
) -> Result<(bool, RollupBy), SpecError> {
    let Some(spec) = spec else { return Ok((true, RollupBy::None)) };
    // Druid's streaming ingestion does not look at `intervals`.
    spec.only(&["type", "segmentGranularity", "queryGranularity", "rollup", "intervals"])?;
    if let Some(kind) = spec.field("type")
        && kind.text()? != "uniform"
    {
        return Err(kind.error("table segments are cut by `uniform` granularity"));
    }
    if let Some(segments) = spec.field("segmentGranularity") {
        ingest.granularity = match period(&segments)? {
            RollupBy::Month | RollupBy::Quarter => Granularity::Month,
            RollupBy::Year => Granularity::Year,
            RollupBy::All | RollupBy::None => Granularity::All,
            RollupBy::Week => Granularity::Week,
            RollupBy::Day | RollupBy::SixHours | RollupBy::EightHours => Granularity::Day,
            _ => Granularity::Hour,
        };
    }
    let by = spec.field("queryGranularity").map_or(Ok(RollupBy::None), |by| period(&by))?;
    let rollup = spec.field("rollup").map_or(Ok(true), |rollup| rollup.flag())?;
    Ok((rollup, by))
}

fn period(at: &At<'_>) -> Result<RollupBy, SpecError> {
    let named = |at: &At<'_>| {
        let text = at.text()?;
        text.parse::<RollupBy>().map_err(|what| at.error(&what))
    };
    if at.value.is_string() {
        return named(at);
    }
    at.object()?;
    if let Some(origin) = at.field("origin") {
        return Err(origin.error("periods start with the calendar's: leave it out"));
    }
    if let Some(zone) = at.field("timeZone")
        && !matches!(zone.text()?, "UTC" | "Etc/UTC" | "Z")
    {
        return Err(zone.error("times are rounded in UTC; a query may round in any zone"));
    }
    match at.field("period") {
        Some(period) => named(&period),
        None => named(&at.needed("type")?),
    }
}

/// What is read, and the names of the dimensions; `None`: all that is read.
fn dimensions(
    spec: Option<&At<'_>>,
    input: &Input,
    time: &TimeColumn,
    metrics: &[yeoul_stream::MetricInput],
    ingest: &mut TableIngest,
) -> Result<Option<Vec<String>>, SpecError> {
    const KNOWN: [&str; 6] = [
        "dimensions",
        "dimensionExclusions",
        "spatialDimensions",
        "includeAllDimensions",
        "useSchemaDiscovery",
        "forceSegmentSortByTime",
    ];
    let mut listed = Vec::new();
    let mut exclusions = Vec::new();
    let mut typed = false;
    if let Some(spec) = spec {
        spec.only(&KNOWN)?;
        for one in spec.field("dimensions").map_or(Ok(Vec::new()), |list| list.list())? {
            listed.push(dimension(&one)?);
        }
        if let Some(list) = spec.field("dimensionExclusions") {
            exclusions = list.texts()?;
        }
        if let Some(spatial) = spec.field("spatialDimensions")
            && !spatial.list()?.is_empty()
        {
            return Err(spatial.error("spatial dimensions are not offered"));
        }
        if let Some(all) = spec.field("includeAllDimensions")
            && all.flag()?
            && !listed.is_empty()
        {
            return Err(all.error("list all dimensions or none"));
        }
        typed = spec.field("useSchemaDiscovery").map_or(Ok(false), |flag| flag.flag())?;
    }
    if listed.is_empty() {
        match columns_of(&input.value) {
            Some(columns) => {
                let taken = |name: &String| {
                    *name == time.column || exclusions.contains(name) || goes_into(metrics, name)
                };
                let columns = columns.into_iter().filter(|name| !taken(name));
                listed =
                    columns.map(|name| Dimension { name, ty: Some(ColumnType::String) }).collect();
            }
            None if input.fields.is_empty() => {
                exclusions.push(time.column.clone());
                exclusions.extend(metrics.iter().filter_map(field_of));
                exclusions.extend(metrics.iter().map(|metric| metric.name.clone()));
                ingest.reads = Reads::Members { text: !typed, except: exclusions };
                return Ok(None);
            }
            None => {
                let at = spec.cloned();
                let told = "with a `flattenSpec` the dimensions are listed";
                return Err(at.map_or_else(
                    || SpecError {
                        path: "$.dataSchema.dimensionsSpec".into(),
                        message: told.into(),
                    },
                    |at| at.error(told),
                ));
            }
        }
    }
    listed.retain(|dimension| dimension.name != TIME && !exclusions.contains(&dimension.name));
    ingest.reads = Reads::Exactly(fields(input, &listed, ingest));
    for transform in &mut ingest.transforms {
        let named = listed.iter().find(|dimension| dimension.name == transform.name);
        transform.ty = named.and_then(|dimension| dimension.ty.clone());
    }
    Ok(Some(listed.into_iter().map(|dimension| dimension.name).collect()))
}

fn dimension(at: &At<'_>) -> Result<Dimension, SpecError> {
    if let Some(name) = at.value.as_str() {
        return Ok(Dimension { name: name.to_owned(), ty: Some(ColumnType::String) });
    }
    at.only(&["type", "name", "createBitmapIndex", "multiValueHandling", "castToType"])?;
    let name = at.needed("name")?.text()?.to_owned();
    let kind = at.field("type");
    let ty = match kind.as_ref().map_or(Ok("string"), |kind| kind.text())? {
        "string" => Some(ColumnType::String),
        "long" => Some(ColumnType::Int),
        "float" | "double" => Some(ColumnType::Double),
        "json" => Some(ColumnType::Json),
        "auto" => None,
        other => {
            let at = kind.as_ref().unwrap_or(at);
            let types = "string, long, float, double, json and auto";
            return Err(
                at.error(&format!("dimensions of type `{other}` are not offered: {types} are"))
            );
        }
    };
    Ok(Dimension { name, ty })
}

/// The places that are read: those of the dimensions that no transform makes, and what a
/// `flattenSpec` names.
fn fields(input: &Input, listed: &[Dimension], ingest: &TableIngest) -> Vec<ReadField> {
    let made = |name: &str| ingest.transforms.iter().any(|transform| transform.name == name);
    let mut fields: Vec<ReadField> = input.fields.clone();
    for dimension in listed {
        match fields.iter_mut().find(|field| field.name == dimension.name) {
            Some(field) => field.ty.clone_from(&dimension.ty),
            // A transform's own column may still be read under its name by the transform.
            None if made(&dimension.name) => {}
            None => fields.push(ReadField {
                name: dimension.name.clone(),
                place: vec![Step::Key(dimension.name.clone())],
                ty: dimension.ty.clone(),
            }),
        }
    }
    fields
}

/// The columns that lines or groups have.
fn columns_of(value: &ValueFormat) -> Option<Vec<String>> {
    match value {
        ValueFormat::Json => None,
        ValueFormat::Pattern { columns, .. } => Some(columns.clone()),
        ValueFormat::Line(decode) => {
            let schema = decode.schema()?;
            Some(schema.columns.into_iter().map(|column| column.name).collect())
        }
    }
}

/// The field a metric reads, when it is one.
fn field_of(metric: &yeoul_stream::MetricInput) -> Option<String> {
    let tree = expression::parse(metric.sql.as_deref()?).ok()?;
    match tree {
        expression::Ast::Name(name) => Some(name),
        _ => None,
    }
}

fn goes_into(metrics: &[yeoul_stream::MetricInput], name: &str) -> bool {
    metrics.iter().any(|metric| metric.name == name || field_of(metric).as_deref() == Some(name))
}
