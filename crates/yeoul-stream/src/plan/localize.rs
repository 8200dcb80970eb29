//! Parts of an instant are the pipeline's local ones: `extract(hour FROM ts)` and
//! `date_trunc('day', ts)` are given the instant in the pipeline's zone, and an instant cast to
//! a number is epoch seconds, as in Spark.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, lit};
use yeoul_sql::functions::stream::instant_type;

/// Rewrites every expression of a plan; names and types of columns stay.
pub(super) fn localize(plan: LogicalPlan, zone: Tz) -> Result<LogicalPlan> {
    let local = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(zone.name())));
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| rewrite(expr, &schema, &local))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
    })?
    .data
    .recompute_schema()
}

fn rewrite(expr: Expr, schema: &DFSchema, local: &DataType) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(mut function)
            if matches!(function.func.name(), "date_part" | "date_trunc") =>
        {
            let Some(time) = function.args.get_mut(1) else {
                return Ok(Transformed::no(Expr::ScalarFunction(function)));
            };
            if time.get_type(schema)? != instant_type() {
                return Ok(Transformed::no(Expr::ScalarFunction(function)));
            }
            let instant = std::mem::replace(time, lit(0));
            *time = Expr::Cast(Cast::new(Box::new(instant), local.clone()));
            let truncates = function.func.name() == "date_trunc";
            let call = Expr::ScalarFunction(function);
            Ok(Transformed::yes(if truncates {
                Expr::Cast(Cast::new(Box::new(call), instant_type()))
            } else {
                call
            }))
        }
        Expr::Cast(cast)
            if cast.field.data_type().is_integer()
                && cast.expr.get_type(schema)? == instant_type() =>
        {
            // The instant's own number is microseconds: seconds are a division of it.
            let micros = Expr::Cast(Cast::new(cast.expr, DataType::Int64));
            let seconds = micros / lit(1_000_000_i64);
            Ok(Transformed::yes(Expr::Cast(Cast::new(
                Box::new(seconds),
                cast.field.data_type().clone(),
            ))))
        }
        other => Ok(Transformed::no(other)),
    }
}
