//! The examination: begins as a start would, but goes on where that stops, and counts what the
//! damage takes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use yeoul_base::{Disk, FactKey, FactKind, Offset, Open, PartId, StoreError, TopicInfo};

use super::overlay::Overlay;
use super::{Choice, Diagnosis, Finding, Kind, Loses, LostOffsets};
use crate::batch::BatchHeader;
use crate::damage::Damage;
use crate::error::LogError;
use crate::frame::{self, Decoded, Frame};
use crate::gone::Gone;
use crate::options::LogOptions;
use crate::part::Part;
use crate::paths;
use crate::quarantine::Lost;
use crate::recovery::{self, Newest};
use crate::segment::LogSegment;
use crate::snapshot::{self, Snapshot};
use crate::wal::{self, Found, Short, Wal};
use crate::walk::Walk;

/// What a repair needs beside the diagnosis.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) diagnosis: Diagnosis,
    /// Log segments that are missing or too short, and the length they should have.
    pub(super) grow: BTreeMap<PathBuf, u64>,
    /// Damage in log segments that is not yet a fact.
    pub(super) damage: Vec<Lost>,
    /// Ranges that are known.
    pub(super) known: BTreeMap<(PartId, Offset), Lost>,
    pub(super) wal: Option<Wal>,
    pub(super) snapshot: Option<Snapshot>,
}

/// Is given what is damaged in log segments, with its bytes, before it becomes a finding.
pub(super) type OnDamage<'a> = &'a mut dyn FnMut(&mut Damage) -> Result<(), LogError>;

pub(super) fn look(
    disk: &Arc<dyn Disk>,
    options: &LogOptions,
    on_damage: OnDamage<'_>,
) -> Result<Look, LogError> {
    let mut look = Look::default();
    let found = look.all(disk, options, on_damage);
    match found {
        Err(LogError::Damaged { file, position, what }) => {
            look.diagnosis.findings.push(Finding {
                kind: Kind::Snapshot,
                file,
                position: Some(position),
                what,
                choice: None,
                loses: Loses::default(),
            });
            Ok(look)
        }
        found => found.map(|()| look),
    }
}

/// What the log's state is after a commit, as far as a diagnosis needs it.
#[derive(Debug, Default)]
struct Survey {
    topics: BTreeMap<Arc<str>, TopicInfo>,
    /// Start and end of partitions.
    ends: BTreeMap<PartId, (Offset, Offset)>,
    bytes: BTreeMap<PartId, u64>,
    lost: BTreeMap<(PartId, Offset), Lost>,
}

impl Survey {
    fn of(snapshot: &Snapshot) -> Self {
        let mut survey = Self::default();
        for part in &snapshot.parts {
            survey.ends.insert(part.id, (part.start, part.high));
            let bytes = part.segments.iter().map(|segment| segment.len_bytes).sum();
            survey.bytes.insert(part.id, bytes);
        }
        snapshot.facts.iter().for_each(|(key, value)| survey.fact(key, Some(value)));
        survey
    }

    fn fact(&mut self, key: &FactKey, value: Option<&Bytes>) {
        match (key.kind, value) {
            (FactKind::Topic, value) => {
                let name = String::from_utf8_lossy(&key.key);
                let topic = value.and_then(|value| crate::topics::decode(&name, value).ok());
                match topic {
                    Some(topic) => {
                        for part in topic.partitions.iter() {
                            self.ends.entry(*part).or_default();
                        }
                        self.topics.insert(Arc::clone(&topic.name), topic);
                    }
                    None => {
                        self.topics.remove(&*name);
                    }
                }
            }
            (FactKind::Quarantine, Some(value)) => {
                if let Ok(lost) = Lost::decode(&key.key, value) {
                    self.lost.insert((lost.part, lost.first), lost);
                }
            }
            _ => {}
        }
    }

    fn frame(&mut self, frame: &Frame) {
        for (part, batch) in &frame.appends {
            let Ok(header) = BatchHeader::parse(batch) else { continue };
            self.ends.entry(*part).or_default().1 = header.last_offset() + 1;
            *self.bytes.entry(*part).or_default() += batch.len() as u64;
        }
        frame.facts.iter().for_each(|(key, value)| self.fact(key, value.as_ref()));
        for (part, start) in &frame.starts {
            let ends = self.ends.entry(*part).or_default();
            ends.0 = ends.0.max(*start);
        }
    }

    fn offsets(&self, part: PartId, first: Offset, last: Offset) -> LostOffsets {
        let place = |topic: &TopicInfo| topic.partitions.iter().position(|own| *own == part);
        let found = self.topics.values().find_map(|topic| Some((topic, place(topic)?)));
        let (topic, index) = found.map_or((None, 0), |(topic, index)| (Some(topic), index));
        LostOffsets { part, topic: topic.map(|topic| Arc::clone(&topic.name)), index, first, last }
    }

    /// Whether anybody could still ask for a range.
    fn matters(&self, lost: &Lost) -> bool {
        let of_topic = self.topics.values().any(|topic| topic.partitions.contains(&lost.part));
        let start = self.ends.get(&lost.part).map_or(0, |(start, _)| *start);
        of_topic && lost.last >= start
    }
}

impl Look {
    fn all(
        &mut self,
        disk: &Arc<dyn Disk>,
        options: &LogOptions,
        on_damage: OnDamage<'_>,
    ) -> Result<(), LogError> {
        let plain: Arc<dyn Disk> =
            Arc::new(Overlay { disk: Arc::clone(disk), grown: BTreeMap::new() });
        let newest = recovery::newest(&*plain)?;
        let Some((snapshot, _)) = &newest.snapshot else {
            return self.no_snapshot(&*plain, &newest);
        };
        let snapshot = snapshot.clone();
        let mut survey = Survey::of(&snapshot);
        let mut wal = read_wal(disk, &plain, &snapshot, newest.promised().1)?;
        let mut bad = Vec::new();
        each_frame(&wal, snapshot.salt, |found, sequence, decoded| {
            survey.frame(&decoded.frame);
            bad.extend(records_of(found, sequence, &decoded));
        })?;
        bad.retain(|(lost, _)| survey.matters(lost));
        self.snapshots(&newest, &wal);
        self.commit_log(&wal, snapshot.salt, &survey)?;
        let gone = std::mem::take(&mut wal.changes).gone(&snapshot);
        let begin = (&snapshot, &gone);
        self.log_segments(disk, begin, options, &survey, on_damage)?;
        for (lost, slot) in bad {
            let loses = offsets(&survey, std::slice::from_ref(&lost));
            self.diagnosis.findings.push(Finding {
                kind: Kind::Records,
                file: paths::slot(slot.0).display().to_string(),
                position: Some(slot.1),
                what: lost.reason,
                choice: Some(Choice::Accept),
                loses,
            });
        }
        self.known_ranges(&survey);
        self.diagnosis.replayed = wal.replay.iter().map(|(_, frames)| u64::from(*frames)).sum();
        self.diagnosis.commits = wal.end().0.saturating_sub(1);
        self.count(&survey);
        (self.known, self.wal, self.snapshot) = (survey.lost, Some(wal), Some(snapshot));
        Ok(())
    }

    fn count(&mut self, survey: &Survey) {
        self.diagnosis.topics = survey.topics.len() as u64;
        for part in survey.topics.values().flat_map(|topic| topic.partitions.iter()) {
            let (start, high) = survey.ends.get(part).copied().unwrap_or_default();
            self.diagnosis.records += u64::try_from(high - start).unwrap_or(0);
            self.diagnosis.bytes += survey.bytes.get(part).copied().unwrap_or(0);
        }
    }

    fn no_snapshot(&mut self, disk: &dyn Disk, newest: &Newest) -> Result<(), LogError> {
        for (name, why) in &newest.unreadable {
            self.diagnosis.findings.push(Finding {
                kind: Kind::Snapshot,
                file: snapshot::path(name).display().to_string(),
                position: Some(0),
                what: format!("the snapshot cannot be read ({why}), and there is no other"),
                choice: None,
                loses: Loses::default(),
            });
        }
        if newest.unreadable.is_empty() { recovery::check_empty(disk) } else { Ok(()) }
    }

    fn snapshots(&mut self, newest: &Newest, wal: &Wal) {
        let reaches = wal.trouble().is_none();
        for (name, why) in &newest.unreadable {
            let then =
                if reaches { ", but the one before and the commit log have it all" } else { "" };
            self.diagnosis.findings.push(Finding {
                kind: Kind::Snapshot,
                file: snapshot::path(name).display().to_string(),
                position: Some(0),
                what: format!("the snapshot cannot be read ({why}){then}"),
                choice: Some(Choice::OlderSnapshot),
                loses: Loses::default(),
            });
        }
    }

    fn commit_log(&mut self, wal: &Wal, salt: u64, survey: &Survey) -> Result<(), LogError> {
        let choice = match self.diagnosis.findings.is_empty() {
            true => Choice::Cut,
            // The way back to the older snapshot gives up the same commits.
            false => Choice::OlderSnapshot,
        };
        let shorts = wal.short.iter().map(Short::trouble);
        let troubles = shorts.chain(wal.malformed().cloned()).chain(wal.missing());
        let mut troubles: Vec<_> = troubles.collect();
        let last = troubles.pop();
        if last.is_none() {
            self.diagnosis.torn_groups = wal.behind_end().len() as u64;
        }
        let loses = last.as_ref().map(|_| behind(wal, salt, survey)).transpose()?;
        let without = troubles.into_iter().map(|trouble| (trouble, Loses::default()));
        // All of them are settled by one cut: what it loses is told with the last.
        for (trouble, loses) in without.chain(last.into_iter().zip(loses)) {
            self.diagnosis.findings.push(Finding {
                kind: Kind::CommitLog,
                file: trouble.path.display().to_string(),
                position: Some(trouble.position),
                what: trouble.what,
                choice: Some(choice),
                loses,
            });
        }
        Ok(())
    }

    fn log_segments(
        &mut self,
        disk: &Arc<dyn Disk>,
        (snapshot, gone): (&Snapshot, &Gone),
        options: &LogOptions,
        survey: &Survey,
        on_damage: OnDamage<'_>,
    ) -> Result<(), LogError> {
        let mut short = BTreeMap::new();
        for part in &snapshot.parts {
            for segment in part.segments.iter().filter(|one| !gone.segment(part.id, one)) {
                let path = segment.file(part.id).log();
                let len = length(&**disk, &path).map_err(|e| LogError::io(&path, e))?;
                if len.is_none_or(|len| len < segment.len_bytes) {
                    self.grow.insert(path.clone(), segment.len_bytes);
                    short.insert(segment.file(part.id), len);
                }
            }
        }
        let grown: Arc<dyn Disk> =
            Arc::new(Overlay { disk: Arc::clone(disk), grown: self.grow.clone() });
        let state = recovery::state(&grown, snapshot, gone, options)?;
        for lane in state.lanes.values() {
            for segment in lane.part.segments() {
                let short = short.get(&segment.id);
                let ranges = damage_of(&lane.part, &segment, survey, on_damage);
                let ranges = ranges.map_err(|error| LogError::Io {
                    file: segment.id.log().display().to_string(),
                    source: io::Error::other(error),
                })?;
                self.segment_findings(&segment, short.copied(), &ranges, survey);
                self.damage.extend(ranges.into_iter().map(|(_, lost)| lost));
            }
        }
        Ok(())
    }

    fn segment_findings(
        &mut self,
        segment: &LogSegment,
        short: Option<Option<u64>>,
        ranges: &[(u64, Lost)],
        survey: &Survey,
    ) {
        let file = segment.id.log().display().to_string();
        if let Some(len) = short {
            let lost: Vec<_> = ranges.iter().map(|(_, lost)| lost.clone()).collect();
            let what = match len {
                None => "the log segment is missing".to_owned(),
                Some(_) => format!("the file ends here, {} bytes are known", segment.len_bytes()),
            };
            self.diagnosis.findings.push(Finding {
                kind: Kind::LogSegment,
                file,
                position: Some(len.unwrap_or(0)),
                what,
                choice: Some(Choice::Hole),
                loses: offsets(survey, &lost),
            });
            return;
        }
        for (at, lost) in ranges {
            self.diagnosis.findings.push(Finding {
                kind: Kind::Records,
                file: file.clone(),
                position: Some(*at),
                what: "the records here cannot be read".to_owned(),
                choice: Some(Choice::Accept),
                loses: offsets(survey, std::slice::from_ref(lost)),
            });
        }
    }

    /// Ranges that were found before.
    fn known_ranges(&mut self, survey: &Survey) {
        for lost in survey.lost.values().filter(|lost| survey.matters(lost)) {
            let range = survey.offsets(lost.part, lost.first, lost.last);
            if lost.accepted {
                self.diagnosis.accepted.push(range);
                continue;
            }
            let place = lost.hole.map(|(file, hole)| (file.log(), hole.from));
            let (path, position) = place.unzip();
            self.diagnosis.findings.push(Finding {
                kind: Kind::Records,
                file: path.unwrap_or_else(|| paths::part_dir(lost.part)).display().to_string(),
                position,
                what: format!("found before: {}", lost.reason),
                choice: Some(Choice::Accept),
                loses: Loses { offsets: vec![range], ..Loses::default() },
            });
        }
    }
}

/// The commit log as it reads once slots that end too early have their length again.
fn read_wal(
    disk: &Arc<dyn Disk>,
    plain: &Arc<dyn Disk>,
    snapshot: &Snapshot,
    promised: u64,
) -> Result<Wal, LogError> {
    let mut wal = wal::read(&**plain, snapshot.into(), promised)?;
    let mut short = Vec::<Short>::new();
    // A header that is seen only then may say that the slot was longer still.
    while !wal.short.is_empty() {
        for found in &wal.short {
            match short.iter_mut().find(|known| known.slot == found.slot) {
                Some(known) => known.full_bytes = known.full_bytes.max(found.full_bytes),
                None => short.push(*found),
            }
        }
        let grown = short.iter().map(|short| (paths::slot(short.slot), short.full_bytes));
        let overlay = Overlay { disk: Arc::clone(disk), grown: grown.collect() };
        wal = wal::read(&overlay, snapshot.into(), promised)?;
    }
    wal.short = short;
    Ok(wal)
}

fn length(disk: &dyn Disk, path: &Path) -> io::Result<Option<u64>> {
    match disk.open(path, Open::Read) {
        Ok(file) => file.len_bytes().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn offsets(survey: &Survey, lost: &[Lost]) -> Loses {
    let named = |lost: &Lost| survey.offsets(lost.part, lost.first, lost.last);
    Loses { offsets: lost.iter().map(named).collect(), ..Loses::default() }
}

/// What is damaged in a log segment and not known, with its place.
fn damage_of(
    part: &Part,
    segment: &Arc<LogSegment>,
    survey: &Survey,
    on_damage: OnDamage<'_>,
) -> Result<Vec<(u64, Lost)>, StoreError> {
    let mut out = Vec::new();
    if is_whole(segment)? {
        return Ok(out);
    }
    let io = |error: io::Error| StoreError::Io(error.to_string());
    let mut from = segment.base.max(part.ends().start);
    while let Some(mut damage) = segment.find_damage(from).map_err(io)? {
        from = damage.lost.last + 1;
        if let Some((_, hole)) = damage.lost.hole {
            segment.add_hole(hole);
        }
        let known = survey.lost.get(&(damage.lost.part, damage.lost.first)).is_some_and(|known| {
            known.last >= damage.lost.last && (known.hole.is_some() || damage.lost.hole.is_none())
        });
        if !known && survey.matters(&damage.lost) {
            on_damage(&mut damage).map_err(|error| StoreError::Io(error.to_string()))?;
            out.push((damage.at, damage.lost));
        }
    }
    Ok(out)
}

fn is_whole(segment: &Arc<LogSegment>) -> Result<bool, StoreError> {
    if let Some(bad) = segment.check_all_blocks(|_| true)? {
        return Ok(bad.is_empty());
    }
    let mut walk = Walk::new(segment)?;
    loop {
        match walk.next() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(true),
            Err(StoreError::Corrupt(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Goes through what a start would replay.
fn each_frame(
    wal: &Wal,
    salt: u64,
    mut take: impl FnMut(&Found, u64, Decoded),
) -> Result<(), LogError> {
    for (found, frames) in &wal.replay {
        let path = paths::slot(found.header.slot);
        let mut body = wal.body(found).map_err(|e| LogError::io(&path, e))?;
        for index in 0..*frames {
            let seal = found.header.seal(salt, index);
            let Ok(decoded) = frame::decode(&mut body, seal) else { break };
            take(found, seal.sequence, decoded);
        }
    }
    Ok(())
}

/// Batches of a whole frame that fail their own checksums, and where their group is.
fn records_of(found: &Found, sequence: u64, decoded: &Decoded) -> Vec<(Lost, (u64, u64))> {
    let place = (found.header.slot, found.header.position);
    let batches = decoded.bad.iter().filter_map(|index| decoded.frame.appends.get(*index));
    let lost = |(part, batch): &(PartId, Bytes)| {
        let header = BatchHeader::parse(batch).ok()?;
        let range = (header.base_offset, header.last_offset());
        let reason = format!("the records of a batch of commit {sequence} cannot be read");
        Some((Lost::of_records(*part, range, reason), place))
    };
    batches.filter_map(lost).collect()
}

/// What the commits behind the end held, as far as their groups can be read.
fn behind(wal: &Wal, salt: u64, survey: &Survey) -> Result<Loses, LogError> {
    let (end, known) = wal.end();
    let (mut upto, mut told) = (end, 0);
    let mut last = known;
    let mut after = Survey { topics: survey.topics.clone(), ..Survey::default() };
    let mut loses = Loses::default();
    for found in wal.behind_end() {
        let path = paths::slot(found.header.slot);
        last = last.max(found.header.end_sequence().saturating_sub(1));
        let mut body = wal.body(found).map_err(|e| LogError::io(&path, e))?;
        for index in 0..found.header.frame_count {
            let seal = found.header.seal(salt, index);
            let Ok(decoded) = frame::decode(&mut body, seal) else { break };
            if seal.sequence < upto {
                continue;
            }
            (upto, told) = (seal.sequence + 1, told + 1);
            after.frame(&decoded.frame);
            for (key, _) in &decoded.frame.facts {
                *loses.facts.entry(format!("{:?}", key.kind)).or_default() += 1;
            }
        }
    }
    if last >= end {
        loses.commits = Some((end, last));
        loses.untold = (last + 1 - end).saturating_sub(told);
    }
    for part in after.bytes.keys() {
        let first = survey.ends.get(part).map_or(0, |(_, high)| *high);
        let next = after.ends.get(part).map_or(0, |(_, high)| *high);
        if next > first {
            loses.offsets.push(after.offsets(*part, first, next - 1));
        }
    }
    let new = after.topics.keys().filter(|name| !survey.topics.contains_key(*name));
    loses.topics = new.map(Arc::clone).collect();
    Ok(loses)
}
