//! The engine: bounded, read-only queries over a [`Catalog`].
//!
//! Invariant: a query touches nothing but the inputs its names were resolved to. No file system,
//! no network, no setting can be reached from SQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use tokio::runtime::Handle;

use crate::answers::Answers;
use crate::built::{self, Build, Pinned};
use crate::catalog::{Catalog, DRUID, Routine, SCHEMAS, TOPIC};
use crate::dialect;
use crate::error::{ErrorKind, SqlError};
use crate::functions::druid;
use crate::live::Lives;
use crate::names::{self, Inputs};
use crate::options::{EngineOptions, QueryOptions};
use crate::parse;
use crate::provider::SEGMENTS_URL;
use crate::queries::{Queries, QueryEntry};
use crate::run::{self, QueryOutput, QueryStream};
use crate::spill::Files;

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

/// What a sort keeps for merging what it put on disk.
const SORT_BYTES_MIN: usize = 64 << 10;
const SORT_BYTES_MAX: usize = 8 << 20;

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
    pub(crate) queries: Arc<Queries>,
    pub(crate) answers: Answers,
}

/// A query before it is planned.
pub(crate) enum Work {
    Sql(String),
    /// Tables, and what makes a plan of them.
    Built(Vec<String>, Build),
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
        let (admission, pressure) = (options.admission, options.pressure.clone());
        let queries = Queries::new(admission, pressure, Arc::clone(&options.clock));
        catalog.set_engine(&queries, routines(&base));
        let (lives, answers) = (Lives::default(), Answers::default());
        Ok(Self { catalog, options, base, lives, queries, answers })
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
        let stream = self.stream(sql, options).await?;
        self.gather(stream, options.max_bytes).await
    }

    /// Runs a built plan to its end, as [`Self::stream_built`], and holds the whole answer.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_built<F>(
        self: &Arc<Self>,
        text: &str,
        tables: &[&str],
        build: F,
        options: &QueryOptions,
    ) -> Result<QueryOutput, SqlError>
    where
        F: FnOnce(&SessionState, &Pinned<'_>) -> Result<LogicalPlan, SqlError> + Send + 'static,
    {
        let stream = self.stream_built(text, tables, build, options).await?;
        self.gather(stream, options.max_bytes).await
    }

    async fn gather(
        &self,
        mut stream: QueryStream,
        max_bytes: usize,
    ) -> Result<QueryOutput, SqlError> {
        let started = self.options.clock.monotonic();
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
        let work = Work::Sql(sql.to_owned());
        run::start(Arc::clone(self), sql, work, options.clone()).await
    }

    /// Starts a query whose plan is made by `build` over `tables` (by their exact names), each
    /// pinned in one state. Limits, checks, log and cancelling are those of SQL; `text` is what
    /// the log shows.
    ///
    /// # Errors
    /// When a table is not there, `build` fails, or as [`Self::stream`].
    pub async fn stream_built<F>(
        self: &Arc<Self>,
        text: &str,
        tables: &[&str],
        build: F,
        options: &QueryOptions,
    ) -> Result<QueryStream, SqlError>
    where
        F: FnOnce(&SessionState, &Pinned<'_>) -> Result<LogicalPlan, SqlError> + Send + 'static,
    {
        let tables = tables.iter().map(|&table| table.to_owned()).collect();
        let work = Work::Built(tables, Box::new(build));
        run::start(Arc::clone(self), text, work, options.clone()).await
    }

    /// Stops all running and waiting queries of that id; their callers get
    /// [`ErrorKind::Cancelled`]. How many there were.
    pub fn cancel(&self, query_id: &str) -> usize {
        self.queries.cancel(query_id)
    }

    /// Queries that run or wait, then the last thousand that ended; newest first.
    pub fn queries(&self) -> Vec<QueryEntry> {
        self.queries.entries()
    }

    /// Plans without running: errors with their place, or what the answer would look like.
    pub async fn check(&self, sql: &str) -> Result<Checked, SqlError> {
        self.check_with(sql, &QueryOptions::default()).await
    }

    /// As [`Self::check`], with parameters and zone.
    pub async fn check_with(&self, sql: &str, options: &QueryOptions) -> Result<Checked, SqlError> {
        let planned = self.plan(sql, options).await?;
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

    pub(crate) async fn plan_work(
        &self,
        work: Work,
        options: &QueryOptions,
    ) -> Result<Planned, SqlError> {
        match work {
            Work::Sql(sql) => self.plan(&sql, options).await,
            Work::Built(tables, build) => {
                let inputs = built::pin(&self.catalog, &tables)?;
                let state = self.state(&inputs, options)?;
                let plan = build(&state, &Pinned { inputs: &inputs })?;
                finish(state, plan, inputs, options)
            }
        }
    }

    /// Parse, limit, resolve, plan.
    pub(crate) async fn plan(
        &self,
        sql: &str,
        options: &QueryOptions,
    ) -> Result<Planned, SqlError> {
        let mut parsed = parse::parse(sql, self.options.text)?;
        dialect::rewrite(&mut parsed.query, options, self.options.clock.now_ms())?;
        let inputs = names::resolve(&self.catalog, &mut parsed.query)?;
        let state = self.state(&inputs, options)?;
        let plan = state.statement_to_plan(parsed.into_statement()).await;
        let plan = plan.map_err(|error| dialect::explain(error.into(), sql))?;
        finish(state, plan, inputs, options)
    }

    /// What one query knows: its inputs and its time zone.
    fn state(&self, inputs: &Inputs, options: &QueryOptions) -> Result<SessionState, SqlError> {
        let mut config = self.base.config().clone();
        if let Some(zone) = &options.zone {
            config.options_mut().execution.time_zone = Some(zone_name(zone)?);
        }
        // Without this, functions would run with a configuration of nobody's.
        let mut props = ExecutionProps::new();
        props.mark_start_execution(Arc::clone(config.options()));
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_catalog_list(Arc::new(catalog_of(inputs)?))
            .with_config(config)
            .with_execution_props(props);
        let mut state = state.build();
        let lookup = ScalarUDF::new_from_impl(druid::Lookup::new(Arc::clone(&self.catalog)));
        state.register_udf(Arc::new(lookup))?;
        Ok(state)
    }
}

/// Refuses what does not only read; limits the rows.
fn finish(
    state: SessionState,
    plan: LogicalPlan,
    inputs: Inputs,
    options: &QueryOptions,
) -> Result<Planned, SqlError> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    only_reading(&plan)?;
    let plan = crate::functions::by_record(plan)?;
    let plan = match &plan {
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => plan,
        // A limit that limits nothing would turn sorts into heaps, which do not spill.
        _ if options.max_rows >= ROWS_MAX && options.outer_limit.is_none() => plan,
        // One more than asked for tells whether there are more.
        _ => {
            let most = options.max_rows.min(ROWS_MAX) + 1;
            let most = options.outer_limit.map_or(most, |limit| limit.min(most));
            LogicalPlanBuilder::from(plan).limit(0, Some(most))?.build()?
        }
    };
    Ok(Planned { state, plan, inputs })
}

/// A zone by its name, as it is spelled.
pub(crate) fn zone_name(zone: &str) -> Result<String, SqlError> {
    let known = druid::zone(zone).ok_or_else(|| {
        SqlError::new(ErrorKind::Invalid, format!("no time zone `{zone}`"))
            .hint("use a name such as Asia/Seoul")
    })?;
    Ok(known.name().to_owned())
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
    for schema in SCHEMAS {
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

/// Memory for all queries, and the only place on disk they may use.
fn runtime_env(options: &EngineOptions) -> Result<Arc<RuntimeEnv>, SqlError> {
    let (pool, mode): (Arc<dyn MemoryPool>, _) = match &options.spill {
        // Shares the memory between those who could go to disk, so that each of them can go on.
        Some(spill) => {
            let files = Files::open(spill).map_err(|error| {
                let text = format!("the folder for large queries cannot be used: {error}");
                SqlError::new(ErrorKind::Internal, text)
            })?;
            let mode = DiskManagerMode::Custom(Arc::new(files));
            (Arc::new(FairSpillPool::new(options.memory_bytes)), mode)
        }
        None => (Arc::new(GreedyMemoryPool::new(options.memory_bytes)), DiskManagerMode::Disabled),
    };
    Ok(RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_object_store_registry(Arc::new(NoStores::default()))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc()?)
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
    // It allocates for as many groups as LIMIT says before it sees one.
    set.optimizer.enable_topk_aggregation = false;
    set.sql_parser.map_string_types_to_utf8view = false;
    if let Some(zone) = &options.zone {
        set.execution.time_zone = Some(zone_name(zone)?);
    }
    set.execution.sort_spill_reservation_bytes =
        (options.memory_bytes / 64).clamp(SORT_BYTES_MIN, SORT_BYTES_MAX);
    let runtime = runtime_env(options)?;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_table_factories(std::collections::HashMap::new())
        .with_table_function_list(Vec::new())
        .with_higher_order_functions(Vec::new())
        .with_type_planner(Arc::new(druid::Types))
        .build();
    let session = SessionContext::new_with_state(state);
    druid::register(&session);
    let mut state = session.state();
    state.register_function_rewrite(Arc::new(druid::Meaning))?;
    Ok(state)
}

/// All functions by the names they can be called.
fn routines(state: &SessionState) -> Vec<Routine> {
    let routine = |name: &String, aggregates: bool| Routine {
        name: name.to_ascii_uppercase(),
        aggregates,
        signatures: format!("'{}(...)'", name.to_ascii_uppercase()),
    };
    let scalar = state.scalar_functions().keys().map(|name| routine(name, false));
    let aggregate = state.aggregate_functions().keys().map(|name| routine(name, true));
    let window = state.window_functions().keys().map(|name| routine(name, false));
    // Made for each query, so the base does not know it.
    let lookup = std::iter::once(routine(&"lookup".to_owned(), false));
    let mut all: Vec<_> = scalar.chain(lookup).chain(aggregate).chain(window).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.dedup_by(|one, other| one.name == other.name);
    all
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
