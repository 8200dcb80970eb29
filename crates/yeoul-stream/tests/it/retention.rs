//! Records removed before they were read are counted as lost, and what follows goes on.

use std::sync::Arc;

use yeoul_base::{SimDisk, Store};

use crate::crash::{open, records, run};
use crate::node;

#[test]
fn what_retention_took_is_counted_and_the_rest_goes_on() {
    let disk = SimDisk::new();
    let log = open(&disk);
    node::topic(&log, "input", 1, "id INT, text STRING");
    let part = log.topics().get("input").unwrap().partitions[0];
    node::put(&log, "input", &records(0..4));
    log.delete_records(part, 2).unwrap();
    // What was gone before the stream was made is not its loss.
    let node = run(&disk, log);
    let status = node::wait("stream", 2, || node.stream.status());
    assert_eq!((status.fates.read, status.lost), (2, 0));
    node::wait("table", 1, || node.table.status());
    let (log, store) = (node.log.clone(), Arc::clone(&node.store));
    drop(node.stream.stop());
    drop(node.table.stop());
    node::put(store.as_ref(), "input", &records(4..10));
    log.delete_records(part, 7).unwrap();
    let node = run(&disk, log);
    let status = node::wait("stream", 5, || node.stream.status());
    assert_eq!((status.fates.read, status.lost), (5, 3));
    // Of 2, 7 and 8 one row each; 3 and 9 are filtered; what was removed is nowhere.
    let ids: Vec<i64> = node::values(&node.store, "doubled")
        .iter()
        .map(|value| {
            serde_json::from_str::<serde_json::Value>(value).unwrap()["id"].as_i64().unwrap()
        })
        .collect();
    assert_eq!(ids, [2, 7, 8]);
}
