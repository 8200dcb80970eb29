//! `max(year)` as a pipeline file writes it → the aggregate and the SQL of what goes into it.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};
use yeoul_agg::{Aggregate, HLL_LG_K, QUANTILES_K, THETA_LG_K};

use super::expression::parse;
use super::spec::MetricInput;

/// What a pipeline file may write.
const KNOWN: &str = "count(*), count(x), sum(x), min(x), max(x), first(x), last(x), \
    any_value(x), approx_count_distinct(x), theta(x), quantiles(x)";

/// Reads one metric.
///
/// # Errors
/// What is wrong and what could be written, for people.
pub fn read_metric(name: &str, text: &str) -> Result<MetricInput, String> {
    let Expr::Function(call) = parse(text)? else {
        return Err(format!("`{text}` is not an aggregate: write one of {KNOWN}"));
    };
    let function = call.name.to_string().to_lowercase();
    if call.over.is_some() || !call.within_group.is_empty() {
        return Err(format!("`{text}`: only a plain call can be kept as a partial state"));
    }
    let (mut arguments, distinct) = arguments(&call, text)?;
    let star = matches!(arguments.first(), Some(None));
    let parameter = match arguments.get(1) {
        Some(Some(second)) => Some(number(second, text)?),
        Some(None) => return Err(format!("`{text}`: a number is expected")),
        None => None,
    };
    if arguments.len() > 2 {
        return Err(format!("`{text}` has too many arguments"));
    }
    let lg_k = |default: u8| match parameter {
        // DataSketches' size is a power of two, its logarithm is small: both are understood.
        Some(size) if size >= 32 && size.is_power_of_two() => size.ilog2() as u8,
        Some(logarithm) => u8::try_from(logarithm).unwrap_or(u8::MAX),
        None => default,
    };
    let aggregate = match function.as_str() {
        "count" if distinct => {
            return Err(format!(
                "`{text}` cannot be kept as a partial state: write approx_count_distinct"
            ));
        }
        "count" => Aggregate::Count,
        "sum" => Aggregate::Sum,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "first" | "first_value" | "earliest" => Aggregate::First,
        "last" | "last_value" | "latest" => Aggregate::Last,
        "any" | "any_value" => Aggregate::Any,
        "approx_count_distinct"
        | "approx_distinct"
        | "approx_count_distinct_ds_hll"
        | "ds_hll"
        | "hll" => Aggregate::Hll { lg_k: lg_k(HLL_LG_K) },
        "theta" | "ds_theta" | "approx_count_distinct_ds_theta" => {
            Aggregate::Theta { lg_k: lg_k(THETA_LG_K) }
        }
        "quantiles" | "ds_quantiles_sketch" => Aggregate::Quantiles {
            k: u16::try_from(parameter.unwrap_or(u32::from(QUANTILES_K))).unwrap_or(u16::MAX),
        },
        "avg" | "mean" => {
            return Err(format!("`{text}`: keep sum and count, and divide in the query"));
        }
        other => return Err(format!("`{other}` cannot be rolled up: write one of {KNOWN}")),
    };
    if distinct {
        return Err(format!("`{text}`: DISTINCT cannot be kept as a partial state"));
    }
    let takes_number = matches!(
        aggregate,
        Aggregate::Hll { .. } | Aggregate::Theta { .. } | Aggregate::Quantiles { .. }
    );
    if parameter.is_some() && !takes_number {
        return Err(format!("`{function}` takes one value"));
    }
    let input = if arguments.is_empty() { None } else { arguments.swap_remove(0) };
    let only_count = star || input.is_none();
    if only_count && aggregate != Aggregate::Count {
        return Err(format!("`{text}`: {function} needs a value"));
    }
    let input = input.map(|expr| expr.to_string());
    let sql = match (call.filter, input) {
        (None, input) => input,
        (Some(filter), None) => Some(format!("CASE WHEN {filter} THEN 1 END")),
        (Some(filter), Some(input)) => Some(format!("CASE WHEN {filter} THEN {input} END")),
    };
    Ok(MetricInput { name: name.to_owned(), aggregate, sql, condition: None, ty: None })
}

/// The arguments, `None` for `*`; and whether they are DISTINCT.
fn arguments(call: &Function, text: &str) -> Result<(Vec<Option<Expr>>, bool), String> {
    let FunctionArguments::List(list) = &call.args else { return Ok((Vec::new(), false)) };
    let distinct = list.duplicate_treatment.is_some_and(|treatment| {
        treatment == datafusion::sql::sqlparser::ast::DuplicateTreatment::Distinct
    });
    let read = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(Some(expr.clone())),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Ok(None),
        _ => Err(format!("`{text}`: `{argument}` is not a value")),
    };
    if !list.clauses.is_empty() {
        return Err(format!("`{text}`: only a plain call can be kept as a partial state"));
    }
    Ok((list.args.iter().map(read).collect::<Result<_, _>>()?, distinct))
}

fn number(expr: &Expr, text: &str) -> Result<u32, String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| format!("`{text}`: the second argument is a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_with_what_goes_into_them() {
        let read = |text: &str| {
            let metric = read_metric("m", text).unwrap();
            format!("{} {}", metric.aggregate, metric.sql.unwrap_or_else(|| "-".into()))
        };
        for (text, expected) in [
            ("count(*)", "count -"),
            ("COUNT()", "count -"),
            ("count(a)", "count a"),
            ("max(year)", "max year"),
            ("sum(a * \"b c\" + 1)", "sum a * \"b c\" + 1"),
            ("latest(x)", "last x"),
            ("approx_count_distinct(\"user.id\")", "hll(12) \"user.id\""),
            ("hll(x, 14)", "hll(14) x"),
            ("ds_theta(x, 16384)", "theta(14) x"),
            ("quantiles(x, 256)", "quantiles(256) x"),
            ("count(*) FILTER (WHERE a > 1)", "count CASE WHEN a > 1 THEN 1 END"),
            ("sum(b) filter (where a > 1)", "sum CASE WHEN a > 1 THEN b END"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        for (text, part) in [
            ("year", "not an aggregate"),
            ("median(x)", "cannot be rolled up"),
            ("count(distinct x)", "approx_count_distinct"),
            ("sum(distinct x)", "DISTINCT"),
            ("avg(x)", "sum and count"),
            ("sum()", "needs a value"),
            ("sum(*)", "needs a value"),
            ("max(x, 3)", "takes one value"),
            ("max(x) over ()", "plain call"),
            ("max(", "Expected"),
        ] {
            let error = read_metric("m", text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
