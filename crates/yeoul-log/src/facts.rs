//! Facts in memory: an ordered map whose clone costs nothing, so that what is published, what is
//! being written and what a checkpoint sees can be three moments of the same map.

use bytes::Bytes;
use rpds::RedBlackTreeMapSync;
use yeoul_base::fields::{FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind};

/// All facts at one moment.
pub(crate) type Facts = RedBlackTreeMapSync<FactKey, Bytes>;

const COUNTER_VERSION: u8 = 1;

/// A number that only goes up, by name.
pub(crate) fn counter_key(name: &'static str) -> FactKey {
    FactKey::new(FactKind::Counter, name.as_bytes())
}

/// 0 when nothing was counted yet.
pub(crate) fn counter(facts: &Facts, key: &FactKey) -> u64 {
    facts
        .get(key)
        .and_then(|value| FieldReader::versioned(value, COUNTER_VERSION).ok()?.u64("count").ok())
        .unwrap_or(0)
}

pub(crate) fn encode_counter(value: u64) -> Bytes {
    let mut out = FieldWriter::versioned(COUNTER_VERSION);
    out.u64(value);
    out.finish()
}

pub(crate) fn generation_key(component: &str) -> FactKey {
    FactKey::new(FactKind::Generation, component.as_bytes().to_vec())
}

/// 0 when the name was never claimed.
pub(crate) fn generation(facts: &Facts, component: &str) -> u64 {
    facts
        .get(&generation_key(component))
        .and_then(|value| value.first_chunk::<8>().copied())
        .map_or(0, u64::from_le_bytes)
}

/// Applies a change in place.
pub(crate) fn apply(facts: &mut Facts, key: &FactKey, value: &Option<Bytes>) {
    match value {
        Some(value) => facts.insert_mut(key.clone(), value.clone()),
        None => {
            facts.remove_mut(key);
        }
    }
}

/// Keys that start with `prefix`, in order.
pub(crate) fn with_prefix(facts: &Facts, kind: FactKind, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
    facts
        .range(FactKey::new(kind, prefix.to_vec())..)
        .take_while(|(key, _)| key.kind == kind && key.key.starts_with(prefix))
        .map(|(key, value)| (key.key.clone(), value.clone()))
        .collect()
}
