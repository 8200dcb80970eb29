//! What the fuzz targets in `fuzz/` call: any bytes as a header, as any request, as the answer to
//! one. Only compiled for fuzzing and for this crate's own tests.
//!
//! Invariant: every function here returns for every input; a panic is the finding. The match
//! below names every API, so that a new one cannot be forgotten.

use std::fmt::Debug;

use bytes::Bytes;

use crate::api::{self, ApiKey};
use crate::codec::{Codec, Field, Records};
use crate::frame::{decode_body, decode_request, encode_response_as};
use crate::{Api, Budget, Request, RequestHeader, WireError, decode_response, encode_request};

/// A frame as a listener takes it: header, then the body its header names.
pub fn frame(frame: Bytes) {
    let _ = api::produce::first_topic(frame.clone());
    let Ok((header, body)) = RequestHeader::decode(frame) else { return };
    if header.api.accepts(header.version) {
        each(header.api.key, &Reading { version: header.version, body: &body });
    }
}

/// The first byte chooses the API, the second its version; the rest is the body, read as a
/// request and as an answer.
pub fn body(data: &Bytes) {
    let [api, version, ..] = *data.as_ref() else { return };
    let Some(api) = Api::ALL.get(usize::from(api) % Api::ALL.len()) else { return };
    let versions = api.max - api.min + 1;
    let version = api.min + i16::from(version) % versions;
    each(api.key, &Reading { version, body: &data.slice(2..) });
}

/// Seeds of [`body`]: every request in every version, once empty and once with all its fields.
pub fn bodies() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (at, api) in (0u8..).zip(Api::ALL) {
        for version in api.min..=api.max {
            for full in [false, true] {
                let frame = each_written(api.key, &Writing { version, full });
                let Ok((_, body)) = RequestHeader::decode(Bytes::from(frame)) else { continue };
                let chosen = [at, u8::try_from(version - api.min).unwrap_or(0)];
                seeds.push([&chosen[..], &body].concat());
            }
        }
    }
    seeds
}

/// The same as whole frames behind their lengths.
pub fn frames() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for api in Api::ALL {
        for version in api.min..=api.max {
            for full in [false, true] {
                let frame = each_written(api.key, &Writing { version, full });
                let len = u32::try_from(frame.len()).unwrap_or(0).to_be_bytes();
                seeds.push([&len[..], &frame].concat());
            }
        }
    }
    seeds
}

struct Reading<'a> {
    version: i16,
    body: &'a Bytes,
}

impl Reading<'_> {
    fn run<R>(&self)
    where
        R: Request + PartialEq + Debug + Clone,
        R::Response: PartialEq + Debug + Clone,
    {
        let version = self.version;
        let flexible = R::api().flexible(version);
        let budget = if R::KEY == ApiKey::Produce { Budget::PRODUCE } else { Budget::REQUEST };
        if let Ok(read) = decode_body::<R>(self.body.clone(), version, flexible, budget) {
            // What was understood says the same when it is sent on.
            let frame = encode_request(version, 7, "f", read.clone()).ok();
            let again = frame.and_then(|frame| {
                let (header, body) = RequestHeader::decode(frame.concat().slice(4..)).ok()?;
                decode_request::<R>(&header, body).ok()
            });
            assert_eq!(again.as_ref(), Some(&read), "{} version {version}", R::api().name);
        }
        let answer = decode_body::<R::Response>(
            self.body.clone(),
            version,
            flexible,
            Budget { elements: 10_000, ..Budget::RESPONSE },
        );
        if let Ok(answer) = answer {
            let frame = encode_response_as(R::api(), version, 7, answer.clone()).ok();
            let again = frame
                .and_then(|frame| decode_response::<R>(frame.concat().slice(4..), version, 7).ok());
            assert_eq!(again.as_ref(), Some(&answer), "{} answer {version}", R::api().name);
        }
    }
}

struct Writing {
    version: i16,
    full: bool,
}

impl Writing {
    /// Without the length.
    fn run<R: Request>(&self) -> Vec<u8> {
        let request = if self.full { Filler::fill(self.version) } else { R::default() };
        let frame = encode_request(self.version, 7, "f", request);
        frame.map(|frame| frame.concat().slice(4..).to_vec()).unwrap_or_default()
    }
}

/// Fills every field of a message with something, nulls among it.
pub(crate) struct Filler {
    version: i16,
    next: u8,
}

impl Filler {
    pub(crate) fn fill<M: Field + Default>(version: i16) -> M {
        let mut message = M::default();
        // Filling cannot fail, and the codec below never does.
        let _ = message.walk(&mut Self { version, next: 0 });
        message
    }

    fn take(&mut self) -> u8 {
        self.next = self.next.wrapping_add(1);
        self.next
    }
}

impl Codec for Filler {
    fn version(&self) -> i16 {
        self.version
    }

    fn int<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError> {
        // 0 and 1 only in single bytes, so that booleans survive.
        bytes.fill(0);
        if let Some(last) = bytes.last_mut() {
            *last = if N == 1 { self.take() & 1 } else { self.take() };
        }
        Ok(())
    }

    fn text(&mut self, value: &mut Option<String>) -> Result<(), WireError> {
        let number = self.take();
        // A field that may not be null comes as `Some`.
        let nullable = value.is_none();
        *value = (!nullable || number.is_multiple_of(2)).then(|| format!("여울{number}"));
        Ok(())
    }

    fn bytes(&mut self, value: &mut Option<Bytes>) -> Result<(), WireError> {
        *value = Some(Bytes::from(vec![self.take(); 300]));
        Ok(())
    }

    fn records(&mut self, value: &mut Records) -> Result<(), WireError> {
        value.0 = vec![Bytes::from(vec![self.take(); 5000])];
        Ok(())
    }

    fn array<T: Field + Default>(&mut self, value: &mut Option<Vec<T>>) -> Result<(), WireError> {
        let mut items = Vec::new();
        for _ in 0..2 {
            let mut item = T::default();
            item.walk(self)?;
            items.push(item);
        }
        *value = Some(items);
        Ok(())
    }

    fn tags(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}

macro_rules! requests {
    ($($key:ident = $module:ident :: $request:ident,)*) => {
        fn each(key: ApiKey, reading: &Reading<'_>) {
            match key {
                $(ApiKey::$key => reading.run::<api::$module::$request>(),)*
            }
        }

        fn each_written(key: ApiKey, writing: &Writing) -> Vec<u8> {
            match key {
                $(ApiKey::$key => writing.run::<api::$module::$request>(),)*
            }
        }
    };
}

requests! {
    Produce = produce::ProduceRequest,
    Fetch = fetch::FetchRequest,
    ListOffsets = list_offsets::ListOffsetsRequest,
    Metadata = metadata::MetadataRequest,
    OffsetCommit = offset_commit::OffsetCommitRequest,
    OffsetFetch = offset_fetch::OffsetFetchRequest,
    FindCoordinator = find_coordinator::FindCoordinatorRequest,
    JoinGroup = join_group::JoinGroupRequest,
    Heartbeat = heartbeat::HeartbeatRequest,
    LeaveGroup = leave_group::LeaveGroupRequest,
    SyncGroup = sync_group::SyncGroupRequest,
    DescribeGroups = describe_groups::DescribeGroupsRequest,
    ListGroups = list_groups::ListGroupsRequest,
    ApiVersions = api_versions::ApiVersionsRequest,
    CreateTopics = create_topics::CreateTopicsRequest,
    DeleteTopics = delete_topics::DeleteTopicsRequest,
    InitProducerId = init_producer_id::InitProducerIdRequest,
    OffsetForLeaderEpoch = offset_for_leader_epoch::OffsetForLeaderEpochRequest,
    DescribeConfigs = describe_configs::DescribeConfigsRequest,
    CreatePartitions = create_partitions::CreatePartitionsRequest,
    DeleteGroups = delete_groups::DeleteGroupsRequest,
    IncrementalAlterConfigs = incremental_alter_configs::IncrementalAlterConfigsRequest,
    DescribeCluster = describe_cluster::DescribeClusterRequest,
    AddOffsetsToTxn = add_offsets_to_txn::AddOffsetsToTxnRequest,
    AddPartitionsToTxn = add_partitions_to_txn::AddPartitionsToTxnRequest,
    AlterConfigs = alter_configs::AlterConfigsRequest,
    AlterPartitionReassignments = alter_partition_reassignments::AlterPartitionReassignmentsRequest,
    AlterReplicaLogDirs = alter_replica_log_dirs::AlterReplicaLogDirsRequest,
    DeleteRecords = delete_records::DeleteRecordsRequest,
    DescribeLogDirs = describe_log_dirs::DescribeLogDirsRequest,
    DescribeProducers = describe_producers::DescribeProducersRequest,
    DescribeQuorum = describe_quorum::DescribeQuorumRequest,
    DescribeTopicPartitions = describe_topic_partitions::DescribeTopicPartitionsRequest,
    DescribeTransactions = describe_transactions::DescribeTransactionsRequest,
    ElectLeaders = elect_leaders::ElectLeadersRequest,
    EndTxn = end_txn::EndTxnRequest,
    ListConfigResources = list_config_resources::ListConfigResourcesRequest,
    ListPartitionReassignments = list_partition_reassignments::ListPartitionReassignmentsRequest,
    ListTransactions = list_transactions::ListTransactionsRequest,
    OffsetDelete = offset_delete::OffsetDeleteRequest,
    TxnOffsetCommit = txn_offset_commit::TxnOffsetCommitRequest,
    UpdateFeatures = update_features::UpdateFeaturesRequest,
    WriteTxnMarkers = write_txn_markers::WriteTxnMarkersRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_goes_through() {
        for seed in bodies() {
            body(&Bytes::from(seed));
        }
        for seed in frames() {
            frame(Bytes::from(seed).slice(4..));
        }
    }
}
