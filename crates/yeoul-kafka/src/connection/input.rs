//! Frames from a socket, defensively: a peer is charged before it is believed.
//!
//! Memory grows with the bytes that arrived, not with the length that was claimed; a frame whose
//! header cannot be Kafka's is refused after eight bytes; large frames take their share of a
//! budget that all connections have together.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use yeoul_base::limits::REQUEST_BYTES_MAX;
use yeoul_kafka_wire::api::ApiKey;
use yeoul_kafka_wire::{Api, WireError};

use crate::broker::Broker;

/// The largest frame of a peer that has not sent a valid request yet. Produce requests are
/// exempt: some clients open with one on the connection they were advertised.
const FIRST_FRAME_BYTES_MAX: usize = 64 << 10;
/// Frames above it take a share of the memory for requests.
const LARGE_FRAME_BYTES: usize = 64 << 10;
/// API key, version, correlation id: no request is shorter.
const FRAME_BYTES_MIN: usize = 8;
/// For the first request to be there, and for each further piece of a frame that has begun, in
/// either direction.
pub(super) const STALL_MAX: Duration = Duration::from_secs(30);

/// Why a connection is given up.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    #[error("a frame of {bytes} bytes; at most {limit} are taken")]
    Length { bytes: i64, limit: usize },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no request for {0:?}")]
    Idle(Duration),
    #[error("a frame stopped in the middle for {STALL_MAX:?}")]
    Stalled,
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

    /// The next frame without its length, and its share of the memory for requests. `None` at
    /// the end of the stream.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, InputError> {
        let patience = if self.trusted { self.broker.options.idle_max } else { STALL_MAX };
        let Some(claimed) = self.length(patience).await? else { return Ok(None) };
        let len = usize::try_from(claimed)
            .ok()
            .filter(|len| (FRAME_BYTES_MIN..=REQUEST_BYTES_MAX).contains(len))
            .ok_or(InputError::Length { bytes: claimed.into(), limit: REQUEST_BYTES_MAX })?;
        let mut frame = BytesMut::new();
        self.fill(&mut frame, FRAME_BYTES_MIN).await?;
        let key = check_head(&frame)?;
        if !self.trusted && len > FIRST_FRAME_BYTES_MAX && key != ApiKey::Produce {
            return Err(InputError::Length { bytes: claimed.into(), limit: FIRST_FRAME_BYTES_MAX });
        }
        let memory = if len > LARGE_FRAME_BYTES { self.charge(len).await } else { None };
        self.fill(&mut frame, len).await?;
        Ok(Some((frame.freeze(), memory)))
    }

    async fn length(&mut self, patience: Duration) -> Result<Option<i32>, InputError> {
        let mut head = [0; 4];
        let mut have = 0;
        while let Some(rest) = head.get_mut(have..).filter(|rest| !rest.is_empty()) {
            let patience = if have == 0 { patience } else { STALL_MAX };
            let read = timeout(patience, self.input.read(rest))
                .await
                .map_err(|_| InputError::Idle(patience))??;
            match (read, have) {
                (0, 0) => return Ok(None),
                (0, _) => return Err(InputError::CutShort),
                _ => have += read,
            }
        }
        Ok(Some(i32::from_be_bytes(head)))
    }

    async fn charge(&self, len: usize) -> Option<OwnedSemaphorePermit> {
        let budget = self.broker.options.request_memory_bytes >> 10;
        // A frame larger than the whole budget takes all of it and so comes alone.
        let share = u32::try_from((len >> 10).clamp(1, budget.max(1))).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.broker.request_memory);
        // Never closed, so always granted in the end.
        memory.acquire_many_owned(share).await.ok()
    }

    /// Reads until `frame` has `len` bytes.
    async fn fill(&mut self, frame: &mut BytesMut, len: usize) -> Result<(), InputError> {
        while frame.len() < len {
            let missing = len - frame.len();
            // At most doubles what has arrived: a claim alone reserves 64 KiB.
            frame.reserve(missing.min(frame.len().max(FIRST_FRAME_BYTES_MAX)));
            let mut room = frame.limit(missing);
            let read = timeout(STALL_MAX, self.input.read_buf(&mut room))
                .await
                .map_err(|_| InputError::Stalled)??;
            if read == 0 {
                return Err(InputError::CutShort);
            }
        }
        Ok(())
    }
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
