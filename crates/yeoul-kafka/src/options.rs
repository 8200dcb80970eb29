//! What the listener is told at start.

use std::sync::Arc;
use std::time::Duration;

use crate::group::ComponentGroups;

/// Where to listen, and under which name clients are told to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`; port 0 takes a free one. `localhost` is 127.0.0.1.
    pub bind: String,
    /// `host[:port]` as clients reach it; without it, the address each client came to.
    pub advertise: Option<String>,
}

impl Listener {
    /// Reads `LISTEN[=ADVERTISE]`, as on the command line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (bind, advertise) = match text.split_once('=') {
            Some((bind, advertise)) => (bind, Some(advertise.to_owned())),
            None => (text, None),
        };
        let has_port = bind.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !has_port {
            return Err(format!(
                "`{bind}` is not an address: give host:port, such as 127.0.0.1:9092"
            ));
        }
        if advertise.as_deref() == Some("") {
            return Err(format!("`{text}` advertises nothing: give host:port after `=`"));
        }
        Ok(Self { bind: bind.to_owned(), advertise })
    }
}

/// See the fields; [`KafkaOptions::default`] listens on 127.0.0.1:9092.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    pub listeners: Vec<Listener>,
    /// Whether a client's question about a topic may create it.
    pub auto_create: bool,
    /// Partitions of topics created without a number.
    pub default_partitions: u32,
    pub cluster_id: String,
    /// Connections beyond it are closed at once.
    pub connections_max: usize,
    /// Bytes of requests larger than 64 KiB that may be in memory at a time, over all
    /// connections; readers wait when they are spent.
    pub request_memory_bytes: usize,
    /// A connection without a request for so long is closed.
    pub idle_max: Duration,
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
            connections_max: 10_000,
            request_memory_bytes: 256 << 20,
            idle_max: Duration::from_secs(600),
            groups: GroupOptions::default(),
            components: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_may_advertise_another_name() {
        let plain = Listener::parse("127.0.0.1:9092").expect("plain");
        assert_eq!(plain, Listener { bind: "127.0.0.1:9092".into(), advertise: None });
        let both = Listener::parse("0.0.0.0:9093=kafka:9093").expect("both");
        assert_eq!(both.advertise.as_deref(), Some("kafka:9093"));
        assert!(Listener::parse("9092").is_err());
        assert!(Listener::parse("localhost").is_err());
        assert!(Listener::parse("localhost:9092=").is_err());
    }
}
