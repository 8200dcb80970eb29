//! One connection: frames in, answers out in the order of the requests.
//!
//! Reading goes on while earlier requests wait, so a producer can keep many batches under way.
//! A produce request is handed to the store as soon as it is read when nothing but other produce
//! requests is before it; every other request starts when it is its turn, so requests of one
//! connection take effect in their order.

pub(crate) mod input;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;
use yeoul_kafka_wire::{Frame, WireError};

use crate::broker::{Broker, Context, Peer};
use crate::handle::{self, Pending, Started};
use input::{FrameReader, InputError, STALL_MAX};

/// Requests of one connection that were read and not answered yet.
const IN_FLIGHT_MAX: usize = 64;

/// A request on its way to its answer.
struct Queued {
    answer: Pending,
    /// What it does must be done even when nobody is left to hear of it.
    must_run: bool,
    /// Its share of the memory for requests.
    memory: Option<OwnedSemaphorePermit>,
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
    let waiting = Arc::new(AtomicUsize::new(0));
    let reading = async {
        let reader = Reading { broker, peer: &peer, waiting: &waiting, queue };
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
    /// Requests in the queue that start only when it is their turn.
    waiting: &'a Arc<AtomicUsize>,
    queue: mpsc::Sender<Queued>,
}

impl Reading<'_> {
    async fn run(&self, read: OwnedReadHalf) -> Result<(), InputError> {
        let mut frames = FrameReader::new(BufReader::with_capacity(16 << 10, read), self.broker);
        while let Some((frame, memory)) = frames.next().await? {
            self.broker.metrics.request(frame.len() + 4);
            let queued = self.start(frame, memory)?;
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
        memory: Option<OwnedSemaphorePermit>,
    ) -> Result<Queued, WireError> {
        let eager = self.waiting.load(Ordering::Acquire) == 0;
        let started = handle::start(eager, frame, |version, client_id| Context {
            broker: Arc::clone(self.broker),
            peer: Arc::clone(self.peer),
            version,
            client_id,
        })?;
        Ok(match started {
            Started::Now(answer) => Queued { answer, must_run: true, memory },
            Started::InTurn { answer, must_run } => {
                self.waiting.fetch_add(1, Ordering::AcqRel);
                let waiting = Arc::clone(self.waiting);
                let answer = Box::pin(async move {
                    let frame = answer.await;
                    waiting.fetch_sub(1, Ordering::AcqRel);
                    frame
                });
                Queued { answer, must_run, memory }
            }
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
    while let Some(Queued { answer, must_run, memory }) = queued.recv().await {
        let answer = if must_run {
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
        drop(memory);
        match answer {
            Ok(Some(frame)) if broken.is_none() => {
                broker.metrics.answered(frame.len_bytes());
                if let Err(error) = write_frame(&mut write, frame).await {
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

/// A peer may read slowly, but not stop: what it does not take is memory of ours.
async fn write_frame(write: &mut OwnedWriteHalf, frame: Frame) -> io::Result<()> {
    let mut pieces = Pieces { chunks: frame.chunks.into() };
    while pieces.has_remaining() {
        let written = timeout(STALL_MAX, write.write_buf(&mut pieces)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// A frame as one buffer, so that its pieces go out with one vectored write.
struct Pieces {
    chunks: std::collections::VecDeque<Bytes>,
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
