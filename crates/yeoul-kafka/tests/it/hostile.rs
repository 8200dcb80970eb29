//! Peers that do not speak the protocol, or too much of it, or too slowly.

mod bytes;
mod cases;
mod child;
mod limits;
mod load;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use yeoul_kafka::KafkaOptions;

use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;

use crate::Served;
use crate::client::{Client, batch};
use cases::{Case, Expect};
use child::{Child, MEMORY_BYTES};

/// Sends bytes; whether the server ended the connection without an answer.
async fn is_dropped(addr: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    // The server may be gone before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    end.is_ok() && answer.is_empty()
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        // The beginning of TLS.
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        vec![0xff; 64],
        vec![0; 64],
        // A length below any request.
        vec![0, 0, 0, 1, 0],
        // A hundred megabytes claimed by a first request that is not a produce request.
        vec![6, 0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 1],
        framed(&[0, 99, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        framed(&[0, 3, 0, 77, 0, 0, 0, 1, 0xff, 0xff]),
        // A client id longer than the frame.
        framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff]),
        // Metadata for two thousand million topics.
        framed(&[0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
    ];
    // Every API and version with a body of nonsense.
    for key in 0..70u8 {
        for version in 0..14u8 {
            let mut body = vec![0, key, 0, version, 0, 0, 0, 1, 0xff, 0xff];
            body.extend([0xfe, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f].repeat(5));
            // An unknown version of ApiVersions has a defined answer; ListGroups has no fields
            // before version 3, and what follows the last field is let be.
            if key != 18 && !(key == 16 && version < 3) {
                corpus.push(framed(&body));
            }
        }
    }
    corpus
}

/// What a child may take at most beside its two budgets: the program, the log's ring, the one
/// frame that may go on without a share, and a batch being unpacked by each of four searches,
/// whose buffer doubles while it grows.
const BESIDE_BYTES: u64 = (64 + 8 + 32 + 4 * 96) << 20;

#[tokio::test]
async fn every_case_of_the_corpus_gets_its_answer_and_costs_nobody_else() {
    let child = Child::start(1024).await;
    let mut good = Client::connect(child.addr).await;
    assert!(good.create("t", 1).await.is_ok());
    assert!(good.create("there", 1).await.is_ok());
    let corpus = cases::corpus();
    assert!(corpus.len() >= 200, "only {} cases", corpus.len());
    let mut wrong = Vec::new();
    let mut served = 0i64;
    for case in &corpus {
        if let Err(why) = try_case(child.addr, case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
        let answer = good.produce("t", batch(&["good"])).await;
        assert!(answer.error_code.is_ok(), "after {}: {answer:?}", case.name);
        assert!(answer.base_offset >= served, "after {}", case.name);
        served = answer.base_offset + 1;
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
    let peak = child.memory("VmHWM");
    let cap = BESIDE_BYTES + 2 * MEMORY_BYTES as u64;
    println!("{} cases, peak {} MiB", corpus.len(), peak >> 20);
    assert!(peak < cap, "{} MiB at the highest, allowed are {}", peak >> 20, cap >> 20);
}

async fn try_case(addr: SocketAddr, case: &Case) -> Result<(), String> {
    let mut client = Client::connect(addr).await;
    if case.trusted {
        client.call(3, ApiVersionsRequest::default()).await;
    }
    // The server may be gone before all is sent.
    let _ = client.stream.write_all(&case.bytes).await;
    match &case.expect {
        Expect::Closed => {
            // A peer that says no more: what it began is cut short at the latest now.
            let _ = client.stream.shutdown().await;
            let mut answer = Vec::new();
            let end = timeout(Duration::from_secs(10), client.stream.read_to_end(&mut answer));
            match end.await {
                Err(_) => Err("neither answered nor closed".into()),
                Ok(_) if !answer.is_empty() => Err(format!("answered {} bytes", answer.len())),
                // An end or a reset.
                Ok(_) => Ok(()),
            }
        }
        Expect::Any => {
            client.frame().await;
            Ok(())
        }
        Expect::Codes(code, codes) => {
            let answer = client.frame().await.ok_or("closed without an answer")?;
            let code = code(answer);
            if codes.contains(&code.0) { Ok(()) } else { Err(format!("{code:?}, not {codes:?}")) }
        }
    }
}

#[tokio::test]
async fn every_hostile_frame_costs_its_sender_the_connection_only() {
    let served = Served::new().await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let corpus = corpus();
    let mut dropped = Vec::new();
    for some in corpus.chunks(50) {
        let tries = some.iter().map(|bytes| {
            let (addr, bytes) = (served.addr, bytes.clone());
            tokio::spawn(async move { is_dropped(addr, &bytes).await })
        });
        for one in tries.collect::<Vec<_>>() {
            dropped.push(one.await.expect("no panic"));
        }
    }
    let kept: Vec<_> = corpus.iter().zip(&dropped).filter(|(_, d)| !**d).collect();
    assert!(kept.is_empty(), "{} were not dropped, first {:02x?}", kept.len(), kept[0].0);
    assert_eq!(client.produce("t", batch(&["a"])).await.base_offset, 0);
    let counts = served.metrics.counts();
    assert!(counts.garbage >= corpus.len() as u64 - 1, "{counts:?}");
    assert_eq!(counts.connections, 1);
}

#[tokio::test]
async fn a_thousand_silent_or_raving_peers_do_not_slow_a_producer_down() {
    let served = Served::new().await;
    let mut producer = Client::connect(served.addr).await;
    producer.create("t", 1).await;
    let addr = served.addr;
    let mut held = Vec::new();
    let raving = tokio::spawn(async move {
        for number in 0..1_000u32 {
            let mut stream = TcpStream::connect(addr).await.expect("connects");
            // A third claims a large produce request and sends a little of it, a third sends
            // nonsense, a third nothing.
            match number % 3 {
                0 => drop(stream.write_all(&[5, 0, 0, 0, 0, 0, 0, 9, 0, 0]).await),
                1 => drop(stream.write_all(&[number as u8; 40]).await),
                _ => {}
            }
            held.push(stream);
        }
        held
    });
    let mut sent = 0i64;
    let mut slowest = Duration::ZERO;
    while !raving.is_finished() || sent < 200 {
        let started = Instant::now();
        assert_eq!(producer.produce("t", batch(&["a"])).await.base_offset, sent);
        slowest = slowest.max(started.elapsed());
        sent += 1;
    }
    let held = raving.await.expect("no panic");
    assert!(slowest < Duration::from_secs(2), "a produce request took {slowest:?}");
    assert_eq!(producer.fetch("t", 0).await.high_watermark, sent);
    drop(held);
}

#[tokio::test]
async fn one_too_many_is_turned_away() {
    let options = KafkaOptions { connections_max: 2, ..KafkaOptions::default() };
    let served = Served::with(options).await;
    let mut first = Client::connect(served.addr).await;
    let mut second = Client::connect(served.addr).await;
    first.create("a", 1).await;
    second.create("b", 1).await;
    assert!(is_dropped(served.addr, &[]).await);
    assert_eq!(served.metrics.counts().refused, 1);
    drop(second);
    served.stop().await;
    assert!(first.frame().await.is_none(), "a stopped node closes its connections");
}
