//! `metricsSpec` → partial states, or plain columns where rows are not rolled up.

use yeoul_agg::{Aggregate, HLL_LG_K, QUANTILES_K, THETA_LG_K};
use yeoul_format::ColumnType;
use yeoul_stream::MetricInput;

use super::SpecError;
use super::at::At;

const OFFERED: &str = "count, longSum, doubleSum, floatSum, longMin, longMax, doubleMin, doubleMax, \
    longFirst, longLast, doubleFirst, doubleLast, stringFirst, stringLast, longAny, doubleAny, \
    stringAny, hyperUnique, cardinality, HLLSketchBuild, thetaSketch, quantilesDoublesSketch, \
    filtered";

/// One metric; expressions and conditions in Druid's language.
pub(super) fn read(metric: &At<'_>) -> Result<MetricInput, SpecError> {
    let kind = metric.needed("type")?;
    let kind_of = kind.text()?;
    if kind_of == "filtered" {
        return filtered(metric);
    }
    let name = metric.needed("name")?.text()?.to_owned();
    let (aggregate, ty) = match kind_of {
        "count" => {
            let counts = MetricInput {
                name,
                aggregate: Aggregate::Count,
                sql: None,
                condition: None,
                ty: None,
            };
            return Ok(counts);
        }
        "hyperUnique" => (Aggregate::Hll { lg_k: HLL_LG_K }, None),
        "cardinality" => (Aggregate::Hll { lg_k: HLL_LG_K }, Some(ColumnType::String)),
        "HLLSketchBuild" | "HLLSketch" => {
            let lg_k = metric.field("lgK").map_or(Ok(u64::from(HLL_LG_K)), |k| k.number())?;
            (Aggregate::Hll { lg_k: u8::try_from(lg_k).unwrap_or(u8::MAX) }, None)
        }
        "thetaSketch" => (Aggregate::Theta { lg_k: theta_size(metric)? }, None),
        "quantilesDoublesSketch" => {
            let k = metric.field("k").map_or(Ok(u64::from(QUANTILES_K)), |k| k.number())?;
            let k = u16::try_from(k).unwrap_or(u16::MAX);
            (Aggregate::Quantiles { k }, Some(ColumnType::Double))
        }
        plain => {
            let found = plain_kind(plain);
            found.ok_or_else(|| kind.error(&format!("`{plain}` is not offered: {OFFERED} are")))?
        }
    };
    if let Some(input) = metric.field("isInputThetaSketch")
        && input.flag()?
    {
        return Err(input.error("sketches made elsewhere are not read: give the values"));
    }
    let sql = Some(input(metric, kind_of)?);
    Ok(MetricInput { name, aggregate, sql, condition: None, ty })
}

fn plain_kind(kind: &str) -> Option<(Aggregate, Option<ColumnType>)> {
    let (ty, what) = if let Some(what) = kind.strip_prefix("long") {
        (ColumnType::Int, what)
    } else if let Some(what) = kind.strip_prefix("double").or_else(|| kind.strip_prefix("float")) {
        (ColumnType::Double, what)
    } else {
        (ColumnType::String, kind.strip_prefix("string")?)
    };
    let aggregate = match what {
        "Sum" if ty != ColumnType::String => Aggregate::Sum,
        "Min" if ty != ColumnType::String => Aggregate::Min,
        "Max" if ty != ColumnType::String => Aggregate::Max,
        "First" => Aggregate::First,
        "Last" => Aggregate::Last,
        "Any" => Aggregate::Any,
        _ => return None,
    };
    Some((aggregate, Some(ty)))
}

/// The field or expression whose values go in.
fn input(metric: &At<'_>, kind: &str) -> Result<String, SpecError> {
    if let Some(time) = metric.field("timeColumn") {
        return Err(time.error("first and last go by `__time`: leave it out"));
    }
    if let Some(expression) = metric.field("expression") {
        return Ok(expression.text()?.to_owned());
    }
    if let Some(fields) = metric.field("fields").or_else(|| metric.field("fieldNames")) {
        let names = fields.texts()?;
        return match names.as_slice() {
            [only] => Ok(quoted(only)),
            _ => {
                Err(fields.error("one field at a time: make the others' values one by a transform"))
            }
        };
    }
    let field = metric.field("fieldName").ok_or_else(|| {
        metric.error(&format!("`{kind}` needs `fieldName`: the field whose values go in"))
    })?;
    Ok(quoted(field.text()?))
}

/// A name in Druid's expressions.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn theta_size(metric: &At<'_>) -> Result<u8, SpecError> {
    let Some(size) = metric.field("size") else { return Ok(THETA_LG_K) };
    let number = size.number()?;
    if !number.is_power_of_two() {
        return Err(size.error("a power of two is expected"));
    }
    Ok(u8::try_from(number.ilog2()).unwrap_or(u8::MAX))
}

fn filtered(metric: &At<'_>) -> Result<MetricInput, SpecError> {
    let filter = metric.needed("filter")?;
    let text = filter.value.to_string();
    super::filter::tree(&text).map_err(|what| filter.error(&what))?;
    let inner = metric.needed("aggregator")?;
    let mut read = match (metric.field("name"), inner.field("name")) {
        (_, Some(_)) => read(&inner)?,
        (Some(name), None) => {
            let mut named = inner.value.clone();
            if let Some(object) = named.as_object_mut() {
                object.insert("name".to_owned(), name.value.clone());
            }
            read(&At::root(&named)).map_err(|error| inner.error(&error.message))?
        }
        (None, None) => return Err(metric.error("`name` is missing")),
    };
    if read.condition.is_some() {
        return Err(inner.error("one filter is enough: join them with `and`"));
    }
    if let Some(name) = metric.field("name") {
        read.name = name.text()?.to_owned();
    }
    read.condition = Some(text);
    Ok(read)
}
