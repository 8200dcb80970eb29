//! What the web face asks, answered by the node.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use yeoul_pipeline::{Pipeline, Report, SystemVars};
use yeoul_sql::encode::{Rows, Style};
use yeoul_sql::{ErrorKind, QueryOptions, SqlError};
use yeoul_web::dto::{
    ApplyRequest, ApplyResult, Audit, AuditEntry, ColumnInfo, ComponentStatus, DeadTopic, Flow,
    Info, NodeState, PipelineInfo, Records, RecordsQuery, Redo, RedoRequest, SqlRequest, SqlResult,
    Status, Table, Topic, Trace, TraceRequest,
};
use yeoul_web::{ApiError, BoxFuture, LiveQuery, Problem, Tail};

use super::{Node, describe, metrics, records};

/// Rows of an answer to a page or a script.
const ROWS_MAX: usize = 10_000;

/// The node as `yeoul-web` sees it.
pub(super) struct Face(pub(super) Arc<Node>);

impl yeoul_web::Node for Face {
    fn info(&self) -> Info {
        let node = &self.0;
        let graph = node.graph();
        let first = graph.pipelines.first();
        Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: first.map_or_else(|| "yeoul".to_owned(), |pipeline| pipeline.name.clone()),
            timezone: first.map_or("UTC", |pipeline| pipeline.timezone.name()).to_owned(),
            started_ms: node.started_ms,
            kafka: node.options.kafka.iter().map(ToString::to_string).collect(),
            data_dir: node.options.data_dir.display().to_string(),
        }
    }

    fn flow(&self) -> Flow {
        self.0.flow()
    }

    fn topics(&self) -> Vec<Topic> {
        let store = self.0.store.as_ref();
        store.topics().by_name.values().map(|topic| describe::topic(store, topic)).collect()
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        let store = self.0.store.as_ref();
        store.topics().get(name).map(|topic| describe::topic(store, topic))
    }

    fn records(&self, topic: &str, query: &RecordsQuery) -> Result<Records, ApiError> {
        records::page(&self.0.store, topic, query)
    }

    fn tables(&self) -> Vec<Table> {
        let views = self.0.views();
        let tables = self.0.engine.catalog().tables();
        let table = |table: &Arc<yeoul_table::Table>| {
            let name = &table.spec().name;
            let view = views.iter().find(|view| view.node.id == format!("table/{name}"));
            let stats = table.stats();
            let columns = table.spec().columns.fields().iter();
            Table {
                name: name.clone(),
                topic: table.spec().topic.clone(),
                rows: stats.rows,
                bytes: stats.bytes,
                segments: stats.segments,
                columns: columns
                    .map(|field| ColumnInfo {
                        name: field.name().clone(),
                        ty: yeoul_format::ColumnType::from_arrow(field).to_string(),
                    })
                    .collect(),
                time_column: Some(yeoul_table::TIME.to_owned()),
                min_ms: stats.min_us.map(|us| us.div_euclid(1_000)),
                max_ms: stats.max_us.map(|us| us.div_euclid(1_000)),
                state: view.map_or(NodeState::Stopped, |view| view.node.state),
                lag: view.map_or(0, |view| view.node.lag),
            }
        };
        tables.iter().map(table).chain(self.0.idle_tables()).collect()
    }

    fn redo(&self, table: &str) -> Result<Redo, ApiError> {
        self.0.redo(table)
    }

    fn change_redo(&self, table: &str, request: RedoRequest) -> Result<Redo, ApiError> {
        self.0.change_redo(table, &request)
    }

    fn drop_table(&self, table: &str) -> Result<(), ApiError> {
        self.0.drop_table(table)
    }

    fn table(&self, name: &str) -> Option<Table> {
        self.tables().into_iter().find(|table| table.name == name)
    }

    fn status(&self) -> Status {
        let flow = self.0.flow();
        let views = self.0.views();
        let components = flow.nodes.into_iter().map(|node| {
            let view = views.iter().find(|view| view.node.id == node.id);
            ComponentStatus { detail: view.map_or(Value::Null, |view| view.detail.clone()), node }
        });
        Status { components: components.collect() }
    }

    fn audit(&self) -> Audit {
        let views = self.0.views();
        let audited = views.iter().filter(|view| !view.node.id.starts_with("lookup/"));
        let components: Vec<_> = audited
            .map(|view| AuditEntry::new(&view.node.id, &view.fates, view.node.lag))
            .collect();
        let balanced = components.iter().all(|entry| entry.balanced);
        Audit { components, balanced }
    }

    fn dead(&self) -> Vec<DeadTopic> {
        describe::dead(self.0.store.as_ref())
    }

    fn pipelines(&self) -> Vec<PipelineInfo> {
        let graph = self.0.graph();
        let info = |(name, applied): (&String, &super::Applied)| PipelineInfo {
            name: name.clone(),
            file: Some(applied.file.clone()),
            text: applied.text.clone(),
            applied_ms: applied.at_ms,
            components: graph
                .pipelines
                .iter()
                .filter(|pipeline| pipeline.name == *name)
                .flat_map(Pipeline::components)
                .collect(),
        };
        graph.applied.iter().map(info).collect()
    }

    fn sql(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlResult, ApiError>> {
        Box::pin(async move {
            let options = QueryOptions {
                max_rows: request.limit.unwrap_or(ROWS_MAX).min(ROWS_MAX),
                ..QueryOptions::default()
            };
            let answer = self.0.engine.query(&request.query, &options).await.map_err(refused)?;
            result_of(&answer)
        })
    }

    fn trace(&self, request: TraceRequest) -> BoxFuture<'_, Result<Trace, ApiError>> {
        Box::pin(super::trace::trace(Arc::clone(&self.0), request))
    }

    fn live_sql(&self, query: &str) -> Result<LiveQuery, ApiError> {
        let engine = Arc::clone(&self.0.engine);
        let query = query.to_owned();
        let options = QueryOptions { max_rows: ROWS_MAX, ..QueryOptions::default() };
        let (send, receive) = watch::channel(None);
        tokio::spawn(async move {
            let mut live = match engine.live(&query, &options).await {
                Ok(live) => live,
                // The receiver hears it as the query's first answer.
                Err(error) => return drop(send.send(Some(Err(Arc::new(refused(error)))))),
            };
            loop {
                let answer = tokio::select! {
                    answer = live.next() => answer,
                    () = send.closed() => break,
                };
                let Some(answer) = answer else { break };
                let body = match &answer.result {
                    Ok(output) => result_of(output).and_then(|result| body_of(&result)),
                    Err(error) => Err(refused(error.clone())),
                };
                if send.send(Some(body.map_err(Arc::new))).is_err() {
                    break;
                }
            }
        });
        Ok(receive)
    }

    fn tail(&self, topic: &str, limit: usize) -> Result<Tail, ApiError> {
        records::tail(Arc::clone(&self.0.store), topic, limit)
    }

    fn apply(&self, request: ApplyRequest) -> BoxFuture<'_, Result<ApplyResult, ApiError>> {
        let node = Arc::clone(&self.0);
        Box::pin(async move {
            // Planning and starting block; a page must not wait behind them.
            tokio::task::spawn_blocking(move || node.apply(&request))
                .await
                .map_err(|error| ApiError::internal(error.to_string()))?
        })
    }

    fn metrics(&self, out: &mut String) {
        metrics::write(&self.0, out);
    }

    fn ready(&self) -> Result<(), String> {
        let catching_up: Vec<_> = self
            .0
            .views()
            .into_iter()
            .filter(|view| view.node.state == NodeState::CatchingUp)
            .map(|view| view.node.id)
            .collect();
        if catching_up.is_empty() {
            Ok(())
        } else {
            Err(format!("catching up: {}", catching_up.join(", ")))
        }
    }
}

fn body_of(result: &SqlResult) -> Result<Bytes, ApiError> {
    let body = serde_json::to_vec(result);
    body.map(Bytes::from).map_err(|error| ApiError::internal(error.to_string()))
}

fn result_of(answer: &yeoul_sql::QueryOutput) -> Result<SqlResult, ApiError> {
    let columns = answer.schema.fields().iter().map(|field| ColumnInfo {
        name: field.name().clone(),
        ty: yeoul_format::ColumnType::from_arrow(field).to_string(),
    });
    Ok(SqlResult {
        columns: columns.collect(),
        rows: rows_of(answer)?,
        elapsed_ms: answer.elapsed.as_secs_f64() * 1_000.0,
        truncated: answer.truncated,
    })
}

fn rows_of(answer: &yeoul_sql::QueryOutput) -> Result<Vec<Vec<Value>>, ApiError> {
    let broken = |error: &dyn std::fmt::Display| ApiError::internal(error.to_string());
    let mut rows = Vec::with_capacity(answer.rows());
    let mut text = String::new();
    for batch in &answer.batches {
        let encoded = Rows::new(batch, Style::default()).map_err(|error| broken(&error))?;
        for row in 0..encoded.len() {
            text.clear();
            encoded.array(row, &mut text);
            rows.push(serde_json::from_str(&text).map_err(|error| broken(&error))?);
        }
    }
    Ok(rows)
}

pub(super) fn refused(error: SqlError) -> ApiError {
    let status = match error.kind {
        ErrorKind::Timeout => 504,
        ErrorKind::TooLarge => 413,
        ErrorKind::Capacity => 429,
        ErrorKind::Internal => 500,
        _ => 400,
    };
    let place = error.line.zip(error.column);
    let mut api = ApiError::new(status, error.message);
    if let Some((line, column)) = place {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        api = api.at(narrow(line), narrow(column));
    }
    match error.hint {
        Some(hint) => api.with_hint(hint),
        None => api,
    }
}

/// The problems of pipeline files as the API tells them.
pub(super) fn problems(report: &Report) -> ApiError {
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|problem| {
            let (line, column) = problem.line_column();
            let file = problem.source.name.clone();
            let message = problem.message.clone();
            Problem { file, line, column, message, hint: problem.hint.clone() }
        })
        .collect();
    let message = match problems.first() {
        Some(first) => format!("{}:{}:{}: {}", first.file, first.line, first.column, first.message),
        None => "the files cannot be used".to_owned(),
    };
    let first = problems.first().and_then(|problem| problem.hint.clone());
    let error = ApiError::bad_request(message).with_problems(problems);
    match first {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The pipelines of a request's files. They are looked at together with those that run.
pub(super) fn read(request: &ApplyRequest) -> Result<Vec<Pipeline>, ApiError> {
    let files: Vec<_> =
        request.files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
    yeoul_pipeline::parse_each(&files, &SystemVars).map_err(|report| problems(&report))
}
