//! What a query can name: tables, topics, and the catalogue itself.
//!
//! Invariant: a query sees each table in one state, pinned when its name is resolved.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use yeoul_base::Store;
use yeoul_format::Schema;
use yeoul_table::Table;

use crate::answers::TableState;
use crate::error::{ErrorKind, SqlError};
use crate::info;
use crate::provider::SnapshotProvider;
use crate::queries::{Queries, QueryEntry};
use crate::rows::Columns;
use crate::sources::{LookupMap, Lookups, ServerInfo, SupervisorRow, System, TaskRow};
use crate::sys;
use crate::topic::TopicProvider;

/// The catalog's name, and the schema of tables: Druid's.
pub(crate) const DRUID: &str = "druid";
pub(crate) const TOPIC: &str = "topic";
pub(crate) const INFORMATION: &str = "INFORMATION_SCHEMA";
pub(crate) const LOOKUP: &str = "lookup";
pub(crate) const SYS: &str = "sys";
/// Druid's schema of views: there are none.
pub(crate) const VIEW: &str = "view";
/// In the order Druid lists its own.
pub(crate) const SCHEMAS: [&str; 6] = [INFORMATION, DRUID, LOOKUP, SYS, TOPIC, VIEW];

/// Tables by name, and the topics of a store. Cheap to share; changes are seen by the next query.
#[derive(Debug)]
pub struct Catalog {
    store: Arc<dyn Store>,
    tables: RwLock<BTreeMap<String, Arc<Table>>>,
    /// Changes with the set of tables.
    version: AtomicU64,
    lookups: RwLock<Option<Arc<dyn Lookups>>>,
    system: RwLock<Option<Arc<dyn System>>>,
    queries: OnceLock<Weak<Queries>>,
    routines: OnceLock<Vec<Routine>>,
}

/// A function as `INFORMATION_SCHEMA.ROUTINES` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Routine {
    pub(crate) name: String,
    pub(crate) aggregates: bool,
    pub(crate) signatures: String,
}

/// A name that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// As the catalog spells them.
    pub(crate) schema: &'static str,
    pub(crate) name: String,
    pub(crate) provider: Arc<dyn TableProvider>,
    /// Rows in memory that scans took, known once they are planned.
    pub(crate) memory_rows: Arc<AtomicU64>,
    /// Of a table whose answers stay the same until it changes.
    pub(crate) state: Option<TableState>,
}

impl Catalog {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            tables: RwLock::default(),
            version: AtomicU64::new(0),
            lookups: RwLock::default(),
            system: RwLock::default(),
            queries: OnceLock::new(),
            routines: OnceLock::new(),
        }
    }

    /// Where `LOOKUP` and the schema `lookup` find their pairs from now on.
    pub fn set_lookups(&self, lookups: Arc<dyn Lookups>) {
        *self.lookups.write().unwrap_or_else(PoisonError::into_inner) = Some(lookups);
    }

    /// What `sys` shows of the node from now on.
    pub fn set_system(&self, system: Arc<dyn System>) {
        *self.system.write().unwrap_or_else(PoisonError::into_inner) = Some(system);
    }

    /// What the engine shows of itself; the first engine over a catalog is the one shown.
    pub(crate) fn set_engine(&self, queries: &Arc<Queries>, routines: Vec<Routine>) {
        let _ = self.queries.set(Arc::downgrade(queries));
        let _ = self.routines.set(routines);
    }

    pub(crate) fn query_entries(&self) -> Vec<QueryEntry> {
        let queries = self.queries.get().and_then(Weak::upgrade);
        queries.map(|queries| queries.entries()).unwrap_or_default()
    }

    pub(crate) fn routines(&self) -> &[Routine] {
        self.routines.get().map_or(&[], Vec::as_slice)
    }

    fn system(&self) -> Option<Arc<dyn System>> {
        self.system.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn server(&self) -> ServerInfo {
        self.system().map(|system| system.server()).unwrap_or_default()
    }

    pub(crate) fn tasks(&self) -> Vec<TaskRow> {
        self.system().map(|system| system.tasks()).unwrap_or_default()
    }

    pub(crate) fn supervisors(&self) -> Vec<SupervisorRow> {
        self.system().map(|system| system.supervisors()).unwrap_or_default()
    }

    fn lookups(&self) -> Option<Arc<dyn Lookups>> {
        self.lookups.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// In the order of their names.
    pub(crate) fn lookup_names(&self) -> Vec<String> {
        let mut names = self.lookups().map(|lookups| lookups.names()).unwrap_or_default();
        names.sort();
        names
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<Arc<LookupMap>> {
        self.lookups()?.get(name)
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Adds a table or puts it in the place of the one with its name.
    pub fn put_table(&self, table: Arc<Table>) {
        let name = table.spec().name.clone();
        self.tables.write().unwrap_or_else(PoisonError::into_inner).insert(name, table);
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Grows with each table that comes or goes.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub fn remove_table(&self, name: &str) -> Option<Arc<Table>> {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.tables.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// In the order of their names.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Declared, planned or inferred; `None` until one of these happened.
    pub fn topic_schema(&self, topic: &str) -> Option<Schema> {
        Schema::load(self.store.as_ref(), topic).ok().flatten()
    }

    /// Finds what `parts` (`name`, `schema.name` or `catalog.schema.name`) mean. `origin`: whether
    /// the query asks for the columns of origin, which tables hide otherwise.
    pub(crate) fn find(&self, parts: &[Part<'_>], origin: bool) -> Result<Found, SqlError> {
        let (schema, name) = match parts {
            [name] => (None, name),
            [schema, name] => (Some(schema), name),
            [catalog, schema, name] if catalog.is(DRUID) => (Some(schema), name),
            _ => return Err(SqlError::new(ErrorKind::Invalid, "no such table")),
        };
        match schema {
            None => self.find_table(name, origin),
            Some(schema) if schema.is(DRUID) => self.find_table(name, origin),
            Some(schema) if schema.is(TOPIC) => self.find_topic(name),
            Some(schema) if schema.value.eq_ignore_ascii_case(INFORMATION) => self.find_info(name),
            Some(schema) if schema.is(SYS) => self.find_sys(name),
            Some(schema) if schema.is(LOOKUP) => self.find_lookup(name),
            Some(schema) => {
                Err(SqlError::new(ErrorKind::Invalid, format!("no schema `{}`", schema.value))
                    .did_you_mean(schema.value, SCHEMAS))
            }
        }
    }

    fn find_table(&self, part: &Part<'_>, origin: bool) -> Result<Found, SqlError> {
        let tables = self.tables();
        let names: Vec<&str> = tables.iter().map(|table| table.spec().name.as_str()).collect();
        let Some(at) = part.among(&names)? else {
            let error = SqlError::new(ErrorKind::Invalid, format!("no table `{}`", part.value))
                .did_you_mean(part.value, names);
            return Err(match self.store.topics().get(part.value) {
                Some(_) => error.hint(format!(
                    "there is a topic of that name: `topic.\"{}\"` reads its records",
                    part.value
                )),
                None => error,
            });
        };
        match tables.into_iter().nth(at) {
            Some(table) => {
                let memory_rows = Arc::<AtomicU64>::default();
                let provider = SnapshotProvider::new(&table, origin, Arc::clone(&memory_rows));
                let name = table.spec().name.clone();
                let state = provider.state();
                Ok(Found { schema: DRUID, name, provider: Arc::new(provider), memory_rows, state })
            }
            None => Err(SqlError::new(ErrorKind::Internal, "a table went away while it was named")),
        }
    }

    fn find_topic(&self, part: &Part<'_>) -> Result<Found, SqlError> {
        let topics = self.store.topics();
        let names: Vec<&str> = topics.by_name.keys().map(AsRef::as_ref).collect();
        let Some(name) = part.among(&names)?.and_then(|at| names.get(at).copied()) else {
            let shown = names.into_iter().filter(|name| !name.starts_with("__"));
            return Err(SqlError::new(ErrorKind::Invalid, format!("no topic `{}`", part.value))
                .did_you_mean(part.value, shown));
        };
        let provider = TopicProvider::new(&self.store, name, self.topic_schema(name))?;
        Ok(Found {
            schema: TOPIC,
            name: name.to_owned(),
            provider: Arc::new(provider),
            memory_rows: Arc::default(),
            state: None,
        })
    }

    fn find_info(&self, part: &Part<'_>) -> Result<Found, SqlError> {
        let upper = part.value.to_ascii_uppercase();
        let Some((name, provider)) = info::table(self, &upper)? else {
            let text = format!("no table `{}` in {INFORMATION}", part.value);
            return Err(
                SqlError::new(ErrorKind::Invalid, text).did_you_mean(part.value, info::NAMES)
            );
        };
        Ok(Found {
            schema: INFORMATION,
            name: name.to_owned(),
            provider,
            memory_rows: Arc::default(),
            state: None,
        })
    }

    fn find_sys(&self, part: &Part<'_>) -> Result<Found, SqlError> {
        let lower = part.value.to_ascii_lowercase();
        let Some((name, provider)) = sys::table(self, &lower)? else {
            let text = format!("no table `{}` in {SYS}", part.value);
            return Err(
                SqlError::new(ErrorKind::Invalid, text).did_you_mean(part.value, sys::NAMES)
            );
        };
        Ok(Found {
            schema: SYS,
            name: name.to_owned(),
            provider,
            memory_rows: Arc::default(),
            state: None,
        })
    }

    fn find_lookup(&self, part: &Part<'_>) -> Result<Found, SqlError> {
        let names = self.lookup_names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = part.among(&names)?.and_then(|at| names.get(at).copied());
        let Some((name, pairs)) = found.and_then(|name| Some((name, self.lookup(name)?))) else {
            return Err(SqlError::new(ErrorKind::Invalid, format!("no lookup `{}`", part.value))
                .did_you_mean(part.value, names));
        };
        let provider =
            Columns::default().text("k", pairs.keys()).text("v", pairs.values()).finish()?;
        Ok(Found {
            schema: LOOKUP,
            name: name.to_owned(),
            provider,
            memory_rows: Arc::default(),
            state: None,
        })
    }

    /// The columns people see of a table.
    pub(crate) fn table_columns(table: &Table) -> SchemaRef {
        Arc::clone(&table.spec().columns)
    }
}

/// One part of a name as written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) value: &'a str,
    pub(crate) quoted: bool,
}

impl Part<'_> {
    fn is(&self, name: &str) -> bool {
        self.value == name || (!self.quoted && self.value.eq_ignore_ascii_case(name))
    }

    /// Which of `names` is meant: the exact one, or for an unquoted name the only one that differs
    /// in case.
    pub(crate) fn among(&self, names: &[&str]) -> Result<Option<usize>, SqlError> {
        if let Some(exact) = names.iter().position(|name| *name == self.value) {
            return Ok(Some(exact));
        }
        if self.quoted {
            return Ok(None);
        }
        let wanted = self.value.to_lowercase();
        let mut like = names.iter().enumerate().filter(|(_, name)| name.to_lowercase() == wanted);
        match (like.next(), like.next()) {
            (Some((_, one)), Some((_, two))) => Err(SqlError::new(
                ErrorKind::Invalid,
                format!("`{}` may be `{one}` or `{two}`", self.value),
            )
            .hint("put the name in double quotes")),
            (Some((at, _)), None) => Ok(Some(at)),
            (None, _) => Ok(None),
        }
    }
}
