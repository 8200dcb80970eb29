//! Druid's expression language: virtual columns, filters, post-aggregations, transforms of
//! ingestion specs.
//!
//! [`parse`] makes a tree within a budget, [`to_sql`] and [`to_sql_expr`] translate it into the SQL of Druid's face,
//! so that an expression and the SQL a person would write for it are one plan. Values keep
//! Druid's meaning: an unknown name is null, strings become numbers where a number is wanted,
//! comparisons are three-valued. One thing is kinder than Druid: the constant `''` stands for
//! null in the branches of `if`, `nvl` and `case`, and for "not given" as an optional argument;
//! clients written for older servers mean that by it.
//!
//! Invariant: a tree is no deeper than [`DEPTH_MAX`] and no larger than [`NODES_MAX`], a
//! translation no longer than [`SQL_BYTES_MAX`].

mod functions;
mod parse;
mod translate;

use std::fmt;

use thiserror::Error;

pub use crate::text::{Sql, Ty};
pub(crate) use functions::{case, contains, floor, like, regexp_extract, substring, time_format};
pub use parse::parse;
pub(crate) use translate::compare;
pub use translate::{to_sql, to_sql_expr};

/// Of expressions within each other.
pub const DEPTH_MAX: usize = 60;
/// Of operators, functions, names and constants.
pub const NODES_MAX: usize = 2_000;
/// Of a text, and of the SQL made of it.
pub const SQL_BYTES_MAX: usize = 128 << 10;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Ast {
    Null,
    Long(i64),
    Double(f64),
    String(String),
    /// `[1, 2]`, `['a']`.
    Array(Vec<Ast>),
    /// A column.
    Name(String),
    Not(Box<Ast>),
    Minus(Box<Ast>),
    Binary(Operator, Box<Ast>, Box<Ast>),
    /// All of these, between `&&`.
    All(Vec<Ast>),
    /// Any of these, between `||`.
    Any(Vec<Ast>),
    Call(String, Vec<Ast>),
}

impl Ast {
    /// Names of the columns it reads, in the order of their first use.
    pub fn columns(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.visit(&mut |node| {
            if let Self::Name(name) = node
                && !found.contains(&name.as_str())
            {
                found.push(name.as_str());
            }
        });
        found
    }

    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Not(inner) | Self::Minus(inner) => inner.visit(see),
            Self::Binary(_, left, right) => {
                left.visit(see);
                right.visit(see);
            }
            Self::Call(_, inner) | Self::Array(inner) | Self::All(inner) | Self::Any(inner) => {
                inner.iter().for_each(|node| node.visit(see));
            }
            _ => {}
        }
    }
}

/// Between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Power,
    Times,
    Divide,
    Modulo,
    Plus,
    Minus,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ExpressionError {
    pub message: String,
    /// Whether the expression is right but asks for something that is not offered.
    pub unsupported: bool,
    /// Where, in characters from 1, when it is about a place in the text.
    pub column: Option<usize>,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "{} (character {column} of the expression)", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl ExpressionError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { message: message.into(), unsupported: false, column: None }
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self { message: message.into(), unsupported: true, column: None }
    }

    pub(crate) fn at(mut self, column: usize) -> Self {
        self.column = Some(column);
        self
    }
}

#[cfg(test)]
mod tests;
