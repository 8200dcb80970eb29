//! Native queries as clients send them.
//!
//! Invariant: nothing is read deeper than [`DEPTH_MAX`] or larger than [`NODES_MAX`]. Fields that
//! are not known are left alone, as Druid does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::time::{GranularitySpec, Intervals};

/// Of JSON values within each other.
const DEPTH_MAX: usize = 40;
/// JSON values in one query.
const NODES_MAX: usize = 100_000;

/// Checks the size of a body before it becomes a query.
pub(crate) fn budget(value: &Value) -> Result<(), String> {
    let mut left = NODES_MAX;
    count(value, DEPTH_MAX, &mut left)
}

fn count(value: &Value, depth: usize, left: &mut usize) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("the query is nested deeper than {DEPTH_MAX}"));
    };
    let Some(less) = left.checked_sub(1) else {
        return Err(format!("the query has more than {NODES_MAX} values"));
    };
    *left = less;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| count(item, depth, left)),
        Value::Object(fields) => fields.values().try_for_each(|item| count(item, depth, left)),
        _ => Ok(()),
    }
}

/// Every kind of query; what a kind does not use is absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Query {
    pub(crate) query_type: String,
    pub(crate) data_source: DataSource,
    pub(crate) intervals: Option<Intervals>,
    pub(crate) granularity: Option<GranularitySpec>,
    pub(crate) filter: Option<Filter>,
    pub(crate) virtual_columns: Option<Vec<VirtualColumn>>,
    pub(crate) context: Option<Map<String, Value>>,
    pub(crate) aggregations: Option<Vec<Aggregator>>,
    pub(crate) post_aggregations: Option<Vec<PostAggregator>>,
    pub(crate) descending: Option<bool>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: Option<u64>,
    pub(crate) dimension: Option<Dimension>,
    pub(crate) dimensions: Option<Vec<Dimension>>,
    pub(crate) metric: Option<Metric>,
    pub(crate) threshold: Option<u64>,
    pub(crate) having: Option<Having>,
    pub(crate) limit_spec: Option<LimitSpec>,
    pub(crate) subtotals_spec: Option<Vec<Vec<String>>>,
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) result_format: Option<String>,
    pub(crate) order: Option<String>,
    pub(crate) bound: Option<String>,
    pub(crate) search_dimensions: Option<Vec<Dimension>>,
    pub(crate) query: Option<SearchSpec>,
    pub(crate) sort: Option<Ordering>,
    pub(crate) to_include: Option<ToInclude>,
    pub(crate) merge: Option<bool>,
    pub(crate) analysis_types: Option<Vec<String>>,
}

impl Query {
    /// A value of the context; clients send booleans and numbers as texts too.
    pub(crate) fn context(&self, name: &str) -> Option<&Value> {
        self.context.as_ref()?.get(name)
    }

    /// Whether the context says `false`.
    pub(crate) fn refuses(&self, name: &str) -> bool {
        match self.context(name) {
            Some(Value::Bool(value)) => !*value,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("false"),
            _ => false,
        }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        match self.context(name) {
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum DataSource {
    Name(String),
    Typed(Box<TypedSource>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TypedSource {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) data_sources: Option<Vec<DataSource>>,
    pub(crate) query: Option<Query>,
    pub(crate) base: Option<DataSource>,
    pub(crate) filter: Option<Filter>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VirtualColumn {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) expression: Option<String>,
    pub(crate) output_type: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Filter {
    #[serde(alias = "extraction")]
    Selector {
        dimension: String,
        #[serde(default)]
        value: Value,
        extraction_fn: Option<ExtractionFn>,
    },
    In {
        dimension: String,
        values: Vec<Value>,
        extraction_fn: Option<ExtractionFn>,
    },
    Bound {
        dimension: String,
        lower: Option<Value>,
        upper: Option<Value>,
        lower_strict: Option<bool>,
        upper_strict: Option<bool>,
        ordering: Option<Ordering>,
        extraction_fn: Option<ExtractionFn>,
    },
    Regex {
        dimension: String,
        pattern: String,
        extraction_fn: Option<ExtractionFn>,
    },
    Search {
        dimension: String,
        query: SearchSpec,
        extraction_fn: Option<ExtractionFn>,
    },
    Like {
        dimension: String,
        pattern: String,
        escape: Option<String>,
        extraction_fn: Option<ExtractionFn>,
    },
    Interval {
        dimension: String,
        intervals: Intervals,
        extraction_fn: Option<ExtractionFn>,
    },
    And {
        fields: Vec<Filter>,
    },
    Or {
        fields: Vec<Filter>,
    },
    Not {
        field: Box<Filter>,
    },
    Expression {
        expression: String,
    },
    True,
    False,
    #[serde(alias = "isTrue", alias = "istrue")]
    IsTrue {
        field: Box<Filter>,
    },
    #[serde(alias = "isFalse", alias = "isfalse")]
    IsFalse {
        field: Box<Filter>,
    },
    Equals {
        column: String,
        match_value: Value,
    },
    Null {
        column: String,
    },
    Range {
        column: String,
        match_value_type: String,
        lower: Option<Value>,
        upper: Option<Value>,
        lower_open: Option<bool>,
        upper_open: Option<bool>,
    },
    InType {
        column: String,
        #[serde(alias = "values")]
        sorted_values: Vec<Value>,
    },
    ColumnComparison {
        dimensions: Vec<Dimension>,
    },
    Javascript,
    Spatial,
    Bloom,
}

/// What a search looks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SearchSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) value: Option<String>,
    pub(crate) values: Option<Vec<String>>,
    pub(crate) pattern: Option<String>,
    pub(crate) case_sensitive: Option<bool>,
}

/// `"numeric"` or `{"type":"numeric"}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ordering {
    Name(String),
    Typed {
        #[serde(rename = "type")]
        kind: String,
    },
}

impl Ordering {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Typed { kind: name } => name,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExtractionFn {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) expr: Option<String>,
    pub(crate) index: Option<i64>,
    pub(crate) length: Option<i64>,
    pub(crate) replace_missing_value: Option<bool>,
    pub(crate) replace_missing_value_with: Option<String>,
    pub(crate) retain_missing_value: Option<bool>,
    pub(crate) query: Option<SearchSpec>,
    pub(crate) format: Option<String>,
    pub(crate) time_format: Option<String>,
    pub(crate) result_format: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) granularity: Option<GranularitySpec>,
    pub(crate) null_handling: Option<String>,
    pub(crate) size: Option<f64>,
    pub(crate) offset: Option<f64>,
    pub(crate) extraction_fns: Option<Vec<ExtractionFn>>,
    pub(crate) lookup: Option<LookupSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum LookupSpec {
    Name(String),
    Map { map: BTreeMap<String, Option<String>> },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Dimension {
    Name(String),
    Spec(Box<DimensionSpec>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DimensionSpec {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) dimension: Option<String>,
    pub(crate) output_name: Option<String>,
    pub(crate) output_type: Option<String>,
    pub(crate) extraction_fn: Option<ExtractionFn>,
    pub(crate) delegate: Option<Dimension>,
    pub(crate) values: Option<Vec<Option<String>>>,
    pub(crate) is_whitelist: Option<bool>,
    pub(crate) pattern: Option<String>,
    pub(crate) prefix: Option<String>,
    /// Of a lookup dimension.
    pub(crate) name: Option<String>,
    pub(crate) lookup: Option<LookupSpec>,
    pub(crate) retain_missing_value: Option<bool>,
    pub(crate) replace_missing_value_with: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Metric {
    Name(String),
    Spec(Box<MetricSpec>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetricSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) metric: Option<Metric>,
    pub(crate) ordering: Option<Ordering>,
    pub(crate) previous_stop: Option<String>,
}

/// Every kind of aggregator.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Aggregator {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) field_name: Option<String>,
    pub(crate) expression: Option<String>,
    #[serde(alias = "fieldNames")]
    pub(crate) fields: Option<Vec<Dimension>>,
    pub(crate) by_row: Option<bool>,
    pub(crate) round: Option<bool>,
    pub(crate) filter: Option<Box<Filter>>,
    pub(crate) aggregator: Option<Box<Aggregator>>,
    pub(crate) k: Option<u64>,
    pub(crate) lg_k: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) should_finalize: Option<bool>,
    pub(crate) time_column: Option<String>,
}

/// Every kind of post-aggregator.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PostAggregator {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    #[serde(rename = "fn")]
    pub(crate) function: Option<String>,
    pub(crate) func: Option<String>,
    pub(crate) fields: Option<Vec<PostAggregator>>,
    pub(crate) field: Option<Box<PostAggregator>>,
    pub(crate) field_name: Option<String>,
    pub(crate) value: Option<Value>,
    pub(crate) expression: Option<String>,
    pub(crate) fraction: Option<f64>,
    pub(crate) fractions: Option<Vec<f64>>,
    pub(crate) probability: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Having {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) aggregation: Option<String>,
    pub(crate) value: Option<Value>,
    pub(crate) dimension: Option<Dimension>,
    pub(crate) filter: Option<Filter>,
    pub(crate) having_specs: Option<Vec<Having>>,
    pub(crate) having_spec: Option<Box<Having>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LimitSpec {
    pub(crate) limit: Option<u64>,
    pub(crate) offset: Option<u64>,
    pub(crate) columns: Option<Vec<OrderBy>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum OrderBy {
    Name(String),
    Spec { dimension: String, direction: Option<String>, dimension_order: Option<Ordering> },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToInclude {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) columns: Option<Vec<String>>,
}
