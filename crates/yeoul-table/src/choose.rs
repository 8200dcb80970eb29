//! Which files compaction folds into fewer.
//!
//! Files are in tiers by their rows, each tier eight times the one before. Once a tier holds
//! [`FOLD_MIN`] files, those that lie closest together in time become one, or a few that are cut
//! at interval boundaries, each at least four times as large as the average of what it replaces.
//! So a row is written again at most twice per tier, whatever order rows come in, and a table
//! holds less than eight files a tier beside the full ones.

use std::collections::HashSet;

use crate::segment::{SegmentId, SegmentMeta};
use crate::spec::CompactLimits;

/// Fewer files of a tier are left alone: this bounds how often a row is written.
pub(crate) const FOLD_MIN: usize = 8;
/// A backlog is folded in larger steps, so that its rows skip tiers.
const FOLD_MAX: usize = 64;
/// Of the inputs' rows: pieces are cut off only when there are at most a quarter as many as inputs.
const PIECES_PER_INPUT: usize = 4;

fn tier(rows: u64) -> u32 {
    rows.max(1).ilog2() / 3
}

/// The rows that each file must have at least when the rows of a merge are cut.
pub(crate) fn piece_rows_min(inputs: usize, rows: u64, limits: &CompactLimits) -> u64 {
    let pieces = (inputs / PIECES_PER_INPUT).max(1) as u64;
    limits.cut_rows_min.max(rows.div_ceil(pieces))
}

/// The files to fold next, in the order of their times; `None` when all is well. `unfit` files
/// cannot be merged, those that end before `from_us` are about to be dropped.
pub(crate) fn choose(
    metas: impl Iterator<Item = SegmentMeta>,
    unfit: &HashSet<SegmentId>,
    from_us: Option<i64>,
    limits: &CompactLimits,
) -> Option<Vec<SegmentId>> {
    let mut tiers: std::collections::BTreeMap<u32, Vec<SegmentMeta>> = Default::default();
    for meta in metas {
        let full = meta.rows >= limits.rows || meta.bytes >= limits.bytes;
        let over = from_us.is_some_and(|from_us| meta.max_us < from_us);
        if !full && !over && !unfit.contains(&meta.id) {
            tiers.entry(tier(meta.rows)).or_default().push(meta);
        }
    }
    tiers.into_values().find_map(|mut files| {
        files.sort_by_key(|meta| (meta.min_us, meta.max_us, meta.id));
        closest(&files, limits)
    })
}

/// The neighbours that span the least time, as many as fit.
fn closest(files: &[SegmentMeta], limits: &CompactLimits) -> Option<Vec<SegmentId>> {
    let fits = |window: &[SegmentMeta]| {
        window.iter().map(|meta| meta.rows).sum::<u64>() <= limits.rows
            && window.iter().map(|meta| meta.bytes).sum::<u64>() <= limits.bytes
    };
    let mut size = files.len().min(FOLD_MAX);
    while size >= FOLD_MIN {
        let windows = files.windows(size).filter(|window| fits(window));
        if let Some(best) = windows.min_by_key(|window| span(window)) {
            return Some(best.iter().map(|meta| meta.id).collect());
        }
        size = if size > FOLD_MIN { (size / 2).max(FOLD_MIN) } else { 0 };
    }
    None
}

fn span(window: &[SegmentMeta]) -> u64 {
    let first = window.iter().map(|meta| meta.min_us).min().unwrap_or(0);
    let last = window.iter().map(|meta| meta.max_us).max().unwrap_or(0);
    last.abs_diff(first)
}

#[cfg(test)]
mod tests;
