//! Plans built in code: the way in for queries that are not SQL.
//!
//! Invariant: such a plan runs over the same pinned inputs, within the same limits and after the
//! same checks as one that came from SQL, so both give the same answer.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};

use crate::catalog::{Catalog, DRUID, Part};
use crate::error::{ErrorKind, SqlError};
use crate::names::Inputs;

/// The tables of one query, each in one state.
#[derive(Debug)]
pub struct Pinned<'a> {
    pub(crate) inputs: &'a Inputs,
}

impl Pinned<'_> {
    fn provider(
        &self,
        table: &str,
    ) -> Result<&Arc<dyn datafusion::catalog::TableProvider>, SqlError> {
        let found = self.inputs.get(&(DRUID, table.to_owned()));
        found.map(|found| &found.provider).ok_or_else(|| {
            SqlError::new(ErrorKind::Internal, format!("`{table}` was not pinned for this query"))
        })
    }

    /// The columns of a table.
    ///
    /// # Errors
    /// When the table is not among those the query was started with.
    pub fn schema(&self, table: &str) -> Result<SchemaRef, SqlError> {
        Ok(self.provider(table)?.schema())
    }

    /// A plan that reads all of a table; the planner narrows columns and time by what is put on
    /// top of it. Columns keep their case: name them by `ident("stationName")`, not by `col`.
    ///
    /// # Errors
    /// As [`Self::schema`].
    pub fn scan(&self, table: &str) -> Result<LogicalPlanBuilder, SqlError> {
        let source = provider_as_source(Arc::clone(self.provider(table)?));
        Ok(LogicalPlanBuilder::scan(TableReference::bare(table), source, None)?)
    }
}

/// Makes a plan from the pinned tables. The state knows the functions by name.
pub(crate) type Build =
    Box<dyn FnOnce(&SessionState, &Pinned<'_>) -> Result<LogicalPlan, SqlError> + Send>;

/// Tables by their exact names.
pub(crate) fn pin(catalog: &Catalog, tables: &[String]) -> Result<Inputs, SqlError> {
    let mut inputs = Inputs::new();
    for table in tables {
        let found = catalog.find(&[Part { value: table, quoted: true }], false)?;
        inputs.insert((found.schema, found.name.clone()), found);
    }
    Ok(inputs)
}
