//! From text to one checked statement: the limits that hold before anything is planned.
//!
//! Invariant: nothing behind this module sees a syntax tree deeper or larger than the limits,
//! so its recursion (and the recursion of dropping the tree) is bounded.

use std::ops::ControlFlow;

use datafusion::common::format::ExplainStatementOptions;
use datafusion::sql::parser::{DFParserBuilder, ExplainStatement, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{
    Expr, Query, Select, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::{ErrorKind, SqlError};

/// What a query's text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    pub bytes: usize,
    /// Expressions and sub-queries.
    pub nodes: usize,
    /// Of expressions within each other; `a + b + c …` nests once per operator, and a sub-query
    /// counts as eight expressions: its planning takes that much more of the stack.
    pub depth: usize,
    /// SELECTs, set operations between them included.
    pub selects: usize,
    /// Tables, sub-queries and functions in FROM: the planner's work grows faster than they do.
    pub inputs: usize,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self { bytes: 256 << 10, nodes: 2_000, depth: 200, selects: 100, inputs: 50 }
    }
}

/// A sub-query, in expressions.
const QUERY_WEIGHT: usize = 8;
/// Parsing and dropping a tree of the largest text goes this deep at most.
const PARSER_STACK_BYTES: usize = 64 << 20;
/// The parser counts its own recursion, several levels for each parenthesis.
const PARSER_RECURSION: usize = 300;
/// A node takes at least one token, most take a separator too; blanks do not count.
const TOKENS_PER_NODE: usize = 8;

/// One statement that only reads: a query, or EXPLAIN of one.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) query: Statement,
    explain: Option<ExplainStatementOptions>,
}

impl Parsed {
    pub(crate) fn into_statement(self) -> DfStatement {
        let query = DfStatement::Statement(Box::new(self.query));
        match self.explain {
            Some(options) => {
                DfStatement::Explain(ExplainStatement { options, statement: Box::new(query) })
            }
            None => query,
        }
    }
}

/// Parses within the limits.
pub(crate) fn parse(sql: &str, limits: TextLimits) -> Result<Parsed, SqlError> {
    if sql.len() > limits.bytes {
        return Err(too_large(format!("the query has {} bytes", sql.len()), limits.bytes));
    }
    // A thread of its own: a chain like `1+1+1…` nests as deep as it is long, and is only known
    // to be too deep once it has been parsed.
    let parsed = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("yeoul-sql-parse".into())
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || parse_checked(sql, limits))
            .map(std::thread::ScopedJoinHandle::join)
    });
    match parsed {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(SqlError::new(ErrorKind::Internal, "the SQL parser failed")),
        Err(error) => Err(SqlError::new(ErrorKind::Internal, format!("no thread: {error}"))),
    }
}

fn too_large(what: String, limit: usize) -> SqlError {
    SqlError::new(ErrorKind::TooLarge, format!("{what}, at most {limit} are allowed"))
}

fn parse_checked(sql: &str, limits: TextLimits) -> Result<Parsed, SqlError> {
    let mut tokens =
        Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(|error| {
            SqlError::new(ErrorKind::Invalid, error.message)
                .at(error.location.line, error.location.column)
        })?;
    match_is_a_name(&mut tokens);
    explain_plan_for(&mut tokens);
    let count = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count();
    if count > limits.nodes * TOKENS_PER_NODE {
        return Err(too_large(
            format!("the query has {count} words"),
            limits.nodes * TOKENS_PER_NODE,
        ));
    }
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(PARSER_RECURSION)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| at_end(SqlError::from(error), sql))?;
    let parsed = match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => read_only(statement)?,
        (Some(_), false) => {
            return Err(SqlError::new(ErrorKind::Invalid, "more than one statement")
                .hint("send them one by one"));
        }
        (None, _) => return Err(SqlError::new(ErrorKind::Invalid, "the query is empty")),
    };
    let mut size = Size { limits, nodes: 0, depth: 0, selects: 0, inputs: 0 };
    match parsed.query.visit(&mut size) {
        ControlFlow::Continue(()) => Ok(parsed),
        ControlFlow::Break(error) => Err(error),
    }
}

/// `MATCH(` starts a function of ours; the parser would take it for MySQL's `MATCH … AGAINST`.
fn match_is_a_name(tokens: &mut [TokenWithSpan]) {
    for token in tokens {
        if let Token::Word(word) = &mut token.token
            && word.keyword == Keyword::MATCH
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
}

/// Druid's `EXPLAIN PLAN FOR q` is `EXPLAIN q`.
fn explain_plan_for(tokens: &mut Vec<TokenWithSpan>) {
    let mut words = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)))
        .map(|(at, token)| match &token.token {
            Token::Word(word) if word.quote_style.is_none() => (at, word.value.to_uppercase()),
            _ => (at, String::new()),
        });
    let first: Vec<(usize, String)> = words.by_ref().take(3).collect();
    if let [(_, explain), (from, plan), (to, r#for)] = first.as_slice()
        && explain == "EXPLAIN"
        && plan == "PLAN"
        && r#for == "FOR"
    {
        tokens.drain(*from..=*to);
    }
}

/// The parser gives no place when the text ends too early.
fn at_end(error: SqlError, sql: &str) -> SqlError {
    if error.line.is_some() || !error.message.ends_with("found: EOF") {
        return error;
    }
    let last = sql.lines().last().unwrap_or_default();
    error.at(sql.lines().count() as u64, last.chars().count() as u64 + 1)
}

fn read_only(statement: DfStatement) -> Result<Parsed, SqlError> {
    let (statement, explain) = match statement {
        DfStatement::Explain(explain) => (*explain.statement, Some(explain.options)),
        other => (other, None),
    };
    match statement {
        DfStatement::Statement(query) if matches!(*query, Statement::Query(_)) => {
            Ok(Parsed { query: *query, explain })
        }
        _ => Err(SqlError::new(
            ErrorKind::Unsupported,
            "only SELECT, WITH and EXPLAIN are answered here",
        )
        .hint("tables and streams are defined in a pipeline file")),
    }
}

/// Counts while walking; stops at the first limit.
struct Size {
    limits: TextLimits,
    nodes: usize,
    depth: usize,
    selects: usize,
    inputs: usize,
}

impl Size {
    fn enter(&mut self, weight: usize) -> ControlFlow<SqlError> {
        self.nodes += 1;
        self.depth += weight;
        if self.depth > self.limits.depth {
            let text = "the query is nested too deep".to_owned();
            return ControlFlow::Break(too_large(text, self.limits.depth));
        }
        at_most("expressions", self.nodes, self.limits.nodes)
    }
}

fn at_most(what: &str, count: usize, limit: usize) -> ControlFlow<SqlError> {
    if count > limit {
        return ControlFlow::Break(too_large(format!("the query has too many {what}"), limit));
    }
    ControlFlow::Continue(())
}

impl Visitor for Size {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        // Values made of values: within sub-queries they would double and double again.
        let made = match expr {
            Expr::Struct { .. } => "STRUCT",
            Expr::Dictionary(_) | Expr::Map(_) => "MAP",
            Expr::Tuple(_) => "(a, b)",
            Expr::Lambda(_) => "->",
            _ => return self.enter(1),
        };
        let text = format!("values such as `{made}` are not offered");
        ControlFlow::Break(SqlError::new(ErrorKind::Unsupported, text))
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<SqlError> {
        self.selects += 1;
        at_most("SELECTs", self.selects, self.limits.selects)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        let known = match factor {
            TableFactor::Table { args, .. } => args.is_none(),
            TableFactor::Derived { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::NestedJoin { .. } => true,
            _ => false,
        };
        if !known {
            let error = SqlError::new(ErrorKind::Unsupported, "no function may stand in FROM");
            return ControlFlow::Break(
                error.hint("a query reads tables and topics by their names"),
            );
        }
        self.inputs += 1;
        at_most("inputs", self.inputs, self.limits.inputs)
    }

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        self.enter(QUERY_WEIGHT)
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        self.depth -= QUERY_WEIGHT;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sql: &str) -> Result<(), ErrorKind> {
        parse(sql, TextLimits::default()).map(drop).map_err(|error| error.kind)
    }

    #[test]
    fn only_one_reading_statement_passes() {
        assert_eq!(kind("SELECT 1"), Ok(()));
        assert_eq!(kind("WITH a AS (SELECT 1) SELECT * FROM a;"), Ok(()));
        assert_eq!(kind("EXPLAIN SELECT 1"), Ok(()));
        assert_eq!(kind("explain plan for SELECT 1"), Ok(()));
        assert_eq!(kind("SELECT 1; SELECT 2"), Err(ErrorKind::Invalid));
        assert_eq!(kind(""), Err(ErrorKind::Invalid));
        for sql in [
            "CREATE TABLE x (a INT)",
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "INSERT INTO x VALUES (1)",
            "DROP TABLE x",
            "SET datafusion.execution.batch_size = 1",
            "EXPLAIN INSERT INTO x VALUES (1)",
        ] {
            assert_eq!(kind(sql), Err(ErrorKind::Unsupported), "{sql}");
        }
    }

    #[test]
    fn hostile_texts_are_refused_before_they_are_planned() {
        let chain = format!("SELECT 1{}", "+1".repeat(6_000));
        assert_eq!(kind(&chain), Err(ErrorKind::TooLarge));
        let parentheses = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(kind(&parentheses).is_err());
        let queries = format!("SELECT {}1{}", "(SELECT ".repeat(2_000), ")".repeat(2_000));
        assert!(kind(&queries).is_err());
        let unions = format!("SELECT 1{}", " UNION SELECT 1".repeat(150));
        assert_eq!(kind(&unions), Err(ErrorKind::TooLarge));
        let joins = format!("SELECT 1 FROM a{}", ", a".repeat(60));
        assert_eq!(kind(&joins), Err(ErrorKind::TooLarge));
        let long = format!("SELECT '{}'", "x".repeat(300_000));
        assert_eq!(kind(&long), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        let error = parse("SELECT 1\nFROM a b c", TextLimits::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert_eq!(error.line, Some(2), "{error}");
        let error = parse("SELECT 'open", TextLimits::default()).unwrap_err();
        assert_eq!((error.line, error.column), (Some(1), Some(8)), "{error}");
    }
}
