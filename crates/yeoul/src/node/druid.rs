//! What Druid's management APIs ask, answered by the node; and what `sys` and `LOOKUP` show of
//! what was posted there. Bytes: `docs/formats/druid-posted.md`.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{Commit, FactKey, FactKind, Isolation};
use yeoul_druid::node::{Feed, FeedPartition, LOOKUP, Posted, Sampled, Version};
use yeoul_log::reader::PartitionReader;
use yeoul_sql::{LookupMap, ServerInfo, SupervisorRow, TaskRow};
use yeoul_web::dto::{ApplyRequest, NodeState};

use super::Node;

const VERSION: u8 = 1;
/// Versions of one thing that are kept …
const HISTORY_MAX: usize = 20;
/// … as long as they fit into one fact.
const HISTORY_BYTES_MAX: usize = 512 << 10;
const SAMPLE_BYTES_MAX: usize = 8 << 20;

/// The node as Druid's face sees it. Weak, for the engine it belongs to holds it, too.
pub(super) struct Managed {
    node: Weak<Node>,
    http: OnceLock<SocketAddr>,
}

impl std::fmt::Debug for Managed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Managed")
    }
}

fn key(kind: &str, name: &str) -> FactKey {
    FactKey::new(FactKind::DruidPosted, [kind.as_bytes(), b"\0", name.as_bytes()].concat())
}

fn encode(versions: &[Version]) -> Bytes {
    let mut out = FieldWriter::versioned(VERSION);
    out.u64(versions.len() as u64);
    for version in versions {
        out.i64(version.at_ms).str(&version.text);
    }
    out.finish()
}

fn decode(bytes: &[u8]) -> Result<Vec<Version>, FieldError> {
    let mut input = FieldReader::versioned(bytes, VERSION)?;
    let count = input.count("versions", 2)?;
    let mut versions = Vec::with_capacity(count.min(HISTORY_MAX));
    for _ in 0..count {
        let at_ms = input.i64("time")?;
        versions.push(Version { at_ms, text: input.str("text")?.to_owned() });
    }
    input.end()?;
    Ok(versions)
}

/// The oldest go when there are too many.
fn trimmed(mut versions: Vec<Version>) -> Vec<Version> {
    let bytes = |versions: &[Version]| versions.iter().map(|it| it.text.len()).sum::<usize>();
    while versions.len() > 1
        && (versions.len() > HISTORY_MAX || bytes(&versions) > HISTORY_BYTES_MAX)
    {
        versions.remove(0);
    }
    versions
}

impl Node {
    /// Gives the engine what it shows of the node, and the routes what they ask.
    pub(super) fn managed(self: &Arc<Self>, http: Option<SocketAddr>) -> Arc<Managed> {
        let managed = Managed { node: Arc::downgrade(self), http: OnceLock::new() };
        if let Some(http) = http {
            // Just made: nothing is set.
            let _ = managed.http.set(http);
        }
        let managed = Arc::new(managed);
        let catalog = self.engine.catalog();
        catalog.set_lookups(Arc::clone(&managed) as Arc<dyn yeoul_sql::Lookups>);
        catalog.set_system(Arc::clone(&managed) as Arc<dyn yeoul_sql::System>);
        managed
    }

    fn posted_of(&self, kind: &str) -> Vec<Posted> {
        let prefix = [kind.as_bytes(), b"\0"].concat();
        let facts = self.store.facts(FactKind::DruidPosted, &prefix);
        let read = |(key, value): (Bytes, Bytes)| {
            let name = String::from_utf8(key.get(prefix.len()..)?.to_vec()).ok()?;
            let versions = decode(&value).ok()?;
            Some(Posted { name, versions })
        };
        facts.into_iter().filter_map(|(key, value)| read((key, value))).collect()
    }
}

impl Managed {
    fn node(&self) -> Result<Arc<Node>, String> {
        self.node.upgrade().ok_or_else(|| "the node is being stopped".to_owned())
    }
}

impl yeoul_druid::node::Node for Managed {
    fn now_ms(&self) -> i64 {
        self.node().map_or(0, |node| node.clock.now_ms())
    }

    fn address(&self) -> (String, u16) {
        let known = self.http.get();
        known.map_or_else(|| ("localhost".to_owned(), 8888), |at| (at.ip().to_string(), at.port()))
    }

    fn posted(&self, kind: &str) -> Vec<Posted> {
        self.node().map_or_else(|_| Vec::new(), |node| node.posted_of(kind))
    }

    fn post(&self, kind: &str, name: &str, text: &str) -> Result<(), String> {
        let node = self.node()?;
        let key = key(kind, name);
        let known = node.store.fact(FactKind::DruidPosted, &key.key);
        let known = known.map(|bytes| decode(&bytes)).transpose();
        let mut versions = known.map_err(|error| error.to_string())?.unwrap_or_default();
        versions.push(Version { at_ms: node.clock.now_ms(), text: text.to_owned() });
        let facts = vec![(key, Some(encode(&trimmed(versions))))];
        let commit = Commit { facts, ..Commit::default() };
        node.store.commit(commit).map(drop).map_err(|error| error.to_string())
    }

    fn ends(&self, topic: &str) -> Option<Vec<i64>> {
        let node = self.node().ok()?;
        let topic = node.store.topics().get(topic).cloned()?;
        let end = |part: &yeoul_base::PartId| node.store.ends(*part).map_or(0, |ends| ends.stable);
        Some(topic.partitions.iter().map(end).collect())
    }

    fn apply(&self, file: &str, text: &str) -> Result<(), String> {
        let request: ApplyRequest = serde_json::from_value(serde_json::json!({
            "files": [{ "name": file, "text": text }],
        }))
        .map_err(|error| error.to_string())?;
        self.node()?.apply(&request).map(drop).map_err(|error| error.to_string())
    }

    fn drop_pipeline(&self, name: &str, table: &str) -> Result<(), String> {
        self.node()?.remove(name, table).map_err(|error| error.to_string())
    }

    fn feed(&self, table: &str) -> Option<Feed> {
        let node = self.node().ok()?;
        let id = format!("table/{table}");
        let graph = node.graph();
        let component = graph.components.get(&id)?;
        let view = component.view();
        let positions = component.positions(node.store.as_ref());
        let topic = graph
            .pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.tables)
            .find(|spec| spec.name == table)
            .map(|spec| spec.spec.from.clone())?;
        let partition = |at: &super::positions::InputPosition| {
            let ends = node.store.ends(at.part)?;
            let (partition, start) = (at.partition, ends.start);
            Some(FeedPartition { partition, start, current: at.next, latest: ends.stable })
        };
        Some(Feed {
            topic,
            running: matches!(view.node.state, NodeState::Running | NodeState::CatchingUp),
            failed: view.node.state == NodeState::Failed,
            message: view.node.message.clone(),
            partitions: positions.iter().filter_map(partition).collect(),
            used: view.fates.used,
            filtered: view.fates.filtered,
            dead: view.fates.dead,
        })
    }

    fn sample(&self, topic: &str, limit: usize, first: bool) -> Result<Vec<Sampled>, String> {
        let node = self.node()?;
        let found = node.store.topics().get(topic).cloned();
        let found = found.ok_or_else(|| format!("there is no topic `{topic}`"))?;
        let mut records = Vec::new();
        for part in found.partitions.iter() {
            let Some(ends) = node.store.ends(*part) else { continue };
            let back = i64::try_from(limit).unwrap_or(i64::MAX);
            let from = if first { ends.start } else { (ends.stable - back).max(ends.start) };
            let mut reader =
                PartitionReader::new(Arc::clone(&node.store), *part, from, Isolation::Committed);
            let read = reader.next(SAMPLE_BYTES_MAX).map_err(|error| error.to_string())?;
            let sampled = read.into_iter().map(|record| Sampled {
                timestamp_ms: record.timestamp_ms,
                key: record.key,
                value: record.value,
            });
            records.extend(sampled.take(limit));
        }
        records.truncate(limit);
        Ok(records)
    }
}

impl yeoul_sql::Lookups for Managed {
    fn names(&self) -> Vec<String> {
        let posted = yeoul_druid::node::Node::posted(self, LOOKUP);
        posted.into_iter().filter(|it| it.current().is_some()).map(|it| it.name).collect()
    }

    fn get(&self, name: &str) -> Option<Arc<LookupMap>> {
        let posted = yeoul_druid::node::Node::posted(self, LOOKUP);
        let posted = posted.into_iter().find(|posted| posted.name == name)?;
        let value = serde_json::from_str(&posted.current()?.text).ok()?;
        let pairs = yeoul_druid::lookup_pairs(&value).ok()?;
        Some(Arc::new(pairs.into_iter().collect()))
    }
}

impl yeoul_sql::System for Managed {
    fn server(&self) -> ServerInfo {
        let (host, port) = yeoul_druid::node::Node::address(self);
        ServerInfo { host, port, ..ServerInfo::default() }
    }

    fn tasks(&self) -> Vec<TaskRow> {
        let row = |it: yeoul_druid::Shown| {
            Some(TaskRow {
                id: it.task?,
                group_id: format!("index_kafka_{}", it.id),
                kind: "index_kafka".to_owned(),
                datasource: it.id,
                created_ms: it.created_ms,
                status: "RUNNING".to_owned(),
                runner_status: "RUNNING".to_owned(),
                duration_ms: -1,
                error: None,
            })
        };
        yeoul_druid::shown(self).into_iter().filter_map(row).collect()
    }

    fn supervisors(&self) -> Vec<SupervisorRow> {
        let row = |it: yeoul_druid::Shown| SupervisorRow {
            id: it.id,
            state: it.state.to_owned(),
            detailed_state: it.detailed_state.to_owned(),
            healthy: it.healthy,
            kind: "kafka".to_owned(),
            source: it.topic,
            suspended: it.suspended,
            spec: it.spec,
        };
        yeoul_druid::shown(self).into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_posted_has_the_documented_bytes_and_an_end() {
        let version = |at_ms, text: &str| Version { at_ms, text: text.to_owned() };
        let two = [version(1, "{}"), version(-1, "")];
        assert_eq!(encode(&two).as_ref(), b"\x01\x02\x02\x02{}\x01\x00");
        assert_eq!(decode(&encode(&two)).unwrap(), two);
        assert!(decode(b"\x02\x00").is_err());
        let many: Vec<_> = (0..30).map(|at| version(at, "x")).collect();
        assert_eq!(trimmed(many).first().unwrap().at_ms, 10);
        let large = "x".repeat(HISTORY_BYTES_MAX);
        assert_eq!(trimmed(vec![version(1, &large), version(2, "y")]), [version(2, "y")]);
    }
}
