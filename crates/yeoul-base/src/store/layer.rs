//! A store around another, for tests of what goes wrong: whoever implements [`StoreLayer`] says
//! what differs, all else goes through.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Commit, Done, FactKind, Fence, Isolation, NewTopic, PartEnds, ProducerInfo, Read, Store,
    StoreError, TopicInfo, Topics, Wake, WatchGuard, Watched,
};
use crate::ids::{Offset, PartId};

/// What may differ from the store beneath.
pub trait StoreLayer: Debug + Send + Sync {
    fn beneath(&self) -> &dyn Store;

    fn on_submit(&self, commit: Commit, done: Done) {
        self.beneath().submit(commit, done);
    }

    fn on_read(
        &self,
        part: PartId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read, StoreError> {
        self.beneath().read(part, from, max_bytes, isolation)
    }
}

impl<L: StoreLayer> Store for L {
    fn topics(&self) -> Arc<Topics> {
        self.beneath().topics()
    }

    fn create_topic(&self, topic: NewTopic) -> Result<Arc<TopicInfo>, StoreError> {
        self.beneath().create_topic(topic)
    }

    fn delete_topic(&self, name: &str) -> Result<(), StoreError> {
        self.beneath().delete_topic(name)
    }

    fn alter_topic(
        &self,
        name: &str,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Arc<TopicInfo>, StoreError> {
        self.beneath().alter_topic(name, changes)
    }

    fn add_partitions(&self, name: &str, total: u32) -> Result<Arc<TopicInfo>, StoreError> {
        self.beneath().add_partitions(name, total)
    }

    fn delete_records(&self, part: PartId, before: Offset) -> Result<PartEnds, StoreError> {
        self.beneath().delete_records(part, before)
    }

    fn claim(&self, component: &str) -> Result<Fence, StoreError> {
        self.beneath().claim(component)
    }

    fn new_producer_id(&self) -> Result<i64, StoreError> {
        self.beneath().new_producer_id()
    }

    fn submit(&self, commit: Commit, done: Done) {
        self.on_submit(commit, done);
    }

    fn fact(&self, kind: FactKind, key: &[u8]) -> Option<Bytes> {
        self.beneath().fact(kind, key)
    }

    fn facts(&self, kind: FactKind, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.beneath().facts(kind, prefix)
    }

    fn ends(&self, part: PartId) -> Option<PartEnds> {
        self.beneath().ends(part)
    }

    fn read(
        &self,
        part: PartId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read, StoreError> {
        self.on_read(part, from, max_bytes, isolation)
    }

    fn offset_at(
        &self,
        part: PartId,
        timestamp_ms: i64,
    ) -> Result<Option<(Offset, i64)>, StoreError> {
        self.beneath().offset_at(part, timestamp_ms)
    }

    fn producers(&self, part: PartId) -> Result<Vec<ProducerInfo>, StoreError> {
        self.beneath().producers(part)
    }

    fn watch(&self, what: Watched, wake: Arc<dyn Wake>) -> WatchGuard {
        self.beneath().watch(what, wake)
    }

    fn leader_epoch(&self) -> i32 {
        self.beneath().leader_epoch()
    }
}
