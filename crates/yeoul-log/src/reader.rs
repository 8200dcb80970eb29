//! Reads one partition record by record over any [`Store`]: what streams, tables, sinks and the
//! live pages use. Control records and aborted transactions are left out and counted, so that a
//! component's fates still add up to the offsets it passed.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::store::AbortedTxn;
use yeoul_base::{Isolation, Offset, PartId, Store, StoreError};

use crate::batch::{self, BatchHeader, Record};

/// A batch whose checksum holds but whose records do not decode: some client wrote it so.
#[derive(Debug, Clone)]
pub struct BadBatch {
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub reason: String,
    /// As stored.
    pub bytes: Bytes,
}

/// A place in a partition that moves forward.
#[derive(Debug)]
pub struct PartitionReader {
    store: Arc<dyn Store>,
    part: PartId,
    position: Offset,
    isolation: Isolation,
    skipped: u64,
    bad: Option<BadBatch>,
    lost: Option<(Offset, Offset)>,
}

impl PartitionReader {
    pub fn new(store: Arc<dyn Store>, part: PartId, from: Offset, isolation: Isolation) -> Self {
        Self { store, part, position: from, isolation, skipped: 0, bad: None, lost: None }
    }

    pub fn part(&self) -> PartId {
        self.part
    }

    /// The offset the next record will have at least.
    pub fn position(&self) -> Offset {
        self.position
    }

    /// Goes on from `to`, which may lie before the position.
    pub fn seek(&mut self, to: Offset) {
        self.position = to;
        self.bad = None;
        self.lost = None;
    }

    /// Control records and records of aborted transactions left out since this reader was made.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next records: whole batches up to about `max_bytes` as stored, at least one batch.
    /// Empty at the end of what `isolation` may see.
    ///
    /// # Errors
    /// Those of [`Store::read`]; and [`StoreError::BadBatch`] for a batch that does not decode:
    /// the position stays before it until [`PartitionReader::skip_bad`] is called. The same with
    /// [`StoreError::Quarantined`] and [`PartitionReader::skip_lost`].
    pub fn next(&mut self, max_bytes: usize) -> Result<Vec<Record>, StoreError> {
        loop {
            if let Some(bad) = &self.bad {
                return Err(StoreError::BadBatch(format!(
                    "partition {}, offsets {} to {}: {}",
                    self.part, bad.first_offset, bad.last_offset, bad.reason
                )));
            }
            let read = self.store.read(self.part, self.position, max_bytes, self.isolation);
            if let Err(StoreError::Quarantined { first, last, .. }) = &read {
                self.lost = Some((self.position.max(*first), *last));
            }
            let read = read?;
            if read.batches.is_empty() {
                // Up to here all was compacted away.
                let end = match self.isolation {
                    Isolation::Uncommitted => read.ends.high,
                    Isolation::Committed => read.ends.stable,
                };
                self.position = self.position.max(end);
                return Ok(Vec::new());
            }
            let before = self.position;
            let mut out = Vec::new();
            let mut aborting = Aborting::new(&read.aborted);
            for bytes in read.batches {
                self.take(bytes, &mut aborting, &mut out)?;
                if self.bad.is_some() {
                    break;
                }
            }
            if !out.is_empty() || (self.position == before && self.bad.is_none()) {
                return Ok(out);
            }
        }
    }

    /// Passes the batch that made [`PartitionReader::next`] fail, and hands it out, so that the
    /// caller can keep it as a dead letter.
    pub fn skip_bad(&mut self) -> Option<BadBatch> {
        let bad = self.bad.take()?;
        self.position = bad.last_offset + 1;
        Some(bad)
    }

    /// Passes the lost records that made [`PartitionReader::next`] fail; returns their first and
    /// last offset, so that the caller can count them.
    pub fn skip_lost(&mut self) -> Option<(Offset, Offset)> {
        let lost = self.lost.take()?;
        self.position = lost.1 + 1;
        Some(lost)
    }

    fn take(
        &mut self,
        bytes: Bytes,
        aborting: &mut Aborting,
        out: &mut Vec<Record>,
    ) -> Result<(), StoreError> {
        for batch in batch::split(bytes) {
            let broken = |error| StoreError::Corrupt(format!("partition {}: {error}", self.part));
            let batch = batch.map_err(broken)?;
            let header = BatchHeader::parse(&batch).map_err(broken)?;
            if header.last_offset() < self.position {
                continue;
            }
            let passed = header.last_offset() + 1 - self.position.max(header.base_offset);
            let passed = u64::try_from(passed).unwrap_or(0);
            if header.is_control() {
                aborting.marker(&header, &batch);
                self.skipped += passed.min(u64::try_from(header.record_count).unwrap_or(0));
            } else if aborting.covers(&header) {
                self.skipped += passed.min(u64::try_from(header.record_count).unwrap_or(0));
            } else {
                match batch::decode(&batch) {
                    Ok(records) => {
                        let from = self.position;
                        out.extend(records.into_iter().filter(|record| record.offset >= from));
                    }
                    Err(error) => {
                        self.bad = Some(BadBatch {
                            first_offset: header.base_offset,
                            last_offset: header.last_offset(),
                            reason: error.to_string(),
                            bytes: batch,
                        });
                        return Ok(());
                    }
                }
            }
            self.position = header.last_offset() + 1;
        }
        Ok(())
    }
}

/// Which producers' records are left out while batches of one read are gone through in order.
#[derive(Debug)]
pub struct Aborting {
    /// By first offset, the next one last.
    ahead: Vec<AbortedTxn>,
    now: HashSet<i64>,
}

impl Aborting {
    /// With the aborted transactions that came with the batches.
    pub fn new(aborted: &[AbortedTxn]) -> Self {
        let mut ahead = aborted.to_vec();
        ahead.sort_by_key(|txn| std::cmp::Reverse(txn.first_offset));
        Self { ahead, now: HashSet::new() }
    }

    /// Whether a batch of data belongs to an aborted transaction.
    pub fn covers(&mut self, header: &BatchHeader) -> bool {
        self.begin(header);
        header.is_transactional() && self.now.contains(&header.producer_id)
    }

    /// Takes note of a control batch: an abort marker ends what it aborts, even when all of that
    /// lies before what is read.
    pub fn marker(&mut self, header: &BatchHeader, batch: &Bytes) {
        self.begin(header);
        if batch::commits(batch) == Ok(false) {
            self.now.remove(&header.producer_id);
        }
    }

    /// Transactions that have begun by the end of the batch at hand.
    fn begin(&mut self, header: &BatchHeader) {
        while let Some(txn) = self.ahead.last()
            && txn.first_offset <= header.last_offset()
        {
            self.now.insert(txn.producer_id);
            self.ahead.pop();
        }
    }
}

#[cfg(test)]
mod tests;
