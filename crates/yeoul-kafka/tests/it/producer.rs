//! A transactional producer that does one thing at a time, and says which.

use bytes::Bytes;
use yeoul_kafka_wire::ErrorCode;
use yeoul_kafka_wire::api::add_offsets_to_txn::AddOffsetsToTxnRequest;
use yeoul_kafka_wire::api::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use yeoul_kafka_wire::api::end_txn::EndTxnRequest;
use yeoul_kafka_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use yeoul_kafka_wire::api::produce::{ProduceRequest, ProduceResponsePartition};
use yeoul_kafka_wire::api::txn_offset_commit::{
    TxnOffsetCommitPartition, TxnOffsetCommitRequest, TxnOffsetCommitTopic,
};
use yeoul_log::batch::{BatchBuilder, Codec};

use crate::client::{Client, produce};

/// Who a producer is; copies of it are zombies.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    pub(crate) id: String,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
}

pub(crate) fn init_request(id: &str, timeout_ms: i32) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: timeout_ms,
        ..InitProducerIdRequest::default()
    }
}

impl Producer {
    pub(crate) async fn init(client: &mut Client, id: &str) -> Self {
        Self::init_for(client, id, 60_000).await
    }

    pub(crate) async fn init_for(client: &mut Client, id: &str, timeout_ms: i32) -> Self {
        let answer = client.call(4, init_request(id, timeout_ms)).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        Self::of(id, &answer)
    }

    pub(crate) fn of(id: &str, answer: &InitProducerIdResponse) -> Self {
        let InitProducerIdResponse { producer_id, producer_epoch: epoch, .. } = *answer;
        Self { id: id.into(), producer_id, epoch, sequence: 0 }
    }

    pub(crate) fn add_request(&self, topic: &str, partitions: &[i32]) -> AddPartitionsToTxnRequest {
        let partitions = partitions.to_vec();
        AddPartitionsToTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            topics: vec![AddPartitionsToTxnTopic { name: topic.into(), partitions }],
        }
    }

    pub(crate) async fn add(&self, client: &mut Client, topic: &str) -> ErrorCode {
        let answer = client.call(3, self.add_request(topic, &[0])).await;
        answer.results[0].partitions[0].error_code
    }

    /// A batch of one value, as the next of this producer.
    pub(crate) fn batch(&mut self, value: &str) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.transactional().producer(self.producer_id, self.epoch, self.sequence);
        builder.push(1_000, None, Some(value.as_bytes()), &[]);
        self.sequence += 1;
        builder.finish().expect("not empty")
    }

    pub(crate) fn request(&mut self, topic: &str, value: &str) -> ProduceRequest {
        let batch = self.batch(value);
        let transactional_id = Some(self.id.clone());
        ProduceRequest { transactional_id, ..produce(topic, 0, -1, batch) }
    }

    pub(crate) async fn send_as(
        &mut self,
        version: i16,
        client: &mut Client,
        topic: &str,
        value: &str,
    ) -> ProduceResponsePartition {
        let request = self.request(topic, value);
        client.call(version, request).await.topics[0].partitions[0].clone()
    }

    pub(crate) async fn send(
        &mut self,
        client: &mut Client,
        topic: &str,
        value: &str,
    ) -> ErrorCode {
        self.send_as(9, client, topic, value).await.error_code
    }

    pub(crate) fn end_request(&self, committed: bool) -> EndTxnRequest {
        EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            committed,
        }
    }

    pub(crate) async fn end(&self, client: &mut Client, committed: bool) -> ErrorCode {
        client.call(3, self.end_request(committed)).await.error_code
    }

    pub(crate) async fn add_group(&self, client: &mut Client, group: &str) -> ErrorCode {
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            group_id: group.into(),
        };
        client.call(3, request).await.error_code
    }

    pub(crate) fn offset_request(
        &self,
        group: &str,
        topic: &str,
        offset: i64,
    ) -> TxnOffsetCommitRequest {
        let partition = TxnOffsetCommitPartition {
            partition_index: 0,
            committed_offset: offset,
            committed_metadata: Some("in a transaction".into()),
            ..TxnOffsetCommitPartition::default()
        };
        TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: group.into(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            topics: vec![TxnOffsetCommitTopic { name: topic.into(), partitions: vec![partition] }],
            ..TxnOffsetCommitRequest::default()
        }
    }

    pub(crate) async fn commit_offset(
        &self,
        client: &mut Client,
        group: &str,
        topic: &str,
        offset: i64,
    ) -> ErrorCode {
        let answer = client.call(3, self.offset_request(group, topic, offset)).await;
        answer.topics[0].partitions[0].error_code
    }
}
