//! An epoch as one commit.

use yeoul_base::{Append, Commit, Fates, Guard, PartId, StoreError};
use yeoul_log::batch::{BatchBuilder, Codec};
use yeoul_log::dead::DeadLetter;

use super::{Part, Runner, Step};
use crate::evaluate::partition_of;
use crate::position::Position;

/// Batches are closed at about this size: small enough for every topic's `max.message.bytes`.
const BATCH_BYTES: usize = 512 << 10;

/// What will be durable, and the counts with it.
pub(super) struct Epoch {
    pub(super) commit: Commit,
    pub(super) fates: Fates,
}

/// Collects records into batches of one partition.
struct Batches {
    part: PartId,
    builder: BatchBuilder,
}

impl Batches {
    fn new(part: PartId) -> Self {
        Self { part, builder: BatchBuilder::new(Codec::None) }
    }

    /// Closes the batch before it would grow beyond its size by `bytes` more.
    fn room(&mut self, bytes: usize, appends: &mut Vec<Append>) -> &mut BatchBuilder {
        if self.builder.len_bytes() + bytes > BATCH_BYTES {
            self.finish(appends);
        }
        &mut self.builder
    }

    fn finish(&mut self, appends: &mut Vec<Append>) {
        if let Some(batch) = self.builder.finish() {
            appends.push(Append { part: self.part, batch });
        }
    }
}

pub(super) fn build(runner: &Runner, parts: &[Part<'_>]) -> Result<Epoch, Step> {
    let mut epoch = Epoch {
        commit: Commit { fence: Some(runner.fence.clone()), ..Commit::default() },
        fates: runner.fates,
    };
    rows(runner, parts, &mut epoch)?;
    letters(runner, parts, &mut epoch)?;
    for part in parts {
        epoch.fates.used += part.made.used;
        epoch.fates.filtered += part.made.filtered;
        epoch.fates.dead += part.made.dead.len() as u64;
        epoch.fates.out += part.made.rows.len() as u64;
        epoch.fates.read += u64::from(part.made.records);
        positions(runner, part, &mut epoch);
    }
    let fates = epoch.fates.encode();
    epoch.commit.facts.push((Fates::key(&runner.component), Some(fates)));
    Ok(epoch)
}

/// Output rows: keyed ones by Kafka's partitioner, others keep their partition's number.
fn rows(runner: &Runner, parts: &[Part<'_>], epoch: &mut Epoch) -> Result<(), Step> {
    let Some(output) = &runner.output else {
        return Err(Step::Waiting(format!("topic `{}` does not exist", runner.spec.to)));
    };
    let count = output.partitions.len();
    let mut batches: Vec<Batches> = output.partitions.iter().copied().map(Batches::new).collect();
    let keyed = !runner.spec.key.is_empty();
    for part in parts {
        for row in &part.made.rows {
            let Some(record) = part.share.records.get(row.origin as usize) else { continue };
            let target = match &row.key {
                Some(key) if keyed => partition_of(key, count),
                _ => record.partition as usize % count.max(1),
            };
            let Some(batches) = batches.get_mut(target) else { continue };
            let bytes = row.value.len() + row.key.as_ref().map_or(0, bytes::Bytes::len);
            batches.room(bytes, &mut epoch.commit.appends).push(
                record.record.timestamp_ms,
                row.key.as_deref(),
                Some(&row.value),
                &[],
            );
        }
    }
    batches.iter_mut().for_each(|batches| batches.finish(&mut epoch.commit.appends));
    Ok(())
}

fn letters(runner: &Runner, parts: &[Part<'_>], epoch: &mut Epoch) -> Result<(), StoreError> {
    let bad = parts.iter().flat_map(|part| &part.input.parts).any(|part| part.bad().is_some());
    if !bad && parts.iter().all(|part| part.made.dead.is_empty()) {
        return Ok(());
    }
    let now = runner.context.clock.now_ms();
    let mut batches = Batches::new(runner.letters()?);
    for part in parts {
        let topic = Some(&*part.input.topic.name);
        for dead in &part.made.dead {
            let Some(taken) = part.share.records.get(dead.origin as usize) else { continue };
            let record = &taken.record;
            let letter = DeadLetter {
                component: &runner.component,
                stage: dead.stage,
                reason: &dead.reason,
                topic,
                partition: Some(taken.partition),
                offset: Some(record.offset),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
            };
            let bytes = record.value.as_ref().map_or(0, bytes::Bytes::len);
            letter.push(batches.room(bytes, &mut epoch.commit.appends), now);
        }
        for source in &part.input.parts {
            let Some(bad) = source.bad() else { continue };
            let letter = DeadLetter {
                component: &runner.component,
                stage: "read",
                reason: &bad.reason,
                topic,
                partition: Some(source.number),
                offset: Some(bad.first_offset),
                key: None,
                value: Some(&bad.bytes),
            };
            letter.push(batches.room(bad.bytes.len(), &mut epoch.commit.appends), now);
        }
    }
    batches.finish(&mut epoch.commit.appends);
    Ok(())
}

/// Moves the positions, guarded by what they were.
fn positions(runner: &Runner, part: &Part<'_>, epoch: &mut Epoch) {
    for source in &part.input.parts {
        let passed = source.passed();
        epoch.fates.read += passed.skipped + passed.bad;
        epoch.fates.aborted += passed.skipped;
        epoch.fates.dead += passed.bad;
        if passed.next == source.at {
            continue;
        }
        let key = Position::key(&runner.spec.name, &source.topic, source.number);
        let expect = runner.position_bytes(&source.topic, source.number);
        epoch.commit.guards.push(Guard { key: key.clone(), expect });
        let position = Position { topic: source.topic_id, next: passed.next, lost: source.lost };
        epoch.commit.facts.push((key, Some(position.encode())));
    }
}
