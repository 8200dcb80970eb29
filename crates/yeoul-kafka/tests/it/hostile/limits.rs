//! Slow peers, peers that take no answers, more connections than files.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use yeoul_kafka::KafkaOptions;
use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;
use yeoul_kafka_wire::api::create_topics::{CreatableConfig, CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use yeoul_kafka_wire::encode_request;

use super::bytes::swelling;
use super::child::Child;
use crate::Served;
use crate::client::{Client, batch, fetch, produce};

fn options() -> KafkaOptions {
    KafkaOptions {
        request_memory_bytes: 4 << 20,
        answer_memory_bytes: 4 << 20,
        stall_max: Duration::from_secs(1),
        ..KafkaOptions::default()
    }
}

/// Waits for the server's end of a connection.
async fn closed_within(stream: &mut TcpStream, limit: Duration) -> bool {
    let mut rest = vec![0; 1 << 16];
    let ended = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    timeout(limit, ended).await.is_ok()
}

#[tokio::test]
async fn who_sends_a_byte_now_and_then_is_closed() {
    let served = Served::with(options()).await;
    let addr = served.addr;
    // One that has said nothing yet, one in the middle of a frame, one that is known.
    let slow = [false, true].map(|known| async move {
        let mut client = Client::connect(addr).await;
        if known {
            client.call(3, ApiVersionsRequest::default()).await;
        }
        let frame = encode_request(9, 1, "slow", produce("t", 0, -1, batch(&["value"])));
        let begun = Instant::now();
        for byte in frame.expect("encodes").concat().iter().cycle() {
            if client.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            let mut answer = [0];
            match timeout(Duration::from_millis(300), client.stream.read(&mut answer)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(_)) => panic!("an answer to nothing"),
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(8), "known: {known}"),
            }
        }
    });
    let silent = async {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        assert!(closed_within(&mut stream, Duration::from_secs(5)).await);
    };
    let [stranger, known] = slow;
    tokio::join!(stranger, known, silent);
}

/// Three frames that claim 100 MiB each used to hold all the memory for requests.
#[tokio::test]
async fn claims_and_stalled_frames_do_not_keep_memory_from_others() {
    let options = KafkaOptions { stall_max: Duration::from_secs(60), ..options() };
    let served = Served::with(options).await;
    let mut good = Client::connect(served.addr).await;
    good.create("t", 1).await;
    let mut held = Vec::new();
    for number in 0..20 {
        let mut client = Client::connect(served.addr).await;
        client.call(3, ApiVersionsRequest::default()).await;
        let mut frame = (100i32 << 20).to_be_bytes().to_vec();
        frame.extend_from_slice(&[0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff]);
        // Half only claim, half send what fills the budget and then stop.
        if number % 2 == 0 {
            frame.resize(700 << 10, 0);
        }
        client.stream.write_all(&frame).await.expect("sends");
        held.push(client);
    }
    let large = batch(&["x".repeat(800 << 10).as_str()]);
    let begun = Instant::now();
    for _ in 0..3 {
        let answer = good.produce("t", large.clone()).await;
        assert!(answer.error_code.is_ok(), "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "took {:?}", begun.elapsed());
}

#[tokio::test]
async fn many_large_frames_at_once_all_arrive() {
    let served = Served::with(options()).await;
    let mut good = Client::connect(served.addr).await;
    good.create("t", 1).await;
    let addr = served.addr;
    // Ten times what fits, all half there at the same time.
    let large = batch(&["x".repeat(1000 << 10).as_str()]);
    let producers = (0..40).map(|_| {
        let large = large.clone();
        tokio::spawn(async move {
            let mut client = Client::connect(addr).await;
            client.call(3, ApiVersionsRequest::default()).await;
            client.produce("t", large).await.error_code
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        assert!(producer.await.expect("no panic").is_ok());
    }
    assert_eq!(good.fetch("t", 0).await.high_watermark, 40);
}

/// Readers that ask and never take their answers hold a share of the memory until others need it.
#[tokio::test]
async fn who_takes_no_answers_is_closed_when_others_wait() {
    let options = KafkaOptions { stall_max: Duration::from_secs(60), ..options() };
    let served = Served::with(options).await;
    let mut good = Client::connect(served.addr).await;
    good.create("t", 1).await;
    let large = batch(&["x".repeat(1000 << 10).as_str()]);
    for _ in 0..8 {
        assert!(good.produce("t", large.clone()).await.error_code.is_ok());
    }
    let mut held = Vec::new();
    for _ in 0..12 {
        let mut client = Client::connect(served.addr).await;
        let mut request = fetch("t", 0, 0);
        request.topics[0].partitions[0].partition_max_bytes = i32::MAX;
        for _ in 0..20 {
            client.send(12, request.clone()).await;
        }
        held.push(client);
    }
    let begun = Instant::now();
    for _ in 0..3 {
        let read = good.fetch("t", 0).await;
        assert!(read.error_code.is_ok() && read.records.len_bytes() > 0, "{read:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "took {:?}", begun.elapsed());
    drop(held);
}

#[tokio::test]
async fn who_never_reads_at_all_is_closed_in_time() {
    let served = Served::with(options()).await;
    let mut good = Client::connect(served.addr).await;
    good.create("t", 1).await;
    let large = batch(&["x".repeat(1000 << 10).as_str()]);
    for _ in 0..20 {
        assert!(good.produce("t", large.clone()).await.error_code.is_ok());
    }
    let mut client = Client::connect(served.addr).await;
    let mut request = fetch("t", 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    for _ in 0..50 {
        client.send(12, request.clone()).await;
    }
    // More than the sockets hold, a second of patience and one for each 64 KiB of an answer.
    let limit = Instant::now() + Duration::from_secs(90);
    while served.metrics.counts().connections > 1 {
        assert!(Instant::now() < limit, "still connected: {:?}", served.metrics.counts());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Each search unpacks 20 MiB; all at once would be 400 MiB and more.
#[tokio::test]
async fn searches_that_unpack_do_not_add_up() {
    let child = Child::start(1024).await;
    let mut good = Client::connect(child.addr).await;
    let config =
        CreatableConfig { name: "max.message.bytes".into(), value: Some("4194304".into()) };
    let topics = ["gzip", "snappy", "lz4", "zstd"].map(|name| CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config.clone()],
        ..CreatableTopic::default()
    });
    let request = CreateTopicsRequest { topics: topics.into(), ..CreateTopicsRequest::default() };
    good.call(7, request).await;
    for (name, bomb) in swelling() {
        let answer = good.produce(name, bomb).await;
        assert!(answer.error_code.is_ok(), "{name}: {answer:?}");
    }
    let before = child.memory("VmRSS");
    let addr = child.addr;
    let searches = (0..20).map(|number| {
        let name = ["gzip", "snappy", "lz4", "zstd"][number % 4];
        tokio::spawn(async move {
            let mut client = Client::connect(addr).await;
            let asked =
                ListOffsetsPartition { timestamp: 1_000, ..ListOffsetsPartition::default() };
            let topics = vec![ListOffsetsTopic { name: name.into(), partitions: vec![asked] }];
            let id = client.send(8, ListOffsetsRequest { topics, ..Default::default() }).await;
            let limit = Duration::from_secs(120);
            let answer = timeout(limit, client.receive::<ListOffsetsRequest>(8, id));
            answer.await.expect("in time");
        })
    });
    for search in searches.collect::<Vec<_>>() {
        search.await.expect("an answer");
    }
    let grown = child.memory("VmHWM").saturating_sub(before);
    println!("20 searches took {} MiB", grown >> 20);
    assert!(grown < 300 << 20, "grew by {} MiB", grown >> 20);
    let answer = good.create("after", 1).await;
    assert!(answer.is_ok(), "{answer:?}");
}

/// Strangers do not take the files that the log needs: nobody else is let in, those who are in
/// go on, also where it takes new files, and when there is a seat again the next one is served.
#[tokio::test]
async fn without_open_files_the_door_waits_and_the_room_goes_on() {
    let child = Child::start(160).await;
    let mut good = Client::connect(child.addr).await;
    assert!(good.create("t", 1).await.is_ok());
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(TcpStream::connect(child.addr).await.expect("the queue of the socket"));
    }
    // A new one is not served now.
    let mut late = Client::connect(child.addr).await;
    let id = late.send(3, ApiVersionsRequest::default()).await;
    let mut answer = [0; 1];
    assert!(timeout(Duration::from_millis(500), late.stream.peek(&mut answer)).await.is_err());
    // Each topic is a new folder and a new log segment.
    for number in 0..5 {
        let name = format!("t{number}");
        assert!(good.create(&name, 1).await.is_ok());
        for offset in 0..3 {
            let answer = good.produce(&name, batch(&["during"])).await;
            assert_eq!((answer.error_code.0, answer.base_offset), (0, offset), "{answer:?}");
        }
        assert_eq!(good.fetch(&name, 0).await.high_watermark, 3);
    }
    held.clear();
    late.receive::<ApiVersionsRequest>(3, id).await;
    assert!(late.produce("t", batch(&["after"])).await.error_code.is_ok());
}
