//! A node: the log, the query engine, the components of its pipelines, and the faces it shows.

mod apply;
mod build;
mod describe;
mod druid;
mod face;
mod flow;
mod ingest;
mod metrics;
pub(crate) mod plan;
mod positions;
mod pressure;
mod records;
mod tables;
mod trace;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use yeoul_base::{Clock, Disk, OsRand, Rand, RealDisk, Store, SystemClock};
use yeoul_kafka::{ComponentGroups, KafkaGroups, KafkaMetrics, KafkaOptions, KafkaServer};
use yeoul_log::{Holds, Log, LogOptions};
use yeoul_pipeline::Pipeline;
use yeoul_sql::{Catalog, Engine, EngineOptions, Spill};
use yeoul_stream::Lookups;
use yeoul_web::WebOptions;
use yeoul_web::dto::NodeKind;

use crate::cli::Listeners;
use crate::output::{self, Failure};
use flow::{ComponentView, Sampler};
use positions::Readers;
use pressure::Gauge;

/// Rates are sampled this often, so that the first look at a node already shows them.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
const QUERY_THREADS: usize = 2;
/// What all queries together may hold when nothing else is said.
const QUERY_BYTES_DEFAULT: usize = 256 << 20;
/// What queries put on disk when memory ends: this folder, one part in so many of the disk.
const SPILL_FOLDER: &str = "spill";
const SPILL_SHARE: u64 = 10;

#[derive(Debug, Clone)]
pub(crate) struct NodeOptions {
    pub(crate) data_dir: PathBuf,
    pub(crate) kafka: Vec<SocketAddr>,
    /// For all queries together.
    pub(crate) memory_bytes: Option<usize>,
}

/// How much of the disk may be kept for components that are behind what retention would keep.
fn hold_bytes_max(disk: &dyn Disk) -> u64 {
    const SHARE: u64 = 5;
    // Where the size is not to be had, what is free at the start is a bound, too.
    disk.total_bytes().or_else(|_| disk.free_bytes()).unwrap_or(u64::MAX) / SHARE
}

/// Something that runs: a source, a stream or a table.
trait Component: Send + Sync {
    fn view(&self) -> ComponentView;
    /// How far it is in what it reads; a source reads no topic.
    fn positions(&self, _: &dyn Store) -> Vec<positions::InputPosition> {
        Vec::new()
    }
    /// Of a table.
    fn redoer(&self) -> Option<yeoul_stream::Redoer> {
        None
    }
    /// Returns when it no longer works and all it committed is durable.
    fn stop(self: Box<Self>);
}

/// A pipeline as it was given.
#[derive(Debug, Clone)]
struct Applied {
    file: String,
    text: String,
    at_ms: i64,
    /// Came through the API: kept in the data directory's `pipelines/`.
    kept: bool,
}

/// What the node runs now.
struct Graph {
    /// By the pipeline's name.
    applied: BTreeMap<String, Applied>,
    pipelines: Vec<Pipeline>,
    lookups: Arc<Lookups>,
    /// By `kind/name`.
    components: BTreeMap<String, Box<dyn Component>>,
}

/// See the module's head.
pub(crate) struct Node {
    options: NodeOptions,
    log: Log,
    store: Arc<dyn Store>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    engine: Arc<Engine>,
    /// Queries run on threads of their own, so that they never hold up the listeners.
    queries: Mutex<Option<tokio::runtime::Runtime>>,
    graph: Mutex<Graph>,
    sampler: Sampler,
    /// Whether queries must wait for ingestion.
    gauge: Arc<Gauge>,
    readers: Arc<Readers>,
    started_ms: i64,
    kafka: OnceLock<(Arc<KafkaMetrics>, KafkaGroups)>,
    /// Holds the reason once the log had to close itself.
    failed: watch::Receiver<Option<String>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("data_dir", &self.options.data_dir).finish_non_exhaustive()
    }
}

impl Drop for Node {
    /// A runtime that is dropped on another runtime's thread panics unless told not to wait. A
    /// start that fails ends here, and its reason must be what is read.
    fn drop(&mut self) {
        let queries = self.queries.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queries) = queries {
            queries.shutdown_background();
        }
    }
}

/// The tasks that serve; waited for at the end.
pub(crate) struct Faces {
    tasks: Vec<JoinHandle<()>>,
}

impl Faces {
    pub(crate) async fn finish(self) {
        for task in self.tasks {
            // A task that panicked has said so; the others still get their time.
            let _ = task.await;
        }
    }
}

impl Node {
    /// Recovers what is in the data directory and starts the pipelines kept there.
    pub(crate) fn open(options: NodeOptions) -> Result<Arc<Self>, Failure> {
        let dir = options.data_dir.display().to_string();
        let disk = RealDisk::new(&options.data_dir).map_err(|error| {
            Failure::new(format!("cannot use `{dir}` as data directory: {error}"))
                .hint("name another with --data-dir")
        })?;
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let rand: Arc<dyn Rand> = Arc::new(OsRand::new());
        let (fatal, failed) = watch::channel(None);
        let log_options = LogOptions {
            holds_expected: true,
            hold_bytes_max: hold_bytes_max(disk.as_ref()),
            on_fatal: Some(Arc::new(move |reason: &str| {
                fatal.send_replace(Some(reason.to_owned()));
            })),
            ..LogOptions::default()
        };
        let (log, recovered) =
            Log::open(Arc::clone(&disk), Arc::clone(&clock), Arc::clone(&rand), log_options)
                .map_err(|error| Failure::new(format!("{dir}: {error}")))?;
        tracing::info!(?recovered, "log recovered");
        for file in recovered.cut.iter().chain(&recovered.quarantined) {
            output::remark(format!("recovery put what it could not use into {dir}/{file}"));
        }
        let store: Arc<dyn Store> = Arc::new(log.clone());
        let queries = yeoul_sql::runtime(QUERY_THREADS)?;
        let mut engine = EngineOptions::new(queries.handle().clone());
        engine.memory_bytes = options.memory_bytes.unwrap_or(QUERY_BYTES_DEFAULT);
        let gauge = Arc::<Gauge>::default();
        engine.pressure = Some(gauge.clone());
        engine.spill = Some(Spill {
            disk: Arc::clone(&disk),
            folder: SPILL_FOLDER.into(),
            bytes: disk.total_bytes()? / SPILL_SHARE,
        });
        let engine = Engine::new(Arc::new(Catalog::new(Arc::clone(&store))), engine)?;
        let graph = Graph {
            applied: BTreeMap::new(),
            pipelines: Vec::new(),
            lookups: Arc::new(Lookups::none(Arc::clone(&clock))),
            components: BTreeMap::new(),
        };
        let started_ms = clock.now_ms();
        Ok(Arc::new(Self {
            options,
            log,
            store,
            disk,
            clock,
            rand,
            engine: Arc::new(engine),
            queries: Mutex::new(Some(queries)),
            graph: Mutex::new(graph),
            sampler: Sampler::default(),
            gauge,
            readers: Arc::default(),
            started_ms,
            kafka: OnceLock::new(),
            failed,
        }))
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn views(&self) -> Vec<ComponentView> {
        let graph = self.graph();
        let mut views: Vec<_> = graph.components.values().map(|part| part.view()).collect();
        views.extend(graph.lookups.status().into_iter().map(build::lookup_view));
        views
    }

    /// Starts Kafka and HTTP on sockets that are bound already.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        listeners: Listeners,
        allow_hosts: Vec<String>,
        insecure: bool,
        stopped: watch::Receiver<bool>,
    ) -> Result<Faces, Failure> {
        let stop = |mut stopped: watch::Receiver<bool>| async move {
            // A sender that is gone means the same.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        // The components of kept pipelines run by now: nothing is let go that they need.
        self.readers.publish(self.positions());
        self.log.set_holds(Arc::clone(&self.readers) as Arc<dyn Holds>);
        let options = KafkaOptions {
            listeners: Vec::new(),
            components: Some(Arc::clone(&self.readers) as Arc<dyn ComponentGroups>),
            log_dir: self.options.data_dir.display().to_string(),
            ..KafkaOptions::default()
        };
        let kafka = KafkaServer::from_sockets(
            options,
            listeners.kafka,
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            Arc::clone(&self.rand),
        )?;
        // Only the first call sets it, and there is one.
        let _ = self.kafka.set((kafka.metrics(), kafka.groups()));
        let kafka = tokio::spawn(kafka.run(stop(stopped.clone())));
        let web = WebOptions {
            allow_hosts,
            insecure,
            token: None,
            extra: yeoul_druid::router(Arc::clone(&self.engine)).merge(yeoul_druid::management(
                Arc::clone(&self.engine),
                self.managed(listeners.http.local_addr().ok()),
            )),
            clock: Arc::clone(&self.clock),
        };
        let router = yeoul_web::router(Arc::new(face::Face(Arc::clone(self))), web);
        let http =
            axum::serve(listeners.http, router).with_graceful_shutdown(stop(stopped.clone()));
        let http = tokio::spawn(async move {
            if let Err(error) = http.await {
                output::remark(format!("the HTTP listener ended: {error}"));
            }
        });
        let node = Arc::clone(self);
        let sampling = tokio::spawn(async move {
            let end = stop(stopped);
            tokio::pin!(end);
            loop {
                tokio::select! {
                    () = &mut end => break,
                    () = tokio::time::sleep(SAMPLE_EVERY) => {
                        drop(node.flow());
                        node.gauge.sample(node.table_lag(), pressure::memory_left());
                        node.readers.publish(node.positions());
                    }
                }
            }
        });
        Ok(Faces { tasks: vec![kafka, http, sampling] })
    }

    /// Records that all tables together are behind.
    fn table_lag(&self) -> u64 {
        let views = self.views();
        let tables = views.iter().filter(|view| view.node.kind == NodeKind::Table);
        tables.map(|view| view.node.lag).fold(0, u64::saturating_add)
    }

    fn flow(&self) -> yeoul_web::dto::Flow {
        let now = self.clock.monotonic();
        let at_ms = self.clock.now_ms();
        flow::draw(self.store.as_ref(), &self.views(), &self.sampler, now, at_ms)
    }

    /// Completes with the reason when the log had to stop.
    pub(crate) async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The log is gone without trouble: the node is being stopped.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops all components, sources first, and closes the log.
    pub(crate) async fn stop(self: &Arc<Self>) {
        let node = Arc::clone(self);
        let stopping = tokio::task::spawn_blocking(move || {
            let components = std::mem::take(&mut node.graph().components);
            let order = ["source/", "stream/", "table/"];
            let mut components: Vec<_> = components.into_iter().collect();
            components.sort_by_key(|(id, _)| order.iter().position(|kind| id.starts_with(kind)));
            for (_, component) in components {
                component.stop();
            }
            let queries = node.queries.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(queries) = queries {
                queries.shutdown_timeout(Duration::from_secs(1));
            }
            node.log.close();
        });
        if stopping.await.is_err() {
            output::remark("stopping did not go to its end; recovery makes it good");
        }
    }
}
