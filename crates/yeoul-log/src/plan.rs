//! From a request to a frame: everything that can refuse a commit happens here, against the
//! writer's own state and without changing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use yeoul_base::{
    Appended, Clock, Commit, Committed, FactKind, Fence, NewTopic, Offset, PartId, Rand,
    StoreError, TopicInfo,
};

use crate::batch::BatchHeader;
use crate::facts;
use crate::frame::Frame;
use crate::planted::{self, Planted};
use crate::producers::{self, Producer, Verdict};
use crate::quarantine::Lost;
use crate::rebuild;
use crate::state::State;
use crate::topics::{self, Changed};

/// What somebody wants of the writer.
#[derive(Debug)]
pub(crate) enum Work {
    /// With the header of each append's batch, which is verified.
    Commit(Commit, Vec<BatchHeader>),
    CreateTopic(NewTopic),
    DeleteTopic(String),
    AlterTopic(String, Vec<(String, Option<String>)>),
    AddPartitions(String, u32),
    Claim(String),
    ProducerId,
    MoveStarts(Vec<(PartId, Offset)>),
    /// Records that turned out to be damaged.
    Quarantine(Lost),
}

/// What it gets.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Committed(Committed),
    Topic(Arc<TopicInfo>),
    Fence(Fence),
    ProducerId(i64),
    Done,
}

pub(crate) type Respond = Box<dyn FnOnce(Result<Answer, StoreError>) + Send>;

/// Work with its way back.
pub(crate) struct Request {
    pub(crate) work: Work,
    /// About what its frame will take.
    pub(crate) bytes: usize,
    pub(crate) respond: Respond,
}

/// A frame that may be written, and the answer once it is durable.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) frame: Frame,
    /// Of the frame's appends, with their offsets.
    pub(crate) headers: Vec<BatchHeader>,
    pub(crate) answer: Answer,
}

impl Plan {
    /// Whether it appends more than ends of transactions, which may free readers and make space
    /// like commits of facts.
    pub(crate) fn has_records(&self) -> bool {
        self.headers.iter().any(|header| !header.is_control())
    }

    /// Nothing to write: all of it is there already.
    pub(crate) fn is_empty(&self) -> bool {
        let Frame { appends, facts, starts } = &self.frame;
        appends.is_empty() && facts.is_empty() && starts.is_empty()
    }
}

pub(crate) struct Planner<'a> {
    pub(crate) state: &'a State,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) rand: &'a dyn Rand,
}

impl Planner<'_> {
    pub(crate) fn plan(&self, work: &Work) -> Result<Plan, StoreError> {
        let (topics, facts) = (&self.state.topics, &self.state.facts);
        match work {
            Work::Commit(commit, headers) => self.commit(commit, headers),
            Work::CreateTopic(new) => {
                let (id, now) = (self.rand.bytes16(), self.clock.now_ms());
                topics::create(new, topics, facts, id, now).map(changed)
            }
            Work::DeleteTopic(name) => topics::delete(name, topics).map(changed),
            Work::AlterTopic(name, changes) => topics::alter(name, changes, topics).map(changed),
            Work::AddPartitions(name, total) => {
                topics::add_partitions(name, *total, topics, facts).map(changed)
            }
            Work::Claim(component) => {
                let generation = facts::generation(facts, component) + 1;
                let key = facts::generation_key(component);
                let value = generation.to_le_bytes().to_vec().into();
                let fence = Fence { component: component.as_str().into(), generation };
                let frame = Frame { facts: vec![(key, Some(value))], ..Frame::default() };
                Ok(Plan { frame, headers: Vec::new(), answer: Answer::Fence(fence) })
            }
            Work::ProducerId => {
                let key = facts::counter_key("producer");
                let id = facts::counter(facts, &key) + 1;
                let frame = Frame {
                    facts: vec![(key, Some(facts::encode_counter(id)))],
                    ..Frame::default()
                };
                let answer = Answer::ProducerId(i64::try_from(id).unwrap_or(i64::MAX));
                Ok(Plan { frame, headers: Vec::new(), answer })
            }
            Work::MoveStarts(starts) => {
                let moves = |(part, start): &(PartId, Offset)| {
                    let lane = self.state.lanes.get(part)?;
                    let start = (*start).min(lane.next);
                    (start > lane.start).then_some((*part, start))
                };
                let starts = starts.iter().filter_map(moves).collect();
                let frame = Frame { starts, ..Frame::default() };
                Ok(Plan { frame, headers: Vec::new(), answer: Answer::Done })
            }
            Work::Quarantine(lost) => {
                // The partition, or that part of it, may be gone; or it is known already.
                let lane = self.state.lanes.get(&lost.part);
                let there = lane.is_some_and(|lane| lost.last >= lane.start);
                let new = there && facts.get(&lost.key()) != Some(&lost.encode());
                let facts = new.then(|| (lost.key(), Some(lost.encode())));
                let frame = Frame { facts: facts.into_iter().collect(), ..Frame::default() };
                Ok(Plan { frame, headers: Vec::new(), answer: Answer::Done })
            }
        }
    }

    fn commit(&self, commit: &Commit, headers: &[BatchHeader]) -> Result<Plan, StoreError> {
        let facts = &self.state.facts;
        if let Some(Fence { component, generation }) = &commit.fence {
            let current = facts::generation(facts, component);
            if current != *generation {
                let (component, ours) = (component.to_string(), *generation);
                return Err(StoreError::Fenced { component, ours, current });
            }
        }
        for guard in &commit.guards {
            if facts.get(&guard.key) != guard.expect.as_ref() {
                let name = String::from_utf8_lossy(&guard.key.key).into_owned();
                return Err(StoreError::GuardMismatch(name));
            }
        }
        let mut overlay = Overlay::default();
        let mut frame = Frame { facts: commit.facts.clone(), ..Frame::default() };
        let mut placed = Vec::with_capacity(headers.len());
        let mut appends = Vec::with_capacity(headers.len());
        for (append, header) in commit.appends.iter().zip(headers) {
            let (header, appended) = self.append(append.part, header, &mut overlay)?;
            if !appended.duplicate {
                let ended = placed.iter().any(BatchHeader::is_control);
                if planted::is(Planted::MarkerInOnePartition) && ended {
                    continue;
                }
                frame.appends.push((append.part, append.batch.clone()));
                placed.push(header);
            }
            appends.push(appended);
        }
        let answer = Answer::Committed(Committed { sequence: self.state.sequence, appends });
        Ok(Plan { frame, headers: placed, answer })
    }

    fn append(
        &self,
        part: PartId,
        header: &BatchHeader,
        overlay: &mut Overlay,
    ) -> Result<(BatchHeader, Appended), StoreError> {
        let lane = self.state.lanes.get(&part).ok_or(StoreError::UnknownPartition(part))?;
        let id = (part, header.producer_id);
        if header.has_producer() {
            let known = overlay.producers.get(&id);
            let known = known.or_else(|| lane.producers.get(&header.producer_id));
            if let Verdict::Duplicate(sent) = producers::judge(known, header)? {
                return Ok((
                    *header,
                    Appended {
                        part,
                        base_offset: sent.base_offset,
                        last_offset: sent.last_offset,
                        log_append_time_ms: -1,
                        log_start: lane.start,
                        duplicate: true,
                    },
                ));
            }
        }
        rebuild::may_append(&lane.part, header)?;
        let next = overlay.next.entry(part).or_insert(lane.next);
        let header = BatchHeader { base_offset: *next, ..*header };
        *next = header.last_offset() + 1;
        if header.has_producer() {
            let known = lane.producers.get(&header.producer_id);
            let start = || known.cloned().unwrap_or_default();
            let producer = overlay.producers.entry(id).or_insert_with(start);
            if header.is_control() {
                producers::end(producer, &header, 0);
            } else {
                producers::note(producer, &header, header.base_offset, 0);
            }
        }
        let time = if header.is_log_append_time() { header.max_timestamp_ms } else { -1 };
        let appended = Appended {
            part,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            log_append_time_ms: time,
            log_start: lane.start,
            duplicate: false,
        };
        Ok((header, appended))
    }
}

/// What the appends before the one at hand have changed within the same commit.
#[derive(Default)]
struct Overlay {
    next: BTreeMap<PartId, Offset>,
    producers: BTreeMap<(PartId, i64), Producer>,
}

fn changed((facts, topic): Changed) -> Plan {
    let frame = Frame { facts, ..Frame::default() };
    Plan { frame, headers: Vec::new(), answer: Answer::Topic(topic) }
}

/// Facts that only the log itself writes.
pub(crate) fn is_own(kind: FactKind) -> bool {
    use FactKind::{Counter, Generation, Quarantine, Topic};
    matches!(kind, Topic | Counter | Generation | Quarantine)
}
