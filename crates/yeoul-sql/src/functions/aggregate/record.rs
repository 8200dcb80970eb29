//! Which of several rows of one time is the first or last: the record it came from tells, as in
//! a rolled-up table. A plan that asks for `LATEST_BY` or `EARLIEST_BY` over rows of a table reads
//! partition and offset of their records besides, which tables hide otherwise.
//!
//! Invariant: the plan that comes out has the columns, and their names, of the one that went in.
//! Where rows come from something else (a subquery, a join, a topic) it stays as it was, and the
//! value decides.

use std::sync::Arc;

use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result, TableReference};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, Filter, LogicalPlan, LogicalPlanBuilder, SubqueryAlias,
    TableScan,
};
use yeoul_table::{OFFSET, PARTITION};

use super::{DruidAggregate, Function};
use crate::provider::SnapshotProvider;

/// See the module's head.
pub(crate) fn by_record(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => rewrite(aggregate),
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// The function that goes by the record, too.
fn other(function: &AggregateUDF) -> Option<Function> {
    match function.inner().downcast_ref::<DruidAggregate>()?.function {
        Function::Latest => Some(Function::LatestRecord),
        Function::Earliest => Some(Function::EarliestRecord),
        _ => None,
    }
}

fn rewrite(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let asks = |expr: &Expr| match expr {
        Expr::AggregateFunction(call) => other(&call.func).is_some(),
        _ => false,
    };
    if !aggregate.aggr_expr.iter().any(asks) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let Some((input, table)) = widened(&aggregate.input)? else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let origin = |name: &str| Expr::Column(Column::new(Some(table.clone()), name));
    let calls = aggregate.aggr_expr.iter().map(|expr| match expr {
        Expr::AggregateFunction(call) => match other(&call.func) {
            Some(function) => Expr::AggregateFunction(with_record(call, function, &origin)),
            None => expr.clone(),
        },
        expr => expr.clone(),
    });
    let calls = calls.collect();
    let wide = Aggregate::try_new(Arc::new(input), aggregate.group_expr.clone(), calls)?;
    let wide = LogicalPlan::Aggregate(wide);
    let columns = wide.schema().columns().into_iter().zip(aggregate.schema.columns());
    let named = columns.map(|(column, before)| {
        let same = column == before;
        let expr = Expr::Column(column);
        if same { expr } else { expr.alias_qualified(before.relation, before.name) }
    });
    let named: Vec<Expr> = named.collect();
    Ok(Transformed::yes(LogicalPlanBuilder::from(wide).project(named)?.build()?))
}

fn with_record(
    call: &AggregateFunction,
    function: Function,
    origin: &impl Fn(&str) -> Expr,
) -> AggregateFunction {
    let mut call = call.clone();
    let rest = call.params.args.split_off(call.params.args.len().min(2));
    call.params.args.extend([origin(PARTITION), origin(OFFSET)]);
    call.params.args.extend(rest);
    call.func = Arc::new(DruidAggregate::udaf(function));
    call
}

/// The same rows with the columns of origin, and whose columns they are.
fn widened(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, TableReference)>> {
    Ok(match plan {
        LogicalPlan::TableScan(TableScan {
            table_name, source, projection: None, filters, ..
        }) if filters.is_empty() => {
            let provider = source_as_provider(source)?;
            let Some(wide) =
                provider.downcast_ref::<SnapshotProvider>().and_then(SnapshotProvider::with_origin)
            else {
                return Ok(None);
            };
            let source = provider_as_source(Arc::new(wide));
            let scan = LogicalPlanBuilder::scan(table_name.clone(), source, None)?.build()?;
            Some((scan, table_name.clone()))
        }
        LogicalPlan::Filter(filter) => match widened(&filter.input)? {
            Some((input, table)) => {
                let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
                Some((LogicalPlan::Filter(filter), table))
            }
            None => None,
        },
        LogicalPlan::SubqueryAlias(named) => match widened(&named.input)? {
            Some((input, _)) => {
                let named = SubqueryAlias::try_new(Arc::new(input), named.alias.clone())?;
                let table = named.alias.clone();
                Some((LogicalPlan::SubqueryAlias(named), table))
            }
            None => None,
        },
        _ => None,
    })
}
