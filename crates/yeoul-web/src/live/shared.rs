//! What many lines watch alike, computed and encoded once: the flow, and queries by their text.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::watch;

use super::frame::Update;
use crate::api::ask;
use crate::dto::{Flow, FlowEdge, FlowNode};
use crate::error::ApiError;
use crate::node::{LiveQuery, Node};

/// Four times a second is what an eye follows.
const FLOW_EVERY: Duration = Duration::from_millis(250);

/// One state of the flow, and the way to it from the state before.
struct FlowState {
    /// Counts states; a watcher at the number before takes the delta, another the snapshot.
    number: u64,
    flow: Flow,
    snapshot: OnceLock<Bytes>,
    delta: Bytes,
}

impl FlowState {
    fn snapshot(&self) -> Bytes {
        self.snapshot.get_or_init(|| encode(&self.flow)).clone()
    }
}

#[derive(Serialize)]
struct FlowDelta<'a> {
    at_ms: i64,
    nodes: Vec<&'a FlowNode>,
    edges: Vec<&'a FlowEdge>,
    removed_nodes: Vec<&'a str>,
    removed_edges: Vec<EdgeName<'a>>,
}

#[derive(Serialize, PartialEq, Eq, Hash, Clone, Copy)]
struct EdgeName<'a> {
    from: &'a str,
    to: &'a str,
}

fn encode(value: &impl Serialize) -> Bytes {
    // Plain data: encoding it does not fail.
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

fn name_of(edge: &FlowEdge) -> EdgeName<'_> {
    EdgeName { from: &edge.from, to: &edge.to }
}

/// What changed; `None` when nothing but the time did.
fn difference<'a>(old: &'a Flow, new: &'a Flow) -> Option<FlowDelta<'a>> {
    let old_nodes: HashMap<&str, &FlowNode> =
        old.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let old_edges: HashMap<EdgeName<'_>, &FlowEdge> =
        old.edges.iter().map(|edge| (name_of(edge), edge)).collect();
    let new_nodes: HashSet<&str> = new.nodes.iter().map(|node| node.id.as_str()).collect();
    let new_edges: HashSet<EdgeName<'_>> = new.edges.iter().map(name_of).collect();
    let changed_node = |node: &&FlowNode| old_nodes.get(node.id.as_str()) != Some(node);
    let changed_edge = |edge: &&FlowEdge| old_edges.get(&name_of(edge)) != Some(edge);
    let gone_node = |id: &&str| !new_nodes.contains(id);
    let gone_edge = |name: &EdgeName<'_>| !new_edges.contains(name);
    let delta = FlowDelta {
        at_ms: new.at_ms,
        nodes: new.nodes.iter().filter(changed_node).collect(),
        edges: new.edges.iter().filter(changed_edge).collect(),
        removed_nodes: old.nodes.iter().map(|node| node.id.as_str()).filter(gone_node).collect(),
        removed_edges: old.edges.iter().map(name_of).filter(gone_edge).collect(),
    };
    let changed = delta.nodes.len()
        + delta.edges.len()
        + delta.removed_nodes.len()
        + delta.removed_edges.len();
    (changed > 0).then_some(delta)
}

/// What one watcher is told: the change if it has seen the state before, else the whole.
fn flow_updates(
    receiver: watch::Receiver<Option<Arc<FlowState>>>,
) -> impl Stream<Item = Update> + Send {
    stream::unfold((receiver, 0), |(mut receiver, seen)| async move {
        loop {
            let state = receiver.borrow_and_update().clone();
            if let Some(state) = state.filter(|state| state.number != seen) {
                let next = seen != 0 && state.number == seen + 1;
                let update = if next {
                    Update::Delta(state.delta.clone())
                } else {
                    Update::Snapshot(state.snapshot())
                };
                return Some((update, (receiver, state.number)));
            }
            receiver.changed().await.ok()?;
        }
    })
}

/// The flow for all who watch it. Looks at the node only while somebody does.
pub(super) struct FlowFeed {
    node: Arc<dyn Node>,
    state: watch::Sender<Option<Arc<FlowState>>>,
    running: Mutex<bool>,
}

impl FlowFeed {
    pub(super) fn new(node: Arc<dyn Node>) -> Self {
        Self { node, state: watch::Sender::new(None), running: Mutex::new(false) }
    }

    pub(super) fn subscribe(self: &Arc<Self>) -> impl Stream<Item = Update> + Send + use<> {
        let receiver = self.state.subscribe();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !*running {
            *running = true;
            // What was left from the last time somebody watched is old.
            self.state.send_replace(None);
            tokio::spawn(Arc::clone(self).run());
        }
        drop(running);
        flow_updates(receiver)
    }

    async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(FLOW_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut number = 0;
        loop {
            tick.tick().await;
            {
                // Under the lock, so that a newcomer either is counted here or starts us anew.
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                if self.state.receiver_count() == 0 {
                    *running = false;
                    return;
                }
            }
            // A failed look is logged by `ask`; the next one may work.
            let Ok(flow) = ask(&self.node, |node| node.flow()).await else { continue };
            let before = self.state.borrow().clone();
            let delta = match &before {
                Some(before) => match difference(&before.flow, &flow) {
                    Some(delta) => encode(&delta),
                    None => continue,
                },
                None => Bytes::new(),
            };
            number += 1;
            let state = FlowState { number, flow, snapshot: OnceLock::new(), delta };
            self.state.send_replace(Some(Arc::new(state)));
        }
    }
}

/// A live query, shared by all who ask with the same text.
pub(super) struct QueryFeed {
    receiver: LiveQuery,
}

/// Live queries by text. The node ends one when the last watcher has gone.
#[derive(Default)]
pub(super) struct QueryFeeds {
    by_text: Mutex<HashMap<String, Weak<QueryFeed>>>,
}

impl QueryFeeds {
    pub(super) fn subscribe(&self, node: &dyn Node, sql: &str) -> Result<Arc<QueryFeed>, ApiError> {
        let mut feeds = self.by_text.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let held = feeds.get(sql).and_then(Weak::upgrade);
        // One whose sender is gone has ended: begin again.
        if let Some(feed) = held.filter(|feed| feed.receiver.has_changed().is_ok()) {
            return Ok(feed);
        }
        let feed = Arc::new(QueryFeed { receiver: node.live_sql(sql)? });
        feeds.insert(sql.to_owned(), Arc::downgrade(&feed));
        Ok(feed)
    }
}

impl QueryFeed {
    pub(super) fn updates(self: Arc<Self>) -> impl Stream<Item = Update> + Send {
        let mut receiver = self.receiver.clone();
        receiver.mark_changed();
        // The feed rides along: it lives as long as somebody watches.
        stream::unfold((self, receiver, false), |(feed, mut receiver, ended)| async move {
            if ended {
                return None;
            }
            loop {
                if receiver.changed().await.is_err() {
                    let error = ApiError::unavailable("the node stopped this query");
                    return Some((Update::Error(error), (feed, receiver, true)));
                }
                let rows = receiver.borrow_and_update().clone();
                let update = match rows {
                    None => continue,
                    Some(Ok(rows)) => Update::Snapshot(rows),
                    Some(Err(error)) => Update::Error(error.as_ref().clone()),
                };
                return Some((update, (feed, receiver, false)));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;
    use crate::dto::NodeKind;

    fn state(number: u64) -> Option<Arc<FlowState>> {
        let mut node = FlowNode::new(NodeKind::Topic, "movies");
        node.in_total = number;
        let flow = Flow { at_ms: 0, nodes: vec![node], edges: Vec::new() };
        let delta = Bytes::from(format!("delta {number}"));
        Some(Arc::new(FlowState { number, flow, snapshot: OnceLock::new(), delta }))
    }

    fn told(update: Option<Update>) -> String {
        match update {
            Some(Update::Snapshot(data)) => {
                let flow: Flow = serde_json::from_slice(&data).unwrap();
                format!("snapshot {}", flow.nodes[0].in_total)
            }
            Some(Update::Delta(data)) => String::from_utf8(data.to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn who_is_slow_gets_the_newest_state_whole() {
        let sender = watch::Sender::new(None);
        let mut updates = Box::pin(flow_updates(sender.subscribe()));
        sender.send_replace(state(1));
        assert_eq!(told(updates.next().await), "snapshot 1");
        sender.send_replace(state(2));
        assert_eq!(told(updates.next().await), "delta 2");
        // Two states pass while nobody asks: the second delta alone would be wrong.
        sender.send_replace(state(3));
        sender.send_replace(state(4));
        assert_eq!(told(updates.next().await), "snapshot 4");
        sender.send_replace(state(5));
        assert_eq!(told(updates.next().await), "delta 5");
        drop(sender);
        assert_eq!(told(updates.next().await), "None");
    }

    #[test]
    fn nothing_but_the_time_is_no_change() {
        let old =
            Flow { at_ms: 1, nodes: vec![FlowNode::new(NodeKind::Table, "t")], edges: vec![] };
        assert!(difference(&old, &Flow { at_ms: 2, ..old.clone() }).is_none());
        let failed = FlowNode { message: Some("x".to_owned()), ..old.nodes[0].clone() };
        let new = Flow { nodes: vec![failed], ..old.clone() };
        assert_eq!(difference(&old, &new).unwrap().nodes.len(), 1);
    }
}
