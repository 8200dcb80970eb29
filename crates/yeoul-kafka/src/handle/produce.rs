//! Produce: each batch is checked once, handed to the store as it came, and answered from the
//! store's callback, that is when it is durable. `acks` 1 and −1 mean the same here; 0 means
//! that nobody wants to know, not that it is not done.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;
use yeoul_base::{Append, Appended, Commit, Guard, PartId, StoreError, TopicInfo, limits};
use yeoul_kafka_wire::api::produce::{
    ProducePartition, ProduceRequest, ProduceResponse, ProduceResponsePartition,
    ProduceResponseTopic, RecordError,
};
use yeoul_kafka_wire::{ErrorCode, Frame, RequestHeader, WireError, encode_response};
use yeoul_log::batch::{self, BatchHeader, Codec};

use crate::broker::{self, Context};
use crate::errors;
use crate::txn::{Identity, Transactions};

/// Topics of streams' state: only their stream writes them.
const STATE_PREFIX: &str = "__state.";

/// The first version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;
const NOT_IN_TRANSACTION: &str = "the partition is not in an open transaction of this producer";

/// A refusal before the store is asked.
struct Refused {
    code: ErrorCode,
    why: String,
}

/// The answer while its parts come in, each from its own commit.
#[derive(Debug)]
struct Gathering {
    response: ProduceResponse,
    outstanding: usize,
    done: Option<oneshot::Sender<ProduceResponse>>,
}

impl Gathering {
    fn finish_if_complete(&mut self) {
        if self.outstanding == 0
            && let Some(done) = self.done.take()
        {
            // Nobody waits any more when the connection is gone.
            let _ = done.send(std::mem::take(&mut self.response));
        }
    }
}

/// Submits everything now and returns the answer to come; `None` when none is wanted.
pub(crate) fn start(
    context: &Context,
    request: ProduceRequest,
) -> impl Future<Output = Option<ProduceResponse>> + Send + use<> {
    let (done, answer) = oneshot::channel();
    let wanted = request.acks != 0;
    let gathering = Arc::new(Mutex::new(Gathering {
        response: ProduceResponse::default(),
        // Holds the answer back until everything is submitted.
        outstanding: 1,
        done: Some(done),
    }));
    let topics = context.store().topics();
    let refused = check_request(&request);
    let transaction: Option<Arc<str>> = request.transactional_id.map(Arc::from);
    for (topic_at, topic) in request.topics.into_iter().enumerate() {
        let info = topics.get(&topic.name);
        let mut places = Vec::new();
        for partition in &topic.partitions {
            let index = partition.index;
            places.push(ProduceResponsePartition { index, ..Default::default() });
        }
        lock(&gathering)
            .response
            .topics
            .push(ProduceResponseTopic { name: topic.name, partitions: places });
        for (at, partition) in topic.partitions.into_iter().enumerate() {
            let place = (topic_at, at);
            let checked = match &refused {
                Some(code) => Err(Refused { code: *code, why: "request refused".into() }),
                None => check(context, info, partition, transaction.as_ref()),
            };
            match checked {
                Ok(accepted) => submit(context, &gathering, place, accepted),
                Err(Refused { code, why }) => {
                    tracing::debug!(peer = %context.peer.addr, %code, why, "produce refused");
                    set(&gathering, place, |answer| refuse(answer, code, why));
                }
            }
        }
    }
    let mut gathered = lock(&gathering);
    gathered.outstanding -= 1;
    gathered.finish_if_complete();
    drop(gathered);
    async move {
        let response = answer.await.ok();
        response.filter(|_| wanted)
    }
}

/// The answer as a frame: none for `acks` 0.
pub(crate) fn frame(
    header: &RequestHeader,
    answer: Option<ProduceResponse>,
) -> Result<Option<Frame>, WireError> {
    answer.map(|answer| encode_response(header, answer)).transpose()
}

fn check_request(request: &ProduceRequest) -> Option<ErrorCode> {
    if !matches!(request.acks, -1..=1) {
        return Some(ErrorCode::INVALID_REQUIRED_ACKS);
    }
    None
}

fn check(
    context: &Context,
    topic: Option<&Arc<TopicInfo>>,
    asked: ProducePartition,
    transaction: Option<&Arc<str>>,
) -> Result<Accepted, Refused> {
    let refuse = |code, why: &str| Refused { code, why: why.to_owned() };
    let topic = topic
        .ok_or_else(|| refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "the topic does not exist"))?;
    let part = broker::partition(topic, asked.index).ok_or_else(|| {
        refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "the topic has no such partition")
    })?;
    if topic.name.starts_with(STATE_PREFIX) {
        let why = "the topic holds a stream's state; only the stream writes it";
        return Err(refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, why));
    }
    let batch = asked.records.ok_or_else(|| refuse(ErrorCode::INVALID_RECORD, "no records"))?;
    let limit = topic
        .config_u64("max.message.bytes")
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(limits::MESSAGE_BYTES_DEFAULT);
    let header = verify_one(&batch, limit)?;
    if header.is_control() {
        return Err(refuse(ErrorCode::INVALID_RECORD, "control records are the broker's"));
    }
    if header.codec() == Codec::Zstd && context.version < 7 {
        let why = "zstd needs Produce version 7";
        return Err(refuse(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, why));
    }
    // Its checksum fits, so that sending it again would not help. A reader must not be the first to
    // find out.
    batch::check_records(&batch)
        .map_err(|error| refuse(ErrorCode::INVALID_RECORD, &error.to_string()))?;
    context.broker.metrics.records(u64::try_from(header.record_count).unwrap_or(0));
    let pass = in_transaction(context, &header, part, transaction)?;
    Ok(Accepted { part, batch, pass })
}

/// A transactional batch needs a pass; a plain one must not come between those of its producer.
fn in_transaction(
    context: &Context,
    header: &BatchHeader,
    part: PartId,
    transaction: Option<&Arc<str>>,
) -> Result<Option<(Pass, Guard)>, Refused> {
    let refuse = |code, why: &str| Refused { code, why: why.to_owned() };
    let transactions = &context.broker.transactions;
    if !header.is_transactional() {
        return match header.has_producer() && transactions.has_part(header.producer_id, part) {
            true => Err(refuse(ErrorCode::INVALID_TXN_STATE, "the producer's transaction is open")),
            false => Ok(None),
        };
    }
    let id = transaction.ok_or_else(|| {
        let why = "transactional records in a request without transactional id";
        refuse(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, why)
    })?;
    let from = Identity { producer_id: header.producer_id, epoch: header.producer_epoch };
    let pass = Pass { id: Arc::clone(id), from, part, version: context.version };
    match pass.ask(transactions) {
        Ok(guard) => Ok(Some((pass, guard))),
        Err(code) => Err(refuse(code, NOT_IN_TRANSACTION)),
    }
}

/// Why a transactional batch is let in, to be asked for again when it was not after all.
struct Pass {
    id: Arc<str>,
    from: Identity,
    part: PartId,
    version: i16,
}

impl Pass {
    fn ask(&self, transactions: &Transactions) -> Result<Guard, ErrorCode> {
        let admitted = transactions.admit(&self.id, self.from, self.part);
        admitted.map_err(|code| match code {
            ErrorCode::INVALID_TXN_STATE if self.version >= ABORTABLE_FROM => {
                ErrorCode::TRANSACTION_ABORTABLE
            }
            code => code,
        })
    }

    /// The transaction ended between the question and the append.
    fn code(&self, transactions: &Transactions) -> ErrorCode {
        self.ask(transactions).err().unwrap_or(ErrorCode::INVALID_TXN_STATE)
    }
}

/// A batch that may go to the store.
struct Accepted {
    part: PartId,
    batch: Bytes,
    pass: Option<(Pass, Guard)>,
}

fn verify_one(bytes: &Bytes, limit: usize) -> Result<BatchHeader, Refused> {
    batch::verify(bytes, limit)
        .map_err(|error| Refused { code: errors::of_batch(&error), why: error.to_string() })
}

fn submit(
    context: &Context,
    gathering: &Arc<Mutex<Gathering>>,
    place: (usize, usize),
    Accepted { part, batch, pass }: Accepted,
) {
    lock(gathering).outstanding += 1;
    let gathering = Arc::clone(gathering);
    let (pass, guard) = pass.unzip();
    let guards = guard.into_iter().collect();
    let commit = Commit { guards, appends: vec![Append { part, batch }], ..Commit::default() };
    let pass = pass.map(|pass| (pass, Arc::clone(&context.broker)));
    context.broker.store.submit(
        commit,
        Box::new(move |result| {
            let appended = result.and_then(|committed| {
                let first = committed.appends.first().copied();
                first.ok_or_else(|| StoreError::Closed("the commit lost its append".into()))
            });
            set(&gathering, place, |answer| match appended {
                Ok(appended) => accept(answer, &appended),
                Err(StoreError::GuardMismatch(_)) if pass.is_some() => {
                    let code = pass.map(|(pass, broker)| pass.code(&broker.transactions));
                    refuse(answer, code.unwrap_or_default(), NOT_IN_TRANSACTION.to_owned());
                }
                Err(error) => refuse(answer, errors::of_append(&error), error.to_string()),
            });
            let mut gathered = lock(&gathering);
            gathered.outstanding -= 1;
            gathered.finish_if_complete();
        }),
    );
}

fn accept(answer: &mut ProduceResponsePartition, appended: &Appended) {
    answer.base_offset = appended.base_offset;
    answer.log_append_time_ms = appended.log_append_time_ms;
    answer.log_start_offset = appended.log_start;
}

fn refuse(answer: &mut ProduceResponsePartition, code: ErrorCode, why: String) {
    answer.error_code = code;
    if code == ErrorCode::INVALID_RECORD {
        answer.record_errors = vec![RecordError { batch_index: 0, message: Some(why.clone()) }];
    }
    answer.error_message = Some(why);
}

fn set(
    gathering: &Mutex<Gathering>,
    (topic, at): (usize, usize),
    change: impl FnOnce(&mut ProduceResponsePartition),
) {
    let mut gathered = lock(gathering);
    let partitions = gathered.response.topics.get_mut(topic).map(|topic| &mut topic.partitions);
    if let Some(answer) = partitions.and_then(|partitions| partitions.get_mut(at)) {
        change(answer);
    }
}

fn lock(gathering: &Mutex<Gathering>) -> std::sync::MutexGuard<'_, Gathering> {
    gathering.lock().unwrap_or_else(PoisonError::into_inner)
}
