//! The log: record batches, the commit log and what is read back from it. Synchronous, without
//! tokio and without Arrow; it knows nothing of Kafka's protocol beyond the record batch.

pub mod batch;
pub mod dead;
pub mod reader;

pub use batch::{BatchBuilder, BatchError, BatchHeader, Codec, Header, Record};
pub use reader::PartitionReader;
