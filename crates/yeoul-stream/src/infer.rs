//! A topic nobody described: its first records decide, once, for everyone.

use std::sync::Arc;
use std::time::Duration;

use yeoul_base::{Clock, Commit, FactKind, Fence, Guard, Isolation, Store, StoreError, TopicInfo};
use yeoul_format::{INFER_RECORDS_MAX, Schema, infer};
use yeoul_log::reader::PartitionReader;

/// How long to wait for more records after the first.
const WAIT: Duration = Duration::from_secs(2);
/// Bytes looked at in each partition.
pub(crate) const BYTES_MAX: usize = 8 << 20;

/// Remembers when the first record was seen.
#[derive(Debug, Default)]
pub(crate) struct Inference {
    since: Option<Duration>,
}

/// What came of a look.
#[derive(Debug)]
pub(crate) enum Inferred {
    /// The schema is a fact now.
    Made,
    /// No record yet.
    Empty,
    /// Records are there; more may come.
    Soon,
}

impl Inference {
    /// Looks at the topic; makes its schema when there are enough records or has been enough
    /// time. Another component may be faster: its schema stands.
    pub(crate) fn look(
        &mut self,
        store: &Arc<dyn Store>,
        clock: &dyn Clock,
        fence: &Fence,
        topic: &TopicInfo,
    ) -> Result<Inferred, StoreError> {
        // Of a topic of this name that is gone, if any: read before the look, so that the guard
        // sees who was faster.
        let key = Schema::fact_key(&topic.name);
        let before = store.fact(FactKind::Schema, &key.key);
        match Schema::load(store.as_ref(), &topic.name) {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return Ok(Inferred::Made),
        }
        let mut values = Vec::new();
        for part in topic.partitions.iter() {
            let start = store.ends(*part).map_or(0, |ends| ends.start);
            let mut reader =
                PartitionReader::new(Arc::clone(store), *part, start, Isolation::Committed);
            match reader.next(BYTES_MAX) {
                Ok(records) => values.extend(records.into_iter().filter_map(|it| it.value)),
                Err(StoreError::BadBatch(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let now = clock.monotonic();
        if values.is_empty() {
            return Ok(Inferred::Empty);
        }
        let since = *self.since.get_or_insert(now);
        if values.len() < INFER_RECORDS_MAX && now < since + WAIT {
            return Ok(Inferred::Soon);
        }
        let schema = infer(values.iter().map(AsRef::as_ref));
        let commit = Commit {
            fence: Some(fence.clone()),
            guards: vec![Guard { key, expect: before }],
            appends: Vec::new(),
            facts: vec![schema.inferred_fact(topic)],
        };
        match store.commit(commit) {
            Ok(_) | Err(StoreError::GuardMismatch(_)) => Ok(Inferred::Made),
            Err(error) => Err(error),
        }
    }
}
