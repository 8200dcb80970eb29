//! The ground every crate stands on: ids, limits, and the seams to the outside (disk, clock,
//! randomness, the store) as traits, each with a real implementation and one for tests.
//!
//! This crate knows nothing of Kafka's protocol, of Arrow or of any format but the small
//! field codec in [`fields`] that facts are written with.

pub mod clock;
pub mod disk;
pub mod fates;
pub mod fields;
pub mod files;
pub mod ids;
pub mod limits;
pub mod rand;
pub mod store;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{Disk, DiskFile, Open, RealDisk, SimDisk};
pub use fates::Fates;
pub use ids::{Offset, PartId, TopicId};
pub use rand::{OsRand, Rand, SeededRand};
pub use store::{
    AbortedTxn, Append, Appended, Commit, Committed, Done, FactKey, FactKind, Fence, Guard,
    Isolation, MemStore, NewTopic, PartEnds, ProducerInfo, Read, Store, StoreError, StoreLayer,
    TopicInfo, Topics, Wake, WatchGuard, Watched,
};
