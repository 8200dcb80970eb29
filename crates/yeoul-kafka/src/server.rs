//! The listeners: bind, accept, and an orderly end.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::JoinSet;
use yeoul_base::{Clock, Rand, Store};

use crate::broker::{Broker, Peer};
use crate::connection;
use crate::group::GroupInfo;
use crate::metrics::KafkaMetrics;
use crate::options::{KafkaOptions, Listener};

/// How long open connections may finish their requests after the node was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// After an accept failed (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bound listeners and everything behind them. Nothing is answered before [`KafkaServer::run`].
#[derive(Debug)]
pub struct KafkaServer {
    broker: Arc<Broker>,
    listeners: Vec<(TcpListener, SocketAddr, Listener)>,
}

/// A handle that lists groups while the server runs.
#[derive(Debug, Clone)]
pub struct KafkaGroups(Arc<Broker>);

impl KafkaGroups {
    /// Every group with members or committed offsets, by name.
    pub fn list(&self) -> Vec<GroupInfo> {
        self.0.groups.list()
    }
}

impl KafkaServer {
    /// Binds all listeners.
    ///
    /// # Errors
    /// An address that does not resolve or is taken; the text names it.
    pub async fn bind(
        options: KafkaOptions,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
    ) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for listener in &options.listeners {
            let name = &listener.bind;
            let bound = bind_one(name).await.map_err(|error| {
                io::Error::new(error.kind(), format!("Kafka listener {name}: {error}"))
            })?;
            sockets.push((bound, listener.clone()));
        }
        Self::from_sockets(options, sockets, store, clock, rand)
    }

    /// Takes sockets that are bound already, so that a node can refuse a taken port before it
    /// does anything else. `options.listeners` is not looked at.
    ///
    /// # Errors
    /// A socket without a local address.
    pub fn from_sockets(
        options: KafkaOptions,
        sockets: Vec<(TcpListener, Listener)>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (socket, listener) in sockets {
            let addr = socket.local_addr()?;
            listeners.push((socket, addr, listener));
        }
        let broker = Arc::new(Broker::new(options, store, clock, rand));
        Ok(Self { broker, listeners })
    }

    /// As bound, with the ports taken; in the order of the options.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, addr, _)| *addr).collect()
    }

    pub fn metrics(&self) -> Arc<KafkaMetrics> {
        Arc::clone(&self.broker.metrics)
    }

    pub fn groups(&self) -> KafkaGroups {
        KafkaGroups(Arc::clone(&self.broker))
    }

    /// Serves until `shutdown` completes; then takes no more connections, answers what was
    /// asked (up to 5 s) and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let timers = Arc::clone(&self.broker);
        tasks.spawn(async move { timers.groups.run_timers().await });
        let expiry = Arc::clone(&self.broker);
        tasks.spawn(async move { expiry.groups.run_expiry().await });
        for (socket, addr, listener) in self.listeners {
            let broker = Arc::clone(&self.broker);
            tasks.spawn(accept(broker, socket, addr, listener, stopping.clone()));
        }
        shutdown.await;
        // Fails only when nobody listens, and then there is nothing to stop.
        let _ = stop.send(true);
        drop(stopping);
        let drained = async {
            // Every accept loop and connection holds a receiver until it is done.
            stop.closed().await;
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("connections did not finish within {DRAIN:?}, closing them");
        }
        tasks.shutdown().await;
    }
}

async fn bind_one(name: &str) -> io::Result<TcpListener> {
    // A name may have an IPv6 address first, where most clients try IPv4.
    if let Some(port) = name.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    }
    let addrs: Vec<_> = lookup_host(name).await?.collect();
    TcpListener::bind(addrs.as_slice()).await
}

async fn accept(
    broker: Arc<Broker>,
    socket: TcpListener,
    bound: SocketAddr,
    listener: Listener,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let (stream, addr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a Kafka connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if broker.metrics.counts().connections >= broker.options.connections_max as u64 {
            broker.metrics.refused();
            continue;
        }
        let peer = Arc::new(peer(&stream, addr, bound, &listener));
        let open = broker.metrics.opened();
        let broker = Arc::clone(&broker);
        let stopping = stopping.clone();
        connections.spawn(async move {
            connection::serve(&broker, stream, peer, stopping).await;
            drop(open);
        });
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// How the client is told to reach this node: as configured, else at the address it came to,
/// which it can reach by definition.
fn peer(stream: &TcpStream, addr: SocketAddr, bound: SocketAddr, listener: &Listener) -> Peer {
    let local = stream.local_addr().unwrap_or(bound);
    let (advertised_host, advertised_port) = match &listener.advertise {
        None => (host_text(local.ip()), bound.port()),
        Some(name) => match name.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            // Port 0 stands for the one that was taken.
            Some((host, Ok(0))) => (host.to_owned(), bound.port()),
            Some((host, Ok(port))) => (host.to_owned(), port),
            _ => (name.clone(), bound.port()),
        },
    };
    Peer { addr, advertised_host, advertised_port }
}

fn host_text(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}
