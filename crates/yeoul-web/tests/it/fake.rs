//! A node whose answers the tests set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use yeoul_web::dto::{
    ApplyRequest, ApplyResult, Audit, ChangeDto, ChangeKind, ColumnInfo, ComponentStatus,
    DeadTopic, Encoding, Flow, FlowNode, From, Info, NodeKind, PipelineInfo, RecordDto, Records,
    RecordsQuery, Redo, RedoAction, RedoRequest, RedoState, SqlRequest, SqlResult, Status, Table,
    Topic, Trace, TraceRequest,
};
use yeoul_web::{
    ApiError, BoxFuture, LiveQuery, LiveRows, Node, TAIL_BATCHES_MAX, Tail, TailBatch,
};

#[derive(Default)]
pub(crate) struct FakeNode {
    pub(crate) flow: Mutex<Flow>,
    /// How often somebody looked at the flow.
    pub(crate) looks: AtomicU64,
    /// Senders of live queries, in the order they were asked for.
    pub(crate) queries: Mutex<Vec<(String, watch::Sender<Option<LiveRows>>)>>,
    pub(crate) tails: Mutex<Vec<mpsc::Sender<TailBatch>>>,
    pub(crate) starting: Mutex<Option<String>>,
}

pub(crate) fn record(offset: i64) -> RecordDto {
    RecordDto {
        partition: 0,
        offset,
        timestamp_ms: 1_000 + offset,
        key: None,
        value: Some(format!("영화 {offset}")),
        encoding: Encoding::Utf8,
        headers: vec![("h".to_owned(), None)],
    }
}

pub(crate) fn node(name: &str, in_total: u64) -> FlowNode {
    FlowNode { in_total, ..FlowNode::new(NodeKind::Topic, name) }
}

fn topic(name: &str) -> Topic {
    Topic {
        name: name.to_owned(),
        partitions: 1,
        records: 900,
        bytes: 1,
        start_offsets: vec![0],
        end_offsets: vec![900],
        schema: Some(vec![ColumnInfo { name: "movie".to_owned(), ty: "string".to_owned() }]),
        internal: false,
        config: std::collections::BTreeMap::new(),
    }
}

impl Node for FakeNode {
    fn info(&self) -> Info {
        Info {
            version: "0".to_owned(),
            name: "movies".to_owned(),
            timezone: "Asia/Seoul".to_owned(),
            started_ms: 1,
            kafka: vec!["127.0.0.1:9092".to_owned()],
            data_dir: "d".to_owned(),
        }
    }

    fn flow(&self) -> Flow {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.flow.lock().unwrap().clone()
    }

    fn topics(&self) -> Vec<Topic> {
        vec![topic("movies")]
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        matches!(name, "movies" | "dead.source.영화").then(|| topic(name))
    }

    fn records(&self, topic: &str, query: &RecordsQuery) -> Result<Records, ApiError> {
        if topic != "movies" {
            return Err(ApiError::not_found(format!("there is no topic `{topic}`")));
        }
        let start = match query.from {
            From::Latest => 900 - query.limit as i64,
            From::Earliest => 0,
            From::Offset(offset) => offset,
        };
        Ok(Records { records: (start..start + query.limit as i64).map(record).collect() })
    }

    fn tables(&self) -> Vec<Table> {
        Vec::new()
    }

    fn table(&self, _: &str) -> Option<Table> {
        None
    }

    fn redo(&self, table: &str) -> Result<Redo, ApiError> {
        match table {
            "films" => Ok(Redo { redo: None, rows: 7 }),
            _ => Err(ApiError::not_found(format!("there is no table `{table}`"))),
        }
    }

    fn change_redo(&self, table: &str, request: RedoRequest) -> Result<Redo, ApiError> {
        let begun = RedoState {
            rows_before: 7,
            rows_now: 7,
            rows_after: 0,
            lag: 9,
            caught_up: false,
            switch: request.switch,
            started_ms: 1,
        };
        let redo = (request.action == RedoAction::Begin).then_some(begun);
        self.redo(table).map(|before| Redo { redo, ..before })
    }

    fn drop_table(&self, table: &str) -> Result<(), ApiError> {
        self.redo(table).map(drop)
    }

    fn status(&self) -> Status {
        let detail = json!({ "trigger": "5s" });
        Status { components: vec![ComponentStatus { node: node("movies", 1), detail }] }
    }

    fn audit(&self) -> Audit {
        Audit { components: Vec::new(), balanced: true }
    }

    fn dead(&self) -> Vec<DeadTopic> {
        Vec::new()
    }

    fn pipelines(&self) -> Vec<PipelineInfo> {
        Vec::new()
    }

    fn trace(&self, request: TraceRequest) -> BoxFuture<'_, Result<Trace, ApiError>> {
        Box::pin(async move { Ok(Trace { topic: request.table, ..Trace::default() }) })
    }

    fn sql(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlResult, ApiError>> {
        Box::pin(async move {
            if request.query.contains("FORM") {
                return Err(ApiError::bad_request("expected FROM").at(1, 10).with_hint("fix it"));
            }
            let columns = vec![ColumnInfo { name: "n".to_owned(), ty: "int".to_owned() }];
            let rows = vec![vec![json!(request.limit.unwrap_or(7))]];
            Ok(SqlResult { columns, rows, elapsed_ms: 1.5, truncated: false })
        })
    }

    fn live_sql(&self, query: &str) -> Result<LiveQuery, ApiError> {
        if query.is_empty() {
            return Err(ApiError::bad_request("an empty query"));
        }
        let (sender, receiver) = watch::channel(None);
        self.queries.lock().unwrap().push((query.to_owned(), sender));
        Ok(receiver)
    }

    fn tail(&self, topic: &str, _: usize) -> Result<Tail, ApiError> {
        if topic != "movies" {
            return Err(ApiError::not_found(format!("there is no topic `{topic}`")));
        }
        let (sender, receiver) = mpsc::channel(TAIL_BATCHES_MAX);
        sender.try_send(TailBatch { records: vec![record(1), record(2)], skipped: 0 }).unwrap();
        self.tails.lock().unwrap().push(sender);
        Ok(receiver)
    }

    fn apply(&self, request: ApplyRequest) -> BoxFuture<'_, Result<ApplyResult, ApiError>> {
        Box::pin(async move {
            let change = ChangeDto {
                component: format!("stream/{}", request.files.len()),
                change: ChangeKind::Add,
                why: "new".to_owned(),
            };
            Ok(ApplyResult { changes: vec![change], applied: !request.dry_run })
        })
    }

    fn metrics(&self, out: &mut String) {
        out.push_str("yeoul_up 1\n");
    }

    fn ready(&self) -> Result<(), String> {
        self.starting.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl FakeNode {
    /// Sends to the live query with this number.
    pub(crate) fn answer(&self, index: usize, rows: Result<&'static str, ApiError>) {
        let rows = rows.map(|rows| Bytes::from_static(rows.as_bytes())).map_err(Arc::new);
        self.queries.lock().unwrap()[index].1.send_replace(Some(rows));
    }
}
