//! The listeners: bind, accept, and an orderly end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use yeoul_base::{Clock, Rand, Store};

use crate::broker::{Broker, Peer};
use crate::connection;
use crate::group::GroupInfo;
use crate::listen::{Advertised, Listener};
use crate::metrics::KafkaMetrics;
use crate::options::KafkaOptions;

/// How long open connections may finish their requests after the node was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// After an accept failed (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bound listeners and everything behind them. Nothing is answered before [`KafkaServer::run`].
#[derive(Debug)]
pub struct KafkaServer {
    broker: Arc<Broker>,
    listeners: Vec<Bound>,
}

/// One socket of a listener.
#[derive(Debug)]
struct Bound {
    socket: TcpListener,
    addr: SocketAddr,
    advertised: Advertised,
    /// The first of its listener; `localhost` has two.
    first: bool,
}

impl Bound {
    fn new(socket: TcpListener, listener: &Listener, first: bool) -> io::Result<Self> {
        let advertised = listener
            .advertised()
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        Ok(Self { addr: socket.local_addr()?, socket, advertised, first })
    }

    /// Where it listens and what clients are told, as Kafka writes it.
    fn describe(&self) -> (String, String) {
        let (host, port) = self.advertised.host_and_port(self.addr);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        (format!("PLAINTEXT://{}", self.addr), format!("PLAINTEXT://{host}:{port}"))
    }
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
        let mut bound = Vec::new();
        for listener in &options.listeners {
            let name = &listener.bind;
            let sockets = listener.sockets().await.map_err(|error| {
                io::Error::new(error.kind(), format!("Kafka listener {name}: {error}"))
            })?;
            for (at, socket) in sockets.into_iter().enumerate() {
                bound.push(Bound::new(socket, listener, at == 0)?);
            }
        }
        Ok(Self::over(options, bound, store, clock, rand))
    }

    /// Takes sockets that are bound already (see [`Listener::sockets`]), so that a node can
    /// refuse a taken port before it does anything else. `options.listeners` is not looked at.
    ///
    /// # Errors
    /// A socket without a local address; an address to advertise that is none.
    pub fn from_sockets(
        options: KafkaOptions,
        sockets: Vec<(TcpListener, Listener)>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
    ) -> io::Result<Self> {
        let bound: io::Result<Vec<_>> = sockets
            .into_iter()
            .map(|(socket, listener)| Bound::new(socket, &listener, true))
            .collect();
        Ok(Self::over(options, bound?, store, clock, rand))
    }

    fn over(
        options: KafkaOptions,
        listeners: Vec<Bound>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
    ) -> Self {
        let described = listeners.iter().map(Bound::describe).collect();
        let broker = Arc::new(Broker::new(options, described, store, clock, rand));
        Self { broker, listeners }
    }

    /// As bound, with the ports taken; one per listener, in the order of the options.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter(|bound| bound.first).map(|bound| bound.addr).collect()
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
        let endings = Arc::clone(&self.broker);
        tasks.spawn(async move { endings.transactions.run_timers().await });
        for bound in self.listeners {
            let broker = Arc::clone(&self.broker);
            tasks.spawn(accept(broker, bound, stopping.clone()));
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

async fn accept(broker: Arc<Broker>, bound: Bound, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = seated(&broker, &bound.socket) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let ((stream, addr), seat) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Said once, not twenty times a second until there are files again. Peers wait in
                // the socket's own queue; open connections go on.
                if !failing {
                    tracing::warn!(%error, "no Kafka connection can be accepted, trying on");
                }
                failing = true;
                broker.metrics.accept_failed();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        if broker.metrics.counts().connections >= broker.options.connections_max as u64 {
            broker.metrics.refused();
            continue;
        }
        let peer = Arc::new(peer(&stream, addr, &bound));
        let open = broker.metrics.opened();
        let broker = Arc::clone(&broker);
        let stopping = stopping.clone();
        connections.spawn(async move {
            connection::serve(&broker, stream, peer, stopping).await;
            drop((open, seat));
        });
    }
    drop(bound);
    while connections.join_next().await.is_some() {}
}

/// Accepts once there is a seat: what cannot be served yet waits in the kernel's queue.
async fn seated(
    broker: &Broker,
    socket: &TcpListener,
) -> io::Result<((TcpStream, SocketAddr), Option<OwnedSemaphorePermit>)> {
    let seat = broker.seats.take().await;
    Ok((socket.accept().await?, seat))
}

fn peer(stream: &TcpStream, addr: SocketAddr, bound: &Bound) -> Peer {
    let local = stream.local_addr().unwrap_or(bound.addr);
    let (advertised_host, advertised_port) = bound.advertised.host_and_port(local);
    // An IPv4 client of an IPv6 socket is shown as what it is.
    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    Peer { addr, advertised_host, advertised_port }
}
