//! Footers of table segments in memory, within one budget for all tables of the process.
//!
//! Invariant: an entry belongs to exactly one [`crate::Segment`], whose file never changes; it
//! goes when the segment does, or when others were used later and the budget is spent.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parquet::file::metadata::ParquetMetaData;

/// Of footers and page indexes. One of a full file with thirty columns has about one megabyte.
const BYTES_MAX: usize = 64 << 20;

/// What is known of a file once its end was read and checked.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) parquet: Arc<ParquetMetaData>,
    /// CRC-32C of each block before the tail.
    pub(crate) blocks: Vec<u32>,
    bytes: usize,
}

impl Footer {
    pub(crate) fn new(parquet: ParquetMetaData, blocks: Vec<u32>) -> Self {
        let bytes = parquet.memory_size() + blocks.len() * size_of::<u32>();
        Self { parquet: Arc::new(parquet), blocks, bytes }
    }
}

/// A number that nothing else in this process has: the name of an entry.
pub(crate) fn new_slot() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

static FOOTERS: Mutex<Cache> = Mutex::new(Cache::new(BYTES_MAX));

fn cache() -> MutexGuard<'static, Cache> {
    FOOTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn get(slot: u64) -> Option<Arc<Footer>> {
    cache().get(slot)
}

pub(crate) fn put(slot: u64, footer: Arc<Footer>) {
    cache().put(slot, footer);
}

pub(crate) fn remove(slot: u64) {
    cache().remove(slot);
}

/// Bytes held now.
pub fn footer_bytes() -> usize {
    cache().bytes
}

/// Forgets what was used longest ago.
#[derive(Debug)]
struct Cache {
    bytes_max: usize,
    bytes: usize,
    clock: u64,
    /// Slot → footer and when it was used.
    entries: Option<HashMap<u64, (Arc<Footer>, u64)>>,
    /// When used → slot.
    uses: BTreeMap<u64, u64>,
}

impl Cache {
    const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, clock: 0, entries: None, uses: BTreeMap::new() }
    }

    fn get(&mut self, slot: u64) -> Option<Arc<Footer>> {
        let (footer, used) = self.entries.as_mut()?.get_mut(&slot)?;
        self.uses.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.uses.insert(self.clock, slot);
        Some(Arc::clone(footer))
    }

    fn put(&mut self, slot: u64, footer: Arc<Footer>) {
        self.remove(slot);
        // One that would push out all others is read again each time.
        if footer.bytes > self.bytes_max / 2 {
            return;
        }
        self.bytes += footer.bytes;
        self.clock += 1;
        self.uses.insert(self.clock, slot);
        self.entries.get_or_insert_default().insert(slot, (footer, self.clock));
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.uses.first_key_value()
        {
            self.remove(*oldest);
        }
    }

    fn remove(&mut self, slot: u64) {
        if let Some((footer, used)) = self.entries.as_mut().and_then(|all| all.remove(&slot)) {
            self.bytes -= footer.bytes;
            self.uses.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::metadata::FileMetaData;
    use parquet::schema::types::{SchemaDescriptor, Type};

    fn footer(blocks: usize) -> Arc<Footer> {
        let root = Type::group_type_builder("schema").build().unwrap();
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        let file = FileMetaData::new(2, 0, None, None, schema, None);
        Arc::new(Footer::new(ParquetMetaData::new(file, Vec::new()), vec![0; blocks]))
    }

    #[test]
    fn the_budget_holds_and_the_longest_unused_goes_first() {
        let one = footer(1000).bytes;
        let mut cache = Cache::new(4 * one);
        for slot in 0..4 {
            cache.put(slot, footer(1000));
        }
        assert!(cache.get(0).is_some());
        cache.put(4, footer(1000));
        assert!(cache.get(1).is_none() && cache.get(0).is_some() && cache.bytes <= 4 * one);
        cache.put(5, footer(10_000));
        assert!(cache.get(5).is_none(), "one entry never takes more than half");
        cache.put(4, footer(1000));
        assert_eq!(cache.bytes, 4 * one);
        for slot in 0..6 {
            cache.remove(slot);
        }
        assert_eq!((cache.bytes, cache.uses.len()), (0, 0));
    }
}
