//! The one place where the store's refusals become Kafka's error codes.
//!
//! Clients act on the code: a retriable one is tried again, a fatal one ends a producer. So the
//! choice here decides whether a full disk is a pause or a crash on the other side.

use yeoul_base::StoreError;
use yeoul_kafka_wire::ErrorCode;
use yeoul_log::batch::BatchError;

/// What a refused operation of the store means to a client.
pub(crate) fn of_store(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::UnknownTopic(_) | StoreError::UnknownPartition(_) => {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        }
        StoreError::TopicExists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
        StoreError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        StoreError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        StoreError::BadBatch(_) | StoreError::Quarantined { .. } => ErrorCode::CORRUPT_MESSAGE,
        StoreError::InvalidRecord(_) => ErrorCode::INVALID_RECORD,
        StoreError::InvalidTimestamp(_) => ErrorCode::INVALID_TIMESTAMP,
        StoreError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        StoreError::ProducerFenced { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        StoreError::Invalid(_) => ErrorCode::INVALID_REQUEST,
        // Retriable: the client keeps its records until there is room, or until the node is
        // back after it was closed.
        StoreError::DiskFull(_)
        | StoreError::Corrupt(_)
        | StoreError::ReadOnly { .. }
        | StoreError::Io(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        StoreError::Closed(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// What a refused change of a coordinator (of groups, of transactions) means: what passes by
/// itself makes a client look for its coordinator again, which is this node. Consumers take a
/// storage error of a commit as final, though it is none.
pub(crate) fn of_coordinator(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::DiskFull(_)
        | StoreError::Corrupt(_)
        | StoreError::Io(_)
        | StoreError::Closed(_) => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        other => of_store(other),
    }
}

/// What a refused append means to a producer. A store that closed itself while it wrote does not
/// know whether the records are on disk: the next start may find them. Clients repeat what was
/// certainly not appended without counting the attempt, so an unknown end must not look like one.
pub(crate) fn of_append(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::Closed(_) => ErrorCode::REQUEST_TIMED_OUT,
        other => of_store(other),
    }
}

/// What a batch that did not pass its check means to its producer.
pub(crate) fn of_batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Magic(_) => ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        BatchError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        BatchError::Codec(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        BatchError::Count { .. } | BatchError::Record { .. } => ErrorCode::INVALID_RECORD,
        _ => ErrorCode::CORRUPT_MESSAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_that_may_be_on_disk_is_not_called_refused() {
        let closed = StoreError::Closed("a sync failed".into());
        assert_eq!(of_append(&closed), ErrorCode::REQUEST_TIMED_OUT);
        let full = StoreError::DiskFull("no slot".into());
        assert_eq!(of_append(&full), ErrorCode::KAFKA_STORAGE_ERROR, "certainly not on disk");
    }
}
