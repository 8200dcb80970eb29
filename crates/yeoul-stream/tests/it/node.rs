//! What every test here needs: records in, records out, and waiting with an end.

use std::sync::Arc;
use std::time::Duration;

use yeoul_base::{Append, Commit, Isolation, NewTopic, Store};
use yeoul_format::{Columns, Origin, Schema};
use yeoul_log::batch::{BatchBuilder, Codec};
use yeoul_log::reader::PartitionReader;
use yeoul_stream::{State, Status};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn topic(store: &dyn Store, name: &str, partitions: u32, ddl: &str) {
    let new = NewTopic { name: name.into(), partitions, config: Default::default() };
    store.create_topic(new).unwrap();
    let schema = Schema::new(Columns::parse(ddl).unwrap().into_vec(), Origin::Declared);
    let facts = vec![schema.fact(name)];
    store.commit(Commit { facts, ..Commit::default() }).unwrap();
}

/// One commit: a batch for each partition.
pub(crate) fn put(store: &dyn Store, name: &str, values: &[Vec<u8>]) {
    let info = Arc::clone(store.topics().get(name).unwrap());
    let count = info.partitions.len();
    let mut appends = Vec::new();
    for (number, part) in info.partitions.iter().enumerate() {
        let mut batch = BatchBuilder::new(Codec::None);
        for value in values.iter().skip(number).step_by(count) {
            batch.push(1_658_042_294_000, None, Some(value), &[]);
        }
        appends.extend(batch.finish().map(|batch| Append { part: *part, batch }));
    }
    store.commit(Commit { appends, ..Commit::default() }).unwrap();
}

/// All values of a topic; none when there is no such topic.
pub(crate) fn values(store: &Arc<dyn Store>, name: &str) -> Vec<String> {
    let mut values = Vec::new();
    let Some(info) = store.topics().get(name).cloned() else { return values };
    for part in info.partitions.iter() {
        let mut reader = PartitionReader::new(Arc::clone(store), *part, 0, Isolation::Committed);
        loop {
            let records = reader.next(1 << 20).unwrap();
            if records.is_empty() {
                break;
            }
            let text = |value: bytes::Bytes| String::from_utf8_lossy(&value).into_owned();
            values.extend(records.into_iter().filter_map(|record| record.value.map(text)));
        }
    }
    values.sort();
    values
}

/// Until it has taken `records` since it was made, and nothing waits.
#[expect(clippy::disallowed_methods, reason = "patience with a thread is counted in real time")]
pub(crate) fn wait(what: &str, records: u64, status: impl Fn() -> Status) -> Status {
    let began = std::time::Instant::now();
    loop {
        let now = status();
        if now.state == State::Running && now.lag == 0 && now.fates.read >= records {
            assert!(now.fates.balanced(), "{what}: {:?}", now.fates);
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not take {records} records: {now:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
