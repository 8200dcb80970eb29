//! Reading over the simulated store.

use super::*;
use crate::batch::{BatchBuilder, Codec, Header};
use yeoul_base::{Append, Commit, MemStore, NewTopic, Read, StoreLayer};

fn store() -> Result<(Arc<MemStore>, PartId), StoreError> {
    let store = Arc::new(MemStore::new());
    let new = NewTopic { name: "t".into(), partitions: 1, config: Default::default() };
    let part = store.create_topic(new)?.partitions[0];
    Ok((store, part))
}

fn append(store: &MemStore, part: PartId, batch: Bytes) -> Result<(), StoreError> {
    let commit = Commit { appends: vec![Append { part, batch }], ..Commit::default() };
    store.commit(commit).map(|_| ())
}

fn batch_of(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::Lz4);
    for value in values {
        let headers: &[Header] = &[];
        builder.push(1, None, Some(value.as_bytes()), headers);
    }
    builder.finish().expect("not empty")
}

fn values(records: &[Record]) -> Vec<String> {
    let text =
        |record: &Record| String::from_utf8_lossy(record.value.as_deref()?).into_owned().into();
    records.iter().filter_map(text).collect()
}

#[test]
fn starts_inside_a_batch_and_waits_at_the_end() -> Result<(), StoreError> {
    let (store, part) = store()?;
    append(&store, part, batch_of(&["a", "b", "c"]))?;
    append(&store, part, batch_of(&["d"]))?;
    let mut reader = PartitionReader::new(store.clone(), part, 1, Isolation::Committed);
    assert_eq!(values(&reader.next(1)?), ["b", "c"]);
    assert_eq!(values(&reader.next(1)?), ["d"]);
    assert_eq!(reader.next(1)?, []);
    assert_eq!((reader.position(), reader.skipped()), (4, 0));
    append(&store, part, batch_of(&["e"]))?;
    let records = reader.next(1 << 20)?;
    assert_eq!((records[0].offset, values(&records)), (4, vec!["e".to_owned()]));
    Ok(())
}

#[test]
fn a_batch_that_does_not_decode_stops_until_it_is_taken_out() -> Result<(), StoreError> {
    let (store, part) = store()?;
    append(&store, part, batch_of(&["a"]))?;
    let mut bad = batch_of(&["b", "c"]).to_vec();
    bad.truncate(bad.len() - 4);
    let length = (bad.len() - 12) as i32;
    bad[8..12].copy_from_slice(&length.to_be_bytes());
    append(&store, part, Bytes::from(bad))?;
    append(&store, part, batch_of(&["d"]))?;
    let mut reader = PartitionReader::new(store, part, 0, Isolation::Uncommitted);
    assert_eq!(values(&reader.next(1 << 20)?), ["a"]);
    for _ in 0..2 {
        assert!(matches!(reader.next(1 << 20), Err(StoreError::BadBatch(_))));
    }
    let taken = reader.skip_bad().expect("the batch");
    assert_eq!((taken.first_offset, taken.last_offset), (1, 2));
    assert_eq!(values(&reader.next(1 << 20)?), ["d"]);
    Ok(())
}

/// A store that answers one read: transactions are not the simulated store's.
#[derive(Debug)]
struct Fixed(MemStore, Vec<AbortedTxn>);

impl StoreLayer for Fixed {
    fn beneath(&self) -> &dyn Store {
        &self.0
    }

    fn on_read(
        &self,
        part: PartId,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read, StoreError> {
        let read = self.0.read(part, from, max_bytes, isolation)?;
        Ok(Read { aborted: self.1.clone(), ..read })
    }
}

#[test]
fn aborted_and_control_records_are_left_out_and_counted() -> Result<(), StoreError> {
    let (store, part) = store()?;
    let txn = |producer: i64, values: &[&str]| {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.transactional().producer(producer, 0, 0);
        values.iter().for_each(|value| builder.push(1, None, Some(value.as_bytes()), &[]));
        builder.finish().expect("not empty")
    };
    let marker = |producer, commit| batch::marker(producer, 0, commit, 1, 1);
    append(&store, part, txn(1, &["a", "b"]))?; // 0, 1: aborted
    append(&store, part, txn(2, &["c"]))?; // 2: committed
    append(&store, part, marker(1, false))?; // 3
    append(&store, part, txn(1, &["d"]))?; // 4: committed
    append(&store, part, marker(2, true))?; // 5
    append(&store, part, marker(1, true))?; // 6
    append(&store, part, txn(2, &["e"]))?; // 7: aborted
    append(&store, part, marker(2, false))?; // 8
    append(&store, part, batch_of(&["f"]))?; // 9
    let aborted = |producer_id, first_offset| AbortedTxn { producer_id, first_offset };
    let fixed = Arc::new(Fixed((*store).clone(), vec![aborted(1, 0), aborted(2, 7)]));
    let mut reader = PartitionReader::new(fixed.clone(), part, 0, Isolation::Committed);
    assert_eq!(values(&reader.next(1 << 20)?), ["c", "d", "f"]);
    assert_eq!((reader.skipped(), reader.position()), (7, 10));
    // From the very marker on: what it ends lies before, and what follows was committed.
    let mut reader = PartitionReader::new(fixed, part, 3, Isolation::Committed);
    assert_eq!(values(&reader.next(1 << 20)?), ["d", "f"]);
    Ok(())
}
