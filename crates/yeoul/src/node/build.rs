//! From a component's lines in a pipeline file to the component that runs.

use std::sync::Arc;

use serde_json::{Value, json};
use yeoul_base::{NewTopic, Store, StoreError};
use yeoul_connect::{SourceContext, SourceHandle, SourceState};
use yeoul_format::Schema;
use yeoul_pipeline::{Named, Pipeline, SourceSpec, StreamSpec, TableSpec, TopicSpec};
use yeoul_stream::{
    Lookups, State, Status, StreamContext, StreamHandle, TableContext, TableHandle,
};
use yeoul_table::Table;
use yeoul_web::dto::{NodeKind, NodeState};

use super::flow::ComponentView;
use super::positions::{self, InputPosition};
use super::{Component, Node};
use crate::output::Failure;

impl Node {
    /// Makes a topic that is missing, with what the file says of it.
    pub(super) fn ensure_topic(
        &self,
        pipeline: &Pipeline,
        name: &str,
        spec: Option<&TopicSpec>,
    ) -> Result<(), StoreError> {
        let defaults = &pipeline.node.topic_defaults;
        let mut config = defaults.kafka_config();
        config.extend(spec.map(TopicSpec::kafka_config).unwrap_or_default());
        let partitions = spec.and_then(|spec| spec.partitions).or(defaults.partitions).unwrap_or(1);
        match self.store.create_topic(NewTopic { name: name.to_owned(), partitions, config }) {
            Ok(_) | Err(StoreError::TopicExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes a topic's columns where they differ from what is stored, as the next version.
    pub(super) fn keep_schema(&self, topic: &str, schema: &Schema) -> Result<(), Failure> {
        let stored = Schema::load(self.store.as_ref(), topic)?;
        if let Some(stored) = &stored
            && stored.columns == schema.columns
            && stored.origin == schema.origin
        {
            return Ok(());
        }
        let version = stored.map_or(schema.version, |stored| stored.version + 1);
        let schema = Schema { version, ..schema.clone() };
        let facts = vec![schema.fact(topic)];
        self.store.commit(yeoul_base::Commit { facts, ..yeoul_base::Commit::default() })?;
        Ok(())
    }

    pub(super) fn start_source(
        &self,
        pipeline: &Pipeline,
        source: &Named<SourceSpec>,
    ) -> Result<Box<dyn Component>, Failure> {
        let context = SourceContext {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            base_dir: pipeline.base_dir.clone(),
            topic: source.spec.to.clone(),
            decode: source.spec.decode.clone(),
        };
        let handle = yeoul_connect::start(&source.name, &source.spec.config, context)?;
        Ok(Box::new(Source { name: source.name.clone(), to: source.spec.to.clone(), handle }))
    }

    pub(super) fn start_stream(
        &self,
        pipeline: &Pipeline,
        stream: &Named<StreamSpec>,
        lookups: &Arc<Lookups>,
    ) -> Result<Box<dyn Component>, Failure> {
        let context = StreamContext {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            lookups: Arc::clone(lookups),
        };
        let reads = yeoul_stream::names_in(&stream.spec.sql).unwrap_or_default();
        let (with, inputs) = reads.into_iter().partition(|name| lookups.names().contains(name));
        let handle = yeoul_stream::start(super::plan::stream_spec(pipeline, stream), context)?;
        Ok(Box::new(Stream { name: stream.name.clone(), inputs, lookups: with, handle }))
    }

    pub(super) fn start_table(
        &self,
        pipeline: &Pipeline,
        table: &Named<TableSpec>,
    ) -> Result<Box<dyn Component>, Failure> {
        let ingest = super::ingest::ingest(pipeline, table)
            .map_err(|problem| Failure::new(format!("table `{}`: {problem}", table.name)))?;
        let topic = ingest.topic.clone();
        let catalog = Arc::clone(self.engine.catalog());
        let context = TableContext {
            store: Arc::clone(&self.store),
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            opened: Arc::new(move |table: Arc<Table>| catalog.put_table(table)),
        };
        let handle = yeoul_stream::start_table(ingest, context)?;
        let name = table.name.clone();
        let catalog = Arc::clone(self.engine.catalog());
        Ok(Box::new(IngestedTable { name, topic, handle, catalog }))
    }
}

struct Source {
    name: String,
    to: String,
    handle: SourceHandle,
}

impl Component for Source {
    fn view(&self) -> ComponentView {
        let status = self.handle.status();
        let mut view = ComponentView::new(NodeKind::Source, &self.name, status.fates);
        view.node.state = match status.state {
            SourceState::Waiting => NodeState::Waiting,
            SourceState::CatchingUp => NodeState::CatchingUp,
            SourceState::Running => NodeState::Running,
            SourceState::Failed => NodeState::Failed,
            SourceState::Stopped => NodeState::Stopped,
        };
        // A source that reads an old file keeps nobody waiting who asks for its answer.
        if view.node.state == NodeState::CatchingUp {
            view.node.state = NodeState::Running;
        }
        view.node.message = status.message;
        view.outputs.push(self.to.clone());
        let files = status
            .files
            .iter()
            .map(|file| json!({ "path": file.path, "offset": file.offset, "size": file.size }));
        view.detail = json!({ "files": files.collect::<Vec<_>>(), "lag_bytes": status.lag_bytes });
        view
    }

    fn stop(self: Box<Self>) {
        self.handle.stop();
    }
}

struct Stream {
    name: String,
    inputs: Vec<String>,
    lookups: Vec<String>,
    handle: StreamHandle,
}

impl Component for Stream {
    fn view(&self) -> ComponentView {
        let status = self.handle.status();
        let mut view = ComponentView::new(NodeKind::Stream, &self.name, status.fates);
        show_status(&mut view, &status);
        // The lag is the stream's; with several inputs the last epoch tells whose it is.
        let lag_of = |topic: &String| {
            let sources = status.progress.iter().flat_map(|progress| &progress.sources);
            let of_topic = sources.filter(|source| source.topic == *topic);
            let lag: i64 = of_topic.map(|source| source.latest_offset - source.end_offset).sum();
            u64::try_from(lag).unwrap_or(0)
        };
        view.inputs = match self.inputs.as_slice() {
            [only] => vec![(only.clone(), status.lag)],
            several => several.iter().map(|topic| (topic.clone(), lag_of(topic))).collect(),
        };
        view.outputs.push(self.name.clone());
        view.lookups.clone_from(&self.lookups);
        view.detail = json!({ "lastProgress": status.progress.as_ref().map(last_progress) });
        view
    }

    fn positions(&self, store: &dyn Store) -> Vec<InputPosition> {
        positions::of_topics(store, self.inputs.iter(), |topic, partition, _| {
            positions::of_stream(store, &self.name, topic, partition)
        })
    }

    fn stop(self: Box<Self>) {
        self.handle.stop();
    }
}

/// With the names of Spark's `lastProgress`.
fn last_progress(progress: &yeoul_stream::Progress) -> Value {
    let sources = progress.sources.iter().map(|source| {
        json!({
            "description": format!("{}[{}]", source.topic, source.partition),
            "startOffset": source.start_offset,
            "endOffset": source.end_offset,
            "latestOffset": source.latest_offset,
        })
    });
    json!({
        "batchId": progress.batch_id,
        "numInputRows": progress.num_input_rows,
        "inputRowsPerSecond": progress.input_rows_per_second,
        "processedRowsPerSecond": progress.processed_rows_per_second,
        "durationMs": { "triggerExecution": progress.duration_ms },
        "sources": sources.collect::<Vec<_>>(),
        "sink": { "numOutputRows": progress.num_output_rows },
    })
}

fn show_status(view: &mut ComponentView, status: &Status) {
    view.node.state = match status.state {
        State::Starting | State::Waiting => NodeState::Waiting,
        State::Running => NodeState::Running,
        State::CatchingUp => NodeState::CatchingUp,
        State::Failed => NodeState::Failed,
        State::Stopped => NodeState::Stopped,
    };
    view.node.message.clone_from(&status.message);
    view.node.lag = status.lag;
    view.node.last_ms = status.last_ms;
}

struct IngestedTable {
    name: String,
    topic: String,
    handle: TableHandle,
    catalog: Arc<yeoul_sql::Catalog>,
}

impl Component for IngestedTable {
    fn view(&self) -> ComponentView {
        let status = self.handle.status();
        let mut view = ComponentView::new(NodeKind::Table, &self.name, status.fates);
        show_status(&mut view, &status);
        view.inputs.push((self.topic.clone(), status.lag));
        if let Some(table) = self.handle.table() {
            let stats = table.stats();
            view.node.bytes = stats.bytes;
            view.detail = json!({
                "rows": stats.rows,
                "hot_rows": stats.hot_rows,
                "segments": stats.segments,
            });
        }
        view
    }

    /// Rows that are not sealed are made of the topic again after a restart.
    fn positions(&self, store: &dyn Store) -> Vec<InputPosition> {
        let (table, again) = (self.handle.table(), self.handle.redo_table());
        positions::of_topics(store, std::iter::once(&self.topic), |_, _, part| {
            let next = table.as_ref()?.next_offset(part)?;
            let start = store.ends(part).map_or(0, |ends| ends.start);
            let sealed = |table: &Arc<Table>| table.committed_offset(part).unwrap_or(start);
            // What is being made again reads the topic once more.
            let needs = again.as_ref().map_or(i64::MAX, sealed);
            Some((next, needs.min(sealed(table.as_ref()?))))
        })
    }

    fn redoer(&self) -> Option<yeoul_stream::Redoer> {
        Some(self.handle.redoer())
    }

    fn stop(self: Box<Self>) {
        let table = self.handle.table();
        self.handle.stop();
        // What is in memory only would be read again, but not by a table that is suspended.
        if let Some(Err(error)) = table.map(|table| table.seal()) {
            tracing::warn!(table = self.name, %error, "not sealed at its end");
        }
        self.catalog.remove_table(&self.name);
    }
}

/// A lookup as a node of the flow.
pub(super) fn lookup_view(status: yeoul_stream::LookupStatus) -> ComponentView {
    let mut view = ComponentView::new(NodeKind::Lookup, &status.name, yeoul_base::Fates::default());
    view.node.in_total = status.rows as u64;
    view.node.out_total = status.rows as u64;
    view.node.state = if status.version == 0 { NodeState::Waiting } else { NodeState::Running };
    view.node.message = status.problem;
    view.node.last_ms = status.loaded_ms;
    view.detail = json!({ "rows": status.rows, "version": status.version });
    view
}
