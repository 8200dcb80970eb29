//! This node's own readers (streams, tables, sinks) as consumer groups, so that the tools people
//! have show their lag. They only look like groups: nobody joins, commits for or deletes them.

use std::collections::BTreeMap;
use std::fmt::Debug;

use yeoul_base::{Offset, PartId, Store};

use super::{GroupInfo, GroupMember, GroupOffset, consumer};

/// The assignor that is shown: there is none, partitions belong to their component.
const ASSIGNOR: &str = "yeoul";

/// Who knows this node's components.
pub trait ComponentGroups: Debug + Send + Sync {
    /// All of them. A client's group of the same name cannot be reached.
    fn groups(&self) -> Vec<ComponentGroup>;

    /// One of them, by its name.
    fn group(&self, name: &str) -> Option<ComponentGroup> {
        self.groups().into_iter().find(|group| group.name == name)
    }
}

/// A stream, table or sink as a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentGroup {
    /// Kind and name, such as `stream/korean_movies`; one without a slash is not found.
    pub name: String,
    /// Shown as Stable with one member; otherwise as Empty.
    pub running: bool,
    pub offsets: Vec<ComponentOffset>,
}

/// How far a component has come in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentOffset {
    pub topic: String,
    pub partition: i32,
    pub part: PartId,
    /// The next record it reads.
    pub committed: Offset,
}

impl ComponentGroup {
    pub(super) fn describe(&self, store: &dyn Store) -> GroupInfo {
        let offsets = self.offsets.iter().map(|at| GroupOffset {
            topic: at.topic.clone(),
            partition: at.partition,
            committed: at.committed,
            lag: store
                .ends(at.part)
                .map_or(0, |ends| ends.stable.saturating_sub(at.committed).max(0)),
            metadata: String::new(),
            committed_ms: -1,
        });
        GroupInfo {
            name: self.name.clone(),
            state: if self.running { "Stable" } else { "Empty" },
            protocol_type: consumer::PROTOCOL_TYPE.to_owned(),
            protocol: if self.running { ASSIGNOR.to_owned() } else { String::new() },
            generation: 1,
            members: self.running.then(|| self.member()).into_iter().collect(),
            offsets: offsets.collect(),
        }
    }

    fn member(&self) -> GroupMember {
        let mut partitions: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for at in &self.offsets {
            partitions.entry(&at.topic).or_default().push(at.partition);
        }
        GroupMember {
            member_id: self.name.clone(),
            instance_id: None,
            client_id: format!("yeoul {}", self.name),
            client_host: "/127.0.0.1".to_owned(),
            metadata: consumer::subscription(partitions.keys().copied()),
            assignment: consumer::assignment(&partitions),
        }
    }
}
