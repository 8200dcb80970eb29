//! The listener as a client sees it: over TCP, with the protocol's own bytes.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod admin;
mod client;
mod components;
mod configs;
mod groups;
mod hostile;
mod jvm;
mod listeners;
mod producer;
mod records;
mod topics;
mod transaction_offsets;
mod transactions;
mod traps;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use yeoul_base::{OsRand, RealDisk, Store, SystemClock};
use yeoul_kafka::{KafkaGroups, KafkaMetrics, KafkaOptions, KafkaServer, Listener};
use yeoul_kafka_wire::ErrorCode;
use yeoul_log::{Log, LogOptions};

use crate::client::Client;

/// A server over a log on the real disk.
struct Served {
    /// Of the first listener.
    addr: SocketAddr,
    /// Of each listener.
    addrs: Vec<SocketAddr>,
    metrics: Arc<KafkaMetrics>,
    groups: KafkaGroups,
    log: Log,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    /// Removed with the server, when it is the server's own.
    _dir: Option<TempDir>,
}

impl Served {
    /// In a folder of its own.
    async fn new() -> Self {
        Self::with(KafkaOptions::default()).await
    }

    /// Likewise, with a topic `t` of one partition and a connection.
    async fn with_topic() -> (Self, Client) {
        let served = Self::new().await;
        let mut client = Client::connect(served.addr).await;
        assert_eq!(client.create("t", 1).await, ErrorCode::NONE);
        (served, client)
    }

    /// With other options, but a port of its own.
    async fn with(options: KafkaOptions) -> Self {
        let dir = TempDir::new().expect("a folder");
        let served = Self::at(dir.path(), options).await;
        Self { _dir: Some(dir), ..served }
    }

    /// In a folder of its own, listening there.
    async fn on(listeners: Vec<Listener>, options: KafkaOptions) -> Self {
        let dir = TempDir::new().expect("a folder");
        let served = Self::over(dir.path(), KafkaOptions { listeners, ..options }).await;
        Self { _dir: Some(dir), ..served }
    }

    /// Over a log that is there already, or will be again.
    async fn at(dir: &Path, options: KafkaOptions) -> Self {
        let listeners = vec![Listener::parse("localhost:0").expect("an address")];
        Self::over(dir, KafkaOptions { listeners, ..options }).await
    }

    async fn over(dir: &Path, options: KafkaOptions) -> Self {
        let clock = Arc::new(SystemClock::new());
        let rand = Arc::new(OsRand::new());
        let disk = Arc::new(RealDisk::new(dir).expect("a data directory"));
        let (log, _) = Log::open(disk, clock.clone(), rand.clone(), LogOptions::default())
            .expect("an undamaged log");
        let server = KafkaServer::bind(options, Arc::new(log.clone()), clock, rand)
            .await
            .expect("a free port");
        let addrs = server.addrs();
        let (metrics, groups) = (server.metrics(), server.groups());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            // A test that ends without stopping drops the sender.
            let _ = stopped.await;
        }));
        Self { addr: addrs[0], addrs, metrics, groups, log, stop, running, _dir: None }
    }

    fn log_topics(&self) -> Vec<String> {
        self.log.topics().by_name.keys().map(|name| name.to_string()).collect()
    }

    async fn stop(self) {
        self.stop.send(()).expect("still running");
        self.running.await.expect("no panic");
        self.log.close();
    }
}
