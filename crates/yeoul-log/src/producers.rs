//! Idempotent and transactional producers: for each of a partition's producers the last five
//! batches, so that a batch sent again is answered with the offsets of the first time and a gap
//! is noticed, and where its open transaction begins.

use std::collections::{BTreeMap, VecDeque};

use yeoul_base::{Offset, ProducerInfo, StoreError};

use crate::batch::BatchHeader;
use crate::planted::{self, Planted};

/// As many batches as a Kafka producer may have in flight.
const WINDOW: usize = 5;
/// The first sequence of no batch: what it stands for is not to be found as a duplicate.
const NO_BATCH: i32 = -1;
/// A producer that was silent this long is forgotten, as Kafka's `producer.id.expiration.ms`.
pub(crate) const EXPIRY_MS: i64 = 24 * 3600 * 1000;

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
}

/// What one partition knows of one producer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    /// When its last batch was appended (or replayed), in milliseconds since 1970: what expiry is
    /// judged by.
    pub(crate) last_ms: i64,
    pub(crate) sent: VecDeque<Sent>,
    /// First offset of its open transaction.
    pub(crate) open: Option<Offset>,
}

impl Producer {
    /// As others may know it. Only what is appended counts, durable or about to be.
    pub(crate) fn info(&self, producer_id: i64) -> ProducerInfo {
        ProducerInfo {
            producer_id,
            epoch: self.epoch,
            last_sequence: self.sent.back().map_or(-1, |sent| sent.last_sequence),
            last_ms: self.last_ms,
            open_since: self.open,
        }
    }

    /// Whether it may be forgotten: silent since `before_ms`, and nothing of it is undecided.
    pub(crate) fn is_stale(&self, before_ms: i64) -> bool {
        self.open.is_none() && self.last_ms < before_ms
    }
}

/// A partition's producers by id.
pub(crate) type Producers = BTreeMap<i64, Producer>;

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is there already.
    Duplicate(Sent),
}

/// Sequences run from 0 to 2³¹−1 and begin again.
fn advance(sequence: i32, by: i32) -> i32 {
    (i64::from(sequence) + i64::from(by)).rem_euclid(1 << 31) as i32
}

/// Judges a batch by what is known of its producer here; `None`: not seen yet (or forgotten), so
/// that any sequence is taken, as Kafka does.
pub(crate) fn judge(known: Option<&Producer>, header: &BatchHeader) -> Result<Verdict, StoreError> {
    let Some(known) = known else { return Ok(Verdict::Append) };
    let producer_id = header.producer_id;
    if header.producer_epoch < known.epoch && !planted::is(Planted::IgnoreEpoch) {
        let (current, got) = (known.epoch, header.producer_epoch);
        return Err(StoreError::ProducerFenced { producer_id, current, got });
    }
    if header.is_control() {
        return Ok(Verdict::Append);
    }
    let first = header.base_sequence;
    let last = advance(first, header.last_offset_delta);
    let expected = if header.producer_epoch > known.epoch {
        0
    } else {
        let seen = |sent: &&Sent| sent.first_sequence == first && sent.last_sequence == last;
        // The newest first: the same numbers may have been an earlier life's of this producer.
        if let Some(sent) = known.sent.iter().rev().find(seen) {
            return Ok(Verdict::Duplicate(*sent));
        }
        // Of whom only markers are known, the first batch is awaited.
        known.sent.back().map_or(0, |sent| advance(sent.last_sequence, 1))
    };
    if first != expected {
        return Err(StoreError::OutOfOrderSequence { producer_id, expected, got: first });
    }
    if known.open.is_some() && !header.is_transactional() {
        return Err(StoreError::Invalid(format!(
            "producer {producer_id} has an open transaction: a batch outside of it cannot follow"
        )));
    }
    Ok(Verdict::Append)
}

/// Takes over a newer epoch, whose sequences begin anew.
fn renew(producer: &mut Producer, epoch: i16, now_ms: i64) {
    if epoch != producer.epoch {
        producer.sent.clear();
        producer.epoch = epoch;
    }
    producer.last_ms = producer.last_ms.max(now_ms);
}

/// Notes a marker; returns where the transaction began that it ends, if one is open.
///
/// What the transaction held cannot come again: its producer ended it, and a batch with the same
/// numbers is another one (librdkafka 2.16 gives the numbers of what an abort threw away to new
/// records). Called a duplicate it would be lost, so only the last number is kept.
pub(crate) fn end(producer: &mut Producer, header: &BatchHeader, now_ms: i64) -> Option<Offset> {
    renew(producer, header.producer_epoch, now_ms);
    let began = producer.open.take()?;
    if let Some(last) = producer.sent.pop_back() {
        producer.sent.clear();
        producer.sent.push_back(Sent { first_sequence: NO_BATCH, ..last });
    }
    Some(began)
}

/// Notes a batch that was appended at `base_offset`.
pub(crate) fn note(
    producer: &mut Producer,
    header: &BatchHeader,
    base_offset: Offset,
    now_ms: i64,
) {
    renew(producer, header.producer_epoch, now_ms);
    if header.is_transactional() {
        producer.open.get_or_insert(base_offset);
    }
    if producer.sent.len() == WINDOW {
        producer.sent.pop_front();
    }
    producer.sent.push_back(Sent {
        first_sequence: header.base_sequence,
        last_sequence: advance(header.base_sequence, header.last_offset_delta),
        base_offset,
        last_offset: base_offset.saturating_add(i64::from(header.last_offset_delta)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Codec};

    fn header(epoch: i16, sequence: i32, records: usize) -> BatchHeader {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.producer(7, epoch, sequence);
        (0..records).for_each(|_| builder.push(10, None, None, &[]));
        BatchHeader::parse(&builder.finish().expect("records")).expect("header")
    }

    #[test]
    fn numbers_of_an_ended_transaction_are_no_duplicates() -> Result<(), StoreError> {
        let mut producer = Producer::default();
        let mut builder = BatchBuilder::new(Codec::None);
        builder.producer(7, 0, 0).transactional();
        builder.push(10, None, None, &[]);
        let first = BatchHeader::parse(&builder.finish().expect("a record")).expect("header");
        note(&mut producer, &first, 100, 0);
        assert!(matches!(judge(Some(&producer), &first)?, Verdict::Duplicate(_)));
        assert_eq!(end(&mut producer, &header(0, 0, 1), 0), Some(100));
        let again = judge(Some(&producer), &first);
        assert!(matches!(again, Err(StoreError::OutOfOrderSequence { expected: 1, got: 0, .. })));
        assert_eq!(judge(Some(&producer), &header(0, 1, 1))?, Verdict::Append);
        Ok(())
    }

    #[test]
    fn a_window_of_five_knows_its_duplicates_gaps_and_epochs() -> Result<(), StoreError> {
        let mut producer = Producer::default();
        for n in 0..6 {
            let head = header(0, n * 2, 2);
            assert_eq!(judge(Some(&producer), &head)?, Verdict::Append);
            note(&mut producer, &head, i64::from(n) * 2 + 100, 0);
        }
        let Verdict::Duplicate(sent) = judge(Some(&producer), &header(0, 2, 2))? else {
            panic!("not seen as a duplicate")
        };
        assert_eq!((sent.base_offset, sent.last_offset), (102, 103));
        // The first has left the window; a part of a batch is not the batch.
        for (sequence, records) in [(0, 2), (2, 1), (13, 1), (11, 1)] {
            let error = judge(Some(&producer), &header(0, sequence, records));
            assert!(matches!(error, Err(StoreError::OutOfOrderSequence { expected: 12, .. })));
        }
        assert_eq!(judge(Some(&producer), &header(1, 0, 1))?, Verdict::Append);
        assert!(judge(Some(&producer), &header(1, 12, 1)).is_err());
        note(&mut producer, &header(1, 0, 1), 200, 0);
        let fenced = judge(Some(&producer), &header(0, 12, 1));
        assert!(matches!(fenced, Err(StoreError::ProducerFenced { current: 1, got: 0, .. })));
        assert_eq!(judge(None, &header(3, 77, 1))?, Verdict::Append);
        Ok(())
    }

    #[test]
    fn sequences_wrap_to_zero() -> Result<(), StoreError> {
        let mut producer = Producer::default();
        note(&mut producer, &header(0, i32::MAX, 2), 0, 0);
        assert_eq!(producer.sent.back().map(|sent| sent.last_sequence), Some(0));
        assert_eq!(judge(Some(&producer), &header(0, 1, 1))?, Verdict::Append);
        Ok(())
    }

    #[test]
    fn a_marker_ends_fences_and_takes_no_place_in_the_window() -> Result<(), StoreError> {
        let marker = |epoch| {
            let bytes = crate::batch::marker(7, epoch, true, 0, 0);
            BatchHeader::parse(&bytes).expect("header")
        };
        let mut producer = Producer::default();
        for n in 0..5 {
            note(&mut producer, &header(0, n, 1), i64::from(n), 0);
        }
        assert_eq!(end(&mut producer, &marker(0), 9), None, "no transaction was open");
        assert_eq!(producer.sent.len(), 5);
        assert!(matches!(judge(Some(&producer), &header(0, 0, 1))?, Verdict::Duplicate(_)));
        producer.open = Some(5);
        let outside = judge(Some(&producer), &header(0, 5, 1));
        assert!(matches!(outside, Err(StoreError::Invalid(_))), "{outside:?}");
        assert!(!producer.is_stale(i64::MAX));
        assert_eq!(end(&mut producer, &marker(1), 9), Some(5));
        assert!(producer.is_stale(10) && !producer.is_stale(9));
        let fenced = judge(Some(&producer), &header(0, 5, 1));
        assert!(matches!(fenced, Err(StoreError::ProducerFenced { current: 1, got: 0, .. })));
        let fenced = judge(Some(&producer), &marker(0));
        assert!(matches!(fenced, Err(StoreError::ProducerFenced { .. })));
        assert_eq!(judge(Some(&producer), &header(1, 0, 1))?, Verdict::Append);
        let late = judge(Some(&producer), &header(1, 5, 1));
        assert!(matches!(late, Err(StoreError::OutOfOrderSequence { expected: 0, got: 5, .. })));
        assert_eq!(judge(Some(&producer), &marker(1))?, Verdict::Append);
        Ok(())
    }
}
