//! Kafka's frames, headers and bodies.

use bytes::Bytes;

/// A stream of frames behind their lengths.
pub(crate) fn frames(data: &[u8]) {
    let mut rest = data;
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let (frame, after) = after.split_at(len.min(after.len()));
        yeoul_kafka_wire::fuzzing::frame(Bytes::copy_from_slice(frame));
        rest = after;
    }
}

/// A body of any API and version.
pub(crate) fn requests(data: &[u8]) {
    yeoul_kafka_wire::fuzzing::body(&Bytes::copy_from_slice(data));
}
