//! What a set of pipelines means, found out without starting anything: each topic's columns and
//! each stream's plan, in the order in which streams feed each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use yeoul_base::Store;
use yeoul_format::{Origin, Schema};
use yeoul_log::topic_config;
use yeoul_pipeline::{Named, Pipeline, Problem, Report, Trigger};
use yeoul_stream::{Inputs, LookupSpec, Lookups, Plan, PlanError, StreamSpec, TopicSchema};

/// Everything planned.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    /// Topic → its columns, as far as they are known before records come.
    pub(crate) topics: BTreeMap<String, TopicSchema>,
    /// In an order in which each stream comes after those that feed it.
    pub(crate) streams: Vec<PlannedStream>,
}

#[derive(Debug)]
pub(crate) struct PlannedStream {
    pub(crate) name: String,
    pub(crate) plan: Result<Plan, PlanError>,
}

/// The names a query may use.
struct Known<'a> {
    topics: &'a BTreeMap<String, TopicSchema>,
    lookups: &'a Lookups,
}

impl Inputs for Known<'_> {
    fn topic(&self, name: &str) -> Option<TopicSchema> {
        self.topics.get(name).cloned()
    }

    fn lookup(&self, name: &str) -> Option<Result<SchemaRef, String>> {
        self.lookups.schema(name)
    }

    fn names(&self) -> Vec<String> {
        self.topics.keys().cloned().chain(self.lookups.names()).collect()
    }
}

impl Plans {
    /// `store` adds the topics of a running node; `check` plans without one.
    pub(crate) fn make(
        pipelines: &[Pipeline],
        lookups: &Lookups,
        store: Option<&dyn Store>,
    ) -> Self {
        let mut topics = store.map(stored_schemas).unwrap_or_default();
        let mut waiting: Vec<(&Pipeline, &Named<yeoul_pipeline::StreamSpec>)> = Vec::new();
        for pipeline in pipelines {
            for (name, schema) in file_schemas(pipeline) {
                match schema {
                    Some(schema) => {
                        topics.insert(name, TopicSchema::Known(schema));
                    }
                    None => {
                        topics.entry(name).or_insert(TopicSchema::Unknown);
                    }
                }
            }
            waiting.extend(pipeline.streams.iter().map(|stream| (pipeline, stream)));
        }
        // An output is not known before its stream is planned; a stale schema must not serve.
        let outputs: Vec<_> = waiting.iter().map(|(_, stream)| stream.name.clone()).collect();
        let mut plans = Self { topics, streams: Vec::new() };
        for name in &outputs {
            plans.topics.insert(name.clone(), TopicSchema::Unknown);
        }
        while !waiting.is_empty() {
            let done = |name: &String| plans.streams.iter().any(|stream| stream.name == *name);
            let ready = waiting.iter().position(|(_, stream)| {
                let reads = yeoul_stream::names_in(&stream.spec.sql).unwrap_or_default();
                reads.iter().all(|name| !outputs.contains(name) || done(name))
            });
            // In a circle nobody is ready; the check of the file tells, here any order will do.
            let (pipeline, stream) = waiting.remove(ready.unwrap_or(0));
            let known = Known { topics: &plans.topics, lookups };
            let plan = yeoul_stream::plan(&stream_spec(pipeline, stream), &known);
            if let Ok(plan) = &plan {
                let schema = TopicSchema::Known(plan.output.clone());
                plans.topics.insert(stream.name.clone(), schema);
            }
            plans.streams.push(PlannedStream { name: stream.name.clone(), plan });
        }
        plans
    }

    /// The plans that are wrong, at their place in the file. What only waits is not wrong.
    pub(crate) fn problems(&self, pipelines: &[Pipeline]) -> Result<(), Report> {
        let mut problems = Vec::new();
        for planned in &self.streams {
            let Err(error) = &planned.plan else { continue };
            if error.waiting.is_none() {
                problems.extend(problem_of(pipelines, &planned.name, error));
            }
        }
        problems.extend(pipelines.iter().flat_map(bad_settings));
        problems.extend(pipelines.iter().flat_map(|pipeline| self.bad_tables(pipeline)));
        if problems.is_empty() { Ok(()) } else { Err(Report { problems }) }
    }

    /// Tables that could not be fed; those whose topic's columns are known only with their
    /// records are looked at as far as they can be.
    fn bad_tables(&self, pipeline: &Pipeline) -> Vec<Problem> {
        let check = |table: &Named<yeoul_pipeline::TableSpec>| {
            let columns = self.schema(&table.spec.from);
            let problem = super::ingest::check(pipeline, table, columns).err()?;
            let fields: Vec<_> = problem.fields.iter().map(String::as_str).collect();
            Some(pipeline.problem_at(table, &fields, &problem.message, problem.hint))
        };
        pipeline.tables.iter().filter_map(check).collect()
    }

    pub(crate) fn schema(&self, topic: &str) -> Option<&Schema> {
        match self.topics.get(topic)? {
            TopicSchema::Known(schema) => Some(schema),
            TopicSchema::Unknown => None,
        }
    }
}

fn problem_of(pipelines: &[Pipeline], name: &str, error: &PlanError) -> Option<Problem> {
    let (pipeline, stream) = pipelines.iter().find_map(|pipeline| {
        let stream = pipeline.streams.iter().find(|stream| stream.name == name)?;
        Some((pipeline, stream))
    })?;
    let at = error
        .line
        .zip(error.column)
        .and_then(|(line, column)| Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?)));
    Some(pipeline.sql_problem(stream, at, &error.message, error.hint.clone()))
}

/// Settings of topics that the log would refuse.
fn bad_settings(pipeline: &Pipeline) -> Vec<Problem> {
    let hint = "docs/topics.md lists every setting with its values";
    let mut problems = Vec::new();
    for topic in &pipeline.topics {
        if let Err(error) = topic_config::check(&topic.spec.kafka_config()) {
            let (field, hint) = (Some("config"), Some(hint.to_owned()));
            problems.push(pipeline.problem(topic, field, &error.to_string(), hint));
        }
    }
    problems
}

/// What the facts say of topics that are there already.
fn stored_schemas(store: &dyn Store) -> BTreeMap<String, TopicSchema> {
    let topics = store.topics();
    topics
        .by_name
        .keys()
        .map(|name| {
            let schema = match Schema::load(store, name) {
                Ok(Some(schema)) => TopicSchema::Known(schema),
                Ok(None) | Err(_) => TopicSchema::Unknown,
            };
            (name.to_string(), schema)
        })
        .collect()
}

/// Topics of a file with the columns it gives them: declared, else by what fills them.
pub(crate) fn file_schemas(pipeline: &Pipeline) -> Vec<(String, Option<Schema>)> {
    let mut topics = Vec::new();
    for source in &pipeline.sources {
        let schema = source.spec.config.output_schema(source.spec.decode.as_ref());
        topics.push((source.spec.to.clone(), schema));
    }
    // Declared columns come last, so that they win.
    for topic in &pipeline.topics {
        let declared = topic.spec.schema.clone();
        let schema = declared.map(|columns| Schema::new(columns.into_vec(), Origin::Declared));
        if schema.is_some() || !topics.iter().any(|(name, _)| *name == topic.name) {
            topics.push((topic.name.clone(), schema));
        }
    }
    topics
}

pub(crate) fn stream_spec(
    pipeline: &Pipeline,
    stream: &Named<yeoul_pipeline::StreamSpec>,
) -> StreamSpec {
    let defaults = &pipeline.node.topic_defaults;
    StreamSpec {
        name: stream.name.clone(),
        sql: stream.spec.sql.clone(),
        key: stream.spec.key.as_ref().map(|key| key.0.clone()).unwrap_or_default(),
        to: stream.name.clone(),
        partitions: stream.spec.partitions.or(defaults.partitions).unwrap_or(1),
        timezone: pipeline.timezone,
        trigger: match stream.spec.trigger {
            None => yeoul_stream::Trigger::Eager,
            Some(Trigger::Every(time)) => yeoul_stream::Trigger::Every(time.0),
            Some(Trigger::Once) => yeoul_stream::Trigger::Once,
            Some(Trigger::AvailableNow) => yeoul_stream::Trigger::AvailableNow,
        },
    }
}

/// All lookups of the pipelines, read once.
pub(crate) fn lookups(pipelines: &[Pipeline], clock: Arc<dyn yeoul_base::Clock>) -> Lookups {
    let specs = pipelines.iter().flat_map(|pipeline| {
        pipeline.lookups.iter().map(|lookup| lookup_spec(pipeline, lookup)).collect::<Vec<_>>()
    });
    Lookups::new(specs, clock)
}

fn lookup_spec(pipeline: &Pipeline, lookup: &Named<yeoul_pipeline::LookupSpec>) -> LookupSpec {
    use yeoul_pipeline::Keep;
    LookupSpec {
        name: lookup.name.clone(),
        path: pipeline.base_dir.join(&lookup.spec.file.path),
        format: None,
        key: lookup.spec.key.iter().cloned().collect(),
        keep: match lookup.spec.keep {
            Keep::Error => yeoul_stream::Keep::Error,
            Keep::First => yeoul_stream::Keep::First,
            Keep::Last => yeoul_stream::Keep::Last,
        },
        reload: lookup.spec.reload.map(|time| time.0),
    }
}
