//! What Druid's SQL writes differently, brought to function calls in the syntax tree, before names
//! are looked up: units that are words (`EXTRACT(DOW FROM t)`, `FLOOR(t TO DAY)`,
//! `TIMESTAMPADD(DAY, 1, t)`), the time of now, `?`, `->`.
//!
//! Invariant: a column keeps the name its text gives it, however its expression is rewritten.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DataType, DateTimeField, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr,
    Statement, UnaryOperator, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use yeoul_table::TIME;

use crate::error::{ErrorKind, SqlError};
use crate::names::Unnamed;
use crate::options::{Parameter, QueryOptions};

/// Rewrites a statement in place. `now_ms` is what the query calls now.
pub(crate) fn rewrite(
    statement: &mut Statement,
    options: &QueryOptions,
    now_ms: i64,
) -> Result<(), SqlError> {
    if options.unnamed == Unnamed::Numbered
        && let Statement::Query(query) = &mut *statement
    {
        number_columns(&mut query.body);
    }
    let mut places = Places::default();
    let _ = Visit::visit(statement, &mut places);
    if places.0.len() != options.parameters.len() {
        let (wanted, given) = (places.0.len(), options.parameters.len());
        let text = format!("the query has {wanted} places for parameters, {given} were given");
        return Err(SqlError::new(ErrorKind::Invalid, text));
    }
    let mut rewrite = Rewrite { options, now_ms, places: places.0, texts: Vec::new() };
    match VisitMut::visit(statement, &mut rewrite) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Says where a name comes from that the text does not have.
pub(crate) fn explain(error: SqlError, sql: &str) -> SqlError {
    let sql = sql.to_ascii_lowercase();
    let by_time = sql.contains("latest(") || sql.contains("earliest(");
    if by_time && !sql.contains(TIME) && error.to_string().contains(TIME) {
        return error.hint(
            "LATEST and EARLIEST go by the column __time: where there is none, use \
             LATEST_BY(x, time) and EARLIEST_BY(x, time)",
        );
    }
    error
}

/// Names columns without one as Druid does.
fn number_columns(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for (index, item) in select.projection.iter_mut().enumerate() {
                if let SelectItem::UnnamedExpr(expr) = item
                    && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                {
                    *item = SelectItem::ExprWithAlias {
                        expr: expr.clone(),
                        alias: Ident::with_quote('"', format!("EXPR${index}")),
                    };
                }
            }
        }
        SetExpr::Query(query) => number_columns(&mut query.body),
        SetExpr::SetOperation { left, .. } => number_columns(left),
        _ => {}
    }
}

/// `ORDER BY SUM(n)` beside `SUM(n) AS n`: the planner would look for a sum of the alias. What is
/// written as a column is written is that column.
fn order_by_place(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = &mut query.order_by else {
        return;
    };
    for key in keys {
        if matches!(key.expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)) {
            continue;
        }
        let same = select.projection.iter().position(|item| match item {
            SelectItem::ExprWithAlias { expr, .. } => *expr == key.expr,
            _ => false,
        });
        if let Some(at) = same {
            key.expr = number((at + 1).to_string());
        }
    }
}

/// Where each `?` stands: the tree is not walked in the order of the text.
#[derive(Default)]
struct Places(BTreeSet<Location>);

fn place(expr: &Expr) -> Option<Location> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(_), span }) => Some(span.start),
        _ => None,
    }
}

impl Visitor for Places {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.0.extend(place(expr));
        ControlFlow::Continue(())
    }
}

struct Rewrite<'a> {
    options: &'a QueryOptions,
    now_ms: i64,
    places: BTreeSet<Location>,
    /// For each SELECT that is being walked, the text of its columns without a name.
    texts: Vec<Vec<Option<String>>>,
}

impl VisitorMut for Rewrite<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let text = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => None,
            SelectItem::UnnamedExpr(expr) => Some(expr.to_string()),
            _ => None,
        };
        self.texts.push(select.projection.iter().map(text).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let texts = self.texts.pop().unwrap_or_default();
        for (item, text) in select.projection.iter_mut().zip(texts) {
            if let (SelectItem::UnnamedExpr(expr), Some(text)) = (&mut *item, text)
                && expr.to_string() != text
            {
                let alias = Ident::with_quote('"', text);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        order_by_place(query);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match self.change(expr) {
            Ok(Some(changed)) => {
                *expr = changed;
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Rewrite<'_> {
    fn change(&self, expr: &Expr) -> Result<Option<Expr>, SqlError> {
        Ok(Some(match expr {
            Expr::Value(_) => match place(expr) {
                Some(place) => self.parameter(place)?,
                None => return Ok(None),
            },
            Expr::Extract { field, expr, .. } => {
                call("time_extract", [expr.as_ref().clone(), text(&unit_name(field))])
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(field) }
                if *field != DateTimeField::NoDateTime =>
            {
                call("time_floor", [expr.as_ref().clone(), text(period(&unit_name(field))?)])
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(field) }
                if *field != DateTimeField::NoDateTime =>
            {
                call("time_ceil", [expr.as_ref().clone(), text(period(&unit_name(field))?)])
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let given = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
                call("substring", given.into_iter().flatten().map(|part| part.as_ref().clone()))
            }
            Expr::Position { expr, r#in } => {
                call("strpos", [r#in.as_ref().clone(), expr.as_ref().clone()])
            }
            Expr::BinaryOp { left, op, right } => {
                let name = match op {
                    BinaryOperator::Arrow => "json_get",
                    BinaryOperator::LongArrow => "json_get_text",
                    BinaryOperator::StringConcat => "concat",
                    _ => return Ok(None),
                };
                call(name, [left.as_ref().clone(), right.as_ref().clone()])
            }
            Expr::Array(array) => call("make_array", array.elem.iter().cloned()),
            Expr::Function(function) => return self.function(function),
            _ => return Ok(None),
        }))
    }

    fn parameter(&self, place: Location) -> Result<Expr, SqlError> {
        let at = self.places.iter().position(|known| *known == place);
        match at.and_then(|at| self.options.parameters.get(at)) {
            Some(value) => Ok(literal(value)),
            None => Err(SqlError::new(ErrorKind::Invalid, "a parameter has no value")
                .at(place.line, place.column)),
        }
    }

    fn function(&self, function: &Function) -> Result<Option<Expr>, SqlError> {
        let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
            return Ok(None);
        };
        let name = name.value.to_ascii_lowercase();
        let now = || call("millis_to_timestamp", [number(self.now_ms.to_string())]);
        let arguments = arguments(function);
        Ok(Some(match (name.as_str(), arguments.as_slice()) {
            ("now" | "current_timestamp" | "localtimestamp", []) => now(),
            ("current_date" | "today", []) => cast(now(), DataType::Date),
            ("count", [counted])
                if self.options.approximate_count_distinct
                    && function.over.is_none()
                    && is_distinct(function) =>
            {
                let mut estimate = function.clone();
                estimate.name = name_of("approx_count_distinct");
                estimate.args = list([(*counted).clone()]);
                Expr::Function(estimate)
            }
            // The value at the largest or smallest time of the table.
            ("latest" | "earliest", [of, rest @ ..]) => {
                let time = Expr::Identifier(Ident::with_quote('"', TIME));
                let args = [(*of).clone(), time].into_iter();
                let mut by = function.clone();
                by.name = name_of(if name == "latest" { "latest_by" } else { "earliest_by" });
                by.args = list(args.chain(rest.iter().map(|&arg| arg.clone())));
                Expr::Function(by)
            }
            ("timestampadd", [unit, count, time]) => {
                let period = period(&unit_of(unit)?)?;
                call("time_shift", [(*time).clone(), text(period), (*count).clone()])
            }
            ("timestampdiff", [unit, from, to]) => {
                let unit = unit_of(unit)?;
                period(&unit)?;
                call("timestamp_diff", [text(&unit), (*from).clone(), (*to).clone()])
            }
            ("date_trunc" | "datetrunc", [unit, time]) => {
                match unit_of(unit).and_then(|unit| period(&unit)) {
                    Ok(period) => call("time_floor", [(*time).clone(), text(period)]),
                    Err(error) => return Err(error),
                }
            }
            ("json_value" | "json_query", _) => match returning(function) {
                Some(ty) => {
                    let mut plain = function.clone();
                    if let FunctionArguments::List(list) = &mut plain.args {
                        list.clauses.clear();
                    }
                    cast(Expr::Function(plain), ty)
                }
                None => return Ok(None),
            },
            ("mod", [left, right]) => Expr::BinaryOp {
                left: Box::new((*left).clone()),
                op: BinaryOperator::Modulo,
                right: Box::new((*right).clone()),
            },
            ("date_part" | "datepart", [unit, time]) => {
                call("time_extract", [(*time).clone(), text(&unit_of(unit)?)])
            }
            _ => return Ok(None),
        }))
    }
}

fn is_distinct(function: &Function) -> bool {
    match &function.args {
        FunctionArguments::List(list) => {
            list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        }
        _ => false,
    }
}

/// Arguments without a name; none at all when there is another kind among them.
fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let plain = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    list.args.iter().map(plain).collect::<Option<_>>().unwrap_or_default()
}

/// The type after `RETURNING`.
fn returning(function: &Function) -> Option<DataType> {
    let FunctionArguments::List(list) = &function.args else { return None };
    list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::JsonReturningClause(returning) => Some(returning.data_type.clone()),
        _ => None,
    })
}

fn unit_name(field: &DateTimeField) -> String {
    field.to_string().to_ascii_uppercase()
}

/// A unit written as a word or as text.
fn unit_of(expr: &Expr) -> Result<String, SqlError> {
    let unit = match expr {
        Expr::Identifier(ident) => ident.value.as_str(),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text,
        other => {
            let text = format!("`{other}` is not a unit of time such as DAY");
            return Err(SqlError::new(ErrorKind::Invalid, text));
        }
    };
    let unit = unit.to_ascii_uppercase();
    Ok(unit.strip_prefix("SQL_TSI_").unwrap_or(&unit).to_owned())
}

/// The period of a unit of the calendar or the clock.
fn period(unit: &str) -> Result<&'static str, SqlError> {
    Ok(match unit.strip_suffix('S').unwrap_or(unit) {
        "MILLISECOND" => "PT0.001S",
        "SECOND" => "PT1S",
        "MINUTE" => "PT1M",
        "HOUR" => "PT1H",
        "DAY" => "P1D",
        "WEEK" => "P1W",
        "MONTH" => "P1M",
        "QUARTER" => "P3M",
        "YEAR" => "P1Y",
        "DECADE" => "P10Y",
        "CENTURY" | "CENTURIE" => "P100Y",
        "MILLENNIUM" | "MILLENNIA" => "P1000Y",
        _ => {
            let text = format!("no unit of time `{unit}`");
            return Err(SqlError::new(ErrorKind::Invalid, text)
                .hint("there is SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER and YEAR"));
        }
    })
}

fn name_of(name: &str) -> ObjectName {
    ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))])
}

fn list(args: impl IntoIterator<Item = Expr>) -> FunctionArguments {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: args.into_iter().map(argument).collect(),
        clauses: Vec::new(),
    })
}

pub(crate) fn call(name: &str, args: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Function(Function {
        name: name_of(name),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: list(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn value(value: Value) -> Expr {
    Expr::Value(ValueWithSpan { value, span: Span::empty() })
}

pub(crate) fn text(value_: &str) -> Expr {
    value(Value::SingleQuotedString(value_.to_owned()))
}

fn number(digits: String) -> Expr {
    match digits.strip_prefix('-') {
        Some(positive) => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(value(Value::Number(positive.to_owned(), false))),
        },
        None => value(Value::Number(digits, false)),
    }
}

pub(crate) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: datafusion::sql::sqlparser::ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

fn literal(parameter: &Parameter) -> Expr {
    match parameter {
        Parameter::Null => value(Value::Null),
        Parameter::Bool(given) => value(Value::Boolean(*given)),
        Parameter::Long(given) => number(given.to_string()),
        Parameter::Double(given) if given.is_finite() => number(format!("{given:e}")),
        // No number of SQL's says it; text does.
        Parameter::Double(given) => cast(
            text(&given.to_string()),
            DataType::Double(datafusion::sql::sqlparser::ast::ExactNumberInfo::None),
        ),
        Parameter::Text(given) => text(given),
        Parameter::Instant(ms) => call("millis_to_timestamp", [number(ms.to_string())]),
        Parameter::Date(given) => cast(text(given), DataType::Date),
        Parameter::Array(given) => call("make_array", given.iter().map(literal)),
    }
}
