//! A topic's new records, ten times a second at most, the newest winning.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::frame::Update;
use crate::dto::RecordDto;
use crate::error::ApiError;
use crate::node::{Tail, TailBatch};

const AT_MOST_EVERY: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Data<'a> {
    records: &'a [RecordDto],
    skipped: u64,
}

struct State {
    tail: Tail,
    limit: usize,
    /// When the last frame was made; `None` before the first.
    last: Option<Instant>,
    ended: bool,
}

/// The first batch as a snapshot, later ones as deltas of at most `limit` records.
pub(super) fn updates(tail: Tail, limit: usize) -> impl Stream<Item = Update> + Send {
    let state = State { tail, limit, last: None, ended: false };
    stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        let update = state.next().await.unwrap_or_else(|| {
            state.ended = true;
            Update::Error(ApiError::not_found("the topic is gone"))
        });
        Some((update, state))
    })
}

impl State {
    async fn next(&mut self) -> Option<Update> {
        let mut merged = self.tail.recv().await?;
        let first = self.last.is_none();
        if let Some(last) = self.last {
            sleep_until(last + AT_MOST_EVERY).await;
            while let Ok(batch) = self.tail.try_recv() {
                merge(&mut merged, batch, self.limit);
            }
        }
        cut(&mut merged, self.limit);
        self.last = Some(Instant::now());
        let data = Data { records: &merged.records, skipped: merged.skipped };
        // Plain texts and numbers: encoding them does not fail.
        let data = serde_json::to_vec(&data).map(Bytes::from).unwrap_or_default();
        Some(if first { Update::Snapshot(data) } else { Update::Delta(data) })
    }
}

fn merge(into: &mut TailBatch, batch: TailBatch, limit: usize) {
    into.skipped += batch.skipped;
    into.records.extend(batch.records);
    // Cut at once: a burst must not be held whole.
    cut(into, limit);
}

fn cut(batch: &mut TailBatch, limit: usize) {
    let over = batch.records.len().saturating_sub(limit);
    batch.records.drain(..over);
    batch.skipped += over as u64;
}
