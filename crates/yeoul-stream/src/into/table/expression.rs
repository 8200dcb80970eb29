//! SQL expressions of a table's transforms, filter and metrics: planned once, run on batches.
//!
//! Invariant: an expression is a pure function of its row: functions whose answer depends on
//! when they run are refused, so records read again give the same rows.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema};
use chrono_tz::Tz;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, ExprWithAlias, Ident, VisitMut, VisitorMut,
};
use yeoul_sql::functions;

use super::spec::FunctionSet;
use crate::plan::{dialect::StreamDialect, explain_error, stored};

/// How deep an expression may nest.
const DEPTH_MAX: usize = 64;
/// A longer text is a mistake.
const SQL_BYTES_MAX: usize = 64 << 10;

/// Plans expressions with one set of functions.
#[derive(Debug)]
pub(super) struct Planner {
    state: SessionState,
}

/// An expression ready to run.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    expr: Arc<dyn PhysicalExpr>,
    /// Of the result as it is stored.
    pub(super) field: FieldRef,
}

impl Planner {
    pub(super) fn new(functions: FunctionSet, zone: Tz) -> Self {
        let mut config = SessionConfig::new();
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.time_zone = Some(zone.name().to_owned());
        let session = SessionContext::new_with_config(config);
        match functions {
            FunctionSet::Stream => functions::stream::register(&session, zone),
            FunctionSet::Druid => functions::druid::register(&session),
        }
        Self { state: session.state() }
    }

    /// Plans `sql` over rows of `schema`. `name`: of the column it makes.
    ///
    /// # Errors
    /// What is wrong, for the person who wrote it.
    pub(super) fn plan(
        &self,
        name: &str,
        sql: &str,
        schema: &ArrowSchema,
    ) -> Result<Computed, String> {
        let mut parsed = parse(sql)?;
        let names = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let _ = VisitMut::visit(&mut parsed, &mut Rewrite { names });
        let problem = |error| explain_error(error).to_string();
        let columns = DFSchema::try_from(schema.clone()).map_err(problem)?;
        let with_alias = ExprWithAlias { expr: parsed, alias: None };
        let expr = self.state.create_logical_expr_from_sql_expr(with_alias, &columns);
        let expr = expr.map_err(problem)?;
        pure(&expr)?;
        let field = expr.to_field(&columns).map_err(problem)?.1;
        let expr = self.state.create_physical_expr(expr, &columns).map_err(problem)?;
        let given = expr.data_type(schema).map_err(problem)?;
        let data_type =
            stored(&given).ok_or_else(|| format!("it gives {given}, which cannot be stored"))?;
        let field = Field::new(name, data_type, true).with_metadata(field.metadata().clone());
        Ok(Computed { expr, field: Arc::new(field) })
    }
}

impl Computed {
    /// A value for each row; the error may be one row's.
    pub(super) fn run(&self, rows: &RecordBatch) -> Result<ArrayRef, String> {
        let value = self.expr.evaluate(rows).map_err(|error| explain_error(error).to_string())?;
        let array =
            value.into_array(rows.num_rows()).map_err(|error| explain_error(error).to_string())?;
        if array.data_type() == self.field.data_type() {
            return Ok(array);
        }
        cast(&array, self.field.data_type()).map_err(|error| error.to_string())
    }
}

/// Reads one expression.
pub(super) fn parse(sql: &str) -> Result<SqlExpr, String> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(format!("the expression is longer than {SQL_BYTES_MAX} bytes"));
    }
    let parsed = DFParserBuilder::new(sql)
        .with_dialect(&StreamDialect)
        .with_recursion_limit(DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_into_expr())
        .map_err(|error| explain_error(error).to_string())?;
    match parsed.alias {
        None => Ok(parsed.expr),
        Some(_) => Err("an expression has no AS: its name is its key".into()),
    }
}

/// The columns an expression names; `a.b` is told as that.
pub(super) fn names_in(expr: &SqlExpr) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl VisitorMut for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
            match expr {
                SqlExpr::Identifier(ident) => drop(self.0.insert(ident.value.clone())),
                SqlExpr::CompoundIdentifier(idents) => drop(self.0.insert(dotted(idents))),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(BTreeSet::new());
    let _ = VisitMut::visit(&mut expr.clone(), &mut names);
    names.0
}

fn dotted(idents: &[Ident]) -> String {
    idents.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".")
}

/// The one of `names` that is meant: itself, else the only one that differs in case.
pub(super) fn meant<'a>(
    written: &str,
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    if let Some(exact) = names.clone().find(|name| *name == written) {
        return Some(exact);
    }
    let folded = written.to_lowercase();
    let one = names.find(|name| name.to_lowercase() == folded)?;
    names.all(|name| name.to_lowercase() != folded).then_some(one)
}

/// Names as the columns spell them; `a.b` is the column of that name when there is one.
struct Rewrite<'a> {
    names: Vec<&'a str>,
}

impl VisitorMut for Rewrite<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        let (written, quoted) = match expr {
            SqlExpr::Identifier(ident) => (ident.value.clone(), ident.quote_style.is_some()),
            SqlExpr::CompoundIdentifier(idents) => (dotted(idents), false),
            _ => return ControlFlow::Continue(()),
        };
        let names = self.names.iter().copied();
        let found = if quoted { None } else { meant(&written, names) };
        if let Some(name) = found {
            *expr = SqlExpr::Identifier(Ident::with_quote('"', name));
        }
        ControlFlow::Continue(())
    }
}

fn pure(expr: &Expr) -> Result<(), String> {
    let mut found = None;
    let visited = expr.apply(|expr| {
        match expr {
            Expr::ScalarFunction(call)
                if call.func.signature().volatility != Volatility::Immutable =>
            {
                let name = call.func.name();
                found = Some(format!(
                    "`{name}` gives another answer each time it is asked, so records read again \
                     would give other rows"
                ));
            }
            Expr::AggregateFunction(call) => {
                found = Some(format!(
                    "`{}` is an aggregate: it belongs under `rollup:`, `metrics:`",
                    call.func.name()
                ));
            }
            Expr::WindowFunction(_) | Expr::ScalarSubquery(_) | Expr::Exists(_) => {
                found = Some("an expression sees one row only".into());
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        }
        Ok(TreeNodeRecursion::Stop)
    });
    visited.map_err(|error| explain_error(error).to_string())?;
    found.map_or(Ok(()), Err)
}

/// The type of a column that an expression's result is converted to.
pub(super) fn converted(computed: Computed, to: &DataType) -> Computed {
    let field = computed.field.as_ref().clone().with_data_type(to.clone());
    Computed { field: Arc::new(field), ..computed }
}
