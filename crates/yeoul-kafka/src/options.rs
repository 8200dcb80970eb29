//! What the listener is told at start.

use std::time::Duration;

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
    /// How long the first join of an empty group waits for other members.
    pub initial_rebalance_delay: Duration,
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
            initial_rebalance_delay: Duration::from_millis(50),
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
