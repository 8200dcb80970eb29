//! The simulated store: in memory, single-lock, durable at once. For tests of what stands on a
//! store; it checks fences, guards and names, but not checksums or producers' sequences.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::{
    Appended, Commit, Committed, Done, FactKey, FactKind, Fence, Isolation, NewTopic, PartEnds,
    ProducerInfo, Read, Store, StoreError, TopicInfo, Topics, Wake, WatchGuard, Watched,
    check_topic_name,
};
use crate::ids::{Offset, PartId, TopicId};

/// Where a v2 batch keeps what offsets are computed from.
const LAST_OFFSET_DELTA_AT: usize = 23;
const MAX_TIMESTAMP_AT: usize = 35;

#[derive(Debug, Default)]
struct Part {
    /// Base offset → batch.
    batches: BTreeMap<Offset, Bytes>,
    ends: PartEnds,
}

#[derive(Default)]
struct State {
    topics: Arc<Topics>,
    parts: HashMap<PartId, Part>,
    facts: BTreeMap<FactKey, Bytes>,
    watches: BTreeMap<u64, (Watched, Arc<dyn Wake>)>,
    sequence: u64,
    next_part: u32,
    next_watch: u64,
    next_producer_id: i64,
}

/// See the module's head.
#[derive(Clone, Default)]
pub struct MemStore {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for MemStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemStore")
    }
}

impl MemStore {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, touched: &[PartId], topics: bool) {
        let wakes: Vec<_> = self
            .state()
            .watches
            .values()
            .filter(|(what, _)| match what {
                Watched::Part(part) => touched.contains(part),
                Watched::Topics => topics,
                Watched::Everything => true,
            })
            .map(|(_, wake)| Arc::clone(wake))
            .collect();
        wakes.iter().for_each(|wake| wake.wake());
    }

    fn change_topic(
        &self,
        name: &str,
        change: impl FnOnce(&mut State, &mut TopicInfo) -> Result<(), StoreError>,
    ) -> Result<Arc<TopicInfo>, StoreError> {
        let mut state = self.state();
        let old = state.topics.get(name).ok_or_else(|| StoreError::UnknownTopic(name.into()))?;
        let mut info = TopicInfo::clone(old);
        change(&mut state, &mut info)?;
        let info = Arc::new(info);
        let mut topics = Topics::clone(&state.topics);
        topics.by_name.insert(Arc::clone(&info.name), Arc::clone(&info));
        state.topics = Arc::new(topics);
        drop(state);
        self.notify(&[], true);
        Ok(info)
    }
}

fn i32_at(batch: &[u8], at: usize) -> Option<i32> {
    batch.get(at..)?.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes))
}

fn i64_at(batch: &[u8], at: usize) -> Option<i64> {
    batch.get(at..)?.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes))
}

fn new_parts(state: &mut State, count: u32) -> Vec<PartId> {
    (0..count)
        .map(|_| {
            let part = PartId(state.next_part);
            state.next_part += 1;
            state.parts.insert(part, Part::default());
            part
        })
        .collect()
}

impl State {
    fn apply(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        if let Some(fence) = &commit.fence {
            let key = FactKey::new(FactKind::Generation, fence.component.as_bytes().to_vec());
            let current = self
                .facts
                .get(&key)
                .and_then(|value| value.first_chunk::<8>().copied())
                .map_or(0, u64::from_le_bytes);
            if current != fence.generation {
                return Err(StoreError::Fenced {
                    component: fence.component.to_string(),
                    ours: fence.generation,
                    current,
                });
            }
        }
        for guard in &commit.guards {
            if self.facts.get(&guard.key) != guard.expect.as_ref() {
                let name = String::from_utf8_lossy(&guard.key.key).into_owned();
                return Err(StoreError::GuardMismatch(name));
            }
        }
        for append in &commit.appends {
            if !self.parts.contains_key(&append.part) {
                return Err(StoreError::UnknownPartition(append.part));
            }
            if i64_at(&append.batch, MAX_TIMESTAMP_AT).is_none() {
                return Err(StoreError::BadBatch("shorter than its header".into()));
            }
        }
        self.sequence += 1;
        let mut appends = Vec::with_capacity(commit.appends.len());
        for append in &commit.appends {
            let part = self.parts.entry(append.part).or_default();
            let delta = i32_at(&append.batch, LAST_OFFSET_DELTA_AT).unwrap_or(0);
            let base_offset = part.ends.high;
            let mut batch = BytesMut::from(append.batch.as_ref());
            if let Some(head) = batch.first_chunk_mut::<8>() {
                *head = base_offset.to_be_bytes();
            }
            part.ends.bytes += batch.len() as u64;
            part.batches.insert(base_offset, batch.freeze());
            part.ends.high = base_offset + i64::from(delta) + 1;
            part.ends.stable = part.ends.high;
            appends.push(Appended {
                part: append.part,
                base_offset,
                last_offset: base_offset + i64::from(delta),
                log_append_time_ms: -1,
                log_start: part.ends.start,
                duplicate: false,
            });
        }
        for (key, value) in &commit.facts {
            match value {
                Some(value) => self.facts.insert(key.clone(), value.clone()),
                None => self.facts.remove(key),
            };
        }
        Ok(Committed { sequence: self.sequence, appends })
    }
}

impl Store for MemStore {
    fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.state().topics)
    }

    fn create_topic(&self, topic: NewTopic) -> Result<Arc<TopicInfo>, StoreError> {
        check_topic_name(&topic.name)?;
        if topic.partitions == 0 {
            return Err(StoreError::Invalid("a topic needs at least one partition".into()));
        }
        let mut state = self.state();
        if state.topics.get(&topic.name).is_some() {
            return Err(StoreError::TopicExists(topic.name));
        }
        let partitions = new_parts(&mut state, topic.partitions);
        let mut id = [0; 16];
        if let (Some(head), Some(first)) = (id.first_chunk_mut::<4>(), partitions.first()) {
            *head = (first.0 + 1).to_be_bytes();
        }
        let info = Arc::new(TopicInfo {
            name: topic.name.into(),
            id: TopicId(id),
            partitions: partitions.into(),
            config: topic.config,
            created_ms: 0,
        });
        let mut topics = Topics::clone(&state.topics);
        topics.by_name.insert(Arc::clone(&info.name), Arc::clone(&info));
        state.topics = Arc::new(topics);
        drop(state);
        self.notify(&[], true);
        Ok(info)
    }

    fn delete_topic(&self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        let mut topics = Topics::clone(&state.topics);
        let gone =
            topics.by_name.remove(name).ok_or_else(|| StoreError::UnknownTopic(name.to_owned()))?;
        state.topics = Arc::new(topics);
        for part in gone.partitions.iter() {
            state.parts.remove(part);
        }
        drop(state);
        self.notify(&gone.partitions, true);
        Ok(())
    }

    fn alter_topic(
        &self,
        name: &str,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Arc<TopicInfo>, StoreError> {
        self.change_topic(name, |_, info| {
            for (key, value) in changes {
                match value {
                    Some(value) => info.config.insert(key, value),
                    None => info.config.remove(&key),
                };
            }
            Ok(())
        })
    }

    fn add_partitions(&self, name: &str, total: u32) -> Result<Arc<TopicInfo>, StoreError> {
        self.change_topic(name, |state, info| {
            let have = info.partitions.len() as u32;
            if total <= have {
                return Err(StoreError::Invalid(format!("topic has {have} partitions already")));
            }
            let mut partitions = info.partitions.to_vec();
            partitions.extend(new_parts(state, total - have));
            info.partitions = partitions.into();
            Ok(())
        })
    }

    fn delete_records(&self, part: PartId, before: Offset) -> Result<PartEnds, StoreError> {
        let ends = {
            let mut state = self.state();
            let part = state.parts.get_mut(&part).ok_or(StoreError::UnknownPartition(part))?;
            part.ends.start = before.min(part.ends.high).max(part.ends.start);
            let kept = part.batches.range(..=part.ends.start).next_back().map(|(base, _)| *base);
            part.batches = part.batches.split_off(&kept.unwrap_or(part.ends.start));
            part.ends
        };
        self.notify(&[part], false);
        Ok(ends)
    }

    fn claim(&self, component: &str) -> Result<Fence, StoreError> {
        let key = FactKey::new(FactKind::Generation, component.as_bytes().to_vec());
        let mut state = self.state();
        let generation = state
            .facts
            .get(&key)
            .and_then(|value| value.first_chunk::<8>().copied())
            .map_or(0, u64::from_le_bytes)
            + 1;
        state.facts.insert(key, Bytes::copy_from_slice(&generation.to_le_bytes()));
        Ok(Fence { component: component.into(), generation })
    }

    fn new_producer_id(&self) -> Result<i64, StoreError> {
        let mut state = self.state();
        state.next_producer_id += 1;
        Ok(state.next_producer_id)
    }

    fn submit(&self, commit: Commit, done: Done) {
        let result = self.state().apply(&commit);
        if let Ok(committed) = &result {
            let touched: Vec<_> = committed.appends.iter().map(|append| append.part).collect();
            self.notify(&touched, false);
        }
        done(result);
    }

    fn fact(&self, kind: FactKind, key: &[u8]) -> Option<Bytes> {
        self.state().facts.get(&FactKey::new(kind, key.to_vec())).cloned()
    }

    fn facts(&self, kind: FactKind, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.state()
            .facts
            .range(FactKey::new(kind, prefix.to_vec())..)
            .take_while(|(key, _)| key.kind == kind && key.key.starts_with(prefix))
            .map(|(key, value)| (key.key.clone(), value.clone()))
            .collect()
    }

    fn ends(&self, part: PartId) -> Option<PartEnds> {
        self.state().parts.get(&part).map(|part| part.ends)
    }

    fn read(
        &self,
        part: PartId,
        from: Offset,
        max_bytes: usize,
        _: Isolation,
    ) -> Result<Read, StoreError> {
        let state = self.state();
        let part = state.parts.get(&part).ok_or(StoreError::UnknownPartition(part))?;
        let ends = part.ends;
        if from < ends.start || from > ends.high {
            return Err(StoreError::OffsetOutOfRange {
                asked: from,
                start: ends.start,
                high: ends.high,
            });
        }
        if from == ends.high {
            return Ok(Read { ends, ..Read::default() });
        }
        let first = part.batches.range(..=from).next_back().map_or(from, |(base, _)| *base);
        let mut size = 0;
        let batches = part
            .batches
            .range(first..)
            .map(|(_, batch)| batch.clone())
            .take_while(|batch| {
                let fits = size == 0 || size + batch.len() <= max_bytes;
                size += batch.len();
                fits
            })
            .collect();
        Ok(Read { batches, ends, aborted: Vec::new() })
    }

    /// To the batch, not to the record: the base offset of the first batch that reaches the time.
    fn offset_at(
        &self,
        part: PartId,
        timestamp_ms: i64,
    ) -> Result<Option<(Offset, i64)>, StoreError> {
        let state = self.state();
        let part = state.parts.get(&part).ok_or(StoreError::UnknownPartition(part))?;
        Ok(part
            .batches
            .iter()
            .filter_map(|(base, batch)| Some((*base, i64_at(batch, MAX_TIMESTAMP_AT)?)))
            .find(|(_, max_timestamp)| *max_timestamp >= timestamp_ms))
    }

    /// Nothing is known: sequences are not checked here.
    fn producers(&self, part: PartId) -> Result<Vec<ProducerInfo>, StoreError> {
        let known = self.state().parts.contains_key(&part);
        if known { Ok(Vec::new()) } else { Err(StoreError::UnknownPartition(part)) }
    }

    fn watch(&self, what: Watched, wake: Arc<dyn Wake>) -> WatchGuard {
        let mut state = self.state();
        let id = state.next_watch;
        state.next_watch += 1;
        state.watches.insert(id, (what, wake));
        let held = Arc::clone(&self.state);
        WatchGuard::new(move || {
            held.lock().unwrap_or_else(PoisonError::into_inner).watches.remove(&id);
        })
    }

    fn leader_epoch(&self) -> i32 {
        0
    }
}
