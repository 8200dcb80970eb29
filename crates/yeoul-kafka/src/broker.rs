//! What all connections share, and what one request knows about where it came from.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use yeoul_base::{Clock, Commit, Committed, PartId, Rand, Store, StoreError, TopicInfo};
use yeoul_kafka_wire::api::metadata::MetadataBroker;

use crate::group::Groups;
use crate::memory::Memory;
use crate::metrics::KafkaMetrics;
use crate::options::KafkaOptions;
use crate::seats::Seats;
use crate::txn::Transactions;

/// The one broker's id.
pub(crate) const NODE_ID: i32 = 1;

const LISTINGS_MAX: usize = 16;
const SEARCHES_MAX: usize = 4;

/// Shared by every connection.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) options: KafkaOptions,
    /// Bound address and what clients are told, as Kafka writes them.
    pub(crate) listeners: Vec<(String, String)>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) metrics: Arc<KafkaMetrics>,
    /// Places for connections, so that the log's files keep theirs.
    pub(crate) seats: Seats,
    pub(crate) request_memory: Memory,
    pub(crate) answer_memory: Memory,
    /// Answers that list what the node holds, being made.
    pub(crate) listings: Semaphore,
    /// Searches by timestamp: each may unpack a batch to its limit.
    pub(crate) searches: Semaphore,
}

impl Broker {
    pub(crate) fn new(
        options: KafkaOptions,
        listeners: Vec<(String, String)>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rand: Arc<dyn Rand>,
    ) -> Self {
        Self {
            listeners,
            groups: Groups::new(
                Arc::clone(&store),
                Arc::clone(&clock),
                rand,
                options.groups,
                options.components.clone(),
            ),
            transactions: Transactions::new(Arc::clone(&store), Arc::clone(&clock)),
            store,
            clock,
            metrics: Arc::new(KafkaMetrics::default()),
            seats: Seats::of(yeoul_base::files::raise_open_files()),
            request_memory: Memory::new(options.request_memory_bytes),
            answer_memory: Memory::new(options.answer_memory_bytes),
            listings: Semaphore::new(LISTINGS_MAX),
            searches: Semaphore::new(SEARCHES_MAX),
            options,
        }
    }

    /// Runs something of the store that may wait for the disk off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(&*store))
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed("the node is stopping".into())))
    }
}

/// Commits and waits, without holding a thread.
pub(crate) async fn commit_on(store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
    let (send, receive) = oneshot::channel();
    store.submit(
        commit,
        Box::new(move |result| {
            // Nobody waits any more when the connection is gone; the commit holds all the same.
            let _ = send.send(result);
        }),
    );
    receive
        .await
        .unwrap_or_else(|_| Err(StoreError::Closed("the commit was dropped unanswered".into())))
}

/// Kafka's number of a partition, looked up.
pub(crate) fn partition(topic: &TopicInfo, number: i32) -> Option<PartId> {
    usize::try_from(number).ok().and_then(|index| topic.partitions.get(index)).copied()
}

/// Where a connection came from and how its client reaches this node.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) advertised_host: String,
    pub(crate) advertised_port: u16,
}

/// What a handler knows beside its request.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) broker: Arc<Broker>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) version: i16,
    pub(crate) client_id: String,
    /// Whether the request holds some of the memory for requests.
    pub(crate) counted: bool,
}

impl Context {
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.broker.store
    }

    /// This node as the client is to reach it.
    pub(crate) fn node(&self) -> MetadataBroker {
        MetadataBroker {
            node_id: NODE_ID,
            host: self.peer.advertised_host.clone(),
            port: i32::from(self.peer.advertised_port),
            rack: None,
        }
    }
}
