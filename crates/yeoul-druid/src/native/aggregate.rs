//! Aggregators and post-aggregators as SQL.
//!
//! An aggregation has two faces: its state, which post-aggregations of sketches take, and its
//! finished value, which answers and expressions take. For plain numbers both are one.

use std::collections::BTreeMap;

use super::extract::dimension;
use super::filter::condition;
use super::model::{Aggregator, PostAggregator};
use super::scope::{Result, Scope, invalid, needed, unsupported};
use crate::expression::case;
use crate::text::{Sketch, Sql, Ty, joined, name, quoted};

/// One aggregation of a query.
#[derive(Debug, Clone)]
pub(crate) struct Agg {
    pub(crate) output: String,
    /// Calls of aggregate functions over the input, each under its own name.
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) face: Face,
}

/// What comes after the grouping, over the names of the calls.
#[derive(Debug, Clone)]
pub(crate) struct Face {
    pub(crate) state: Sql,
    pub(crate) finished: Sql,
}

impl Face {
    fn plain(sql: Sql) -> Self {
        Self { state: sql.clone(), finished: sql }
    }
}

/// The default sizes of sketches, Druid's.
const HLL_LG_K: u64 = 12;
const THETA_SIZE: u64 = 16_384;
const QUANTILES_K: u64 = 128;

/// Reads an aggregator; `index` is its place in the query.
pub(crate) fn aggregation(spec: &Aggregator, index: usize, scope: &Scope) -> Result<Agg> {
    let mut filters = Vec::new();
    let mut inner = spec;
    let mut output = spec.name.as_deref();
    while inner.kind == "filtered" {
        let filter = needed(inner.filter.as_ref(), "filtered", "filter")?;
        filters.push(condition(filter, scope)?);
        inner = needed(inner.aggregator.as_deref(), "filtered", "aggregator")?;
        output = output.or(inner.name.as_deref());
    }
    let output = needed(output, &spec.kind, "name")?.to_owned();
    let (functions, face) = Builder { spec: inner, index, scope }.build()?;
    let filter = match filters.is_empty() {
        true => String::new(),
        false => format!(" FILTER (WHERE {})", joined(filters, "AND", "TRUE")),
    };
    let calls = functions.into_iter().enumerate();
    let calls = calls.map(|(at, call)| (alias(index, at), format!("{call}{filter}"))).collect();
    Ok(Agg { output, calls, face })
}

fn alias(index: usize, at: usize) -> String {
    if at == 0 { format!("a{index}") } else { format!("a{index}_{at}") }
}

struct Builder<'a> {
    spec: &'a Aggregator,
    index: usize,
    scope: &'a Scope,
}

type Built = (Vec<String>, Face);

impl Builder<'_> {
    /// What the n-th call gave.
    fn given(&self, at: usize, ty: Ty) -> Sql {
        Sql::new(name(&alias(self.index, at)), ty)
    }

    fn one(&self, call: String, ty: Ty) -> Result<Built> {
        Ok((vec![call], Face::plain(self.given(0, ty))))
    }

    fn input(&self) -> Result<Sql> {
        match (&self.spec.field_name, &self.spec.expression) {
            (_, Some(expression)) => self.scope.expression(expression),
            (Some(field), None) => Ok(self.scope.column(field)),
            (None, None) => {
                let kind = &self.spec.kind;
                Err(invalid(format!("`{kind}` needs `fieldName` or `expression`")))
            }
        }
    }

    fn build(&self) -> Result<Built> {
        let kind = self.spec.kind.as_str();
        match kind {
            "count" => return self.one("COUNT(*)".to_owned(), Ty::Long),
            "cardinality" => return self.cardinality(),
            "hyperUnique" => return self.hyper_unique(),
            "HLLSketchBuild" | "HLLSketchMerge" => return self.hll(),
            "thetaSketch" => return self.theta(),
            "quantilesDoublesSketch"
            | "quantilesDoublesSketchMerge"
            | "approxHistogram"
            | "approxHistogramFold" => return self.quantiles(),
            _ => {}
        }
        for (prefix, ty) in [
            ("long", Ty::Long),
            ("double", Ty::Double),
            ("float", Ty::Double),
            ("string", Ty::String),
        ] {
            if let Some(rest) = kind.strip_prefix(prefix) {
                return self.typed(rest.strip_suffix("Fold").unwrap_or(rest), ty);
            }
        }
        Err(unsupported(format!("aggregators of type `{kind}`")))
    }

    fn typed(&self, what: &str, ty: Ty) -> Result<Built> {
        let input = self.input()?;
        let value =
            if matches!(input.ty, Ty::Other) { input.text.clone() } else { input.cast(ty).text };
        let function = match (what, ty) {
            ("Sum", Ty::Long | Ty::Double) => "SUM",
            ("Min", Ty::Long | Ty::Double) => "MIN",
            ("Max", Ty::Long | Ty::Double) => "MAX",
            ("First" | "Last", _) => return self.picked(what, &value, ty),
            ("Any", _) => "ANY_VALUE",
            _ => return Err(unsupported(format!("aggregators of type `{}`", self.spec.kind))),
        };
        self.one(format!("{function}({value})"), ty)
    }

    fn picked(&self, what: &str, value: &str, ty: Ty) -> Result<Built> {
        let function = if what == "First" { "EARLIEST" } else { "LATEST" };
        let time = self.spec.time_column.as_deref().unwrap_or("__time");
        let time = self.scope.column(time).as_time();
        self.one(format!("{function}_BY({value}, {time})"), ty)
    }

    /// An estimate as Druid types it: whole only when asked for.
    fn counted(&self, call: String) -> Built {
        let count = self.given(0, Ty::Long);
        let round = self.spec.round.unwrap_or(false);
        let face = Face::plain(if round { count } else { count.cast(Ty::Double) });
        (vec![call], face)
    }

    fn cardinality(&self) -> Result<Built> {
        let fields = needed(self.spec.fields.as_ref(), "cardinality", "fields")?;
        let texts: Vec<String> = fields
            .iter()
            .enumerate()
            .map(|(at, field)| {
                let dim = dimension(field, at, self.scope)?;
                match dim.apart {
                    Some(_) => Err(unsupported("`cardinality` of multi-value columns")),
                    None => Ok(dim.sql.as_string()),
                }
            })
            .collect::<Result<_>>()?;
        let counted = match (texts.as_slice(), self.spec.by_row.unwrap_or(false)) {
            ([], _) => return Err(invalid("`cardinality` needs at least one field")),
            ([one], false) => one.clone(),
            (_, true) => {
                // Lengths keep ("a", "bc") and ("ab", "c") apart.
                let part = |text: &String| {
                    format!("COALESCE(CHAR_LENGTH({text}) || ':' || {text}, 'null')")
                };
                joined(texts.iter().map(part).collect(), "||", "''")
            }
            _ => {
                return Err(unsupported("`cardinality` of several fields without `byRow`")
                    .hint("set byRow, or make one aggregation of each field"));
            }
        };
        Ok(self.counted(format!("APPROX_COUNT_DISTINCT({counted})")))
    }

    fn hyper_unique(&self) -> Result<Built> {
        let input = self.input()?;
        if input.ty == Ty::State(Sketch::Hll) {
            return self.hll();
        }
        Ok(self.counted(format!("APPROX_COUNT_DISTINCT({})", input.as_string())))
    }

    /// What a sketch takes: another sketch of its kind, or a value.
    fn sketched(&self, sketch: Sketch) -> Result<String> {
        let input = self.input()?;
        match input.ty {
            Ty::State(found) if found == sketch => Ok(input.text),
            Ty::State(_) => {
                Err(invalid(format!("`{}` over another kind of sketch", self.spec.kind)))
            }
            _ if sketch == Sketch::Quantiles => Ok(input.as_double()),
            // Numbers are hashed as numbers: a sketch of them merges with Druid's.
            Ty::Long | Ty::Double => Ok(input.text),
            _ => Ok(input.as_string()),
        }
    }

    fn hll(&self) -> Result<Built> {
        let input = self.sketched(Sketch::Hll)?;
        let call = format!("DS_HLL({input}, {})", self.spec.lg_k.unwrap_or(HLL_LG_K));
        let state = self.given(0, Ty::State(Sketch::Hll));
        let finished = match self.spec.should_finalize {
            Some(false) => state.clone(),
            _ => estimate(&state, self.spec.round.unwrap_or(false))?,
        };
        Ok((vec![call], Face { state, finished }))
    }

    fn theta(&self) -> Result<Built> {
        let input = self.sketched(Sketch::Theta)?;
        let call = format!("DS_THETA({input}, {})", self.spec.size.unwrap_or(THETA_SIZE));
        let state = self.given(0, Ty::State(Sketch::Theta));
        let finished = match self.spec.should_finalize {
            Some(false) => state.clone(),
            _ => estimate(&state, false)?,
        };
        Ok((vec![call], Face { state, finished }))
    }

    /// Finished, it is the number of its values.
    fn quantiles(&self) -> Result<Built> {
        let input = self.sketched(Sketch::Quantiles)?;
        let call = format!("DS_QUANTILES_SKETCH({input}, {})", self.spec.k.unwrap_or(QUANTILES_K));
        let state = self.given(0, Ty::State(Sketch::Quantiles));
        let count = format!("CAST(COALESCE(DS_QUANTILES_COUNT({}), 0) AS BIGINT)", state.text);
        let finished = Sql::new(count, Ty::Long);
        Ok((vec![call], Face { state, finished }))
    }
}

fn estimate(state: &Sql, round: bool) -> Result<Sql> {
    let estimate = match state.ty {
        Ty::State(Sketch::Hll) => Sql::call("HLL_SKETCH_ESTIMATE", &[&state.text], Ty::Double),
        Ty::State(Sketch::Theta) => Sql::call("THETA_SKETCH_ESTIMATE", &[&state.text], Ty::Double),
        _ => return Err(invalid("an estimate is made of an HLL or theta sketch")),
    };
    let estimate = Sql::new(format!("COALESCE({}, 0.0)", estimate.text), Ty::Double);
    Ok(if round {
        Sql::new(format!("CAST(ROUND({}) AS BIGINT)", estimate.text), Ty::Long)
    } else {
        estimate
    })
}

/// The faces of what comes before a post-aggregation.
pub(crate) type Faces = BTreeMap<String, Face>;

/// Reads a post-aggregator over what comes before it.
pub(crate) fn post(spec: &PostAggregator, faces: &Faces, finished: &Scope) -> Result<Face> {
    let kind = spec.kind.as_str();
    let field = || -> Result<Face> {
        match (&spec.field, &spec.field_name) {
            (Some(field), _) => post(field, faces, finished),
            (None, Some(name)) => named(name, faces),
            (None, None) => Err(invalid(format!("`{kind}` needs `field`"))),
        }
    };
    let made = match kind {
        "fieldAccess" => {
            let face = named(needed(spec.field_name.as_deref(), kind, "fieldName")?, faces)?;
            return Ok(face);
        }
        "finalizingFieldAccess" => {
            named(needed(spec.field_name.as_deref(), kind, "fieldName")?, faces)?.finished
        }
        "hyperUniqueCardinality" => field()?.finished.cast(Ty::Double),
        "constant" => constant(spec)?,
        "expression" => {
            finished.expression(needed(spec.expression.as_deref(), kind, "expression")?)?
        }
        "arithmetic" => arithmetic(spec, faces, finished)?,
        "longGreatest" | "doubleGreatest" | "longLeast" | "doubleLeast" => {
            let function = if kind.ends_with("Greatest") { "GREATEST" } else { "LEAST" };
            let ty = if kind.starts_with("long") { Ty::Long } else { Ty::Double };
            let values = values(spec, faces, finished)?;
            let texts: Vec<String> = values.iter().map(|value| value.cast(ty).text).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Sql::call(function, &texts, ty)
        }
        "quantilesDoublesSketchToQuantile" | "quantile" => {
            let fraction = needed(spec.fraction.or(spec.probability), kind, "fraction")?;
            let fraction = Sql::double(fraction).text;
            Sql::call("DS_GET_QUANTILE", &[&field()?.state.text, &fraction], Ty::Double)
        }
        "quantilesDoublesSketchToQuantiles" => {
            let fractions = needed(spec.fractions.as_ref(), kind, "fractions")?;
            let mut texts = vec![field()?.state.text];
            texts.extend(fractions.iter().map(|fraction| Sql::double(*fraction).text));
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Sql::call("DS_GET_QUANTILES", &texts, Ty::Numbers)
        }
        "quantilesDoublesSketchToRank" => {
            let value = spec.value.as_ref().and_then(serde_json::Value::as_f64);
            let value = Sql::double(needed(value, kind, "value")?).text;
            Sql::call("DS_RANK", &[&field()?.state.text, &value], Ty::Double)
        }
        "thetaSketchEstimate" | "HLLSketchEstimate" => estimate(&field()?.state, false)?,
        "thetaSketchSetOp" | "HLLSketchUnion" => return set_operation(spec, faces, finished),
        other => return Err(unsupported(format!("post-aggregators of type `{other}`"))),
    };
    Ok(Face::plain(made))
}

fn named(name: &str, faces: &Faces) -> Result<Face> {
    faces.get(name).cloned().ok_or_else(|| {
        let error = invalid(format!("no aggregation `{name}`"));
        error.did_you_mean(name, faces.keys().map(String::as_str))
    })
}

fn constant(spec: &PostAggregator) -> Result<Sql> {
    match &spec.value {
        Some(serde_json::Value::Number(number)) => Ok(match number.as_i64() {
            Some(long) => Sql::long(long),
            None => Sql::double(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Some(serde_json::Value::String(text)) => Ok(Sql::string(text)),
        _ => Err(invalid("`constant` needs a number as its `value`")),
    }
}

fn values(spec: &PostAggregator, faces: &Faces, finished: &Scope) -> Result<Vec<Sql>> {
    let fields = needed(spec.fields.as_ref(), &spec.kind, "fields")?;
    fields.iter().map(|field| Ok(post(field, faces, finished)?.finished)).collect()
}

/// In doubles, whatever the fields are; `/` by zero is zero.
fn arithmetic(spec: &PostAggregator, faces: &Faces, finished: &Scope) -> Result<Sql> {
    let function = needed(spec.function.as_deref(), "arithmetic", "fn")?;
    let mut values = values(spec, faces, finished)?.into_iter();
    let first = needed(values.next(), "arithmetic", "fields")?;
    values.try_fold(first.cast(Ty::Double), |left, right| {
        let (left, right) = (left.text, right.as_double());
        Ok(match function {
            "+" | "-" | "*" => Sql::new(format!("({left} {function} {right})"), Ty::Double),
            "quotient" => Sql::new(format!("({left} / {right})"), Ty::Double),
            "/" => {
                let zero = format!("({right} = 0.0)");
                let quotient = format!("({left} / {right})");
                case(&[(zero, "CAST(0 AS DOUBLE)".to_owned())], Some(&quotient), Ty::Double)
            }
            "pow" => Sql::call("POWER", &[&left, &right], Ty::Double),
            other => return Err(invalid(format!("`arithmetic` has no `{other}`"))),
        })
    })
}

fn set_operation(spec: &PostAggregator, faces: &Faces, finished: &Scope) -> Result<Face> {
    let fields = needed(spec.fields.as_ref(), &spec.kind, "fields")?;
    let states: Vec<String> = fields
        .iter()
        .map(|field| Ok(post(field, faces, finished)?.state.text))
        .collect::<Result<_>>()?;
    let states: Vec<&str> = states.iter().map(String::as_str).collect();
    let (function, sketch) = match (spec.kind.as_str(), spec.func.as_deref()) {
        ("HLLSketchUnion", _) => ("HLL_SKETCH_UNION", Sketch::Hll),
        (_, None | Some("UNION")) => ("THETA_SKETCH_UNION", Sketch::Theta),
        (_, Some("INTERSECT")) => ("THETA_SKETCH_INTERSECT", Sketch::Theta),
        (_, Some("NOT")) => ("THETA_SKETCH_NOT", Sketch::Theta),
        (_, Some(other)) => {
            return Err(invalid(format!("`thetaSketchSetOp` has no {}", quoted(other))));
        }
    };
    let state = Sql::call(function, &states, Ty::State(sketch));
    let finished = estimate(&state, false)?;
    Ok(Face { state, finished })
}
