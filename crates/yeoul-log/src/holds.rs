//! Holds: what this node's streams, tables and sinks still have to read. Retention and compaction
//! stop below it, so that a component that stood still for a while loses nothing.
//!
//! What wins over a hold: DeleteRecords and DeleteTopics, always; and retention, once the bytes
//! kept only for holds exceed `hold_bytes_max`. Then whoever is overrun is told what it lost.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use yeoul_base::{Offset, PartId};

/// One component's place in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// `kind/name`.
    pub component: Arc<str>,
    pub part: PartId,
    /// The first offset it still has to read.
    pub from: Offset,
}

/// The components of a node as the log asks them. Called on the log's writer thread: must not
/// block and must not call into the store's writing side.
pub trait Holds: Send + Sync {
    /// All holds there are now. A component that is not listed holds nothing.
    fn holds(&self) -> Vec<Hold>;
    /// The offsets are gone before the component read them.
    fn lost(&self, component: &str, part: PartId, offsets: Range<Offset>);
}

/// Lowest place of each held partition.
pub(crate) fn lowest(holds: &[Hold]) -> BTreeMap<PartId, Offset> {
    let mut lowest = BTreeMap::new();
    for hold in holds {
        let from = lowest.entry(hold.part).or_insert(hold.from);
        *from = hold.from.min(*from);
    }
    lowest
}

/// Tells every holder what of the removed offsets it had not read.
pub(crate) fn tell(holds: &dyn Holds, removed: &[(PartId, Range<Offset>)]) {
    for hold in holds.holds() {
        for (_, gone) in removed.iter().filter(|(part, _)| *part == hold.part) {
            let lost = gone.start.max(hold.from)..gone.end;
            if !lost.is_empty() {
                let (part, component) = (hold.part, &*hold.component);
                tracing::warn!(%part, component, from = lost.start, to = lost.end, "records are gone before they were read");
                holds.lost(component, part, lost);
            }
        }
    }
}
