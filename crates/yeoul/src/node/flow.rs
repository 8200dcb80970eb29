//! The picture of everything that moves: topics and components as nodes, what passes between
//! them as edges, rates from samples of the last five seconds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use yeoul_base::{Fates, Store, TopicInfo};
use yeoul_web::dto::{Flow, FlowEdge, FlowNode, NodeKind};

/// Rates look back this far: long enough that a source which reports every few seconds does not
/// seem to stop in between.
const WINDOW: Duration = Duration::from_secs(5);
/// Samples closer together than this are not kept.
const SAMPLE_EVERY: Duration = Duration::from_millis(200);

/// What a component shows of itself; its numbers come from its committed fates.
#[derive(Debug, Clone)]
pub(crate) struct ComponentView {
    pub(crate) node: FlowNode,
    pub(crate) fates: Fates,
    /// Topics it reads, each with the records that wait.
    pub(crate) inputs: Vec<(String, u64)>,
    /// Topics it writes.
    pub(crate) outputs: Vec<String>,
    /// Lookups it joins.
    pub(crate) lookups: Vec<String>,
    /// What only its kind has to say.
    pub(crate) detail: Value,
}

impl ComponentView {
    /// Fills the node's counts from the fates.
    pub(crate) fn new(kind: NodeKind, name: &str, fates: Fates) -> Self {
        let mut node = FlowNode::new(kind, name);
        node.in_total = fates.read;
        node.out_total = if kind == NodeKind::Table { fates.used } else { fates.out };
        node.dead_total = fates.dead;
        node.filtered_total = fates.filtered;
        Self {
            node,
            fates,
            inputs: Vec::new(),
            outputs: Vec::new(),
            lookups: Vec::new(),
            detail: Value::Null,
        }
    }
}

/// Remembers counts for five seconds, by name.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    samples: Mutex<HashMap<String, VecDeque<(Duration, u64)>>>,
    /// When a count was last seen to move, in milliseconds since 1970.
    moved: Mutex<HashMap<String, (u64, Option<i64>)>>,
}

impl Sampler {
    /// Notes a count and answers its rate per second over the window.
    fn rate(&self, name: &str, total: u64, now: Duration) -> f64 {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = samples.entry(name.to_owned()).or_default();
        if ring.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= SAMPLE_EVERY) {
            ring.push_back((now, total));
        }
        // One sample at or before the window's start stays, as the base of the difference.
        while let (Some(_), Some((second, _))) = (ring.front(), ring.get(1)) {
            if now.saturating_sub(*second) < WINDOW {
                break;
            }
            ring.pop_front();
        }
        let Some((since, then)) = ring.front() else { return 0.0 };
        let seconds = now.saturating_sub(*since).as_secs_f64();
        if seconds <= 0.0 { 0.0 } else { total.saturating_sub(*then) as f64 / seconds }
    }

    /// When the count last moved while somebody looked; `None` while it has not.
    fn moved(&self, name: &str, total: u64, at_ms: i64) -> Option<i64> {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, when) = moved.entry(name.to_owned()).or_insert((total, None));
        if *seen != total {
            *seen = total;
            *when = Some(at_ms);
        }
        *when
    }
}

/// Draws the flow of the moment.
pub(crate) fn draw(
    store: &dyn Store,
    components: &[ComponentView],
    sampler: &Sampler,
    now: Duration,
    at_ms: i64,
) -> Flow {
    let topics = store.topics();
    let mut nodes: Vec<_> = topics
        .by_name
        .values()
        .filter(|topic| !topic.is_internal())
        .map(|topic| topic_node(store, topic, components))
        .collect();
    nodes.extend(components.iter().map(|component| component.node.clone()));
    for node in &mut nodes {
        node.rate_in = sampler.rate(&format!("{} in", node.id), node.in_total, now);
        node.rate_out = sampler.rate(&format!("{} out", node.id), node.out_total, now);
        let moved = sampler.moved(&node.id, node.in_total, at_ms);
        node.last_ms = node.last_ms.or(moved);
    }
    let mut edges = edges_of(components, &nodes);
    for edge in &mut edges {
        edge.rate = sampler.rate(&format!("{} to {}", edge.from, edge.to), edge.total, now);
    }
    Flow { at_ms, nodes, edges }
}

fn is_dead_letters(topic: &str) -> bool {
    topic.starts_with("dead.")
}

fn topic_node(store: &dyn Store, topic: &TopicInfo, components: &[ComponentView]) -> FlowNode {
    let kind = if is_dead_letters(&topic.name) { NodeKind::Dead } else { NodeKind::Topic };
    let mut node = FlowNode::new(kind, &topic.name);
    for part in topic.partitions.iter() {
        let ends = store.ends(*part).unwrap_or_default();
        node.in_total += u64::try_from(ends.high).unwrap_or(0);
        node.bytes += ends.bytes;
    }
    for component in components {
        if let Some((_, lag)) = component.inputs.iter().find(|(name, _)| **name == *topic.name) {
            node.out_total += node.in_total.saturating_sub(*lag);
        }
    }
    node
}

fn edges_of(components: &[ComponentView], nodes: &[FlowNode]) -> Vec<FlowEdge> {
    let exists = |id: &str| nodes.iter().any(|node| node.id == id);
    let mut edges = Vec::new();
    let mut push = |from: String, to: String, total: u64, lag: u64| {
        if exists(&from) && exists(&to) {
            edges.push(FlowEdge { from, to, total, lag, rate: 0.0 });
        }
    };
    for component in components {
        let id = &component.node.id;
        for (topic, lag) in &component.inputs {
            push(format!("topic/{topic}"), id.clone(), component.fates.read, *lag);
        }
        for lookup in &component.lookups {
            push(format!("lookup/{lookup}"), id.clone(), 0, 0);
        }
        for topic in &component.outputs {
            push(id.clone(), format!("topic/{topic}"), component.fates.out, 0);
        }
        if component.fates.dead > 0 {
            let dead = format!("dead/dead.{}", id.replace('/', "."));
            push(id.clone(), dead, component.fates.dead, 0);
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_taken_over_the_last_seconds() {
        let sampler = Sampler::default();
        let at = Duration::from_millis;
        assert_eq!(sampler.rate("a", 0, at(0)), 0.0);
        assert_eq!(sampler.rate("a", 500, at(500)), 1_000.0);
        assert_eq!(sampler.rate("a", 1_000, at(1_000)), 1_000.0);
        for step in 3..=40 {
            sampler.rate("a", 1_000, at(step * 500));
        }
        assert_eq!(sampler.rate("a", 1_000, at(20_200)), 0.0);
    }

    #[test]
    fn the_last_movement_is_remembered() {
        let sampler = Sampler::default();
        assert_eq!(sampler.moved("a", 5, 1_000), None);
        assert_eq!(sampler.moved("a", 6, 2_000), Some(2_000));
        assert_eq!(sampler.moved("a", 6, 3_000), Some(2_000));
    }
}
