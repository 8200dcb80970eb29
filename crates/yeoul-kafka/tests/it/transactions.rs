//! Transactions over the wire: what committed readers see, who may write, and what a node that
//! stops in the middle leaves behind.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use yeoul_kafka::KafkaOptions;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::add_partitions_to_txn::AddPartitionsToTxnTopic;
use yeoul_kafka_wire::api::delete_topics::DeleteTopicsRequest;
use yeoul_kafka_wire::api::fetch::{FetchRequest, FetchResponsePartition};
use yeoul_kafka_wire::api::init_producer_id::InitProducerIdRequest;
use yeoul_kafka_wire::api::list_offsets::{
    LATEST, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use yeoul_log::batch::{BatchBuilder, BatchHeader, Codec, decode, split};

use crate::Served;
use crate::client::{Client, fetch};
use crate::producer::{Producer, init_request};

const OK: ErrorCode = ErrorCode::NONE;

async fn committed_fetch(client: &mut Client, topic: &str, offset: i64) -> FetchResponsePartition {
    let request = FetchRequest { isolation_level: 1, ..fetch(topic, offset, 0) };
    client.call(12, request).await.topics[0].partitions[0].clone()
}

/// What a client that reads committed shows: control batches and aborted ones left out by the
/// list in the answer, as Kafka's clients do it.
async fn committed_values(client: &mut Client, topic: &str) -> Vec<String> {
    let got = committed_fetch(client, topic, 0).await;
    assert_eq!(got.error_code, OK);
    let mut to_come = got.aborted_transactions.clone().expect("a list for committed readers");
    to_come.sort_by_key(|aborted| aborted.first_offset);
    let mut aborted = std::collections::BTreeSet::new();
    let mut wrote = std::collections::BTreeSet::new();
    let mut values = Vec::new();
    for piece in &got.records.0 {
        for batch in split(piece.clone()) {
            let batch = batch.expect("whole");
            let header = BatchHeader::parse(&batch).expect("a header");
            while to_come.first().is_some_and(|next| next.first_offset <= header.last_offset()) {
                aborted.insert(to_come.remove(0).producer_id);
            }
            let records = decode(&batch).expect("records");
            if header.is_control() {
                let key = records[0].key.clone().expect("a control record has a key");
                // Of a transaction without a record here there is nothing to leave out.
                if wrote.remove(&header.producer_id) && key[3] == 0 {
                    assert!(aborted.remove(&header.producer_id), "an abort that was not listed");
                }
                continue;
            }
            if header.is_transactional() {
                wrote.insert(header.producer_id);
            }
            if !(header.is_transactional() && aborted.contains(&header.producer_id)) {
                let text = |value: &bytes::Bytes| String::from_utf8_lossy(value).into_owned();
                values.extend(records.iter().filter_map(|record| record.value.as_ref().map(text)));
            }
        }
    }
    values
}

async fn latest(client: &mut Client, topic: &str, isolation_level: i8) -> i64 {
    let partition = ListOffsetsPartition { timestamp: LATEST, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: topic.into(), partitions: vec![partition] }];
    let request = ListOffsetsRequest { isolation_level, topics, ..Default::default() };
    client.call(7, request).await.topics[0].partitions[0].offset
}

#[tokio::test]
async fn committed_readers_see_a_transaction_once_it_is_committed_and_never_an_aborted_one() {
    let (_served, mut client) = Served::with_topic().await;
    let mut producer = Producer::init(&mut client, "p").await;
    assert_eq!(producer.add(&mut client, "t").await, OK);
    assert_eq!(producer.send(&mut client, "t", "a").await, OK);
    assert_eq!(producer.send(&mut client, "t", "b").await, OK);
    let open = committed_fetch(&mut client, "t", 0).await;
    assert_eq!((open.last_stable_offset, open.high_watermark), (0, 2));
    assert_eq!(open.records.len_bytes(), 0);
    assert_eq!((latest(&mut client, "t", 1).await, latest(&mut client, "t", 0).await), (0, 2));
    let uncommitted = client.fetch("t", 0).await;
    assert!(uncommitted.records.len_bytes() > 0);
    assert_eq!(uncommitted.aborted_transactions, None);

    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["a", "b"]);
    // Two records and the marker.
    assert_eq!((latest(&mut client, "t", 1).await, latest(&mut client, "t", 0).await), (3, 3));

    assert_eq!(producer.add(&mut client, "t").await, OK);
    assert_eq!(producer.send(&mut client, "t", "not").await, OK);
    assert_eq!(producer.end(&mut client, false).await, OK);
    let got = committed_fetch(&mut client, "t", 0).await;
    let aborted = got.aborted_transactions.expect("a list");
    assert_eq!(aborted.len(), 1);
    assert_eq!((aborted[0].producer_id, aborted[0].first_offset), (producer.producer_id, 3));
    assert_eq!(got.last_stable_offset, 5);
    assert_eq!(committed_values(&mut client, "t").await, ["a", "b"]);

    // The same producer goes on, and what it aborted before stays hidden.
    assert_eq!(producer.add(&mut client, "t").await, OK);
    assert_eq!(producer.send(&mut client, "t", "c").await, OK);
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_end_may_be_asked_for_again_but_not_changed() {
    let (_served, mut client) = Served::with_topic().await;
    let mut producer = Producer::init(&mut client, "p").await;
    for committed in [true, false] {
        let nothing = producer.end(&mut client, committed).await;
        assert_eq!(nothing, ErrorCode::INVALID_TXN_STATE, "nothing was begun");
    }
    for committed in [true, false] {
        producer.add(&mut client, "t").await;
        producer.send(&mut client, "t", "a").await;
        assert_eq!(producer.end(&mut client, committed).await, OK);
        let high = client.fetch("t", 0).await.high_watermark;
        assert_eq!(producer.end(&mut client, committed).await, OK);
        let other = producer.end(&mut client, !committed).await;
        assert_eq!(other, ErrorCode::INVALID_TXN_STATE);
        assert_eq!(client.fetch("t", 0).await.high_watermark, high, "a second marker");
    }
}

#[tokio::test]
async fn a_batch_outside_its_transaction_is_refused() {
    let (_served, mut client) = Served::with_topic().await;
    let mut producer = Producer::init(&mut client, "p").await;
    let outside = producer.clone().send(&mut client, "t", "x").await;
    assert_eq!(outside, ErrorCode::INVALID_TXN_STATE, "nothing was begun");
    let outside = producer.clone().send_as(11, &mut client, "t", "x").await.error_code;
    assert_eq!(outside, ErrorCode::TRANSACTION_ABORTABLE, "nothing was begun");
    client.create("u", 1).await;
    assert_eq!(producer.add(&mut client, "u").await, OK);
    let outside = producer.clone().send(&mut client, "t", "x").await;
    assert_eq!(outside, ErrorCode::INVALID_TXN_STATE, "another topic is in it");

    assert_eq!(producer.add(&mut client, "t").await, OK);
    let mut request = producer.clone().request("t", "x");
    request.transactional_id = None;
    let code = client.call(9, request).await.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    Producer::init(&mut client, "other").await;
    let mut stranger = Producer { id: "other".into(), ..producer.clone() };
    let code = stranger.send(&mut client, "t", "x").await;
    assert_eq!(code, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    let mut nobody = Producer { id: "nobody".into(), ..producer.clone() };
    let code = nobody.send(&mut client, "t", "x").await;
    assert_eq!(code, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    let mut plain = BatchBuilder::new(Codec::None);
    plain.producer(producer.producer_id, producer.epoch, 0);
    plain.push(1_000, None, Some(b"x"), &[]);
    let plain = client.produce("t", plain.finish().expect("not empty")).await.error_code;
    assert_eq!(plain, ErrorCode::INVALID_TXN_STATE, "a plain batch among transactional ones");

    assert_eq!(producer.send(&mut client, "t", "a").await, OK);
    assert_eq!(producer.end(&mut client, true).await, OK);
    let late = producer.clone().send(&mut client, "t", "late").await;
    assert_eq!(late, ErrorCode::INVALID_TXN_STATE, "it has ended");
    let got = committed_fetch(&mut client, "t", 0).await;
    assert_eq!((got.last_stable_offset, got.high_watermark), (2, 2));
    assert_eq!(committed_values(&mut client, "t").await, ["a"]);
}

#[tokio::test]
async fn who_comes_later_fences_who_was_there_and_aborts_what_is_open() {
    let (_served, mut client) = Served::with_topic().await;
    let mut zombie = Producer::init(&mut client, "p").await;
    zombie.add(&mut client, "t").await;
    zombie.send(&mut client, "t", "zombie").await;
    let mut producer = Producer::init(&mut client, "p").await;
    assert_eq!(producer.producer_id, zombie.producer_id);
    assert!(producer.epoch > zombie.epoch);
    // Aborted by the time the new one has its answer.
    let got = committed_fetch(&mut client, "t", 0).await;
    assert_eq!((got.last_stable_offset, got.high_watermark), (2, 2));

    let code = zombie.send(&mut client, "t", "again").await;
    assert_eq!(code, ErrorCode::INVALID_PRODUCER_EPOCH);
    for (version, code) in [(1, ErrorCode::INVALID_PRODUCER_EPOCH), (4, ErrorCode::PRODUCER_FENCED)]
    {
        let ended = client.call(version, zombie.end_request(true)).await;
        assert_eq!(ended.error_code, code);
    }
    assert_eq!(zombie.add(&mut client, "t").await, ErrorCode::PRODUCER_FENCED);
    assert_eq!(zombie.add_group(&mut client, "g").await, ErrorCode::PRODUCER_FENCED);
    let code = zombie.commit_offset(&mut client, "g", "t", 1).await;
    assert_eq!(code, ErrorCode::INVALID_PRODUCER_EPOCH);

    assert_eq!(producer.add(&mut client, "t").await, OK);
    assert_eq!(producer.send(&mut client, "t", "mine").await, OK);
    // Also while the new one's transaction is open.
    let code = zombie.send(&mut client, "t", "again").await;
    assert_eq!(code, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["mine"]);

    // The zombie comes back for another epoch and is told; the right one gets one.
    let comeback = |producer: &Producer| InitProducerIdRequest {
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch,
        ..init_request("p", 60_000)
    };
    let code = client.call(4, comeback(&zombie)).await.error_code;
    assert_eq!(code, ErrorCode::PRODUCER_FENCED);
    let code = client.call(3, comeback(&zombie)).await.error_code;
    assert_eq!(code, ErrorCode::INVALID_PRODUCER_EPOCH);
    let bumped = client.call(4, comeback(&producer)).await;
    assert_eq!((bumped.error_code, bumped.producer_epoch), (OK, producer.epoch + 1));
    let again = client.call(4, comeback(&producer)).await;
    assert_eq!((again.error_code, again.producer_epoch), (OK, producer.epoch + 1));
    let mut producer = Producer::of("p", &bumped);
    assert_eq!(producer.add(&mut client, "t").await, OK);
    assert_eq!(producer.send(&mut client, "t", "more").await, OK);
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["mine", "more"]);
}

/// Waits until committed readers see everything.
async fn until_stable(client: &mut Client, topic: &str) {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let got = committed_fetch(client, topic, 0).await;
        if got.last_stable_offset == got.high_watermark {
            return;
        }
        assert!(Instant::now() < until, "the last stable offset is stuck");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_transaction_whose_time_is_over_is_aborted_and_its_producer_fenced() {
    let (_served, mut client) = Served::with_topic().await;
    let mut slow = Producer::init_for(&mut client, "slow", 300).await;
    slow.add(&mut client, "t").await;
    assert_eq!(slow.send(&mut client, "t", "x").await, OK);
    until_stable(&mut client, "t").await;
    assert_eq!(committed_values(&mut client, "t").await, Vec::<String>::new());
    assert_eq!(slow.send(&mut client, "t", "y").await, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(slow.end(&mut client, true).await, ErrorCode::PRODUCER_FENCED);
    let mut slow = Producer::init(&mut client, "slow").await;
    slow.add(&mut client, "t").await;
    assert_eq!(slow.send(&mut client, "t", "z").await, OK);
    assert_eq!(slow.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["z"]);
}

#[tokio::test]
async fn open_transactions_outlive_the_node_and_so_does_their_time() {
    let dir = TempDir::new().expect("a folder");
    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    client.create("u", 1).await;
    let mut patient = Producer::init(&mut client, "patient").await;
    patient.add(&mut client, "t").await;
    assert_eq!(patient.send(&mut client, "t", "before").await, OK);
    patient.add_group(&mut client, "g").await;
    assert_eq!(patient.commit_offset(&mut client, "g", "t", 7).await, OK);
    let mut slow = Producer::init_for(&mut client, "slow", 500).await;
    slow.add(&mut client, "u").await;
    assert_eq!(slow.send(&mut client, "u", "x").await, OK);
    served.stop().await;

    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    until_stable(&mut client, "u").await;
    assert_eq!(committed_values(&mut client, "u").await, Vec::<String>::new());
    let got = committed_fetch(&mut client, "t", 0).await;
    assert_eq!((got.last_stable_offset, got.high_watermark), (0, 1), "still open");
    assert_eq!(patient.send(&mut client, "t", "after").await, OK);
    assert_eq!(patient.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["before", "after"]);
    served.stop().await;

    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    assert_eq!(patient.end(&mut client, true).await, OK, "the answer may have been lost");
    assert_eq!(patient.send(&mut client, "t", "late").await, ErrorCode::INVALID_TXN_STATE);
    assert_eq!(committed_values(&mut client, "t").await, ["before", "after"]);
    assert_eq!(served.groups.list()[0].offsets[0].committed, 7);
}

/// What librdkafka does when a node is killed under its AddPartitionsToTxn: it cannot know whether
/// the request arrived, and ends the transaction. The answers are those of Apache Kafka 4.3.0.
#[tokio::test]
async fn an_added_partition_outlives_the_node_and_an_end_tells_whether_it_was_added() {
    let dir = TempDir::new().expect("a folder");
    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    client.create("t", 1).await;
    let mut added = Vec::new();
    let mut lost = Vec::new();
    for (number, before) in [None, Some(true), Some(false)].into_iter().enumerate() {
        for (kind, producers) in [("added", &mut added), ("lost", &mut lost)] {
            let mut producer = Producer::init(&mut client, &format!("{kind}-{number}")).await;
            if let Some(committed) = before {
                assert_eq!(producer.add(&mut client, "t").await, OK);
                assert_eq!(producer.send(&mut client, "t", "before").await, OK);
                assert_eq!(producer.end(&mut client, committed).await, OK);
            }
            if kind == "added" {
                assert_eq!(producer.add(&mut client, "t").await, OK);
            }
            producers.push((producer, before));
        }
    }
    served.stop().await;

    let served = Served::at(dir.path(), KafkaOptions::default()).await;
    let mut client = Client::connect(served.addr).await;
    for (mut producer, before) in added {
        assert_eq!(producer.send(&mut client, "t", "in it").await, OK, "after {before:?}");
        assert_eq!(producer.end(&mut client, false).await, OK, "after {before:?}");
    }
    for (producer, before) in lost {
        // An abort after an abort may be the same one, whose answer was lost.
        let expected = if before == Some(false) { OK } else { ErrorCode::INVALID_TXN_STATE };
        let ended = producer.end(&mut client, false).await;
        assert_eq!(ended, expected, "after {before:?}");
        // A refused end leaves nothing behind: the id's next transaction is as any other.
        assert_eq!(producer.add(&mut client, "t").await, OK);
        assert_eq!(producer.end(&mut client, false).await, OK);
    }
    assert_eq!(committed_values(&mut client, "t").await, ["before"; 2]);
}

/// librdkafka gives the sequence of a batch whose answer was lost, and which an abort threw away,
/// to its next record. Apache Kafka calls that record a duplicate and it is gone; here the
/// producer hears that the numbers do not fit.
#[tokio::test]
async fn numbers_of_an_aborted_batch_are_never_a_duplicate() {
    let (_served, mut client) = Served::with_topic().await;
    let mut producer = Producer::init(&mut client, "p").await;
    assert_eq!(producer.add(&mut client, "t").await, OK);
    assert_eq!(producer.send(&mut client, "t", "aborted").await, OK);
    assert_eq!(producer.end(&mut client, false).await, OK);
    producer.sequence = 0;
    assert_eq!(producer.add(&mut client, "t").await, OK);
    let told = producer.send(&mut client, "t", "another").await;
    assert_eq!(told, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(producer.end(&mut client, false).await, OK);
    // Its next life begins anew.
    let mut producer = Producer::init(&mut client, "p").await;
    assert_eq!(producer.add(&mut client, "t").await, OK);
    assert_eq!(producer.send(&mut client, "t", "another").await, OK);
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["another"]);
}

#[tokio::test]
async fn a_topic_deleted_within_a_transaction_does_not_hold_its_end() {
    let (_served, mut client) = Served::with_topic().await;
    client.create("gone", 1).await;
    let mut producer = Producer::init(&mut client, "p").await;
    for topic in ["t", "gone"] {
        producer.add(&mut client, topic).await;
    }
    producer.send(&mut client, "t", "a").await;
    let request = DeleteTopicsRequest { topic_names: vec!["gone".into()], ..Default::default() };
    client.call(1, request).await;
    // Made again it is another topic, and not in the transaction.
    client.create("gone", 1).await;
    let code = Producer { sequence: 0, ..producer.clone() }.send(&mut client, "gone", "b").await;
    assert_eq!(code, ErrorCode::INVALID_TXN_STATE);
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(committed_values(&mut client, "t").await, ["a"]);
    assert_eq!(latest(&mut client, "gone", 0).await, 0);
}

#[tokio::test]
async fn partitions_are_added_all_or_none() {
    let (_served, mut client) = Served::with_topic().await;
    let producer = Producer::init(&mut client, "p").await;
    let mut request = producer.add_request("t", &[0, 5, 0]);
    let nowhere = AddPartitionsToTxnTopic { name: "nope".into(), partitions: vec![0] };
    request.topics.push(nowhere);
    for version in [0, 3] {
        let answer = client.call(version, request.clone()).await;
        let codes: Vec<_> = answer
            .results
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|one| one.error_code))
            .collect();
        let (unknown, not_tried) =
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::OPERATION_NOT_ATTEMPTED);
        assert_eq!(codes, [not_tried, unknown, not_tried, unknown]);
    }
    let code = producer.clone().send(&mut client, "t", "x").await;
    assert_eq!(code, ErrorCode::INVALID_TXN_STATE);
    let answer = client.call(3, producer.add_request("t", &[])).await;
    assert!(answer.results[0].partitions.is_empty());
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_kafkas_code() {
    let (_served, mut client) = Served::with_topic().await;
    for (id, timeout_ms, code) in [
        ("", 1_000, ErrorCode::INVALID_REQUEST),
        ("p", 0, ErrorCode::INVALID_TRANSACTION_TIMEOUT),
        ("p", 900_001, ErrorCode::INVALID_TRANSACTION_TIMEOUT),
        ("p", 900_000, OK),
    ] {
        let answer = client.call(4, init_request(id, timeout_ms)).await;
        assert_eq!(answer.error_code, code, "{id:?} {timeout_ms}");
    }
    let producer = Producer::init(&mut client, "p").await;
    let unknown = Producer { id: "unknown".into(), ..producer.clone() };
    let mapping = ErrorCode::INVALID_PRODUCER_ID_MAPPING;
    assert_eq!(unknown.end(&mut client, true).await, mapping);
    assert_eq!(unknown.add(&mut client, "t").await, mapping);
    assert_eq!(unknown.add_group(&mut client, "g").await, mapping);
    assert_eq!(unknown.commit_offset(&mut client, "g", "t", 1).await, mapping);
    let nameless = Producer { id: String::new(), ..producer.clone() };
    assert_eq!(nameless.end(&mut client, true).await, ErrorCode::INVALID_REQUEST);
    assert_eq!(nameless.add(&mut client, "t").await, ErrorCode::INVALID_REQUEST);
    assert_eq!(producer.add_group(&mut client, "").await, ErrorCode::INVALID_GROUP_ID);
}

/// Somebody writes under the producer's id with an epoch nobody gave: a partition then refuses
/// the coordinator's markers. The end must come all the same.
#[tokio::test]
async fn a_forged_epoch_does_not_hold_a_transaction_open() {
    let (_served, mut client) = Served::with_topic().await;
    client.create("u", 1).await;
    for (round, forged) in [(0, 5), (1, i16::MAX), (2, i16::MAX)] {
        let mut producer = Producer::init(&mut client, "p").await;
        let mut forger = BatchBuilder::new(Codec::None);
        forger.producer(producer.producer_id, forged, 0);
        forger.push(1_000, None, Some(b"forged"), &[]);
        let forged = client.produce("t", forger.finish().expect("not empty")).await;
        assert_eq!(forged.error_code, OK, "nothing tells it from the producer's own");
        producer.add(&mut client, "t").await;
        producer.add(&mut client, "u").await;
        assert_eq!(producer.send(&mut client, "t", "x").await, ErrorCode::INVALID_PRODUCER_EPOCH);
        producer.sequence = 0;
        assert_eq!(producer.send(&mut client, "u", "y").await, OK);
        match round {
            0 => assert_eq!(producer.end(&mut client, true).await, OK),
            1 => assert_eq!(producer.end(&mut client, false).await, OK),
            _ => drop(Producer::init(&mut client, "p").await),
        }
        let fenced = producer.add(&mut client, "t").await;
        assert!(!fenced.is_ok(), "it would meet the forged epoch again");
        for topic in ["t", "u"] {
            let got = committed_fetch(&mut client, topic, 0).await;
            assert_eq!(got.last_stable_offset, got.high_watermark, "{topic} is stuck");
        }
    }
    assert_eq!(committed_values(&mut client, "u").await, ["y"]);
    let mut producer = Producer::init(&mut client, "p").await;
    producer.add(&mut client, "t").await;
    assert_eq!(producer.send(&mut client, "t", "at last").await, OK);
    assert_eq!(producer.end(&mut client, true).await, OK);
}

/// Two ends at once, an end and a takeover at once: one wins, and the records agree with it.
#[tokio::test]
async fn of_two_that_end_a_transaction_at_once_one_wins() {
    let (served, mut client) = Served::with_topic().await;
    let mut other = Client::connect(served.addr).await;
    let mut expected = Vec::new();
    for round in 0..20 {
        let mut producer = Producer::init(&mut client, "p").await;
        producer.add(&mut client, "t").await;
        let value = format!("{round}");
        assert_eq!(producer.send(&mut client, "t", &value).await, OK);
        let (commit, abort) =
            tokio::join!(producer.end(&mut client, true), producer.end(&mut other, false));
        let lost = ErrorCode::INVALID_TXN_STATE;
        assert!([(OK, lost), (lost, OK)].contains(&(commit, abort)), "{commit} and {abort}");
        if commit.is_ok() {
            expected.push(value);
        }
    }
    for round in 20..40 {
        let mut producer = Producer::init(&mut client, "p").await;
        producer.add(&mut client, "t").await;
        let value = format!("{round}");
        assert_eq!(producer.send(&mut client, "t", &value).await, OK);
        let (commit, successor) =
            tokio::join!(producer.end(&mut client, true), Producer::init(&mut other, "p"));
        assert_eq!(successor.epoch, producer.epoch + 1);
        match commit {
            OK => expected.push(value),
            ErrorCode::PRODUCER_FENCED => {}
            other => panic!("{other}"),
        }
    }
    let got = committed_fetch(&mut client, "t", 0).await;
    assert_eq!(got.last_stable_offset, got.high_watermark);
    assert_eq!(committed_values(&mut client, "t").await, expected);
}
