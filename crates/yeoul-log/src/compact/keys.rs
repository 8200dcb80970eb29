//! The newest offset of each key, within a budget of memory. Keys are known by 128 bits of a hash
//! with a secret salt: nobody who sends keys can make two that are taken for one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use yeoul_base::Offset;

/// What one key takes, with the room a growing map leaves.
pub(super) const ENTRY_BYTES: usize = 64;

pub(super) struct Keys {
    newest: HashMap<[u8; 16], Offset>,
    max: usize,
    salt: [u64; 2],
}

impl Keys {
    pub(super) fn new(max: usize, salt: [u64; 2]) -> Self {
        Self { newest: HashMap::new(), max, salt }
    }

    fn hash(&self, key: &[u8]) -> [u8; 16] {
        let mut out = [0; 16];
        for (salt, half) in self.salt.iter().zip(out.chunks_exact_mut(8)) {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(*salt);
            hasher.write(key);
            half.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        out
    }

    /// False when there is no room for another key.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        if self.newest.len() >= self.max && !self.newest.contains_key(&hash) {
            return false;
        }
        self.newest.insert(hash, offset);
        true
    }

    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        self.newest.get(&self.hash(key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_known_keys_always_fit() {
        let mut keys = Keys::new(2, [1, 2]);
        assert!(keys.put(b"a", 1) && keys.put(b"b", 2));
        assert!(!keys.put(b"c", 3));
        assert!(keys.put(b"a", 4));
        assert_eq!(
            (keys.newest(b"a"), keys.newest(b"b"), keys.newest(b"c")),
            (Some(4), Some(2), None)
        );
    }
}
