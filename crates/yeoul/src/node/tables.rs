//! Tables as people change them: made again, or dropped when nothing feeds them.

use yeoul_stream::{RedoRequest, Redoer};
use yeoul_table::{StoredTable, drop_stored, stored_tables};
use yeoul_web::ApiError;
use yeoul_web::dto::{self, NodeState};

use super::Node;

impl Node {
    fn redoer(&self, table: &str) -> Result<Redoer, ApiError> {
        let graph = self.graph();
        let component = graph.components.get(&format!("table/{table}"));
        let redoer = component.and_then(|component| component.redoer());
        redoer.ok_or_else(|| {
            let error = ApiError::not_found(format!("no table `{table}` is fed on this node"));
            error.with_hint("`yeoul tables list` shows what is there")
        })
    }

    pub(super) fn redo(&self, table: &str) -> Result<dto::Redo, ApiError> {
        let status = self.redoer(table)?.status();
        let rows = self.engine.catalog().table(table).map_or(0, |table| table.stats().rows);
        let redo = status.map(|status| dto::RedoState {
            rows_before: status.rows_before,
            rows_now: status.rows_now,
            rows_after: status.rows_after,
            lag: status.lag,
            caught_up: status.caught_up,
            switch: status.switch,
            started_ms: status.started_ms,
        });
        Ok(dto::Redo { redo, rows })
    }

    pub(super) fn change_redo(
        &self,
        table: &str,
        request: &dto::RedoRequest,
    ) -> Result<dto::Redo, ApiError> {
        let (switch, lossy) = (request.switch, request.lossy);
        let asked = match request.action {
            dto::RedoAction::Begin => RedoRequest::Begin { switch, lossy },
            dto::RedoAction::Confirm => RedoRequest::Confirm,
            dto::RedoAction::Cancel => RedoRequest::Cancel,
        };
        // The graph is not held while the table's thread is waited for.
        let redoer = self.redoer(table)?;
        redoer.ask(asked).map_err(|why| {
            let error = ApiError::new(409, format!("table `{table}`: {why}"));
            match asked {
                RedoRequest::Begin { lossy: false, .. } if why.contains("would be lost") => {
                    error.with_hint("`--lossy` makes it again without them")
                }
                _ => error,
            }
        })?;
        self.redo(table)
    }

    pub(super) fn drop_table(&self, table: &str) -> Result<(), ApiError> {
        // Held, so that nobody begins to feed it meanwhile.
        let graph = self.graph();
        if graph.components.contains_key(&format!("table/{table}")) {
            let error = ApiError::new(409, format!("the table `{table}` is fed by a pipeline"));
            return Err(error.with_hint(
                "take it out of the pipeline's file and `yeoul apply` that first; \
                 `yeoul redo` makes it again",
            ));
        }
        let failed = |error: yeoul_table::TableError| ApiError::internal(error.to_string());
        let known = stored_tables(self.store.as_ref()).map_err(failed)?;
        if !known.iter().any(|stored| stored.name == table) {
            return Err(ApiError::not_found(format!("there is no table `{table}`")));
        }
        drop_stored(self.store.as_ref(), self.disk.as_ref(), table).map_err(failed)?;
        drop(graph);
        Ok(())
    }

    /// Tables whose files are there, and nothing that feeds or shows them.
    pub(super) fn idle_tables(&self) -> Vec<dto::Table> {
        let known = stored_tables(self.store.as_ref()).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot list the stored tables");
            Vec::new()
        });
        let catalog = self.engine.catalog();
        let idle = known.into_iter().filter(|stored| catalog.table(&stored.name).is_none());
        idle.map(shown).collect()
    }
}

fn shown(stored: StoredTable) -> dto::Table {
    dto::Table {
        name: stored.name,
        topic: String::new(),
        rows: stored.rows,
        bytes: stored.bytes,
        segments: stored.segments,
        columns: Vec::new(),
        time_column: Some(yeoul_table::TIME.to_owned()),
        min_ms: stored.min_us.map(|us| us.div_euclid(1_000)),
        max_ms: stored.max_us.map(|us| us.div_euclid(1_000)),
        state: NodeState::Stopped,
        lag: 0,
    }
}
