//! Frames from a socket, defensively: a peer is charged before it is believed.
//!
//! Memory grows with the bytes that arrived, not with the length that was claimed; a frame whose
//! header cannot be Kafka's is refused after eight bytes; a peer that has not sent a whole valid
//! request yet gets 64 KiB, or, for a produce request, what its first 64 KiB justify. Every
//! frame has a time to be whole in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout, timeout_at};
use yeoul_base::limits::REQUEST_BYTES_MAX;
use yeoul_kafka_wire::api::ApiKey;
use yeoul_kafka_wire::api::produce::first_topic;
use yeoul_kafka_wire::frame::UNFOLDS_BY;
use yeoul_kafka_wire::{Api, WireError};

use crate::broker::Broker;
use crate::memory::{PACE_EVERY, Pace, Share};

/// What a peer that has not sent a valid request yet may make us hold. Some clients open with a
/// produce request on the connection they were advertised, so that one may go on when it names a
/// topic that exists.
const FIRST_FRAME_BYTES_MAX: usize = 64 << 10;
/// Requests other than produce requests that unfold to less are not counted: a connection has
/// only one of them at a time.
const UNCOUNTED_BYTES_MAX: usize = 16 << 10;
/// API key, version, correlation id: no request is shorter.
const FRAME_BYTES_MIN: usize = 8;
/// The length and what is judged before the rest is awaited.
const HEAD_BYTES: usize = 4 + FRAME_BYTES_MIN;
/// How slowly a whole frame may come at worst.
const FRAME_BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// Why a connection is given up.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    #[error("a frame of {bytes} bytes; at most {limit} are taken")]
    Length { bytes: i64, limit: usize },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no request for {0:?}")]
    Idle(Duration),
    #[error("a frame came too slowly: {have} of {len} bytes")]
    Stalled { have: usize, len: usize },
    #[error("a frame came slowly while others waited for memory: {have} of {len} bytes")]
    HoldsUp { have: usize, len: usize },
    #[error("the peer went away in the middle of a frame")]
    CutShort,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl InputError {
    /// Whether the peer does not speak the protocol (rather than being slow or gone).
    pub(crate) fn is_garbage(&self) -> bool {
        matches!(self, Self::Length { .. } | Self::Wire(_))
    }
}

/// The beginning of a frame, judged.
#[derive(Debug)]
pub(crate) struct Head {
    /// Without the length field.
    len: usize,
    key: ApiKey,
    bytes: [u8; FRAME_BYTES_MIN],
    /// When all of it must be there.
    due: Instant,
}

/// Takes frames off a socket.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    input: R,
    broker: Arc<Broker>,
    trusted: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(input: R, broker: &Arc<Broker>) -> Self {
        Self { input, broker: Arc::clone(broker), trusted: false }
    }

    /// The peer has sent a valid request.
    pub(crate) fn trust(&mut self) {
        self.trusted = true;
    }

    /// Waits for the next frame to begin; `None` at the end of the stream.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>, InputError> {
        let options = &self.broker.options;
        let patience = if self.trusted { options.idle_max } else { options.stall_max };
        let mut head = [0; HEAD_BYTES];
        let first = timeout(patience, self.input.read(&mut head)).await;
        let mut have = first.map_err(|_| InputError::Idle(patience))??;
        if have == 0 {
            return Ok(None);
        }
        let begun = Instant::now();
        let due = begun + options.stall_max;
        let mut checked = false;
        let [l0, l1, l2, l3, bytes @ ..] = loop {
            // The length is judged as soon as it is there.
            if have >= 4 && !checked {
                checked = true;
                check_len(&head)?;
            }
            let Some(rest) = head.get_mut(have..).filter(|rest| !rest.is_empty()) else {
                break head;
            };
            let stalled = |_| InputError::Stalled { have, len: HEAD_BYTES };
            match timeout_at(due, self.input.read(rest)).await.map_err(stalled)?? {
                0 => return Err(InputError::CutShort),
                read => have += read,
            }
        };
        let len = check_len(&[l0, l1, l2, l3])?;
        let key = check_head(&bytes)?;
        if !self.trusted && len > FIRST_FRAME_BYTES_MAX && key != ApiKey::Produce {
            let bytes = i64::try_from(len).unwrap_or(i64::MAX);
            return Err(InputError::Length { bytes, limit: FIRST_FRAME_BYTES_MAX });
        }
        let slowest = Duration::from_secs(len as u64 / FRAME_BYTES_PER_SECOND_MIN);
        Ok(Some(Head { len, key, bytes, due: due + slowest }))
    }

    /// The rest of the frame: all of it without its length, and its share of the memory for
    /// requests, in which what it unfolds to is counted.
    pub(crate) async fn rest(&mut self, head: Head) -> Result<(Bytes, Share), InputError> {
        let Head { len, key, bytes, due } = head;
        let mut share = Share::default();
        let mut frame = BytesMut::new();
        frame.extend_from_slice(&bytes);
        let counted =
            key == ApiKey::Produce || len.saturating_mul(UNFOLDS_BY) > UNCOUNTED_BYTES_MAX;
        let mut pace = Pace::new();
        while frame.len() < len {
            // At most doubles what has arrived: a claim alone reserves 64 KiB.
            let step = (len - frame.len()).min(frame.len().max(FIRST_FRAME_BYTES_MAX));
            let to = frame.len() + step;
            if !self.trusted && to > FIRST_FRAME_BYTES_MAX && frame.len() >= FIRST_FRAME_BYTES_MAX {
                self.believe(&frame, len)?;
            }
            if counted {
                self.broker.request_memory.grow(&mut share, to).await;
                // The wait was ours.
                pace = Pace::new();
            }
            frame.reserve(step);
            self.fill(&mut frame, to, len, due, &mut pace, counted).await?;
        }
        if key != ApiKey::Produce && counted {
            let unfolded = len.saturating_mul(1 + UNFOLDS_BY);
            self.broker.request_memory.grow(&mut share, unfolded).await;
        }
        Ok((frame.freeze(), share))
    }

    /// Reads until `frame` has `to` of its `len` bytes.
    async fn fill(
        &mut self,
        frame: &mut BytesMut,
        to: usize,
        len: usize,
        due: Instant,
        pace: &mut Pace,
        counted: bool,
    ) -> Result<(), InputError> {
        while frame.len() < to {
            let have = frame.len();
            let soon = due.min(Instant::now() + PACE_EVERY);
            let mut room = (&mut *frame).limit(to - have);
            match timeout_at(soon, self.input.read_buf(&mut room)).await {
                Ok(read) => match read? {
                    0 => return Err(InputError::CutShort),
                    read => pace.moved(read),
                },
                Err(_) if Instant::now() >= due => return Err(InputError::Stalled { have, len }),
                Err(_) => {}
            }
            if counted && pace.holds_up(&self.broker.request_memory) {
                return Err(InputError::HoldsUp { have, len });
            }
        }
        Ok(())
    }

    /// A stranger's first frame is a produce request and its beginning is here: it may go on when
    /// it is for a topic that exists.
    fn believe(&self, begun: &BytesMut, len: usize) -> Result<(), InputError> {
        let name = first_topic(Bytes::copy_from_slice(begun))?;
        if self.broker.store.topics().get(&name).is_some() {
            return Ok(());
        }
        let bytes = i64::try_from(len).unwrap_or(i64::MAX);
        Err(InputError::Length { bytes, limit: FIRST_FRAME_BYTES_MAX })
    }
}

fn check_len(head: &[u8]) -> Result<usize, InputError> {
    let claimed = head.first_chunk::<4>().map_or(0, |len| i32::from_be_bytes(*len));
    usize::try_from(claimed)
        .ok()
        .filter(|len| (FRAME_BYTES_MIN..=REQUEST_BYTES_MAX).contains(len))
        .ok_or(InputError::Length { bytes: claimed.into(), limit: REQUEST_BYTES_MAX })
}

/// Refuses what cannot be a request before the rest of it is awaited.
fn check_head(frame: &[u8]) -> Result<ApiKey, WireError> {
    let short = WireError::CutShort { wanted: FRAME_BYTES_MIN, left: frame.len() };
    let [k0, k1, v0, v1] = *frame.first_chunk::<4>().ok_or(short)?;
    let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    let api = Api::by_number(key).ok_or(WireError::UnknownApi(key))?;
    api.check(version)?;
    Ok(api.key)
}
