//! The scrub: reads log segments that nobody has read for long and compares them with their
//! checksums, so that rot is found while somebody can still do something about it. What it finds
//! is read once more the common way, which finds out the offsets and quarantines them; nothing is
//! deleted.

use std::sync::Arc;

use yeoul_base::{Isolation, Offset, PartId, StoreError};

use crate::batch;
use crate::core::Core;
use crate::log::Log;
use crate::pace::Pace;
use crate::part::Part;
use crate::plan::{Request, Work};
use crate::quarantine::Lost;
use crate::segment::LogSegment;
use crate::walk::Walk;

/// What a scrub saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    pub log_segments: u64,
    pub bytes: u64,
    pub damaged: Vec<Damaged>,
}

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    pub part: PartId,
    /// Relative to the data directory.
    pub file: String,
    /// What was found, where.
    pub what: String,
    /// First and last offset of each range that cannot be read. Empty: the records are all there,
    /// only what the log itself put beside them changed.
    pub lost: Vec<(Offset, Offset)>,
}

/// Checks one log segment; says what is wrong with it.
pub(crate) fn check(segment: &LogSegment, pace: &Pace) -> Result<Option<String>, StoreError> {
    let mut stopped = Ok(());
    let blocks = segment.check_all_blocks(|bytes| {
        stopped = pace.spend(usize::try_from(bytes).unwrap_or(usize::MAX));
        stopped.is_ok()
    })?;
    stopped?;
    match blocks {
        Some(bad) if bad.is_empty() => Ok(None),
        Some(bad) => Ok(Some(format!("blocks {bad:?} of 1 MiB fail their checksums"))),
        // Appended to still: its batches speak for it.
        None => {
            let mut walk = Walk::new(segment)?;
            loop {
                match walk.next() {
                    Ok(Some((_, batch))) => pace.spend(batch.len())?,
                    Ok(None) => return Ok(None),
                    Err(StoreError::Corrupt(what)) => return Ok(Some(what)),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// Checks one log segment. What is damaged is read the common way: that finds out which offsets it
/// took and hides them. `None`: all is well, or it went meanwhile.
pub(crate) fn inspect(
    part: &Part,
    segment: &Arc<LogSegment>,
    pace: &Pace,
) -> Result<Option<(Damaged, Vec<Lost>)>, StoreError> {
    let what = match check(segment, pace) {
        Ok(what) => what,
        Err(StoreError::Io(_)) if !part.has(segment) => None,
        Err(error) => return Err(error),
    };
    let Some(what) = what else { return Ok(None) };
    let lost = read_through(part, segment)?;
    let file = segment.id.log().display().to_string();
    let ranges = lost.iter().map(|lost| (lost.first, lost.last)).collect();
    tracing::error!(%file, %what, lost = ?ranges, "the scrub found damage");
    Ok(Some((Damaged { part: part.id, file, what, lost: ranges }, lost)))
}

fn read_through(part: &Part, segment: &LogSegment) -> Result<Vec<Lost>, StoreError> {
    const STEP_BYTES: usize = 1 << 20;
    let mut lost = Vec::new();
    let mut at = segment.base.max(part.ends().start);
    while at < segment.end() {
        match part.read(at, STEP_BYTES, Isolation::Uncommitted) {
            Ok(read) => match batch::last_offset(&read.batches)? {
                Some(last) if last >= at => at = last + 1,
                _ => break,
            },
            Err(StoreError::Quarantined { first, last, .. }) => {
                lost.extend(part.lost(first));
                at = last + 1;
            }
            Err(StoreError::OffsetOutOfRange { start, .. }) if start > at => at = start,
            Err(StoreError::UnknownPartition(_)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(lost)
}

impl Core {
    /// The log segment that was not read for longest, if that is too long.
    pub(crate) fn next_scrub(&self) -> Option<(Arc<Part>, Arc<LogSegment>)> {
        let every = i64::try_from(self.options.scrub_every.as_millis()).unwrap_or(i64::MAX);
        let before = self.clock.now_ms().saturating_sub(every);
        let parts = self.state.lanes.values().map(|lane| &lane.part);
        let all = parts.flat_map(|part| part.segments().into_iter().map(move |one| (part, one)));
        let due = all.filter(|(_, one)| one.sum().is_some() && one.checked_ms() < before);
        let (part, oldest) = due.min_by_key(|(_, one)| one.checked_ms())?;
        Some((Arc::clone(part), oldest))
    }

    pub(crate) fn finish_scrub(
        &mut self,
        segment: &LogSegment,
        found: Result<Option<(Damaged, Vec<Lost>)>, StoreError>,
    ) {
        // Also what could not be read waits for its next turn.
        segment.set_checked_ms(self.clock.now_ms());
        match found {
            Ok(None) => {}
            Ok(Some((_, lost))) => self.run(lost.into_iter().map(quarantine).collect()),
            Err(error) => tracing::warn!(%error, "not scrubbed"),
        }
    }
}

/// A lost range becomes a fact.
pub(crate) fn quarantine(lost: Lost) -> Request {
    let respond = Box::new(|result: Result<_, StoreError>| {
        if let Err(error) = result {
            tracing::warn!(%error, "a lost range is not noted yet");
        }
    });
    Request { work: Work::Quarantine(lost), bytes: 0, respond }
}

impl Log {
    /// Reads every log segment there is and compares it with its checksums. Takes its time: as
    /// long as the background rate allows, unless the log runs without threads.
    ///
    /// # Errors
    /// What cannot be read at all; damage is no error but in the answer.
    pub fn scrub(&self) -> Result<Scrubbed, StoreError> {
        let pace = self.pace();
        let mut seen = Scrubbed::default();
        for part in self.all_parts() {
            for segment in part.segments() {
                seen.log_segments += 1;
                seen.bytes += segment.len_bytes();
                if let Some((damaged, lost)) = inspect(&part, &segment, &pace)? {
                    seen.damaged.push(damaged);
                    lost.into_iter().for_each(|lost| self.enqueue(quarantine(lost)));
                }
            }
        }
        Ok(seen)
    }
}
