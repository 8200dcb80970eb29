//! The listener as a client sees it: over TCP, with the protocol's own bytes.

mod client;
mod groups;
mod hostile;
mod records;
mod topics;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use yeoul_base::{MemStore, OsRand, Store, SystemClock};
use yeoul_kafka::{KafkaGroups, KafkaMetrics, KafkaOptions, KafkaServer, Listener};

/// A server over a store that outlives it.
struct Served {
    addr: SocketAddr,
    metrics: Arc<KafkaMetrics>,
    groups: KafkaGroups,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Served {
    async fn over(store: Arc<dyn Store>) -> Self {
        let options = KafkaOptions {
            listeners: vec![Listener::parse("localhost:0").expect("an address")],
            ..KafkaOptions::default()
        };
        Self::with(options, store).await
    }

    async fn with(options: KafkaOptions, store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(SystemClock::new());
        let server = KafkaServer::bind(options, store, clock, Arc::new(OsRand::new()))
            .await
            .expect("a free port");
        let addr = server.addrs()[0];
        let (metrics, groups) = (server.metrics(), server.groups());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { addr, metrics, groups, stop, running }
    }

    async fn new() -> Self {
        Self::over(Arc::new(MemStore::new())).await
    }

    async fn stop(self) {
        self.stop.send(()).expect("still running");
        self.running.await.expect("no panic");
    }
}
