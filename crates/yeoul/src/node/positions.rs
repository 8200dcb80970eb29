//! How far each component of this node has come in the topics it reads: what the log must keep
//! for it, and what Kafka's tools are shown as its consumer group.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use yeoul_base::{FactKind, Offset, PartId, Store, TopicInfo};
use yeoul_kafka::{ComponentGroup, ComponentGroups, ComponentOffset};
use yeoul_log::{Hold, Holds};
use yeoul_stream::position::Position;
use yeoul_web::dto::NodeState;

use super::Node;

/// One component in one partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InputPosition {
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
    pub(super) part: PartId,
    /// The next record it takes.
    pub(super) next: Offset,
    /// The first record it may need once more, after a restart.
    pub(super) needs: Offset,
}

/// A component with all its inputs.
#[derive(Debug, Clone)]
pub(super) struct Positions {
    /// `kind/name`.
    pub(super) component: Arc<str>,
    pub(super) running: bool,
    pub(super) inputs: Vec<InputPosition>,
}

impl Node {
    /// Of every component that reads topics.
    pub(super) fn positions(&self) -> Vec<Positions> {
        let graph = self.graph();
        let mut all = Vec::new();
        for (id, component) in &graph.components {
            let inputs = component.positions(self.store.as_ref());
            if inputs.is_empty() {
                continue;
            }
            let state = component.view().node.state;
            let running = !matches!(state, NodeState::Failed | NodeState::Stopped);
            all.push(Positions { component: id.as_str().into(), running, inputs });
        }
        all
    }
}

/// The positions as last looked at, for those who ask on threads that must not wait for the
/// graph: the log's writer and Kafka's listener. They only move up, so an old one keeps too much
/// and never too little.
#[derive(Debug, Default)]
pub(super) struct Readers {
    now: Mutex<Arc<Vec<Positions>>>,
    /// Records that were gone before a component read them, by component.
    lost: Mutex<BTreeMap<Arc<str>, u64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readers {
    pub(super) fn publish(&self, positions: Vec<Positions>) {
        *locked(&self.now) = Arc::new(positions);
    }

    pub(super) fn now(&self) -> Arc<Vec<Positions>> {
        Arc::clone(&locked(&self.now))
    }

    /// Records each component has lost to retention or to a request to delete since the start.
    pub(super) fn lost(&self) -> BTreeMap<Arc<str>, u64> {
        locked(&self.lost).clone()
    }
}

impl Holds for Readers {
    fn holds(&self) -> Vec<Hold> {
        let now = self.now();
        let of = |reader: &Positions| {
            let component = Arc::clone(&reader.component);
            let hold = |input: &InputPosition| (input.part, input.needs);
            let parts: Vec<_> = reader.inputs.iter().map(hold).collect();
            parts.into_iter().map(move |(part, from)| Hold {
                component: Arc::clone(&component),
                part,
                from,
            })
        };
        now.iter().flat_map(of).collect()
    }

    fn lost(&self, component: &str, part: PartId, offsets: Range<Offset>) {
        let count = u64::try_from(offsets.end - offsets.start).unwrap_or(0);
        tracing::warn!(component, %part, ?offsets, count, "records removed before they were read");
        *locked(&self.lost).entry(component.into()).or_default() += count;
    }
}

impl ComponentGroups for Readers {
    fn groups(&self) -> Vec<ComponentGroup> {
        let of = |reader: &Positions| ComponentGroup {
            name: reader.component.to_string(),
            running: reader.running,
            offsets: reader.inputs.iter().map(offset).collect(),
        };
        self.now().iter().map(of).collect()
    }
}

fn offset(input: &InputPosition) -> ComponentOffset {
    ComponentOffset {
        topic: input.topic.to_string(),
        partition: i32::try_from(input.partition).unwrap_or(i32::MAX),
        part: input.part,
        committed: input.next,
    }
}

/// All partitions of the topics that exist, each with what `at` says: next and needed offset.
/// Without an answer the component will begin at the topic's start.
pub(super) fn of_topics<'t>(
    store: &dyn Store,
    names: impl Iterator<Item = &'t String>,
    at: impl Fn(&TopicInfo, u32, PartId) -> Option<(Offset, Offset)>,
) -> Vec<InputPosition> {
    let topics = store.topics();
    let mut found = Vec::new();
    for topic in names.filter_map(|name| topics.get(name)) {
        for (partition, part) in (0u32..).zip(topic.partitions.iter().copied()) {
            let start = || store.ends(part).map_or(0, |ends| ends.start);
            let (next, needs) = at(topic, partition, part).unwrap_or_else(|| (start(), start()));
            found.push(InputPosition {
                topic: Arc::clone(&topic.name),
                partition,
                part,
                next,
                needs,
            });
        }
    }
    found
}

/// Where a stream stands by its facts; a topic that was made again counts anew.
pub(super) fn of_stream(
    store: &dyn Store,
    stream: &str,
    topic: &TopicInfo,
    partition: u32,
) -> Option<(Offset, Offset)> {
    let key = Position::key(stream, &topic.name, partition);
    let bytes = store.fact(FactKind::StreamPosition, &key.key)?;
    // What cannot be read stops the stream itself; until then everything is kept for it.
    let position = Position::decode(&bytes).ok().filter(|position| position.topic == topic.id)?;
    Some((position.next, position.next))
}
