//! Many honest connections: what they cost when idle, and that all of them are served.

use std::time::Duration;

use tokio::time::Instant;
use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;
use yeoul_kafka_wire::api::metadata::MetadataRequest;

use super::child::Child;
use crate::client::{Client, batch, fetch, produce};

const CONNECTIONS: usize = 1_000;
/// Resident memory of one idle connection at most.
const IDLE_BYTES_MAX: u64 = 32 << 10;

async fn connected(child: &Child, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(child.addr).await;
        client.call(3, ApiVersionsRequest::default()).await;
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let child = Child::start(4096).await;
    // What the first ones bring with them is not theirs.
    let first = connected(&child, 50).await;
    let before = child.memory("VmRSS");
    let clients = connected(&child, CONNECTIONS).await;
    let each = child.memory("VmRSS").saturating_sub(before) / CONNECTIONS as u64;
    println!("{CONNECTIONS} idle connections: {each} bytes each");
    assert!(each <= IDLE_BYTES_MAX, "an idle connection takes {each} bytes");
    drop((first, clients));
}

/// 1,000 connections on a topic of 1,000 partitions, each writing to its own and reading it back.
#[tokio::test]
async fn a_thousand_connections_on_a_thousand_partitions_are_all_served() {
    let child = Child::start(4096).await;
    let mut admin = Client::connect(child.addr).await;
    assert!(admin.create("wide", CONNECTIONS as i32).await.is_ok());
    let begun = Instant::now();
    let clients = connected(&child, CONNECTIONS).await;
    let connecting = begun.elapsed();
    let begun = Instant::now();
    let work = clients.into_iter().enumerate().map(|(number, mut client)| {
        tokio::spawn(async move {
            let partition = number as i32;
            let mut slowest = Duration::ZERO;
            for round in 0..3i64 {
                let sent = Instant::now();
                let answer = client.call(9, produce("wide", partition, -1, batch(&["v"]))).await;
                let answer = &answer.topics[0].partitions[0];
                assert!(answer.error_code.is_ok(), "{answer:?}");
                assert_eq!(answer.base_offset, round);
                let mut request = fetch("wide", round, 500);
                request.topics[0].partitions[0].partition = partition;
                let read = client.call(12, request).await;
                let read = &read.topics[0].partitions[0];
                assert_eq!((read.high_watermark, read.error_code.0), (round + 1, 0));
                assert!(read.records.len_bytes() > 0);
                slowest = slowest.max(sent.elapsed());
            }
            client
                .call(9, MetadataRequest { topics: Some(Vec::new()), ..Default::default() })
                .await;
            slowest
        })
    });
    let mut slowest = Duration::ZERO;
    for work in work.collect::<Vec<_>>() {
        slowest = slowest.max(work.await.expect("served"));
    }
    let peak = child.memory("VmHWM") >> 20;
    println!(
        "{CONNECTIONS} connections in {connecting:?}; 3 rounds in {:?}, the slowest {slowest:?}; peak {peak} MiB",
        begun.elapsed()
    );
    assert!(slowest < Duration::from_secs(20), "one waited {slowest:?}");
    assert!(peak < 256, "{peak} MiB");
}

/// Connections that come and go as fast as one process can make them; asked for by name, because
/// it wants the machine for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a load, not a check"]
async fn a_storm_of_connections_leaves_nothing_behind() {
    let child = Child::start(8192).await;
    let mut good = Client::connect(child.addr).await;
    assert!(good.create("t", 1).await.is_ok());
    let before = child.memory("VmRSS");
    let addr = child.addr;
    let begun = Instant::now();
    let storm = (0..16).map(|_| {
        tokio::spawn(async move {
            for _ in 0..1_250 {
                let mut client = Client::connect(addr).await;
                client.call(3, ApiVersionsRequest::default()).await;
            }
        })
    });
    let storm: Vec<_> = storm.collect();
    let mut slowest = Duration::ZERO;
    while storm.iter().any(|one| !one.is_finished()) {
        let sent = Instant::now();
        assert!(good.produce("t", batch(&["v"])).await.error_code.is_ok());
        slowest = slowest.max(sent.elapsed());
    }
    for one in storm {
        one.await.expect("every connection is answered");
    }
    let rate = 20_000.0 / begun.elapsed().as_secs_f64();
    let grown = child.memory("VmRSS").saturating_sub(before) >> 10;
    println!(
        "20,000 connections, {rate:.0}/s; slowest produce beside them {slowest:?}; grew by {grown} KiB"
    );
    assert!(slowest < Duration::from_secs(2), "a producer waited {slowest:?}");
    assert!(grown < 32 << 10, "grew by {grown} KiB");
}
