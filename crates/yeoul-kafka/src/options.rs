//! What the listener is told at start.

use std::sync::Arc;
use std::time::Duration;

use crate::group::ComponentGroups;
use crate::listen::Listener;

/// See the fields; [`KafkaOptions::default`] listens on 127.0.0.1:9092.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    pub listeners: Vec<Listener>,
    /// Whether a client's question about a topic may create it.
    pub auto_create: bool,
    /// Partitions of topics created without a number.
    pub default_partitions: u32,
    pub cluster_id: String,
    /// What DescribeLogDirs calls the data directory.
    pub log_dir: String,
    /// Connections beyond it are closed at once.
    pub connections_max: usize,
    /// Bytes of requests, unfolded, that may be in memory at a time over all connections; small
    /// ones are not counted. Readers wait when they are spent.
    pub request_memory_bytes: usize,
    /// Bytes of records in answers that were not taken yet, over all connections; answers get
    /// smaller and then wait when they are spent.
    pub answer_memory_bytes: usize,
    /// A connection without a request for so long is closed.
    pub idle_max: Duration,
    /// For the first request to be there, and for a frame that has begun to be whole, in either
    /// direction; a large one has a second more for each 64 KiB.
    pub stall_max: Duration,
    pub groups: GroupOptions,
    /// What of this node is shown as consumer groups beside those of clients.
    pub components: Option<Arc<dyn ComponentGroups>>,
}

/// Bounds of consumer groups, named in brackets as Kafka names them.
#[derive(Debug, Clone, Copy)]
pub struct GroupOptions {
    /// How long the first join of an empty group waits for other members; as long again while
    /// they keep coming (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay: Duration,
    /// The least a member may ask for (`group.min.session.timeout.ms`).
    pub session_min: Duration,
    /// The most a member may ask for (`group.max.session.timeout.ms`).
    pub session_max: Duration,
    /// Members of one group, those that only have an id so far included (`group.max.size`).
    pub size_max: usize,
    /// How long offsets are kept after their group lost its last member, or, of a consumer that
    /// never joined, after they were committed (`offsets.retention.minutes`).
    pub offsets_retention: Duration,
    /// How often that is looked at (`offsets.retention.check.interval.ms`).
    pub offsets_check_every: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_millis(50),
            session_min: Duration::from_secs(6),
            session_max: Duration::from_secs(1800),
            size_max: 10_000,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            offsets_check_every: Duration::from_secs(600),
        }
    }
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            listeners: vec![Listener { bind: "127.0.0.1:9092".into(), advertise: None }],
            auto_create: true,
            default_partitions: 1,
            cluster_id: "yeoul".into(),
            log_dir: "yeoul-data".into(),
            connections_max: 10_000,
            request_memory_bytes: 256 << 20,
            answer_memory_bytes: 256 << 20,
            idle_max: Duration::from_secs(600),
            stall_max: Duration::from_secs(30),
            groups: GroupOptions::default(),
            components: None,
        }
    }
}
