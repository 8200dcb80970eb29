//! What the planner would understand in another way than Druid: comparisons of times and numbers
//! with text, casts, calendar arithmetic in the session's zone; and SQL's names of types.
//!
//! Invariant: an expression keeps its type, so plans need not be typed anew.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNano};
use chrono_tz::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator, lit};
use datafusion::sql::sqlparser::ast::DataType as SqlType;

use super::call::{Definition, expr as call, instant_type, session_zone};
use super::cast;
use super::time::{Function, TimeFunction, parse_iso};

/// SQL's types as Druid stores them.
#[derive(Debug)]
pub(crate) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let ty = match sql_type {
            SqlType::Timestamp(_, _) | SqlType::Datetime(_) => instant_type(),
            SqlType::TinyInt(_)
            | SqlType::SmallInt(_)
            | SqlType::Int(_)
            | SqlType::Integer(_)
            | SqlType::BigInt(_) => DataType::Int64,
            SqlType::Real
            | SqlType::Double(_)
            | SqlType::DoublePrecision
            | SqlType::Numeric(_)
            | SqlType::Decimal(_)
            | SqlType::Dec(_) => DataType::Float64,
            SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::Character(_)
            | SqlType::CharVarying(_)
            | SqlType::CharacterVarying(_)
            | SqlType::Text
            | SqlType::String(_) => DataType::Utf8,
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", ty, true))))
    }
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Meaning;

impl FunctionRewrite for Meaning {
    fn name(&self) -> &'static str {
        "druid"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        config: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        let of = |expr: &Expr| expr.get_type(schema);
        let zone = session_zone(config);
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (left_type, right_type) = (of(&left)?, of(&right)?);
                if is_comparison(op) {
                    let right = meet(*right, &right_type, &left_type, zone)?;
                    let left = meet(*left, &left_type, &right_type, zone)?;
                    let changed = right.transformed || left.transformed;
                    let (left, right) = (Box::new(left.data), Box::new(right.data));
                    let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
                    return Ok(if changed {
                        Transformed::yes(expr)
                    } else {
                        Transformed::no(expr)
                    });
                }
                if let Some(moved) = moved(&left, &left_type, op, &right, zone) {
                    return Ok(Transformed::yes(moved));
                }
                Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let ty = of(&expr)?;
                let (low_type, high_type) = (of(&low)?, of(&high)?);
                let low = meet(*low, &low_type, &ty, zone)?;
                let high = meet(*high, &high_type, &ty, zone)?;
                let changed = low.transformed || high.transformed;
                let (low, high) = (Box::new(low.data), Box::new(high.data));
                let expr = Expr::Between(Between { expr, negated, low, high });
                Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
            }
            Expr::InList(InList { expr, list, negated }) => {
                let ty = of(&expr)?;
                let mut changed = false;
                let mut met = Vec::with_capacity(list.len());
                for item in list {
                    let item_type = of(&item)?;
                    let item = meet(item, &item_type, &ty, zone)?;
                    changed |= item.transformed;
                    met.push(item.data);
                }
                let expr = Expr::InList(InList { expr, list: met, negated });
                Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
            }
            Expr::Cast(Cast { expr, field }) => {
                let given = of(&expr)?;
                match casting(&given, field.data_type(), zone) {
                    Some(definition) => {
                        let strict = matches!(
                            field.data_type(),
                            DataType::Timestamp(_, _) | DataType::Date32
                        );
                        if strict && let Some(text) = text_of(&expr) {
                            constant_time(text, zone)?;
                        }
                        Ok(Transformed::yes(call(definition, vec![*expr])))
                    }
                    None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
                }
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

fn constant_time(text: &str, zone: Tz) -> Result<i64> {
    match parse_iso(text, zone) {
        Some(us) => Ok(us),
        None => plan_err!("`{text}` is not a time such as `2026-11-20 22:00:00`"),
    }
}

/// Brings one side of a comparison to the other side's type.
fn meet(expr: Expr, ty: &DataType, other: &DataType, zone: Tz) -> Result<Transformed<Expr>> {
    let instant = |us: i64| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
    let met = match other {
        DataType::Timestamp(_, _) if is_text(ty) => match text_of(&expr) {
            Some(text) => instant(constant_time(text, zone)?),
            None => call(&cast::TEXT_TO_INSTANT, vec![expr]),
        },
        DataType::Timestamp(_, _) if ty.is_integer() => call(&cast::LONG_TO_INSTANT, vec![expr]),
        DataType::Timestamp(_, _) if *ty == DataType::Date32 && zone != Tz::UTC => {
            call(&cast::DATE_TO_INSTANT, vec![expr])
        }
        DataType::Date32 if is_text(ty) => match text_of(&expr) {
            Some(text) => {
                constant_time(text, zone)?;
                call(&cast::TEXT_TO_DATE, vec![expr])
            }
            None => call(&cast::TEXT_TO_DATE, vec![expr]),
        },
        _ if other.is_numeric() && is_text(ty) => match text_of(&expr).map(str::trim) {
            Some(text) => match (text.parse::<i64>(), cast::double_of(text)) {
                (Ok(whole), _) => lit(whole),
                (_, number) => lit(ScalarValue::Float64(number)),
            },
            None => call(&cast::TEXT_TO_DOUBLE, vec![expr]),
        },
        _ => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(met))
}

/// A cast that means something else in Druid.
fn casting(from: &DataType, to: &DataType, zone: Tz) -> Option<&'static Definition> {
    Some(match (from, to) {
        (text, DataType::Timestamp(_, _)) if is_text(text) => &cast::TEXT_TO_INSTANT,
        (text, DataType::Int64) if is_text(text) => &cast::TEXT_TO_LONG,
        (text, DataType::Float64) if is_text(text) => &cast::TEXT_TO_DOUBLE,
        (text, DataType::Date32) if is_text(text) => &cast::TEXT_TO_DATE,
        (whole, DataType::Timestamp(_, _)) if whole.is_integer() => &cast::LONG_TO_INSTANT,
        (DataType::Timestamp(_, _), DataType::Int64) => &cast::INSTANT_TO_LONG,
        (DataType::Timestamp(_, _), text) if is_text(text) => &cast::INSTANT_TO_TEXT,
        (DataType::Timestamp(_, _), DataType::Date32) if zone != Tz::UTC => &cast::INSTANT_TO_DATE,
        (DataType::Date32, DataType::Timestamp(_, _)) if zone != Tz::UTC => &cast::DATE_TO_INSTANT,
        _ => return None,
    })
}

/// A time plus or minus an interval of the calendar, outside UTC: days there have other lengths.
fn moved(left: &Expr, ty: &DataType, op: Operator, right: &Expr, zone: Tz) -> Option<Expr> {
    let sign = match op {
        Operator::Plus => 1_i64,
        Operator::Minus => -1,
        _ => return None,
    };
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) = right else {
        return None;
    };
    let IntervalMonthDayNano { months, days, nanoseconds } = *interval;
    if zone == Tz::UTC || !matches!(ty, DataType::Timestamp(_, _)) || (months == 0 && days == 0) {
        return None;
    }
    let shift = |expr: Expr, period: &str, count: i64| {
        let shift = TimeFunction::new(Function::Shift);
        let shift = datafusion::logical_expr::ScalarUDF::new_from_impl(shift);
        shift.call(vec![expr, lit(period), lit(count)])
    };
    let mut out = left.clone();
    for (count, period) in [(i64::from(months), "P1M"), (i64::from(days), "P1D")] {
        if count != 0 {
            out = shift(out, period, sign * count);
        }
    }
    if nanoseconds != 0 {
        let rest = IntervalMonthDayNano { months: 0, days: 0, nanoseconds };
        let rest = lit(ScalarValue::IntervalMonthDayNano(Some(rest)));
        out = Expr::BinaryExpr(BinaryExpr { left: Box::new(out), op, right: Box::new(rest) });
    }
    Some(out)
}
