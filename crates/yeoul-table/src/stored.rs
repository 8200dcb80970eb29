//! The tables of a data directory, whether or not something runs that feeds them.
//!
//! Invariant: what is listed and dropped here is known from facts alone; a table that is being
//! fed is dropped by stopping it first, and its component's fence sees to the rest.

use std::collections::BTreeMap;

use yeoul_base::{Commit, Disk, FactKey, FactKind, Fates, Store};

use crate::error::TableError;
use crate::facts::Naming;
use crate::folder;
use crate::redo::RedoPlan;
use crate::segment::SegmentMeta;

/// A table as its facts tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredTable {
    pub name: String,
    pub segments: u64,
    pub rows: u64,
    /// Of files.
    pub bytes: u64,
    pub min_us: Option<i64>,
    pub max_us: Option<i64>,
}

/// All tables that have files or a position, in the order of their names.
pub fn stored_tables(store: &dyn Store) -> Result<Vec<StoredTable>, TableError> {
    let mut tables: BTreeMap<String, StoredTable> = BTreeMap::new();
    for kind in [FactKind::TablePosition, FactKind::TableSegment] {
        for (key, value) in store.facts(kind, &[]) {
            // What is being made in a table's place has an empty name first.
            let Some(end) = key.iter().position(|byte| *byte == 0).filter(|end| *end > 0) else {
                continue;
            };
            let name = String::from_utf8_lossy(key.get(..end).unwrap_or_default()).into_owned();
            let table = tables
                .entry(name.clone())
                .or_insert_with(|| StoredTable { name, ..StoredTable::default() });
            if kind == FactKind::TableSegment {
                let meta = SegmentMeta::decode(&key, &value)?;
                table.segments += 1;
                table.rows += meta.rows;
                table.bytes += meta.bytes;
                table.min_us = Some(table.min_us.map_or(meta.min_us, |us| us.min(meta.min_us)));
                table.max_us = Some(table.max_us.map_or(meta.max_us, |us| us.max(meta.max_us)));
            }
        }
    }
    Ok(tables.into_values().collect())
}

/// Removes a table that nothing feeds: its facts in one commit, then its files. False: there is
/// none of that name.
pub fn drop_stored(store: &dyn Store, disk: &dyn Disk, name: &str) -> Result<bool, TableError> {
    let naming = Naming::of(name);
    let fence = store.claim(&naming.component)?;
    let mut facts = facts_of(store, &naming);
    let found = !facts.is_empty();
    // Who still makes it again is fenced, too.
    let redo = Naming::of_redo(name);
    store.claim(&redo.component)?;
    facts.extend(facts_of(store, &redo));
    facts.push((RedoPlan::key(name), None));
    facts.push((FactKey::new(FactKind::TableColumns, name.as_bytes().to_vec()), None));
    for naming in [&naming, &redo] {
        facts.push((Fates::key(&naming.component), None));
    }
    store.commit(Commit { fence: Some(fence), facts, ..Commit::default() })?;
    folder::prepare(disk, &folder::path(name), |_| false)?;
    Ok(found)
}

/// Those of segments and positions, to be deleted.
pub(crate) fn facts_of(store: &dyn Store, naming: &Naming) -> Vec<(FactKey, Option<bytes::Bytes>)> {
    let kinds = [FactKind::TableSegment, FactKind::TablePosition];
    let keys = kinds.into_iter().flat_map(|kind| {
        let facts = store.facts(kind, &naming.prefix);
        facts.into_iter().map(move |(key, _)| (FactKey::new(kind, key), None))
    });
    keys.collect()
}
