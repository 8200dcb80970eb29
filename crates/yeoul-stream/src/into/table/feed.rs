//! Records of a topic's partitions into a table, in turns.
//!
//! Invariant: a partition is passed only after the table took what was made of its records.

use yeoul_table::Table;

use super::convert::Converter;
use super::reading::Reading;
use super::spec::TableIngest;
use super::{Step, TableContext};
use crate::inputs::{Input, Limits};

/// What every turn needs.
pub(super) struct Feed<'a> {
    pub(super) spec: &'a TableIngest,
    pub(super) context: &'a TableContext,
    pub(super) component: &'a str,
    pub(super) limits: Limits,
    pub(super) reading: &'a Reading,
}

impl Feed<'_> {
    /// One share of each partition, beginning with another each `turn`; whether there was any.
    pub(super) fn turn(&self, input: &mut Input, table: &Table, turn: usize) -> Result<bool, Step> {
        let mut worked = false;
        let count = if self.spec.suspended { 0 } else { input.parts.len() };
        for next in 0..count {
            let index = (turn + next) % count;
            let Some(part) = input.parts.get_mut(index) else { continue };
            part.keep(0);
            part.fill(self.limits.bytes)?;
            let mut records = Vec::new();
            let mut bytes = 0;
            while records.len() < self.limits.records
                && (bytes < self.limits.bytes || records.is_empty())
                && let Some(record) = part.take()
            {
                bytes += record.value.as_ref().map_or(0, bytes::Bytes::len);
                records.push(record);
            }
            let passed = part.passed();
            if passed.next == part.at {
                continue;
            }
            let converter = Converter {
                spec: self.spec,
                store: self.context.store.as_ref(),
                clock: self.context.clock.as_ref(),
                component: self.component,
                reading: self.reading,
            };
            let rows = converter.rows(part, &records)?;
            table.append(rows)?;
            part.pass(passed);
            worked = true;
        }
        Ok(worked)
    }
}
