//! The optimized plan becomes branches: one topic each, then a line of operators. `UNION ALL`
//! makes several branches; what needs state is refused with what to do instead.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, TableScan, TryCast};
use datafusion::physical_expr::PhysicalExpr;

use super::{Source, explain_error};
use crate::operator::lookup::{Kind, LookupJoin, LookupSide};
use crate::operator::{Branch, Operator, Stored};
use crate::spec::PlanError;

pub(super) struct Translation<'a> {
    pub(super) state: &'a SessionState,
    pub(super) sources: &'a [Source],
    pub(super) lookups: &'a [String],
}

/// What a line of operators starts from.
enum Start {
    Topic(usize),
    Lookup(String),
}

struct Line {
    start: Start,
    /// Columns taken from the start.
    columns: Vec<usize>,
    operators: Vec<Operator>,
}

impl Translation<'_> {
    /// All branches, each ending in the output's columns and types.
    pub(super) fn run(
        &self,
        plan: &LogicalPlan,
        output: &SchemaRef,
        zone: Tz,
    ) -> Result<Vec<Branch>, PlanError> {
        let stored = Arc::new(Stored::new(output, local_type(zone)));
        let lines = self.lines(plan)?;
        lines
            .into_iter()
            .map(|mut line| match line.start {
                Start::Topic(source) => {
                    line.operators.push(Operator::Store(Arc::clone(&stored)));
                    Ok(Branch { source, columns: line.columns, operators: line.operators })
                }
                Start::Lookup(name) => Err(PlanError::new(format!(
                    "a part of the query reads only the lookup `{name}`"
                ))
                .hint("a stream selects FROM a topic; lookups are joined to it")),
            })
            .collect()
    }

    fn lines(&self, plan: &LogicalPlan) -> Result<Vec<Line>, PlanError> {
        match plan {
            LogicalPlan::TableScan(scan) => Ok(vec![self.scan(scan)?]),
            LogicalPlan::SubqueryAlias(alias) => self.lines(&alias.input),
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                let exprs = projection
                    .expr
                    .iter()
                    .map(|expr| self.compile(expr, schema))
                    .collect::<Result<Vec<_>, _>>()?;
                let schema = Arc::clone(projection.schema.inner());
                let operator = Operator::Project { exprs: exprs.into(), schema };
                self.then(&projection.input, operator)
            }
            LogicalPlan::Filter(filter) => {
                let predicate = self.compile(&filter.predicate, filter.input.schema())?;
                self.then(&filter.input, Operator::Filter(predicate))
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let mut lines = Vec::new();
                for input in &union.inputs {
                    let schema = Arc::clone(union.schema.inner());
                    for mut line in self.lines(input)? {
                        line.operators.push(Operator::Rename(Arc::clone(&schema)));
                        lines.push(line);
                    }
                }
                Ok(lines)
            }
            // A condition that is never true leaves nothing to read.
            LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => Ok(Vec::new()),
            other => Err(refused(other)),
        }
    }

    fn then(&self, input: &LogicalPlan, operator: Operator) -> Result<Vec<Line>, PlanError> {
        let mut lines = self.lines(input)?;
        for line in &mut lines {
            line.operators.push(operator.clone());
        }
        Ok(lines)
    }

    fn scan(&self, scan: &TableScan) -> Result<Line, PlanError> {
        if scan.fetch.is_some() {
            return Err(no_limit());
        }
        let name = scan.table_name.table();
        let all = scan.source.schema();
        let columns = match &scan.projection {
            Some(columns) => columns.clone(),
            None => (0..all.fields().len()).collect(),
        };
        let start = match self.sources.iter().position(|source| source.topic == name) {
            Some(source) => Start::Topic(source),
            None => Start::Lookup(name.to_owned()),
        };
        let mut operators = Vec::new();
        for filter in &scan.filters {
            operators.push(Operator::Filter(self.compile(filter, &scan.projected_schema)?));
        }
        Ok(Line { start, columns, operators })
    }

    fn compile(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, PlanError> {
        self.state.create_physical_expr(expr.clone(), schema).map_err(explain_error)
    }

    fn join(&self, join: &Join) -> Result<Vec<Line>, PlanError> {
        let (left_topic, right_topic) =
            (self.reads_topic(&join.left), self.reads_topic(&join.right));
        if left_topic && right_topic {
            return Err(PlanError::new("two topics are joined, which needs state")
                .hint("join a topic to lookups (`lookups:` in the pipeline file), or send both to tables and join them in a query"));
        }
        if !left_topic && !right_topic {
            return Err(PlanError::new("two lookups are joined to each other")
                .hint("join the topic to one lookup after the other"));
        }
        let (stream, lookup) =
            if left_topic { (&join.left, &join.right) } else { (&join.right, &join.left) };
        let kind = match (join.join_type, left_topic) {
            (JoinType::Inner, _) => Kind::Inner,
            (JoinType::Left, true) | (JoinType::Right, false) => Kind::Outer,
            (JoinType::LeftSemi, true) | (JoinType::RightSemi, false) => Kind::Semi,
            (JoinType::LeftAnti, true) | (JoinType::RightAnti, false) if !join.null_aware => {
                Kind::Anti
            }
            (other, _) => {
                return Err(PlanError::new(format!("a {other} join of a stream and a lookup"))
                    .hint("the stream's side is kept: topic LEFT JOIN lookup, or INNER JOIN"));
            }
        };
        if join.on.is_empty() {
            return Err(PlanError::new("a lookup is joined without an equality")
                .hint("join it ON topic.column = lookup.column"));
        }
        if join.null_equality != NullEquality::NullEqualsNothing {
            return Err(PlanError::new("a lookup's join where null equals null")
                .hint("join it ON topic.column = lookup.column"));
        }
        let mut stream_keys = Vec::new();
        let mut lookup_keys = Vec::new();
        for (left, right) in &join.on {
            let (on_stream, on_lookup) = if left_topic { (left, right) } else { (right, left) };
            stream_keys.push(self.compile(&lenient(on_stream), stream.schema())?);
            lookup_keys.push(self.compile(&lenient(on_lookup), lookup.schema())?);
        }
        let both = joined(join)?;
        let filter = join.filter.as_ref().map(|filter| self.compile(filter, &both)).transpose()?;
        let operator = Operator::Lookup(Arc::new(LookupJoin::new(
            self.lookup_side(lookup, lookup_keys)?,
            stream_keys,
            filter,
            kind,
            left_topic,
            Arc::clone(both.inner()),
        )));
        self.then(stream, operator)
    }

    fn lookup_side(
        &self,
        plan: &LogicalPlan,
        keys: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<LookupSide, PlanError> {
        let mut lines = self.lines(plan)?;
        match (lines.pop(), lines.is_empty()) {
            (Some(Line { start: Start::Lookup(name), columns, operators }), true) => {
                let schema = Arc::clone(plan.schema().inner());
                Ok(LookupSide { name, columns, operators, keys, schema })
            }
            _ => Err(PlanError::new("the joined side is not one lookup")
                .hint("join the topic to one lookup after the other")),
        }
    }

    fn reads_topic(&self, plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::TableScan(scan) => {
                !self.lookups.iter().any(|lookup| lookup == scan.table_name.table())
            }
            other => other.inputs().into_iter().any(|input| self.reads_topic(input)),
        }
    }
}

/// The columns of both sides: a semi join's own schema has only one.
fn joined(join: &Join) -> Result<DFSchema, PlanError> {
    match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right => Ok(join.schema.as_ref().clone()),
        _ => join.left.schema().join(join.right.schema()).map_err(explain_error),
    }
}

/// A key that cannot be converted matches nothing; it does not spoil its row.
fn lenient(expr: &Expr) -> Expr {
    match expr {
        Expr::Cast(cast) => {
            Expr::TryCast(TryCast::new(cast.expr.clone(), cast.field.data_type().clone()))
        }
        other => other.clone(),
    }
}

/// The type that gives a time without zone the pipeline's.
fn local_type(zone: Tz) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(zone.name())))
}

fn no_limit() -> PlanError {
    PlanError::new("LIMIT over a stream, which has no end")
        .hint("leave it out; `yeoul sql` queries a table with LIMIT")
}

fn refused(plan: &LogicalPlan) -> PlanError {
    let to_table = "send the rows to a table (`tables:`) and ask it in a query";
    match plan {
        LogicalPlan::Aggregate(_) => {
            PlanError::new("GROUP BY and aggregates over a stream need state, which streams do not keep yet").hint(to_table)
        }
        LogicalPlan::Distinct(_) => {
            PlanError::new("DISTINCT (or UNION without ALL) over a stream needs state, which streams do not keep yet").hint(to_table)
        }
        LogicalPlan::Window(_) => {
            PlanError::new("OVER (…) over a stream needs state, which streams do not keep yet")
                .hint(to_table)
        }
        LogicalPlan::Sort(_) => PlanError::new("ORDER BY over a stream, which has no end")
            .hint("leave it out: rows keep the order of their partition"),
        LogicalPlan::Limit(_) => no_limit(),
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => {
            PlanError::new("a part of the query reads no topic")
                .hint("a stream selects FROM a topic; lookups are joined to it")
        }
        other => {
            let shown = other.display().to_string();
            let name = shown.split([':', ' ']).next().unwrap_or_default().to_owned();
            PlanError::new(format!("`{name}` is not possible in a stream"))
                .hint("streams select, filter, compute, UNION ALL and join lookups")
        }
    }
}
