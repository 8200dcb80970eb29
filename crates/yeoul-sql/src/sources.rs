//! What the node tells queries of itself: lookups, tasks, supervisors, where it listens.
//!
//! Invariant: each is asked when a name is resolved, so one query sees one state of it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

/// The pairs of a lookup.
pub type LookupMap = HashMap<String, String>;

/// Small relations of a key and a value, for `LOOKUP(x, 'name')` and `lookup."name"`. Answers at
/// once.
pub trait Lookups: Debug + Send + Sync {
    fn names(&self) -> Vec<String>;

    /// `None`: there is no such lookup.
    fn get(&self, name: &str) -> Option<Arc<LookupMap>>;
}

/// Where the node answers: the one row of `sys.servers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    pub host: String,
    /// Of HTTP without TLS.
    pub port: u16,
    /// Bytes that tables may take; 0 when nothing limits them.
    pub max_bytes: u64,
}

impl Default for ServerInfo {
    fn default() -> Self {
        Self { host: "localhost".into(), port: 8888, max_bytes: 0 }
    }
}

/// A row of `sys.tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskRow {
    pub id: String,
    pub group_id: String,
    /// `index_kafka`
    pub kind: String,
    pub datasource: String,
    pub created_ms: i64,
    /// `RUNNING`, `SUCCESS`, `FAILED`
    pub status: String,
    /// `RUNNING`, `PENDING`, `WAITING`, `NONE`
    pub runner_status: String,
    /// -1 while it runs.
    pub duration_ms: i64,
    pub error: Option<String>,
}

/// A row of `sys.supervisors`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SupervisorRow {
    pub id: String,
    pub state: String,
    pub detailed_state: String,
    pub healthy: bool,
    /// `kafka`
    pub kind: String,
    /// The topic.
    pub source: String,
    pub suspended: bool,
    /// JSON.
    pub spec: String,
}

/// What `sys` shows of the node beside its tables and queries. Answers at once.
pub trait System: Debug + Send + Sync {
    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }

    fn tasks(&self) -> Vec<TaskRow> {
        Vec::new()
    }

    fn supervisors(&self) -> Vec<SupervisorRow> {
        Vec::new()
    }
}
