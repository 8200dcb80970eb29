//! The engine: bounded, read-only queries over a [`Catalog`].
//!
//! Invariant: a query touches nothing but the inputs its names were resolved to. No file system,
//! no network, no setting can be reached from SQL.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use tokio::runtime::Handle;
use yeoul_base::{Clock, SystemClock};

use crate::catalog::{Catalog, DRUID, INFORMATION, TOPIC};
use crate::error::{ErrorKind, SqlError};
use crate::live::Lives;
use crate::names::{self, Inputs, Unnamed};
use crate::parse::{self, TextLimits};
use crate::provider::SEGMENTS_URL;
use crate::run::{self, QueryOutput, QueryStream};

/// Twice what the deepest plan within [`TextLimits`] was seen to need in a debug build; only what
/// is touched takes memory.
const STACK_BYTES: usize = 16 << 20;

/// A runtime for queries: planning and expressions recurse deeper than usual stacks allow.
pub fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name("yeoul-sql")
        .thread_stack_size(STACK_BYTES)
        .enable_time()
        .build()
}

/// What an engine may use.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Where queries run: a runtime of its own, so that they never hold up other work, made by
    /// [`runtime`], so that its stacks suffice.
    pub runtime: Handle,
    /// All running queries together.
    pub memory_bytes: usize,
    /// Threads one query may use.
    pub partitions: usize,
    /// Where text without an offset is read, by its name; UTC when `None`.
    pub zone: Option<String>,
    pub text: TextLimits,
    pub clock: Arc<dyn Clock>,
}

impl EngineOptions {
    /// With 256 MiB for all queries and two threads for each.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            memory_bytes: 256 << 20,
            partitions: 2,
            zone: None,
            text: TextLimits::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }
}

/// How one query is run.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// From the start of planning to the last row.
    pub timeout: Duration,
    /// Rows after these are cut off, and the answer says so.
    pub max_rows: usize,
    /// For [`Engine::query`], which holds the whole answer; a larger one is an error.
    pub max_bytes: usize,
    pub unnamed: Unnamed,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            max_rows: 100_000,
            max_bytes: 64 << 20,
            unnamed: Unnamed::default(),
        }
    }
}

/// The planner counts rows as signed numbers.
const ROWS_MAX: usize = i64::MAX as usize - 1;

/// What planning found.
#[derive(Debug, Clone)]
pub struct Checked {
    pub schema: SchemaRef,
    /// Names of the tables the query reads.
    pub tables: Vec<String>,
    /// Names of the topics the query reads.
    pub topics: Vec<String>,
}

/// See the module's head. Shared as `Arc<Engine>`.
#[derive(Debug)]
pub struct Engine {
    catalog: Arc<Catalog>,
    options: EngineOptions,
    base: SessionState,
    pub(crate) lives: Lives,
}

/// A query ready to run.
pub(crate) struct Planned {
    pub(crate) state: SessionState,
    pub(crate) plan: LogicalPlan,
    pub(crate) inputs: Inputs,
}

impl Engine {
    /// # Errors
    /// When the options are impossible, such as an unknown time zone.
    pub fn new(catalog: Arc<Catalog>, options: EngineOptions) -> Result<Self, SqlError> {
        let base = base_state(&options)?;
        Ok(Self { catalog, options, base, lives: Lives::default() })
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.options.runtime
    }

    /// Runs a query to its end and holds the whole answer. Dropping the future cancels the query.
    pub async fn query(
        self: &Arc<Self>,
        sql: &str,
        options: &QueryOptions,
    ) -> Result<QueryOutput, SqlError> {
        let started = self.options.clock.monotonic();
        let max_bytes = options.max_bytes;
        let mut stream = self.stream(sql, options).await?;
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            bytes += batch.get_array_memory_size();
            if bytes > max_bytes {
                let text = format!("the answer has more than {max_bytes} bytes");
                return Err(SqlError::new(ErrorKind::TooLarge, text)
                    .hint("add a LIMIT, or ask for fewer columns"));
            }
            batches.push(batch);
        }
        Ok(QueryOutput {
            schema: Arc::clone(stream.schema()),
            batches,
            truncated: stream.truncated(),
            rows_scanned: stream.rows_scanned(),
            elapsed: self.options.clock.monotonic().saturating_sub(started),
        })
    }

    /// Starts a query and hands out its answer batch by batch. Dropping the stream cancels it.
    pub async fn stream(
        self: &Arc<Self>,
        sql: &str,
        options: &QueryOptions,
    ) -> Result<QueryStream, SqlError> {
        run::start(Arc::clone(self), sql.to_owned(), options.clone()).await
    }

    /// Plans without running: errors with their place, or what the answer would look like.
    pub async fn check(&self, sql: &str) -> Result<Checked, SqlError> {
        let planned = self.plan(sql, &QueryOptions::default()).await?;
        let names = |wanted: &str| {
            let of_schema = planned.inputs.keys().filter(|(schema, _)| *schema == wanted);
            of_schema.map(|(_, name)| name.clone()).collect()
        };
        Ok(Checked {
            schema: Arc::clone(planned.plan.schema().inner()),
            tables: names(DRUID),
            topics: names(TOPIC),
        })
    }

    /// Parse, limit, resolve, plan.
    pub(crate) async fn plan(
        &self,
        sql: &str,
        options: &QueryOptions,
    ) -> Result<Planned, SqlError> {
        let mut parsed = parse::parse(sql, self.options.text)?;
        let inputs = names::resolve(&self.catalog, &mut parsed.query, options.unnamed)?;
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_catalog_list(Arc::new(catalog_of(&inputs)?))
            .build();
        let plan = state.statement_to_plan(parsed.into_statement()).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        only_reading(&plan)?;
        let plan = match &plan {
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => plan,
            // One more than asked for tells whether there are more.
            _ => LogicalPlanBuilder::from(plan)
                .limit(0, Some(options.max_rows.min(ROWS_MAX) + 1))?
                .build()?,
        };
        Ok(Planned { state, plan, inputs })
    }
}

/// Nodes that only read. What a later version of the planner may add is refused until it is here.
fn only_reading(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        let reads = matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Join(_)
                | LogicalPlan::Repartition(_)
                | LogicalPlan::Union(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::EmptyRelation(_)
                | LogicalPlan::Subquery(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::Values(_)
                | LogicalPlan::Explain(_)
                | LogicalPlan::Analyze(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::Unnest(_)
                | LogicalPlan::RecursiveQuery(_)
        );
        if reads {
            return Ok(TreeNodeRecursion::Continue);
        }
        refused = Some(node.display().to_string());
        Ok(TreeNodeRecursion::Stop)
    })?;
    match refused {
        Some(node) => Err(SqlError::new(
            ErrorKind::Unsupported,
            format!("`{node}` is not allowed in a query"),
        )),
        None => Ok(()),
    }
}

fn catalog_of(inputs: &Inputs) -> Result<MemoryCatalogProviderList, SqlError> {
    let catalog = MemoryCatalogProvider::new();
    for schema in [DRUID, TOPIC, INFORMATION] {
        let tables = MemorySchemaProvider::new();
        for found in inputs.values().filter(|found| found.schema == schema) {
            tables.register_table(found.name.clone(), Arc::clone(&found.provider))?;
        }
        catalog.register_schema(schema, Arc::new(tables))?;
    }
    let list = MemoryCatalogProviderList::new();
    datafusion::catalog::CatalogProviderList::register_catalog(
        &list,
        DRUID.to_owned(),
        Arc::new(catalog),
    );
    Ok(list)
}

fn base_state(options: &EngineOptions) -> Result<SessionState, SqlError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions.max(1))
        .with_default_catalog_and_schema(DRUID, DRUID)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let set = config.options_mut();
    set.sql_parser.enable_ident_normalization = false;
    set.sql_parser.collect_spans = true;
    set.sql_parser.map_string_types_to_utf8view = false;
    if let Some(zone) = &options.zone {
        let known: chrono_tz::Tz = zone.parse().map_err(|_| {
            SqlError::new(ErrorKind::Invalid, format!("no time zone `{zone}`"))
                .hint("use a name such as Asia/Seoul")
        })?;
        set.execution.time_zone = Some(known.name().to_owned());
    }
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(options.memory_bytes)))
        .with_object_store_registry(Arc::new(NoStores::default()))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()?;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_table_factories(std::collections::HashMap::new())
        .with_table_function_list(Vec::new())
        .build();
    let session = SessionContext::new_with_state(state);
    crate::functions::druid::register(&session);
    Ok(session.state())
}

/// Knows one address with nothing behind it: files of tables are opened by their snapshot.
#[derive(Debug)]
struct NoStores(Arc<dyn ObjectStore>);

impl Default for NoStores {
    fn default() -> Self {
        Self(Arc::new(InMemory::new()))
    }
}

type AnyStore = Arc<dyn ObjectStore>;
type Url = url::Url;

impl ObjectStoreRegistry for NoStores {
    fn register_store(&self, _: &Url, _: AnyStore) -> Option<AnyStore> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<AnyStore, DataFusionError> {
        if url.as_str().trim_end_matches('/') == SEGMENTS_URL {
            return Ok(Arc::clone(&self.0));
        }
        Err(DataFusionError::Plan(format!("`{url}` cannot be read from a query")))
    }
}
