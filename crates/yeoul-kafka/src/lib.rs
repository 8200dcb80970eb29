//! Kafka's face of the store: a listener that every Kafka client can talk to.
//!
//! The protocol's bytes are `yeoul-kafka-wire`'s, batches are checked by `yeoul-log`; here is
//! what is between them: connections, one handler per API, the consumer-group coordinator.
//!
//! Invariant: an answer that reveals a record, an offset or a commit is given only after the
//! store called back that it is durable. A peer that breaks the protocol loses its connection,
//! never the process, and costs no more memory than the bytes it sent.

mod broker;
mod connection;
mod errors;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod group;
mod handle;
mod listen;
mod memory;
mod metrics;
mod options;
mod seats;
mod server;
mod txn;

pub use group::{
    ComponentGroup, ComponentGroups, ComponentOffset, GroupInfo, GroupMember, GroupOffset,
};
pub use listen::Listener;
pub use metrics::{KafkaCounts, KafkaMetrics};
pub use options::{GroupOptions, KafkaOptions};
pub use server::{KafkaGroups, KafkaServer};
