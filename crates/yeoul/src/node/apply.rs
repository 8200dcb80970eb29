//! Making a running node follow other pipelines: what did not change goes on untouched, what
//! changed stops and starts again where its committed position says, and a failing change is
//! taken back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use yeoul_base::{Open, StoreError};
use yeoul_pipeline::{Change, ChangeKind, Pipeline, Report, SystemVars};
use yeoul_web::ApiError;
use yeoul_web::dto::{ApplyRequest, ApplyResult, ChangeDto};

use super::plan::{self, Plans};
use super::{Applied, Graph, Node, face};
use crate::output::Failure;

/// Pipelines that came through the API, one file each.
const KEPT_DIR: &str = "pipelines";
const KEPT_BYTES_MAX: u64 = 4 << 20;
/// The order in which components start; they stop in the opposite order.
const START_ORDER: [&str; 3] = ["table/", "stream/", "source/"];

/// Why the pipelines were not followed. Nothing runs that did not run before.
enum Refused {
    /// Of the files.
    Report(Report),
    Other(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

fn rank(component: &str) -> usize {
    START_ORDER.iter().position(|kind| component.starts_with(kind)).unwrap_or(START_ORDER.len())
}

impl Node {
    /// Runs these pipelines and those that were kept; for the start.
    pub(crate) fn follow(&self, given: Vec<Pipeline>) -> Result<(), Failure> {
        let mut pipelines = self.kept()?;
        let kept: Vec<_> = pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
        // A file on the command line is newer than what was kept under its name.
        pipelines.retain(|kept| !given.iter().any(|given| given.name == kept.name));
        pipelines.extend(given);
        for pipeline in &mut pipelines {
            // As `apply` sends it, so that the same folder is not taken for another. A bare file
            // name has the empty path for its folder.
            pipeline.base_dir = std::path::absolute(Path::new(".").join(&pipeline.base_dir))?;
        }
        yeoul_pipeline::check(&pipelines).map_err(|report| crate::cli::drawn(&report))?;
        let mut graph = self.graph();
        let now_ms = self.clock.now_ms();
        for pipeline in &pipelines {
            let kept = kept.contains(&pipeline.name);
            graph.applied.insert(pipeline.name.clone(), applied(pipeline, now_ms, kept));
        }
        match self.change(&mut graph, pipelines) {
            Ok(_) => Ok(()),
            Err(Refused::Report(report)) => Err(crate::cli::drawn(&report)),
            Err(Refused::Other(failure)) => Err(failure),
        }
    }

    /// Replaces or adds the request's pipelines; the others stay.
    pub(super) fn apply(&self, request: &ApplyRequest) -> Result<ApplyResult, ApiError> {
        let given = face::read(request)?;
        let mut graph = self.graph();
        let mut pipelines = graph.pipelines.clone();
        pipelines.retain(|old| !given.iter().any(|new| new.name == old.name));
        pipelines.extend(given.iter().cloned());
        yeoul_pipeline::check(&pipelines).map_err(|report| face::problems(&report))?;
        let changes = if request.dry_run {
            self.dry_run(&graph, &pipelines)
        } else {
            self.change(&mut graph, pipelines)
        };
        let changes = changes.map_err(|refused| match refused {
            Refused::Report(report) => face::problems(&report),
            Refused::Other(failure) => {
                let error = ApiError::bad_request(failure.message);
                let told = "nothing was changed; what ran before runs on";
                error.with_hint(failure.hint.unwrap_or_else(|| told.to_owned()))
            }
        })?;
        let changed = changes.iter().any(|change| change.change != ChangeKind::Keep);
        if changed && !request.dry_run {
            for pipeline in &given {
                let kept = graph.applied.get(&pipeline.name).is_none_or(|applied| applied.kept);
                if kept {
                    let failed = |error| ApiError::internal(format!("running, not kept: {error}"));
                    self.keep(pipeline).map_err(failed)?;
                }
                let applied = applied(pipeline, self.clock.now_ms(), kept);
                graph.applied.insert(pipeline.name.clone(), applied);
            }
        }
        let changes = changes.into_iter().map(told).collect();
        Ok(ApplyResult { changes, applied: changed && !request.dry_run })
    }

    /// Ends a pipeline that came through an API and drops the rows of one of its tables.
    pub(super) fn remove(&self, name: &str, table: &str) -> Result<(), ApiError> {
        let mut graph = self.graph();
        if !graph.applied.get(name).is_some_and(|applied| applied.kept) {
            return Err(ApiError::not_found(format!("there is no kept pipeline `{name}`")));
        }
        let held = self.engine.catalog().table(table);
        let mut left = graph.pipelines.clone();
        left.retain(|pipeline| pipeline.name != name);
        yeoul_pipeline::check(&left).map_err(|report| face::problems(&report))?;
        self.change(&mut graph, left).map_err(|refused| match refused {
            Refused::Report(report) => face::problems(&report),
            Refused::Other(failure) => ApiError::bad_request(failure.message),
        })?;
        graph.applied.remove(name);
        let told = |error: &dyn std::fmt::Display| ApiError::internal(error.to_string());
        // The file first: a table whose rows are gone must not be filled again by a restart.
        let path = kept_path(name);
        self.disk.remove_file(&path).map_err(|error| told(&error))?;
        self.disk.sync_dir(Path::new(KEPT_DIR)).map_err(|error| told(&error))?;
        if let Some(held) = held {
            held.drop_all().map_err(|error| told(&error))?;
        }
        let key = yeoul_format::TableColumns::fact_key(table);
        let facts = vec![(key, None)];
        let commit = yeoul_base::Commit { facts, ..yeoul_base::Commit::default() };
        self.store.commit(commit).map_err(|error| told(&error))?;
        Ok(())
    }

    fn dry_run(&self, graph: &Graph, pipelines: &[Pipeline]) -> Result<Vec<Change>, Refused> {
        let lookups = plan::lookups(pipelines, Arc::clone(&self.clock));
        let plans = Plans::make(pipelines, &lookups, Some(self.store.as_ref()));
        plans.problems(pipelines).map_err(Refused::Report)?;
        Ok(yeoul_pipeline::diff(&graph.pipelines, pipelines))
    }

    fn change(&self, graph: &mut Graph, new: Vec<Pipeline>) -> Result<Vec<Change>, Refused> {
        let changes = yeoul_pipeline::diff(&graph.pipelines, &new);
        let lookups = Arc::new(plan::lookups(&new, Arc::clone(&self.clock)));
        let plans = Plans::make(&new, &lookups, Some(self.store.as_ref()));
        // A query that cannot run is found before anything stops.
        plans.problems(&new).map_err(Refused::Report)?;
        if let Err(failure) = self.make_topics(&new, &graph.pipelines, &plans) {
            return Err(Refused::Other(with_trouble(failure, self.topics_back(graph, &new))));
        }
        let touched: Vec<_> = changes
            .iter()
            .filter(|change| change.change != ChangeKind::Keep)
            .map(|change| change.component.clone())
            .filter(|component| runs(component))
            .collect();
        self.stop_components(graph, &touched);
        let old_lookups = std::mem::replace(&mut graph.lookups, Arc::clone(&lookups));
        if let Err(failure) = self.start_components(graph, &new, &touched) {
            self.stop_components(graph, &touched);
            graph.lookups = old_lookups;
            let old = graph.pipelines.clone();
            let back = self.topics_back(graph, &new);
            let back = back.and_then(|()| self.start_components(graph, &old, &touched));
            return Err(Refused::Other(with_trouble(failure, back)));
        }
        graph.pipelines = new;
        Ok(changes)
    }

    /// Gives topics the columns and settings of what runs, after others were not taken. New
    /// topics stay: they are empty, and a client may have found them already.
    fn topics_back(&self, graph: &Graph, refused: &[Pipeline]) -> Result<(), Failure> {
        let plans = Plans::make(&graph.pipelines, &graph.lookups, Some(self.store.as_ref()));
        self.make_topics(&graph.pipelines, refused, &plans)
    }

    /// Topics first: what is written to or read from must be there with the right settings.
    fn make_topics(
        &self,
        new: &[Pipeline],
        old: &[Pipeline],
        plans: &Plans,
    ) -> Result<(), Failure> {
        for pipeline in new {
            for topic in &pipeline.topics {
                self.ensure_topic(pipeline, &topic.name, Some(&topic.spec))?;
                self.alter_changed(old, &topic.name, &topic.spec)?;
            }
            for source in &pipeline.sources {
                self.ensure_topic(pipeline, &source.spec.to, None)?;
            }
            for (topic, schema) in plan::file_schemas(pipeline) {
                if schema.is_some()
                    && let Some(schema) = plans.schema(&topic)
                {
                    self.keep_schema(&topic, schema)?;
                }
            }
        }
        Ok(())
    }

    /// A config entry follows the file only when the file's own value changed: what a tool set
    /// meanwhile stays.
    fn alter_changed(
        &self,
        old: &[Pipeline],
        name: &str,
        spec: &yeoul_pipeline::TopicSpec,
    ) -> Result<(), StoreError> {
        let topics = old.iter().flat_map(|pipeline| &pipeline.topics);
        let Some(before) = topics.into_iter().find(|topic| topic.name == name) else {
            return Ok(());
        };
        let (before, after) = (before.spec.kafka_config(), spec.kafka_config());
        let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let set = set.map(|(key, value)| (key.clone(), Some(value.clone())));
        let unset = before.keys().filter(|key| !after.contains_key(*key));
        let unset = unset.map(|key| (key.clone(), None));
        let changes: Vec<_> = set.chain(unset).collect();
        if !changes.is_empty() {
            self.store.alter_topic(name, changes)?;
        }
        Ok(())
    }

    fn stop_components(&self, graph: &mut Graph, names: &[String]) {
        let mut names: Vec<_> = names.iter().collect();
        names.sort_by_key(|name| std::cmp::Reverse(rank(name)));
        for name in names {
            if let Some(component) = graph.components.remove(name) {
                component.stop();
            }
        }
    }

    fn start_components(
        &self,
        graph: &mut Graph,
        pipelines: &[Pipeline],
        names: &[String],
    ) -> Result<(), Failure> {
        let lookups = Arc::clone(&graph.lookups);
        let wanted = |kind: &str, name: &str| {
            let id = format!("{kind}/{name}");
            names.contains(&id).then_some(id)
        };
        for pipeline in pipelines {
            for table in &pipeline.tables {
                if let Some(id) = wanted("table", &table.name) {
                    self.ensure_topic(pipeline, &table.spec.from, None)?;
                    graph.components.insert(id, self.start_table(pipeline, table)?);
                }
            }
        }
        for pipeline in pipelines {
            for stream in &pipeline.streams {
                if let Some(id) = wanted("stream", &stream.name) {
                    graph.components.insert(id, self.start_stream(pipeline, stream, &lookups)?);
                }
            }
        }
        for pipeline in pipelines {
            for source in &pipeline.sources {
                if let Some(id) = wanted("source", &source.name) {
                    let started = self.start_source(pipeline, source).map_err(|mut failure| {
                        failure.message = format!("{id}: {}", failure.message);
                        failure
                    })?;
                    graph.components.insert(id, started);
                }
            }
        }
        Ok(())
    }

    /// Writes the pipeline into the data directory. Its relative paths start where they did.
    fn keep(&self, pipeline: &Pipeline) -> std::io::Result<()> {
        let dir = Path::new(KEPT_DIR);
        self.disk.create_dir_all(dir)?;
        let path = kept_path(&pipeline.name);
        let partial = path.with_extension("partial");
        let text = format!("# file: {}\n{}", pipeline.source.name, pipeline.source.text);
        let file = self.disk.open(&partial, Open::Create)?;
        file.set_len(0)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        self.disk.rename(&partial, &path)?;
        self.disk.sync_dir(dir)
    }

    fn kept(&self) -> Result<Vec<Pipeline>, Failure> {
        let dir = Path::new(KEPT_DIR);
        self.disk.create_dir_all(dir)?;
        let mut files = Vec::new();
        for entry in self.disk.list(dir)? {
            if !entry.name.ends_with(".yaml") {
                continue;
            }
            let text = self.disk.read_all(&dir.join(&entry.name), KEPT_BYTES_MAX)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            // The first line says where relative paths start.
            let (file, text) = match text.split_once('\n') {
                Some((first, rest)) if first.starts_with("# file: ") => {
                    (first.trim_start_matches("# file: ").to_owned(), rest.to_owned())
                }
                _ => {
                    (self.options.data_dir.join(dir).join(&entry.name).display().to_string(), text)
                }
            };
            files.push((file, text));
        }
        yeoul_pipeline::parse_each(&files, &SystemVars).map_err(|report| crate::cli::drawn(&report))
    }
}

/// Names become file names without being trusted: what is not plain is written as its bytes.
fn kept_path(name: &str) -> PathBuf {
    let mut file = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            file.push(char::from(byte));
        } else {
            file.push_str(&format!("%{byte:02x}"));
        }
    }
    Path::new(KEPT_DIR).join(format!("{file}.yaml"))
}

/// Why a change failed; and why going back failed, too, if it did.
fn with_trouble(mut failure: Failure, back: Result<(), Failure>) -> Failure {
    if let Err(again) = back {
        failure.message = format!("{}; going back failed too: {}", failure.message, again.message);
    }
    failure
}

fn applied(pipeline: &Pipeline, at_ms: i64, kept: bool) -> Applied {
    let source = &pipeline.source;
    Applied { file: source.name.clone(), text: source.text.clone(), at_ms, kept }
}

/// Topics and lookups are there, they do not run.
fn runs(component: &str) -> bool {
    rank(component) < START_ORDER.len()
}

fn told(change: Change) -> ChangeDto {
    use yeoul_web::dto;
    let kind = match change.change {
        ChangeKind::Add => dto::ChangeKind::Add,
        ChangeKind::Remove => dto::ChangeKind::Remove,
        ChangeKind::Change => dto::ChangeKind::Change,
        ChangeKind::Keep => dto::ChangeKind::Keep,
    };
    ChangeDto { component: change.component, change: kind, why: change.why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder() {
        assert_eq!(kept_path("movies"), Path::new("pipelines/movies.yaml"));
        assert_eq!(kept_path("../x"), Path::new("pipelines/%2e%2e%2fx.yaml"));
    }
}
