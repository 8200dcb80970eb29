//! One stream's steps: plan when its inputs are known, then epoch after epoch.
//!
//! Invariant: one epoch is one commit of rows, dead letters, counts and positions, fenced by the
//! stream's generation and guarded by the positions it started from. Whatever happens between
//! two commits, the next epoch starts from what the last one left.

mod commit;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use yeoul_base::limits::MESSAGE_BYTES_DEFAULT;
use yeoul_base::{
    Clock, Commit, FactKind, Fates, Fence, NewTopic, PartId, Store, StoreError, TopicInfo,
};
use yeoul_format::{Origin, Schema};
use yeoul_log::dead;

use crate::evaluate::Evaluated;
use crate::infer::{Inference, Inferred};
use crate::inputs::{Input, Limits, Share};
use crate::lookup::{LookupSet, Lookups};
use crate::plan::{self, Plan};
use crate::position::Position;
use crate::spec::{Inputs, PlanError, StreamSpec, TopicSchema};
use crate::status::{Bell, Progress, SourceProgress};

/// What a stream works with.
#[derive(Debug, Clone)]
pub struct StreamContext {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub lookups: Arc<Lookups>,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// An epoch is committed; more may wait.
    Worked,
    /// Nothing waits.
    Idle,
    /// Something outside must happen first.
    Waiting(String),
    /// Wrong until someone changes it.
    Failed(String),
    /// Another generation runs, or the store is closed.
    Over(String),
}

impl From<StoreError> for Step {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced { .. } | StoreError::Closed(_) => Self::Over(error.to_string()),
            StoreError::DiskFull(_) | StoreError::UnknownPartition(_) => {
                Self::Waiting(error.to_string())
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Runner {
    spec: StreamSpec,
    context: StreamContext,
    component: String,
    fence: Fence,
    bell: Arc<Bell>,
    limits: Limits,
    plan: Option<Arc<Plan>>,
    inference: Inference,
    inputs: Vec<Input>,
    output: Option<Arc<TopicInfo>>,
    letters: Option<PartId>,
    /// Takes turns among partitions.
    turn: usize,
    pub(crate) fates: Fates,
    pub(crate) progress: Option<Progress>,
    /// Something that happened to the input and deserves to be said.
    pub(crate) note: Option<String>,
}

/// What an epoch makes of the share of one input.
struct Part<'a> {
    input: &'a Input,
    share: &'a Share,
    made: Evaluated,
}

impl Runner {
    /// Takes over the stream's name: an older runner's commits are refused from now on.
    pub(crate) fn new(
        spec: StreamSpec,
        context: StreamContext,
        bell: Arc<Bell>,
    ) -> Result<Self, StoreError> {
        let component = spec.component();
        let fence = context.store.claim(&component)?;
        let fates = match context.store.fact(FactKind::Fates, component.as_bytes()) {
            Some(bytes) => Fates::decode(&bytes)
                .map_err(|error| StoreError::Corrupt(format!("fates of {component}: {error}")))?,
            None => Fates::default(),
        };
        Ok(Self {
            spec,
            context,
            component,
            fence,
            bell,
            limits: Limits::default(),
            plan: None,
            inference: Inference::default(),
            inputs: Vec::new(),
            output: None,
            letters: None,
            turn: 0,
            fates,
            progress: None,
            note: None,
        })
    }

    #[cfg(test)]
    pub(crate) fn with_limits(mut self, records: usize, bytes: usize) -> Self {
        self.limits = Limits { records, bytes };
        self
    }

    fn store(&self) -> &Arc<dyn Store> {
        &self.context.store
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(crate) fn lag(&self) -> u64 {
        self.inputs.iter().map(|input| input.lag(self.store().as_ref())).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.inputs.iter().flat_map(|input| &input.parts).map(|part| part.lost).sum()
    }

    /// Does what can be done now, at most one epoch.
    pub(crate) fn step(&mut self) -> Step {
        match self.advance() {
            Ok(step) | Err(step) => step,
        }
    }

    fn advance(&mut self) -> Result<Step, Step> {
        self.context.lookups.refresh();
        let plan = match &self.plan {
            Some(plan) => Arc::clone(plan),
            None => self.plan()?,
        };
        self.connect(&plan)?;
        let started = self.context.clock.monotonic();
        let lookups = self.context.lookups.snapshot(&plan.lookups);
        let mut shares = Vec::new();
        let mut limits = self.limits;
        for input in &mut self.inputs {
            let share = input.take(limits, self.turn)?;
            limits.records = limits.records.saturating_sub(share.records.len());
            limits.bytes = limits.bytes.saturating_sub(share.bytes);
            shares.push(share);
        }
        self.turn = self.turn.wrapping_add(1);
        let made = self.evaluate(&plan, &shares, &lookups).map_err(Step::Waiting)?;
        for ((input, share), made) in self.inputs.iter_mut().zip(&shares).zip(&made) {
            input.keep(share, made.records as usize);
        }
        let parts = self.inputs.iter().zip(&shares).zip(made);
        let parts: Vec<_> =
            parts.map(|((input, share), made)| Part { input, share, made }).collect();
        let moved = parts
            .iter()
            .flat_map(|part| &part.input.parts)
            .any(|part| part.passed().next != part.at);
        if !moved {
            return Ok(Step::Idle);
        }
        let epoch = commit::build(self, &parts)?;
        self.store().commit(epoch.commit)?;
        self.finish(started, epoch.fates);
        Ok(Step::Worked)
    }

    /// Runs the shares through the plan until the output of one epoch is full.
    fn evaluate(
        &self,
        plan: &Plan,
        shares: &[Share],
        lookups: &LookupSet,
    ) -> Result<Vec<Evaluated>, String> {
        let mut bytes_left = self.limits.bytes;
        let mut made = Vec::new();
        for (source, share) in shares.iter().enumerate() {
            if bytes_left == 0 {
                made.push(Evaluated::default());
                continue;
            }
            let room = self.row_bytes_max();
            let part = plan.evaluate(source, &share.records, lookups, bytes_left, room)?;
            let bytes: usize = part.rows.iter().map(|row| row.value.len()).sum();
            let cut = (part.records as usize) < share.records.len();
            bytes_left = if cut { 0 } else { bytes_left.saturating_sub(bytes) };
            made.push(part);
        }
        Ok(made)
    }

    /// What one record of the output topic may hold.
    fn row_bytes_max(&self) -> usize {
        /// A batch's header and a record's own lengths and deltas.
        const OVERHEAD_BYTES: usize = 128;
        let configured =
            self.output.as_ref().and_then(|topic| topic.config_u64("max.message.bytes"));
        let limit = configured.and_then(|bytes| usize::try_from(bytes).ok());
        limit.unwrap_or(MESSAGE_BYTES_DEFAULT).saturating_sub(OVERHEAD_BYTES)
    }

    /// Remembers the durable epoch.
    fn finish(&mut self, started: Duration, fates: Fates) {
        let took = self.context.clock.monotonic().saturating_sub(started).as_secs_f64();
        let mut progress = Progress {
            batch_id: self.progress.as_ref().map_or(0, |before| before.batch_id + 1),
            num_input_rows: fates.read - self.fates.read,
            num_output_rows: fates.out - self.fates.out,
            duration_ms: took * 1_000.0,
            ..Progress::default()
        };
        progress.processed_rows_per_second = progress.num_input_rows as f64 / took.max(1e-6);
        let store = Arc::clone(self.store());
        for part in self.inputs.iter_mut().flat_map(|input| &mut input.parts) {
            let passed = part.passed();
            progress.sources.push(SourceProgress {
                topic: part.topic.to_string(),
                partition: part.number,
                start_offset: part.at,
                end_offset: passed.next,
                latest_offset: store.ends(part.id).map_or(passed.next, |ends| ends.stable),
            });
            part.pass(passed);
        }
        self.fates = fates;
        self.progress = Some(progress);
    }

    /// Plans, and makes what the plan's output needs: topic and schema.
    fn plan(&mut self) -> Result<Arc<Plan>, Step> {
        let known = Known { store: self.store().as_ref(), lookups: &self.context.lookups };
        let plan = match plan::plan(&self.spec, &known) {
            Ok(plan) => Arc::new(plan),
            Err(error) => return Err(self.unplanned(error)),
        };
        self.describe(&plan)?;
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// What to do about a query that cannot be planned now.
    fn unplanned(&mut self, error: PlanError) -> Step {
        let store = Arc::clone(self.store());
        let topics = store.topics();
        let Ok(names) = plan::names_in(&self.spec.sql) else {
            return Step::Failed(error.to_string());
        };
        let lookups = self.context.lookups.names();
        for name in &names {
            let known = Known { store: store.as_ref(), lookups: &self.context.lookups };
            let name = &plan::find(name, &known).unwrap_or_else(|_| name.clone());
            let Some(topic) = topics.get(name.as_str()) else {
                if lookups.contains(name) {
                    continue;
                }
                // A topic may be made later: by its source, by a client.
                return Step::Waiting(error.to_string());
            };
            match Schema::load(store.as_ref(), name) {
                Ok(Some(_)) => continue,
                Err(problem) => return Step::Failed(format!("topic `{name}`: {problem}")),
                Ok(None) => {}
            }
            let looked =
                self.inference.look(&store, self.context.clock.as_ref(), &self.fence, topic);
            match looked {
                Ok(Inferred::Made) => {
                    self.inference = Inference::default();
                    return Step::Worked;
                }
                Ok(Inferred::Empty) => {
                    return Step::Waiting(format!("waits for the first record of topic `{name}`"));
                }
                Ok(Inferred::Soon) => {
                    return Step::Waiting(format!("looks at the first records of topic `{name}`"));
                }
                Err(problem) => return problem.into(),
            }
        }
        if error.waiting.is_some() {
            return Step::Waiting(error.to_string());
        }
        Step::Failed(error.to_string())
    }

    /// Makes the output topic and its schema's fact. A declared schema stays.
    fn describe(&mut self, plan: &Plan) -> Result<(), Step> {
        let topic = self.output_topic()?;
        let before = Schema::load(self.store().as_ref(), &topic.name)
            .map_err(|problem| Step::Failed(format!("topic `{}`: {problem}", topic.name)))?;
        let same = before.as_ref().is_some_and(|before| {
            before.origin == Origin::Declared || before.columns == plan.output.columns
        });
        if !same {
            let version = before.map_or(0, |before| before.version) + 1;
            let schema = Schema { version, ..plan.output.clone() };
            let commit = Commit {
                fence: Some(self.fence.clone()),
                facts: vec![schema.fact(&topic.name)],
                ..Commit::default()
            };
            self.store().commit(commit)?;
        }
        self.output = Some(topic);
        Ok(())
    }

    fn output_topic(&self) -> Result<Arc<TopicInfo>, Step> {
        let name = &self.spec.to;
        if let Some(topic) = self.store().topics().get(name.as_str()) {
            return Ok(Arc::clone(topic));
        }
        let new = NewTopic {
            name: name.clone(),
            partitions: self.spec.partitions.max(1),
            config: Default::default(),
        };
        match self.store().create_topic(new) {
            Ok(topic) => Ok(topic),
            Err(StoreError::TopicExists(_)) => {
                let topics = self.store().topics();
                let topic = topics.get(name.as_str()).cloned();
                topic.ok_or_else(|| Step::Waiting(format!("topic `{name}` comes and goes")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens inputs and output as they are now. A topic that was made again is read from its
    /// start.
    fn connect(&mut self, plan: &Plan) -> Result<(), Step> {
        let store = Arc::clone(self.store());
        let topics = store.topics();
        let current =
            |topic: &Arc<TopicInfo>| topics.get(&topic.name).is_some_and(|now| now.id == topic.id);
        if !self.output.as_ref().is_some_and(current) {
            self.describe(plan)?;
        }
        if self.inputs.len() == plan.inputs.len() {
            if self.inputs.iter().all(|input| input.is_current(store.as_ref())) {
                return Ok(());
            }
            // A topic made again may have other columns.
            self.inputs.clear();
            self.plan = None;
            return Err(Step::Worked);
        }
        self.inputs.clear();
        for name in &plan.inputs {
            let Some(topic) = topics.get(name.as_str()) else {
                return Err(Step::Waiting(format!("topic `{name}` does not exist")));
            };
            let mut again = false;
            let mut at = Vec::new();
            for number in (0u32..).take(topic.partitions.len()) {
                let position = self.position(name, number)?;
                again |= position.is_some_and(|position| position.topic != topic.id);
                at.push(
                    position
                        .filter(|position| position.topic == topic.id)
                        .map(|position| (position.next, position.lost)),
                );
            }
            if again {
                let note = format!("topic `{name}` was made again: reads it from its start");
                tracing::warn!(stream = self.spec.name, note);
                self.note = Some(note);
            }
            let place = |number: u32| at.get(number as usize).copied().flatten();
            self.inputs.push(Input::new(&store, Arc::clone(topic), &self.bell, place));
        }
        Ok(())
    }

    fn position(&self, topic: &str, number: u32) -> Result<Option<Position>, Step> {
        let bytes = self.position_bytes(topic, number);
        bytes
            .map(|bytes| Position::decode(&bytes))
            .transpose()
            .map_err(|error| Step::Failed(format!("position in `{topic}`: {error}")))
    }

    fn position_bytes(&self, topic: &str, number: u32) -> Option<Bytes> {
        let key = Position::key(&self.spec.name, topic, number);
        self.store().fact(FactKind::StreamPosition, &key.key)
    }

    /// The partition of the dead letters, made when the first one comes.
    fn letters(&self) -> Result<PartId, StoreError> {
        let topics = self.store().topics();
        match self.letters.filter(|part| topics.of_part(*part).is_some()) {
            Some(part) => Ok(part),
            None => dead::partition(self.store().as_ref(), &self.component),
        }
    }
}

/// What a running stream may refer to: the store's topics with their schema facts.
pub(crate) struct Known<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) lookups: &'a Lookups,
}

impl Inputs for Known<'_> {
    fn topic(&self, name: &str) -> Option<TopicSchema> {
        self.store.topics().get(name)?;
        match Schema::load(self.store, name) {
            Ok(Some(schema)) => Some(TopicSchema::Known(schema)),
            Ok(None) | Err(_) => Some(TopicSchema::Unknown),
        }
    }

    fn lookup(&self, name: &str) -> Option<Result<SchemaRef, String>> {
        self.lookups.schema(name)
    }

    fn names(&self) -> Vec<String> {
        let topics = self.store.topics();
        let topics = topics.by_name.values().filter(|topic| !topic.is_internal());
        topics.map(|topic| topic.name.to_string()).chain(self.lookups.names()).collect()
    }
}

#[cfg(test)]
mod tests;
