//! One connection: frames in, answers out in the order of the requests.
//!
//! A producer can keep many batches under way: its requests are handed to the store as they are
//! read. Every other request is taken up alone: the next one is read when its answer is written,
//! as Kafka does, so requests of one connection take effect in their order, and a connection
//! holds one of them at a time however many its peer sent.

pub(crate) mod input;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use yeoul_kafka_wire::WireError;

use crate::broker::{Broker, Context, Peer};
use crate::handle::{self, Pending, Reply, Started};
use crate::memory::{PACE_EVERY, Pace, Share};
use input::{FrameReader, InputError};

/// Produce requests of one connection that were read and not answered yet.
const IN_FLIGHT_MAX: usize = 64;
/// Answers that leave with one call to the system.
const TOGETHER_MAX: usize = 16;
/// Small, for every idle connection has one; a large frame is read past it.
const READ_BYTES: usize = 4 << 10;
/// How slowly a whole answer may be taken at worst.
const ANSWER_BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// A request on its way to its answer.
struct Queued {
    answer: Pending,
    /// Its share of the memory for requests, which stands for its answer too.
    memory: Share,
    /// Held by a request that is taken up alone, until its answer is written; `None` for what is
    /// under way already and must be done even when nobody is left to hear of it.
    turn: Option<OwnedSemaphorePermit>,
}

/// Serves until the peer goes, breaks the protocol or the node stops.
pub(crate) async fn serve(
    broker: &Arc<Broker>,
    stream: TcpStream,
    peer: Arc<Peer>,
    mut stopping: watch::Receiver<bool>,
) {
    // Without it small answers wait for the peer's acknowledgement; failing costs latency only.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (queue, queued) = mpsc::channel(IN_FLIGHT_MAX);
    let (gone, hear_gone) = watch::channel(false);
    let reading = async {
        let reader = Reading { broker, peer: &peer, turn: Arc::new(Semaphore::new(1)), queue };
        let result = tokio::select! {
            result = reader.run(read) => result,
            _ = stopping.wait_for(|stop| *stop) => Ok(()),
        };
        // Fails only when the writer is done already.
        let _ = gone.send(true);
        result
    };
    let writing = write_answers(broker, write, queued, hear_gone);
    let (read, written) = tokio::join!(reading, writing);
    if let Err(error) = read {
        if error.is_garbage() {
            broker.metrics.garbage();
        }
        tracing::debug!(peer = %peer.addr, %error, "closing a Kafka connection");
    }
    if let Err(error) = written {
        tracing::debug!(peer = %peer.addr, %error, "a Kafka connection ended while answering");
    }
}

struct Reading<'a> {
    broker: &'a Arc<Broker>,
    peer: &'a Arc<Peer>,
    /// Held by the one request that is not a produce request.
    turn: Arc<Semaphore>,
    queue: mpsc::Sender<Queued>,
}

impl Reading<'_> {
    async fn run(&self, read: OwnedReadHalf) -> Result<(), InputError> {
        let mut frames = FrameReader::new(BufReader::with_capacity(READ_BYTES, read), self.broker);
        while let Some(head) = frames.head().await? {
            // Never closed.
            let turn = Arc::clone(&self.turn).acquire_owned().await.ok();
            let (frame, memory) = frames.rest(head).await?;
            self.broker.metrics.request(frame.len() + 4);
            let queued = self.start(frame, memory, turn)?;
            frames.trust();
            if self.queue.send(queued).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn start(
        &self,
        frame: Bytes,
        memory: Share,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Queued, WireError> {
        let started = handle::start(frame, |version, client_id| Context {
            broker: Arc::clone(self.broker),
            peer: Arc::clone(self.peer),
            version,
            client_id,
            counted: !memory.is_empty(),
        })?;
        Ok(match started {
            Started::Now(answer) => Queued { answer, memory, turn: None },
            Started::InTurn(answer) => Queued { answer, memory, turn },
        })
    }
}

async fn write_answers(
    broker: &Broker,
    mut write: OwnedWriteHalf,
    mut queued: mpsc::Receiver<Queued>,
    mut gone: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut broken = None;
    let mut ahead = None;
    loop {
        let next = match ahead.take() {
            Some(next) => Some(next),
            None => queued.recv().await,
        };
        let Some(Queued { answer, memory, turn }) = next else { break };
        let answer = if turn.is_none() {
            answer.await
        } else if broken.is_some() {
            continue;
        } else {
            tokio::select! {
                biased;
                answer = answer => answer,
                // A long poll or a join of somebody who is gone; others are answered below.
                _ = gone.wait_for(|gone| *gone) => continue,
            }
        };
        match answer {
            Ok(Some(reply)) if broken.is_none() => {
                let mut replies = vec![(reply, memory)];
                if turn.is_none() {
                    add_ready(&mut replies, &mut queued, &mut ahead).await;
                }
                if let Err(error) = write_replies(broker, &mut write, replies).await {
                    // What was read before must still reach the store, so the queue is emptied.
                    broken = Some(error);
                    queued.close();
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "an answer could not be encoded"),
        }
    }
    match broken {
        Some(error) => Err(error),
        None => write.shutdown().await,
    }
}

/// Adds the answers behind that are ready too: a producer's batches are committed together, so
/// that their answers can leave together. What is not ready is the next to be waited for.
async fn add_ready(
    replies: &mut Vec<(Reply, Share)>,
    queued: &mut mpsc::Receiver<Queued>,
    ahead: &mut Option<Queued>,
) {
    while replies.len() < TOGETHER_MAX
        && let Ok(mut next) = queued.try_recv()
    {
        let answer = match next.turn {
            None => poll_fn(|context| Poll::Ready(next.answer.as_mut().poll(context))).await,
            Some(_) => Poll::Pending,
        };
        match answer {
            Poll::Ready(Ok(Some(reply))) => replies.push((reply, next.memory)),
            Poll::Ready(Ok(None)) => {}
            Poll::Ready(Err(error)) => tracing::warn!(%error, "an answer could not be encoded"),
            Poll::Pending => {
                *ahead = Some(next);
                return;
            }
        }
    }
}

/// A peer may read slowly, but not stop: what it does not take is memory of ours. How slowly
/// depends on whether others wait for that memory.
async fn write_replies(
    broker: &Broker,
    write: &mut OwnedWriteHalf,
    replies: Vec<(Reply, Share)>,
) -> io::Result<()> {
    let (mut bytes, mut budget, mut chunks) = (0, None, VecDeque::new());
    // Held until all is written.
    let mut shares = Vec::with_capacity(replies.len());
    for (Reply { frame, memory }, of_request) in replies {
        broker.metrics.answered(frame.len_bytes());
        bytes += frame.len_bytes() as u64;
        chunks.extend(frame.chunks);
        budget = match (memory.is_empty(), of_request.is_empty()) {
            (false, _) => Some(&broker.answer_memory),
            (true, false) => Some(&broker.request_memory),
            (true, true) => budget,
        };
        shares.push((memory, of_request));
    }
    let slowest = Duration::from_secs(bytes / ANSWER_BYTES_PER_SECOND_MIN);
    let due = Instant::now() + broker.options.stall_max + slowest;
    let mut pace = Pace::new();
    let mut pieces = Pieces { chunks };
    while pieces.has_remaining() {
        let soon = due.min(Instant::now() + PACE_EVERY);
        match timeout_at(soon, write.write_buf(&mut pieces)).await {
            Ok(written) => match written? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => pace.moved(written),
            },
            Err(_) if Instant::now() >= due => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
        if budget.is_some_and(|budget| pace.holds_up(budget)) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

/// A frame as one buffer, so that its pieces go out with one vectored write.
struct Pieces {
    chunks: VecDeque<Bytes>,
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| chunk.as_ref())
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [io::IoSlice<'a>]) -> usize {
        let pairs = out.iter_mut().zip(&self.chunks);
        pairs.map(|(slice, chunk)| *slice = io::IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.chunks.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.chunks.pop_front();
        }
    }
}
