//! The coordinator's state as facts. Bytes: `docs/formats/transactions.md`.

use std::collections::BTreeMap;

use bytes::Bytes;
use yeoul_base::fields::{FieldError, FieldReader, FieldWriter};
use yeoul_base::{FactKey, FactKind, PartId, Store, TopicId};

use super::state::{Status, Transaction};
use crate::group::OffsetKey;

const VERSION: u8 = 1;

fn narrow<T: TryFrom<i64>>(field: &'static str, value: i64) -> Result<T, FieldError> {
    T::try_from(value).map_err(|_| FieldError { field, what: "number out of range" })
}

/// The fact of a transactional id.
pub(super) fn transaction_key(id: &str) -> FactKey {
    let mut out = FieldWriter::versioned(VERSION);
    out.str(id);
    FactKey::new(FactKind::Transaction, out.finish())
}

fn transactional_id(key: &[u8]) -> Result<&str, FieldError> {
    let mut input = FieldReader::versioned(key, VERSION)?;
    let id = input.str("transactional_id")?;
    input.end()?;
    Ok(id)
}

impl Transaction {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.i64(self.producer_id).i64(self.epoch.into());
        out.i64(self.last_producer_id).i64(self.last_epoch.into());
        out.i64(self.timeout_ms.into()).u64(self.status as u64);
        out.u64(self.number).u64(self.revision).i64(self.opened_ms).i64(self.updated_ms);
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let producer_id = input.i64("producer_id")?;
        let epoch = narrow("epoch", input.i64("epoch")?)?;
        let last_producer_id = input.i64("last_producer_id")?;
        let last_epoch = narrow("last_epoch", input.i64("last_epoch")?)?;
        let timeout_ms = narrow("timeout_ms", input.i64("timeout_ms")?)?;
        let status = input.u64("status")?;
        let status = Status::ALL.into_iter().find(|one| *one as u64 == status);
        let status = status.ok_or(FieldError { field: "status", what: "unknown" })?;
        let number = input.u64("number")?;
        let revision = input.u64("revision")?;
        let opened_ms = input.i64("opened_ms")?;
        let updated_ms = input.i64("updated_ms")?;
        input.end()?;
        Ok(Self {
            producer_id,
            epoch,
            last_producer_id,
            last_epoch,
            timeout_ms,
            status,
            number,
            revision,
            opened_ms,
            updated_ms,
        })
    }
}

/// Every transactional id. One whose fact does not decode is left out with a warning; a producer
/// that asks for it is refused.
pub(super) fn transactions(store: &dyn Store) -> Vec<(String, Transaction)> {
    let mut all = Vec::new();
    for (key, value) in store.facts(FactKind::Transaction, &[VERSION]) {
        let decoded = transactional_id(&key)
            .and_then(|id| Transaction::decode(&value).map(|value| (id.to_owned(), value)));
        match decoded {
            Ok(found) => all.push(found),
            Err(error) => tracing::warn!(%error, "the state of a transactional id does not decode"),
        }
    }
    all
}

fn of_producer(producer_id: i64) -> FieldWriter {
    let mut out = FieldWriter::versioned(VERSION);
    out.i64(producer_id);
    out
}

/// Which transaction a partition is in: a batch is committed under a guard on this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) epoch: i16,
    pub(super) number: u64,
}

pub(super) fn part_key(producer_id: i64, part: PartId) -> FactKey {
    let mut out = of_producer(producer_id);
    out.u64(part.0.into());
    FactKey::new(FactKind::TransactionPart, out.finish())
}

impl Membership {
    pub(super) fn of(transaction: &Transaction) -> Self {
        Self { epoch: transaction.epoch, number: transaction.number }
    }

    pub(super) fn encode(self) -> Bytes {
        let mut out = FieldWriter::versioned(VERSION);
        out.i64(self.epoch.into()).u64(self.number);
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut input = FieldReader::versioned(bytes, VERSION)?;
        let epoch = narrow("epoch", input.i64("epoch")?)?;
        let number = input.u64("number")?;
        input.end()?;
        Ok(Self { epoch, number })
    }
}

/// The partitions in a producer's open transaction; a key that does not decode has no partition.
pub(super) fn parts(store: &dyn Store, producer_id: i64) -> Vec<(FactKey, Option<PartId>)> {
    let prefix = of_producer(producer_id).finish();
    let all = store.facts(FactKind::TransactionPart, &prefix);
    all.into_iter()
        .map(|(key, _)| {
            let part = decode_part(&key).ok();
            (FactKey::new(FactKind::TransactionPart, key), part)
        })
        .collect()
}

fn decode_part(key: &[u8]) -> Result<PartId, FieldError> {
    let mut input = FieldReader::versioned(key, VERSION)?;
    input.i64("producer_id")?;
    let part = PartId(input.u32("partition")?);
    input.end()?;
    Ok(part)
}

/// That a producer's open transaction may commit offsets of a group.
pub(super) fn group_key(producer_id: i64, group: &str) -> FactKey {
    let mut out = of_producer(producer_id);
    out.str(group);
    FactKey::new(FactKind::TransactionOffset, out.finish())
}

/// An offset that the end of a producer's open transaction will commit.
pub(super) fn offset_key(producer_id: i64, group: &str, offset: OffsetKey) -> FactKey {
    let mut out = of_producer(producer_id);
    out.str(group).id16(&offset.topic.0);
    // Not negative: it was looked up among the topic's partitions.
    out.u64(u64::try_from(offset.partition).unwrap_or(0));
    FactKey::new(FactKind::TransactionOffset, out.finish())
}

/// One fact of the kind TransactionOffset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) fact: FactKey,
    pub(super) value: Bytes,
    pub(super) group: String,
    /// `None`: only says that the group takes part.
    pub(super) offset: Option<OffsetKey>,
}

/// The groups and offsets in one producer's open transaction, or in all producers'.
pub(super) fn pending(store: &dyn Store, producer_id: Option<i64>) -> Vec<Pending> {
    let prefix = match producer_id {
        Some(producer_id) => of_producer(producer_id).finish(),
        None => Bytes::from_static(&[VERSION]),
    };
    let mut all = Vec::new();
    for (key, value) in store.facts(FactKind::TransactionOffset, &prefix) {
        match decode_pending(&key) {
            Ok((group, offset)) => all.push(Pending {
                group: group.to_owned(),
                offset,
                value,
                fact: FactKey::new(FactKind::TransactionOffset, key.clone()),
            }),
            Err(error) => tracing::warn!(%error, "an offset of a transaction does not decode"),
        }
    }
    all
}

fn decode_pending(key: &[u8]) -> Result<(&str, Option<OffsetKey>), FieldError> {
    let mut input = FieldReader::versioned(key, VERSION)?;
    input.i64("producer_id")?;
    let group = input.str("group")?;
    if input.is_empty() {
        return Ok((group, None));
    }
    let topic = TopicId(input.id16("topic")?);
    let partition = narrow("partition", i64::from(input.u32("partition")?))?;
    input.end()?;
    Ok((group, Some(OffsetKey { topic, partition })))
}

/// What an open transaction will commit for a group, by whichever producer.
pub(super) fn unstable(store: &dyn Store, group: &str) -> BTreeMap<OffsetKey, FactKey> {
    let all = pending(store, None).into_iter();
    all.filter(|one| one.group == group)
        .filter_map(|one| one.offset.map(|offset| (offset, one.fact)))
        .collect()
}

#[cfg(test)]
mod tests {
    use yeoul_base::{Commit, MemStore};

    use super::*;

    #[test]
    fn keys_and_values_keep_their_documented_bytes() {
        assert_eq!(transaction_key("t1").key, [1, 2, b't', b'1'].as_slice());
        let transaction = Transaction {
            producer_id: 300,
            epoch: 2,
            last_producer_id: -1,
            last_epoch: 1,
            timeout_ms: 60_000,
            status: Status::Ongoing,
            number: 5,
            revision: 9,
            opened_ms: 64,
            updated_ms: 65,
        };
        let bytes = [1, 0xd8, 0x04, 4, 1, 2, 0xc0, 0xa9, 0x07, 1, 5, 9, 0x80, 0x01, 0x82, 0x01];
        assert_eq!(transaction.encode(), bytes.as_slice());
        assert_eq!(Transaction::decode(&bytes), Ok(transaction));

        assert_eq!(part_key(300, PartId(7)).key, [1, 0xd8, 0x04, 7].as_slice());
        let member = Membership { epoch: 2, number: 5 };
        assert_eq!(member.encode(), [1, 4, 5].as_slice());
        assert_eq!(Membership::decode(&member.encode()), Ok(member));

        let group = [1, 0xd8, 0x04, 1, b'g'];
        assert_eq!(group_key(300, "g").key, group.as_slice());
        let offset = OffsetKey { topic: TopicId([0xab; 16]), partition: 300 };
        let mut key = group.to_vec();
        key.extend([0xab; 16]);
        key.extend([0xac, 0x02]);
        assert_eq!(offset_key(300, "g", offset).key, key);
        assert_eq!(decode_pending(&key), Ok(("g", Some(offset))));
        assert_eq!(decode_pending(&group), Ok(("g", None)));
    }

    #[test]
    fn a_producer_does_not_see_the_facts_of_one_whose_id_begins_alike() {
        let store = MemStore::new();
        let member = Membership { epoch: 0, number: 1 }.encode();
        // 63 is one byte, 64 and 8,191 are two: none is the beginning of another.
        let keys = [1, 63, 64, 8_191, 8_192].map(|id| part_key(id, PartId(3)));
        let facts = keys.iter().map(|key| (key.clone(), Some(member.clone()))).collect();
        store.commit(Commit { facts, ..Commit::default() }).expect("committed");
        for (id, key) in [1, 63, 64, 8_191, 8_192].into_iter().zip(keys) {
            assert_eq!(parts(&store, id), [(key, Some(PartId(3)))]);
        }
    }
}
