//! What names stand for within one query, and the two ways to fail.

use std::collections::BTreeMap;

use yeoul_sql::{ErrorKind, SqlError};

use super::model::VirtualColumn;
use crate::expression::{self, ExpressionError};
use crate::text::{Sql, Ty};

pub(crate) type Result<T> = std::result::Result<T, SqlError>;

pub(crate) fn invalid(text: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::Invalid, text)
}

pub(crate) fn unsupported(text: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::Unsupported, text)
}

pub(crate) fn needed<T>(value: Option<T>, kind: &str, field: &str) -> Result<T> {
    value.ok_or_else(|| invalid(format!("`{kind}` needs `{field}`")))
}

impl From<ExpressionError> for crate::error::DruidError {
    fn from(error: ExpressionError) -> Self {
        expression_error(&error, "").into()
    }
}

fn expression_error(error: &ExpressionError, text: &str) -> SqlError {
    let message = if text.is_empty() { error.to_string() } else { format!("{error}: `{text}`") };
    if error.unsupported { unsupported(message) } else { invalid(message) }
}

/// Names and what they stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    names: BTreeMap<String, Sql>,
}

/// All the SQL of a query's names: each may hold those before it.
const NAMES_BYTES_MAX: usize = 1 << 20;

impl Scope {
    pub(crate) fn new(columns: impl IntoIterator<Item = (String, Ty)>) -> Self {
        let names = columns.into_iter().map(|(name, ty)| {
            let sql = Sql::column(&name, ty);
            (name, sql)
        });
        Self { names: names.collect() }
    }

    pub(crate) fn put(&mut self, name: &str, sql: Sql) {
        self.names.insert(name.to_owned(), sql);
    }

    /// What `name` stands for; null when it is unknown, as in Druid.
    pub(crate) fn column(&self, name: &str) -> Sql {
        self.names.get(name).cloned().unwrap_or_else(Sql::null)
    }

    pub(crate) fn expression(&self, text: &str) -> Result<Sql> {
        let column = |name: &str| self.names.get(name).cloned();
        expression::parse(text)
            .and_then(|ast| expression::to_sql(&ast, &column))
            .map_err(|error| expression_error(&error, text))
    }

    /// Adds virtual columns; one may use another that comes before it, and hides a column of its
    /// name.
    pub(crate) fn add_virtual(&mut self, columns: &[VirtualColumn]) -> Result<()> {
        let mut bytes = 0;
        for column in columns {
            if column.kind != "expression" {
                return Err(unsupported(format!("virtual columns of type `{}`", column.kind)));
            }
            let name = needed(column.name.as_deref(), "virtualColumns", "name")?;
            let text = needed(column.expression.as_deref(), "virtualColumns", "expression")?;
            let sql = self.expression(text)?;
            let wanted = column.output_type.as_deref().map(str::to_ascii_uppercase);
            let made = match wanted.as_deref() {
                Some("LONG") if sql.ty == Ty::Time => sql,
                Some("LONG") => sql.cast(Ty::Long),
                Some("FLOAT" | "DOUBLE") => sql.cast(Ty::Double),
                Some("STRING") if sql.ty != Ty::Strings => sql.cast(Ty::String),
                _ => sql,
            };
            bytes += made.text.len();
            if bytes > NAMES_BYTES_MAX {
                return Err(SqlError::new(
                    ErrorKind::TooLarge,
                    "the virtual columns are too large",
                ));
            }
            self.put(name, made);
        }
        Ok(())
    }
}
