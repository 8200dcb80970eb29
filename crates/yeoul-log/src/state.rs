//! The log's state as the writer knows it: what every frame so far has made of facts, topics and
//! partitions. The writer applies a frame before it is durable, recovery while replaying; both
//! through [`State::apply`], so that a restart cannot come to another answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rpds::HashTrieMapSync;
use yeoul_base::{FactKey, FactKind, Offset, PartEnds, PartId, TopicInfo, Topics};

use crate::batch::{self, BatchHeader};
use crate::compact::Progress;
use crate::facts::{self, Facts};
use crate::frame::Frame;
use crate::options::LogOptions;
use crate::part::Part;
use crate::producers::{self, Producers};
use crate::quarantine::{self, Lost};
use crate::topics::{self, PartConfig};
use crate::txn::Aborted;

pub(crate) type PartMap = HashTrieMapSync<PartId, Arc<Part>>;

/// A partition as its writer knows it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) part: Arc<Part>,
    /// The offset the next record gets.
    pub(crate) next: Offset,
    pub(crate) start: Offset,
    pub(crate) producers: Producers,
    /// First offsets of open transactions; no two batches have one offset.
    pub(crate) open: BTreeSet<Offset>,
    pub(crate) compaction: Progress,
}

impl Lane {
    pub(crate) fn new(part: Arc<Part>, start: Offset, next: Offset, producers: Producers) -> Self {
        let open = producers.values().filter_map(|producer| producer.open).collect();
        Self { part, next, start, producers, open, compaction: Progress::default() }
    }

    /// Every record below it is decided; readers see no less than the start.
    pub(crate) fn stable(&self) -> Offset {
        self.open.first().map_or(self.next, |first| *first)
    }

    /// Takes over the next batch; an abort is returned as what readers must leave out.
    fn take(
        &mut self,
        header: &BatchHeader,
        batch: &Bytes,
        now_ms: i64,
    ) -> Result<Option<Aborted>, &'static str> {
        if header.base_offset != self.next {
            return Err("a batch whose offsets do not follow the partition's");
        }
        self.next = header.last_offset() + 1;
        if !header.has_producer() {
            return Ok(None);
        }
        let producer = self.producers.entry(header.producer_id).or_default();
        if !header.is_control() {
            producers::note(producer, header, header.base_offset, now_ms);
            self.open.extend(producer.open);
            return Ok(None);
        }
        let commits = batch::commits(batch).map_err(|_| "a marker that cannot be read")?;
        let Some(first) = producers::end(producer, header, now_ms) else { return Ok(None) };
        self.open.remove(&first);
        let aborted = Aborted {
            producer_id: header.producer_id,
            first,
            last: header.base_offset,
            stable: self.stable(),
        };
        Ok((!commits).then_some(aborted))
    }
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct State {
    /// Of the last frame applied.
    pub(crate) sequence: u64,
    pub(crate) facts: Facts,
    pub(crate) topics: Arc<Topics>,
    pub(crate) parts: PartMap,
    pub(crate) lanes: BTreeMap<PartId, Lane>,
}

/// What readers must be told once the frame is durable.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) topics_changed: bool,
    pub(crate) removed: Vec<Arc<Part>>,
    pub(crate) starts: Vec<(Arc<Part>, Offset)>,
    pub(crate) aborted: Vec<(PartId, Aborted)>,
}

impl Effects {
    /// Adds those of a later frame.
    pub(crate) fn join(&mut self, later: Self) {
        self.topics_changed |= later.topics_changed;
        self.removed.extend(later.removed);
        self.starts.extend(later.starts);
        self.aborted.extend(later.aborted);
    }
}

impl State {
    pub(crate) fn empty() -> Self {
        Self {
            sequence: 0,
            facts: Facts::new_sync(),
            topics: Arc::default(),
            parts: PartMap::new_sync(),
            lanes: BTreeMap::new(),
        }
    }

    /// Adds a partition that a snapshot tells of.
    pub(crate) fn add_lane(&mut self, lane: Lane) {
        self.parts.insert_mut(lane.part.id, Arc::clone(&lane.part));
        self.lanes.insert(lane.part.id, lane);
    }

    /// Takes over the next frame. Headers are its batches', with their offsets.
    ///
    /// # Errors
    /// A frame that does not continue this state; only damaged ones do not.
    pub(crate) fn apply(
        &mut self,
        headers: &[BatchHeader],
        frame: &Frame,
        now_ms: i64,
        options: &LogOptions,
    ) -> Result<Effects, &'static str> {
        let mut effects = Effects::default();
        for ((part, batch), header) in frame.appends.iter().zip(headers) {
            let lane = self.lanes.get_mut(part).ok_or("a batch for a partition there is not")?;
            let aborted = lane.take(header, batch, now_ms)?;
            effects.aborted.extend(aborted.map(|aborted| (*part, aborted)));
        }
        for (key, value) in &frame.facts {
            facts::apply(&mut self.facts, key, value);
            match key.kind {
                FactKind::Topic => {
                    self.apply_topic(&key.key, value.as_deref(), options, &mut effects)?;
                }
                FactKind::Quarantine => self.apply_quarantine(&key.key, value.as_deref())?,
                _ => {}
            }
        }
        for (part, start) in &frame.starts {
            // The partition may have gone in the same frame.
            if let Some(lane) = self.lanes.get_mut(part) {
                if *start > lane.next {
                    return Err("a partition's start lies beyond its end");
                }
                lane.start = lane.start.max(*start);
                effects.starts.push((Arc::clone(&lane.part), lane.start));
                let before = lane.start;
                self.forget_lost(*part, before);
            }
        }
        self.sequence += 1;
        Ok(effects)
    }

    /// Hides a range from readers at once: no harm if the frame does not come to be.
    fn apply_quarantine(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), &'static str> {
        let Some(value) = value else { return Err("a lost range is taken back") };
        let lost = Lost::decode(key, value).map_err(|_| "a lost range does not decode")?;
        if let Some(lane) = self.lanes.get(&lost.part) {
            lane.part.lose(lost);
        }
        Ok(())
    }

    /// Notes a range that cannot be read, as a fact and where readers see it.
    pub(crate) fn lose(&mut self, lost: &Lost) {
        if let Some(lane) = self.lanes.get(&lost.part) {
            self.facts.insert_mut(lost.key(), lost.encode());
            lane.part.lose(lost.clone());
        }
    }

    pub(crate) fn quarantined(&self) -> Result<Vec<Lost>, String> {
        let facts = facts::with_prefix(&self.facts, FactKind::Quarantine, b"");
        let decode = |(key, value): &(Bytes, Bytes)| Lost::decode(key, value);
        facts.iter().map(decode).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// Ranges that nobody can ask for any more need not be known.
    fn forget_lost(&mut self, part: PartId, before: Offset) {
        for (key, value) in
            facts::with_prefix(&self.facts, FactKind::Quarantine, &quarantine::prefix(part))
        {
            if Lost::decode(&key, &value).is_ok_and(|lost| lost.last < before) {
                self.facts.remove_mut(&FactKey::new(FactKind::Quarantine, key));
            }
        }
    }

    fn apply_topic(
        &mut self,
        name: &[u8],
        value: Option<&[u8]>,
        options: &LogOptions,
        effects: &mut Effects,
    ) -> Result<(), &'static str> {
        let name = std::str::from_utf8(name).map_err(|_| "a topic's name is not UTF-8")?;
        let new = value.map(|value| topics::decode(name, value)).transpose();
        let new = new.map_err(|_| "a topic's fact does not decode")?.map(Arc::new);
        let mut all = Topics::clone(&self.topics);
        let old = match &new {
            Some(new) => all.by_name.insert(Arc::clone(&new.name), Arc::clone(new)),
            None => all.by_name.remove(name),
        };
        self.topics = Arc::new(all);
        effects.topics_changed = true;
        let parts = |topic: &Option<Arc<TopicInfo>>| {
            topic.as_ref().map_or_else(Vec::new, |topic| topic.partitions.to_vec())
        };
        let (old, now) = (parts(&old), parts(&new));
        for gone in old.iter().filter(|id| !now.contains(id)) {
            self.parts.remove_mut(gone);
            self.forget_lost(*gone, Offset::MAX);
            effects.removed.extend(self.lanes.remove(gone).map(|lane| lane.part));
        }
        let config = new.map(|topic| PartConfig::of(&topic.config, options));
        for id in now {
            let Some(config) = config else { continue };
            match self.lanes.get(&id) {
                Some(lane) => lane.part.set_config(config),
                None => {
                    let part = Arc::new(Part::new(id, config, PartEnds::default(), Vec::new()));
                    self.add_lane(Lane::new(part, 0, 0, Producers::new()));
                }
            }
        }
        Ok(())
    }
}
