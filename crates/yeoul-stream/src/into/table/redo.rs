//! Making a table again while it is fed: a second one reads the topic from its beginning, out of
//! sight, and takes the first one's place when it has caught up and somebody said yes.
//!
//! Invariant: both are fed by the same thread, so when the switch is made neither can have more
//! than the other was shown.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use yeoul_base::{Offset, PartId, Store, TopicInfo};
use yeoul_table::{Redo, Table, TableError};

use super::feed::Feed;
use super::upkeep::Upkeep;
use super::{Feeder, Step};
use crate::inputs::Input;

/// What is asked of a table that is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedoRequest {
    /// Make it again. `switch`: without a further word once it has caught up. `lossy`: also when
    /// the topic no longer has all that the table read.
    Begin { switch: bool, lossy: bool },
    /// Let what is made take the table's place.
    Confirm,
    /// Give up what is made.
    Cancel,
}

/// How far a table has been made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedoStatus {
    /// Rows of the table when it was begun.
    pub rows_before: u64,
    /// Rows of the table as it is now.
    pub rows_now: u64,
    /// Rows of the new one so far.
    pub rows_after: u64,
    /// Records that the new one has not read yet.
    pub lag: u64,
    pub caught_up: bool,
    /// Takes the table's place when it has caught up.
    pub switch: bool,
    /// Milliseconds since 1970.
    pub started_ms: i64,
}

/// A request and who waits for its answer.
pub(super) type Asked = (RedoRequest, SyncSender<Result<(), String>>);

/// The answer, for when the table's status shows it.
#[derive(Debug)]
pub(super) struct Answered {
    sender: SyncSender<Result<(), String>>,
    result: Result<(), String>,
}

impl Answered {
    pub(super) fn tell(self) {
        // Who asked may have gone.
        let _ = self.sender.send(self.result);
    }
}

/// A table on its way into another's place.
#[derive(Debug)]
pub(super) struct Remaking {
    pub(super) redo: Redo,
    input: Input,
    upkeep: Upkeep,
}

impl Remaking {
    /// `input`: the topic from where the new table stands.
    pub(super) fn new(redo: Redo, input: Input) -> Self {
        Self { redo, input, upkeep: Upkeep::default() }
    }

    /// Reads on; whether there was anything to read.
    pub(super) fn step(
        &mut self,
        feed: &Feed<'_>,
        turn: usize,
        now: Duration,
    ) -> Result<bool, Step> {
        let mut worked = feed.turn(&mut self.input, &self.redo.table, turn)?;
        if self.redo.table.seal_due() {
            self.redo.table.seal()?;
            worked = true;
        }
        self.upkeep.tend(&self.redo.table, now);
        Ok(worked)
    }

    pub(super) fn parts(&self) -> Vec<PartId> {
        self.input.parts.iter().map(|part| part.id).collect()
    }

    pub(super) fn status(&self, table: &Table, store: &dyn Store) -> RedoStatus {
        RedoStatus {
            rows_before: self.redo.plan.rows_before,
            rows_now: table.snapshot().rows(),
            rows_after: self.redo.table.snapshot().rows(),
            lag: self.input.lag(store),
            caught_up: table.redo_caught_up(&self.redo, &self.parts()),
            switch: self.redo.plan.switch,
            started_ms: self.redo.plan.started_ms,
        }
    }
}

/// What a table made again would lack, for people; `None`: the topic has all it had.
pub(super) fn missing(table: &Table, topic: &TopicInfo, store: &dyn Store) -> Option<String> {
    let name = &topic.name;
    if table.read_parts().iter().any(|part| !topic.partitions.contains(part)) {
        return Some(format!("the topic `{name}` was made again: what the old one held is gone"));
    }
    if topic.config.get("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        return Some(format!("the topic `{name}` keeps only the last record of each key"));
    }
    let gone: Offset = topic
        .partitions
        .iter()
        .filter(|part| table.next_offset(**part).is_some())
        .filter_map(|part| store.ends(*part))
        .map(|ends| ends.start)
        .sum();
    (gone > 0).then(|| format!("the topic `{name}` no longer has its first {gone} records"))
}

impl Feeder {
    /// Answers who asked, goes on with what is being made, and puts it in place when it is time.
    pub(super) fn remake(&mut self, now: Duration) -> Result<bool, Step> {
        self.answer();
        self.repair();
        let Some(open) = &mut self.open else { return Ok(false) };
        let Some(remaking) = &mut open.remaking else { return Ok(false) };
        let feed = Feed {
            spec: &self.spec,
            context: &self.context,
            component: &self.component,
            limits: self.limits,
            reading: &open.reading,
        };
        let worked = remaking.step(&feed, self.turn, now)?;
        let parts = remaking.parts();
        if !remaking.redo.plan.switch || !open.table.redo_caught_up(&remaking.redo, &parts) {
            return Ok(worked);
        }
        open.table.finish_redo(&remaking.redo, &parts)?;
        open.remaking = None;
        let (table, topic) = (Arc::clone(&open.table), Arc::clone(&open.input.topic));
        let input = self.input_of(&table, &topic);
        if let Some(open) = &mut self.open {
            open.input = input;
        }
        Ok(true)
    }

    /// Does what was asked for.
    pub(super) fn answer(&mut self) {
        if let Some((request, sender)) = self.asked.take() {
            self.answered = Some(Answered { sender, result: self.asked_for(request) });
        }
    }

    fn asked_for(&mut self, request: RedoRequest) -> Result<(), String> {
        let told = |error: TableError| error.to_string();
        let none = || "it is not being made again".to_owned();
        let Some(open) = &mut self.open else {
            return Err("the table is not open yet: it waits for its topic".to_owned());
        };
        match request {
            RedoRequest::Begin { switch, lossy } => {
                if open.remaking.is_some() {
                    return Err("it is being made again already".to_owned());
                }
                let missing = missing(&open.table, &open.input.topic, self.context.store.as_ref());
                if let Some(missing) = missing.filter(|_| !lossy) {
                    return Err(format!("{missing}: rows made of them would be lost"));
                }
                self.begin(switch).map_err(told)
            }
            RedoRequest::Confirm => {
                let remaking = open.remaking.as_mut().ok_or_else(none)?;
                open.table.confirm_redo(&mut remaking.redo).map_err(told)
            }
            RedoRequest::Cancel => {
                let remaking = open.remaking.take().ok_or_else(none)?;
                open.table.cancel_redo(remaking.redo).map_err(told)
            }
        }
    }

    fn begin(&mut self, switch: bool) -> Result<(), TableError> {
        let Some(open) = &self.open else { return Ok(()) };
        let redo = open.table.begin_redo(switch)?;
        let topic = Arc::clone(&open.input.topic);
        let input = self.input_of(&redo.table, &topic);
        if let Some(open) = &mut self.open {
            open.remaking = Some(Remaking::new(redo, input));
        }
        Ok(())
    }

    /// A damaged file is made good once, when the topic still has all the table was made of.
    fn repair(&mut self) {
        let Some(open) = &self.open else { return };
        if self.repaired || open.remaking.is_some() || !open.table.is_damaged() {
            return;
        }
        self.repaired = true;
        if let Some(missing) = missing(&open.table, &open.input.topic, self.context.store.as_ref())
        {
            tracing::error!(table = self.spec.name, missing, "a damaged file cannot be made again");
            return;
        }
        match self.begin(true) {
            Ok(()) => tracing::warn!(table = self.spec.name, "damaged: made again from its topic"),
            Err(error) => tracing::error!(table = self.spec.name, %error, "cannot be made again"),
        }
    }

    /// What people must know: a file of the table is damaged.
    pub(super) fn alarm(&self) -> Option<String> {
        let open = self.open.as_ref().filter(|open| open.table.is_damaged())?;
        let damage = open.table.damage().into_iter().next()?;
        Some(match open.remaking {
            Some(_) => format!("being made again, because {damage}"),
            None => damage,
        })
    }
}
