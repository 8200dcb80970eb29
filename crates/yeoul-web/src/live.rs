//! The live WebSocket: one line per tab, many subscriptions on it. Frames are described in
//! `docs/formats/live.md`.
//!
//! Every subscription is a stream that is asked only when the line is ready to send: who reads
//! slowly skips states instead of filling a queue. What all watch alike (the flow, equal
//! queries) is computed and encoded once, in [`shared`].

mod frame;
mod shared;
mod tail;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::stream::{AbortHandle, SelectAll, Stream, abortable};
use yeoul_base::Clock;

use crate::api::{App, ask};
use crate::error::ApiError;
use crate::node::Node;
use frame::{Request, Subscribe, Update};
use shared::{FlowFeed, QueryFeeds};

const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A client that takes nothing for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const MESSAGE_BYTES_MAX: usize = 64 << 10;
const LINES_MAX: u64 = 256;
const SUBSCRIPTIONS_MAX: usize = 64;
/// RFC 6455: policy violation.
const CLOSE_POLICY: u16 = 1008;

/// What one subscription has to say.
type Updates = Pin<Box<dyn Stream<Item = Update> + Send>>;

/// What all lines share.
pub(crate) struct Live {
    node: Arc<dyn Node>,
    clock: Arc<dyn Clock>,
    flow: Arc<FlowFeed>,
    queries: QueryFeeds,
    lines: AtomicU64,
    frames: AtomicU64,
}

impl Live {
    pub(crate) fn new(node: Arc<dyn Node>, clock: Arc<dyn Clock>) -> Self {
        Self {
            flow: Arc::new(FlowFeed::new(Arc::clone(&node))),
            node,
            clock,
            queries: QueryFeeds::default(),
            lines: AtomicU64::new(0),
            frames: AtomicU64::new(0),
        }
    }

    pub(crate) fn metrics(&self, out: &mut String) {
        let lines = self.lines.load(Ordering::Relaxed);
        let frames = self.frames.load(Ordering::Relaxed);
        // Writing into a string does not fail.
        let _ = write!(
            out,
            "# HELP yeoul_live_lines Open live WebSockets.\n\
             # TYPE yeoul_live_lines gauge\nyeoul_live_lines {lines}\n\
             # HELP yeoul_live_frames_total Frames sent on live WebSockets.\n\
             # TYPE yeoul_live_frames_total counter\nyeoul_live_frames_total {frames}\n"
        );
    }

    /// Begins a subscription; what it says first is its first state.
    async fn updates(self: &Arc<Self>, wanted: Subscribe) -> Result<Updates, ApiError> {
        match wanted {
            Subscribe::Flow => Ok(Box::pin(self.flow.subscribe())),
            Subscribe::Tail { topic, limit } => {
                let tail = ask(&self.node, move |node| node.tail(&topic, limit)).await??;
                Ok(Box::pin(tail::updates(tail, limit)))
            }
            Subscribe::Query { sql } => {
                let live = Arc::clone(self);
                let feed =
                    ask(&self.node, move |node| live.queries.subscribe(node, &sql)).await??;
                Ok(Box::pin(feed.updates()))
            }
        }
    }
}

/// Counts a line for as long as it is open.
struct Line(Arc<Live>);

impl Line {
    fn open(live: &Arc<Live>) -> Option<Self> {
        let before = live.lines.fetch_add(1, Ordering::Relaxed);
        let line = Self(Arc::clone(live));
        (before < LINES_MAX).then_some(line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.lines.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn upgrade(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    let Some(line) = Line::open(&app.live) else {
        return ApiError::unavailable(format!("{LINES_MAX} pages watch this node already"))
            .with_hint("Close some of them.")
            .into_response();
    };
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| Session::new(line, socket).run())
}

/// One open line.
struct Session {
    line: Line,
    socket: WebSocket,
    updates: SelectAll<Pin<Box<dyn Stream<Item = Said> + Send>>>,
    /// By the client's id.
    open: HashMap<u64, Subscription>,
    /// Counts subscriptions: an id may be used again, a serial is not.
    serial: u64,
}

/// What one subscription said; `None`: it ended.
struct Said {
    id: u64,
    serial: u64,
    update: Option<Update>,
}

struct Subscription {
    abort: AbortHandle,
    serial: u64,
    /// Of the last frame sent.
    seq: u64,
}

/// The line is closed or broken.
struct Gone;

impl Session {
    fn new(line: Line, socket: WebSocket) -> Self {
        Self { line, socket, updates: SelectAll::new(), open: HashMap::new(), serial: 0 }
    }

    async fn run(mut self) {
        let mut beat = tokio::time::interval(BEAT_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let step = tokio::select! {
                _ = beat.tick() => self.send(frame::beat(self.line.0.clock.now_ms())).await,
                message = self.socket.recv() => match message {
                    Some(Ok(message)) => self.receive(message).await,
                    Some(Err(_)) | None => Err(Gone),
                },
                Some(said) = self.updates.next(), if !self.updates.is_empty() => {
                    self.push(said).await
                }
            };
            if step.is_err() {
                return;
            }
        }
    }

    async fn receive(&mut self, message: Message) -> Result<(), Gone> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err(Gone),
            // Pings are answered by the library.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Binary(_) => {
                let error = ApiError::bad_request("frames are text");
                return self.send(frame::error(None, 0, &error)).await;
            }
        };
        match frame::parse(&text) {
            Ok(Request::Unsubscribe { id }) => {
                if let Some(subscription) = self.open.remove(&id) {
                    subscription.abort.abort();
                }
                Ok(())
            }
            Ok(Request::Subscribe { id, wanted }) => match self.subscribe(id, wanted).await {
                Ok(()) => Ok(()),
                Err(error) => self.send(frame::error(Some(id), 0, &error)).await,
            },
            Err(error) => self.send(frame::error(None, 0, &error)).await,
        }
    }

    async fn subscribe(&mut self, id: u64, wanted: Subscribe) -> Result<(), ApiError> {
        if self.open.contains_key(&id) {
            return Err(ApiError::bad_request(format!("id {id} is in use")));
        }
        if self.open.len() == SUBSCRIPTIONS_MAX {
            return Err(ApiError::new(429, format!("more than {SUBSCRIPTIONS_MAX} subscriptions"))
                .with_hint("End some with `unsub`."));
        }
        let updates = self.line.0.updates(wanted).await?;
        let (updates, abort) = abortable(updates);
        self.serial += 1;
        let serial = self.serial;
        let said = move |update| Said { id, serial, update };
        // The end of a stream is told too, so that its id becomes free.
        let ended = futures::stream::once(std::future::ready(said(None)));
        self.updates.push(Box::pin(updates.map(move |update| said(Some(update))).chain(ended)));
        self.open.insert(id, Subscription { abort, serial, seq: 0 });
        Ok(())
    }

    async fn push(&mut self, said: Said) -> Result<(), Gone> {
        let Said { id, serial, update } = said;
        let held = self.open.get_mut(&id).filter(|held| held.serial == serial);
        // Of a subscription that was ended meanwhile.
        let Some(subscription) = held else { return Ok(()) };
        let Some(update) = update else {
            self.open.remove(&id);
            return Ok(());
        };
        subscription.seq += 1;
        let text = frame::update(id, subscription.seq, &update);
        self.send(text).await
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        let message = Message::Text(Utf8Bytes::from(text));
        match tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => {
                self.line.0.frames.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                let reason = Utf8Bytes::from_static("too slow");
                let close = Message::Close(Some(CloseFrame { code: CLOSE_POLICY, reason }));
                // It took nothing for long; whether it takes this does not matter.
                let _ =
                    tokio::time::timeout(Duration::from_millis(100), self.socket.send(close)).await;
                Err(Gone)
            }
        }
    }
}
