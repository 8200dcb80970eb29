//! Single offsets of a group that are to be forgotten, and what a group may be called.

use std::collections::BTreeSet;

use yeoul_base::Commit;
use yeoul_kafka_wire::ErrorCode;

use super::{GROUP_BYTES_MAX, Groups, OffsetKey};
use crate::broker::commit_on;
use crate::errors;

impl Groups {
    /// Whether a group of clients may have this name.
    pub(crate) fn check_name(&self, group: &str) -> Result<(), ErrorCode> {
        if group.is_empty() || group.len() > GROUP_BYTES_MAX {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        Ok(())
    }

    /// The topics that a group's members read; `None`: nobody can say at this moment.
    pub(crate) fn subscribed(&self, name: &str) -> Option<BTreeSet<String>> {
        self.lock().get(name)?.subscribed()
    }

    /// Forgets offsets, whether or not they are there.
    pub(crate) async fn delete_offsets(
        &self,
        group: &str,
        keys: &[OffsetKey],
    ) -> Result<(), ErrorCode> {
        if keys.is_empty() {
            return Ok(());
        }
        let facts = keys.iter().map(|key| (key.fact(group), None)).collect();
        let done = commit_on(&*self.store, Commit { facts, ..Commit::default() }).await;
        done.map(|_| ()).map_err(|error| errors::of_coordinator(&error))
    }
}
