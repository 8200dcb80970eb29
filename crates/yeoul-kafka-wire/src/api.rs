//! The APIs served, one file each, and the table of their versions.

use crate::codec::Field;
use crate::error::WireError;

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod elect_leaders;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_features;
pub mod write_txn_markers;

/// A request or an answer.
pub trait Message: Field + Default + Send + 'static {}

impl<M: Field + Default + Send + 'static> Message for M {}

/// A request, tied to its API and its answer.
pub trait Request: Message {
    const KEY: ApiKey;
    type Response: Message;

    fn api() -> Api {
        Self::KEY.api()
    }
}

/// An API as the protocol numbers it, with the versions spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    pub key: ApiKey,
    pub name: &'static str,
    /// The oldest version understood.
    pub min: i16,
    pub max: i16,
    /// The first version with compact lengths and tagged fields.
    pub flexible_from: i16,
    /// The oldest version told to clients; below `min` only where clients need to see it.
    pub advertised_min: i16,
}

macro_rules! apis {
    ($($name:ident = $number:literal, $min:literal..=$max:literal, flexible $flexible:literal
        $(, advertised from $advertised:literal)?;)*) => {
        /// The number of an API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $number,)*
        }

        impl Api {
            /// Every API served, by number.
            pub const ALL: &'static [Self] = &[$(Self {
                key: ApiKey::$name,
                name: stringify!($name),
                min: $min,
                max: $max,
                flexible_from: $flexible,
                advertised_min: apis!(@min $min $(, $advertised)?),
            },)*];
        }

        impl ApiKey {
            pub const fn api(self) -> Api {
                match self {
                    $(Self::$name => Api {
                        key: ApiKey::$name,
                        name: stringify!($name),
                        min: $min,
                        max: $max,
                        flexible_from: $flexible,
                        advertised_min: apis!(@min $min $(, $advertised)?),
                    },)*
                }
            }
        }
    };
    (@min $min:literal) => { $min };
    (@min $min:literal, $advertised:literal) => { $advertised };
}

apis! {
    // librdkafka turns compression off when version 0 is not offered, though it never uses it.
    Produce = 0, 3..=12, flexible 9, advertised from 0;
    Fetch = 1, 4..=12, flexible 12;
    ListOffsets = 2, 1..=8, flexible 6;
    // Version 13 adds a top-level error that sent Java 4.3 into endless re-bootstrapping.
    Metadata = 3, 0..=12, flexible 9;
    OffsetCommit = 8, 2..=9, flexible 8;
    OffsetFetch = 9, 1..=9, flexible 6;
    FindCoordinator = 10, 0..=4, flexible 3;
    JoinGroup = 11, 0..=9, flexible 6;
    Heartbeat = 12, 0..=4, flexible 4;
    LeaveGroup = 13, 0..=5, flexible 4;
    SyncGroup = 14, 0..=5, flexible 4;
    DescribeGroups = 15, 0..=5, flexible 5;
    ListGroups = 16, 0..=5, flexible 3;
    ApiVersions = 18, 0..=4, flexible 3;
    CreateTopics = 19, 0..=7, flexible 5;
    DeleteTopics = 20, 0..=6, flexible 4;
    DeleteRecords = 21, 0..=2, flexible 2;
    InitProducerId = 22, 0..=5, flexible 2;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4;
    // Versions from 4 on are for brokers among themselves.
    AddPartitionsToTxn = 24, 0..=3, flexible 3;
    AddOffsetsToTxn = 25, 0..=3, flexible 3;
    // Version 5 belongs to `transaction.version` 2, which is not offered as a feature.
    EndTxn = 26, 0..=4, flexible 3;
    WriteTxnMarkers = 27, 0..=1, flexible 1;
    TxnOffsetCommit = 28, 0..=4, flexible 3;
    DescribeConfigs = 32, 1..=4, flexible 4;
    AlterConfigs = 33, 0..=2, flexible 2;
    AlterReplicaLogDirs = 34, 1..=2, flexible 2;
    DescribeLogDirs = 35, 1..=4, flexible 2;
    CreatePartitions = 37, 0..=3, flexible 2;
    DeleteGroups = 42, 0..=2, flexible 2;
    ElectLeaders = 43, 0..=2, flexible 2;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1;
    AlterPartitionReassignments = 45, 0..=0, flexible 0;
    ListPartitionReassignments = 46, 0..=0, flexible 0;
    // Never became flexible.
    OffsetDelete = 47, 0..=0, flexible 1;
    DescribeQuorum = 55, 0..=2, flexible 0;
    UpdateFeatures = 57, 0..=2, flexible 0;
    DescribeCluster = 60, 0..=1, flexible 0;
    DescribeProducers = 61, 0..=0, flexible 0;
    DescribeTransactions = 65, 0..=0, flexible 0;
    ListTransactions = 66, 0..=2, flexible 0;
    ListConfigResources = 74, 0..=1, flexible 0;
    DescribeTopicPartitions = 75, 0..=0, flexible 0;
}

impl Api {
    pub fn by_number(number: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|api| api.key as i16 == number)
    }

    /// Whether this version's body is understood.
    pub fn accepts(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    pub fn flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// Refuses a version whose request cannot even be answered: of ApiVersions every version can.
    pub fn check(&self, version: i16) -> Result<(), WireError> {
        if self.accepts(version) || self.key == ApiKey::ApiVersions {
            return Ok(());
        }
        Err(self.unknown_version(version))
    }

    fn unknown_version(&self, version: i16) -> WireError {
        WireError::UnknownVersion { name: self.name, version, min: self.min, max: self.max }
    }
}
