//! From the text of a continuous query to what an epoch runs, once per start: DataFusion parses,
//! types and optimizes; the optimized plan becomes our own operators.
//!
//! Invariant: a plan is a pure function of its records and of the lookups' rows. Functions whose
//! answer depends on when they run are refused, so a replay gives the same rows.

pub(crate) mod dialect;
mod localize;
mod names;
mod translate;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef};
use chrono_tz::Tz;
use datafusion::catalog::empty::EmptyTable;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use yeoul_format::{Origin, Schema};
use yeoul_sql::functions::stream as functions;

use crate::input;
use crate::operator::Branch;
use crate::spec::{Inputs, PlanError, StreamSpec, TopicSchema};

/// How deep an expression may nest.
const DEPTH_MAX: usize = 64;
/// A longer text is a mistake.
const SQL_BYTES_MAX: usize = 256 << 10;
/// Operators in each of the plan's stages; beyond this a query is a mistake or an attack.
const COLUMNS_MAX: usize = 2_000;

/// A query ready to run.
#[derive(Debug)]
pub struct Plan {
    /// What its topic's records hold.
    pub output: Schema,
    /// Topics read, by name.
    pub inputs: Vec<String>,
    /// Lookups used, by name.
    pub lookups: Vec<String>,
    /// The optimized plan, for people.
    pub explain: String,
    pub(crate) sources: Vec<Source>,
    pub(crate) branches: Vec<Branch>,
    pub(crate) arrow: SchemaRef,
    /// Places of the key's columns in the output.
    pub(crate) key: Vec<usize>,
    pub(crate) zone: Tz,
}

/// One topic of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) topic: String,
    pub(crate) schema: Schema,
    /// The schema's columns, then the system columns.
    pub(crate) columns: SchemaRef,
}

/// Plans a query without running it.
///
/// # Errors
/// What is wrong and where; or, with `waiting`, what is not there yet.
pub fn plan(spec: &StreamSpec, inputs: &dyn Inputs) -> Result<Plan, PlanError> {
    let mut query = parse(&spec.sql)?;
    let session = session(spec.timezone);
    let mut relations = names::Relations::new();
    let mut known = BTreeSet::new();
    let mut sources: Vec<Source> = Vec::new();
    let mut lookups: Vec<String> = Vec::new();
    for written in names::tables(&mut query) {
        let name = find(&written, inputs)?;
        let columns = match inputs.topic(&name) {
            Some(TopicSchema::Known(schema)) => {
                let visible = schema.columns.iter().map(|column| column.name.clone()).collect();
                relations.insert(name.clone(), visible);
                let columns = input::columns(&schema);
                if !sources.iter().any(|source| source.topic == name) {
                    let topic = name.clone();
                    sources.push(Source { topic, schema, columns: Arc::clone(&columns) });
                }
                columns
            }
            Some(TopicSchema::Unknown) => return Err(no_records(&name)),
            None => {
                let columns = lookup_columns(&name, inputs)?;
                let visible = columns.fields().iter().map(|field| field.name().clone()).collect();
                relations.insert(name.clone(), visible);
                lookups.push(name.clone());
                columns
            }
        };
        names_of(columns.fields(), &mut known, 0);
        let table = Arc::new(EmptyTable::new(columns));
        session.register_table(TableReference::bare(name), table).map_err(explain_error)?;
    }
    if sources.is_empty() {
        return Err(PlanError::new("the query reads no topic")
            .hint("a stream selects FROM a topic; lookups are joined to it"));
    }
    names::resolve(&mut query, &relations, known);
    let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
    let state = session.state();
    let logical =
        futures::executor::block_on(state.statement_to_plan(statement)).map_err(explain_error)?;
    immutable(&logical)?;
    let arrow = output_schema(&logical)?;
    let logical = localize::localize(logical, spec.timezone).map_err(explain_error)?;
    let optimized = state.optimize(&logical).map_err(explain_error)?;
    let branches = translate::Translation { state: &state, sources: &sources, lookups: &lookups }
        .run(&optimized, &arrow, spec.timezone)?;
    let key = key_columns(spec, &arrow)?;
    Ok(Plan {
        output: Schema::from_arrow(&arrow, Origin::Plan),
        inputs: sources.iter().map(|source| source.topic.clone()).collect(),
        lookups,
        explain: optimized.display_indent().to_string(),
        sources,
        branches,
        arrow,
        key,
        zone: spec.timezone,
    })
}

/// The topics and lookups a query names, as far as its text can be parsed; for the order in
/// which a node starts things.
///
/// # Errors
/// The text is not one SELECT.
pub fn names_in(sql: &str) -> Result<Vec<String>, PlanError> {
    Ok(names::tables(&mut parse(sql)?))
}

fn no_records(name: &str) -> PlanError {
    PlanError::waiting(format!("topic `{name}` has no records yet, so its columns are not known"))
        .hint(format!("declare them: topics: {{ {name}: {{ schema: \"column TYPE, …\" }} }}"))
}

fn lookup_columns(name: &str, inputs: &dyn Inputs) -> Result<SchemaRef, PlanError> {
    match inputs.lookup(name) {
        Some(Ok(columns)) => Ok(columns),
        Some(Err(problem)) => Err(PlanError::waiting(format!("lookup `{name}`: {problem}"))),
        None => Err(PlanError::new(format!("there is no topic or lookup `{name}`"))),
    }
}

fn session(zone: Tz) -> SessionContext {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some(zone.name().to_owned());
    let session = SessionContext::new_with_config(config);
    functions::register(&session, zone);
    session
}

fn parse(sql: &str) -> Result<Query, PlanError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(PlanError::new(format!("the query is longer than {SQL_BYTES_MAX} bytes")));
    }
    let statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect::StreamDialect)
        .with_recursion_limit(DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(explain_error)?;
    let mut statements = statements.into_iter();
    match (statements.next(), statements.next()) {
        (Some(Statement::Statement(statement)), None) => match *statement {
            SqlStatement::Query(query) => Ok(*query),
            _ => Err(PlanError::new("a stream is a SELECT")),
        },
        (None, _) => Err(PlanError::new("the query is empty")),
        _ => Err(PlanError::new("a stream is one SELECT")
            .hint("write one stream for each and let them read each other's topics")),
    }
}

/// The topic or lookup that a name means: itself, else the only one that differs in case.
pub(crate) fn find(written: &str, inputs: &dyn Inputs) -> Result<String, PlanError> {
    let exists = |name: &str| inputs.topic(name).is_some() || inputs.lookup(name).is_some();
    if exists(written) {
        return Ok(written.to_owned());
    }
    let names = inputs.names();
    let folded: BTreeSet<&String> =
        names.iter().filter(|name| name.to_lowercase() == written.to_lowercase()).collect();
    if let (1, Some(name)) = (folded.len(), folded.first()) {
        return Ok((*name).clone());
    }
    let error = PlanError::new(format!("there is no topic or lookup `{written}`"));
    let near = names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, written), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    Err(match near {
        Some((_, name)) => error.hint(format!("did you mean `{name}`?")),
        None if names.is_empty() => error,
        None => error.hint(format!("there are: {}", names.join(", "))),
    })
}

fn names_of(fields: &Fields, known: &mut BTreeSet<String>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    for field in fields {
        known.insert(field.name().clone());
        let inner = match field.data_type() {
            DataType::List(item) => item.data_type(),
            other => other,
        };
        if let DataType::Struct(fields) = inner {
            names_of(fields, known, depth + 1);
        }
    }
}

/// Refuses functions that answer differently when asked again.
fn immutable(plan: &LogicalPlan) -> Result<(), PlanError> {
    let mut found = None;
    let visited = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(function) = expr
                    && function.func.signature().volatility != Volatility::Immutable
                {
                    found = Some(function.func.name().to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    visited.map_err(explain_error)?;
    match found {
        Some(name) => Err(PlanError::new(format!(
            "`{name}` gives another answer each time it is asked, so a replay would change rows"
        ))
        .hint("the time a record entered Yeoul is its column `_timestamp`")),
        None => Ok(()),
    }
}

/// The types a topic's records can have; names must differ.
fn output_schema(plan: &LogicalPlan) -> Result<SchemaRef, PlanError> {
    let mut seen = BTreeSet::new();
    let mut fields = Vec::new();
    for field in plan.schema().fields() {
        if !seen.insert(field.name()) {
            return Err(two_columns(field.name()));
        }
        let data_type = stored(field.data_type()).ok_or_else(|| {
            let given = field.data_type();
            PlanError::new(format!(
                "column `{}` has type {given}, which a topic cannot hold",
                field.name()
            ))
            .hint("CAST it")
        })?;
        let metadata = field.metadata().clone();
        fields.push(Field::new(field.name(), data_type, true).with_metadata(metadata));
    }
    if fields.len() > COLUMNS_MAX {
        return Err(PlanError::new(format!("more than {COLUMNS_MAX} columns")));
    }
    Ok(Arc::new(ArrowSchema::new(fields)))
}

fn two_columns(name: &str) -> PlanError {
    PlanError::new(format!("two columns are named `{name}`")).hint("give one another name with AS")
}

/// What a value becomes when it is written; `None`: it cannot be.
pub(crate) fn stored(given: &DataType) -> Option<DataType> {
    let item = |field: &Field| -> Option<Field> {
        let data_type = stored(field.data_type())?;
        Some(Field::new(field.name(), data_type, true).with_metadata(field.metadata().clone()))
    };
    Some(match given {
        DataType::Boolean | DataType::Utf8 | DataType::Date32 | DataType::Binary => given.clone(),
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => functions::instant_type(),
        integer if integer.is_integer() => DataType::Int64,
        number if number.is_numeric() => DataType::Float64,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            DataType::List(Arc::new(item(field)?))
        }
        DataType::Struct(fields) => DataType::Struct(
            fields.iter().map(|field| item(field).map(Arc::new)).collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

fn key_columns(spec: &StreamSpec, output: &SchemaRef) -> Result<Vec<usize>, PlanError> {
    let find = |name: &String| {
        output.index_of(name).map_err(|_| {
            let names: Vec<_> = output.fields().iter().map(|field| field.name().as_str()).collect();
            PlanError::new(format!("`key:` names `{name}`, which the query does not give"))
                .hint(format!("it gives: {}", names.join(", ")))
        })
    };
    spec.key.iter().map(find).collect()
}

/// DataFusion's error in our words: no wrapper's prefix, with the place when it is known.
pub(crate) fn explain_error(error: DataFusionError) -> PlanError {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let message = message_of(&error);
    if message.starts_with("Schema contains ")
        && let Some((_, name)) = message.rsplit_once("unqualified field name ")
    {
        let name = name.split(' ').next().unwrap_or(name);
        return two_columns(name);
    }
    let mut explained = PlanError::new(message);
    if let Some(span) = span.filter(|span| span.start.line > 0) {
        explained.line = Some(span.start.line);
        explained.column = Some(span.start.column);
    } else if let Some((line, column)) = place_in(&explained.message) {
        explained.line = Some(line);
        explained.column = Some(column);
        if let Some((message, _)) = explained.message.split_once(" at Line: ") {
            explained.message = message.to_owned();
        }
    }
    explained
}

/// The error's innermost sentence.
pub(crate) fn message_of(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let mut text = text.as_str();
    for prefix in [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Cast error: ",
        "Parser error: ",
        "Schema error: ",
        "SQL error: ParserError(\"",
        "This feature is not implemented: ",
    ] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    text.trim_end_matches("\")").to_owned()
}

/// The parser's `… at Line: 1, Column: 8`.
fn place_in(message: &str) -> Option<(u64, u64)> {
    let (_, place) = message.split_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests;
