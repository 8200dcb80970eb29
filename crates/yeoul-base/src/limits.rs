//! Every bound that more than one crate relies on, with its unit in its name.

/// The largest frame of the commit log: one commit's batches and fact changes together.
pub const FRAME_BYTES_MAX: usize = 32 << 20;
/// The largest `max.message.bytes` a topic may be given.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Kafka's own default of `max.message.bytes` (1 MiB and the batch header).
pub const MESSAGE_BYTES_DEFAULT: usize = 1_048_588;
/// A request on the Kafka listener, as Kafka's `socket.request.max.bytes`.
pub const REQUEST_BYTES_MAX: usize = 100 << 20;
/// A topic's name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Partitions of one topic.
pub const PARTITIONS_MAX: u32 = 10_000;
/// Partitions of all topics of a node together: each takes memory as long as it is there.
pub const NODE_PARTITIONS_MAX: usize = 50_000;
/// A fact's key.
pub const FACT_KEY_BYTES_MAX: usize = 1 << 10;
/// A fact's value.
pub const FACT_VALUE_BYTES_MAX: usize = 1 << 20;

/// One epoch of a stream, table or sink takes at most this many records …
pub const EPOCH_RECORDS_MAX: usize = 8_192;
/// … and about this many bytes of input, and gives about as many out.
pub const EPOCH_BYTES_MAX: usize = 4 << 20;

/// What one compressed batch may unfold to.
pub const BATCH_UNCOMPRESSED_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(
    MESSAGE_BYTES_MAX + FACT_VALUE_BYTES_MAX < FRAME_BYTES_MAX,
    "the largest batch and a fact must fit into one frame"
);
