//! `yeoul produce TOPIC`: lines of stdin become records.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde_json::json;
use yeoul_base::{Clock, SystemClock};
use yeoul_kafka_wire::api::metadata::MetadataTopic;
use yeoul_kafka_wire::api::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use yeoul_log::batch::{BatchBuilder, Codec, Header};

use super::client::{Bootstrap, Cluster, check};
use super::record;
use super::topics::key_value;
use crate::output::{self, Failure, Output};

/// A batch goes out at this size at the latest …
const BATCH_BYTES: usize = 256 << 10;
/// … and when no line has come for so long.
const LINGER: Duration = Duration::from_millis(5);
/// Lines read and not taken yet.
const QUEUE_LINES: usize = 1024;
const TIMEOUT_MS: i32 = 30_000;

#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// The topic; made when it does not exist and the node allows that
    topic: String,
    /// What separates key and value in a line; without it there are no keys
    #[arg(long, short = 'K', value_name = "TEXT")]
    key_separator: Option<String>,
    /// A header for every record (repeatable)
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = key_value)]
    header: Vec<(String, String)>,
    /// One partition for all; without it the key decides, or they take turns
    #[arg(long, short)]
    partition: Option<i32>,
    /// How batches are packed
    #[arg(long, value_enum, default_value = "none")]
    codec: CodecName,
    /// What a line is; `json` is what `yeoul consume --format json` writes
    #[arg(long, value_enum, default_value = "value", conflicts_with = "key_separator")]
    format: LineFormat,
    /// Write an empty value as null, which deletes in compacted and upsert topics
    #[arg(long)]
    empty_is_null: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LineFormat {
    /// The value, after a key when there is a key separator
    Value,
    /// A JSON object: key, value, headers, timestamp_ms
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CodecName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Self {
        match name {
            CodecName::None => Self::None,
            CodecName::Gzip => Self::Gzip,
            CodecName::Snappy => Self::Snappy,
            CodecName::Lz4 => Self::Lz4,
            CodecName::Zstd => Self::Zstd,
        }
    }
}

pub(crate) fn produce(args: ProduceArgs, output: Output) -> Result<ExitCode, Failure> {
    let mut cluster = Cluster::connect(&args.bootstrap)?;
    let topic = cluster.topic(&args.topic, true)?;
    let mut producer = Producer::new(cluster, topic, &args)?;
    let lines = read_lines();
    let mut sent = Ok(());
    loop {
        match lines.recv_timeout(LINGER) {
            Ok(line) => sent = line.map_err(Failure::from).and_then(|line| producer.push(&line)),
            Err(RecvTimeoutError::Timeout) => {
                sent = producer.flush();
                if sent.is_ok() {
                    // Nothing is held back now: wait for as long as it takes.
                    match lines.recv() {
                        Ok(line) => {
                            sent = line.map_err(Failure::from).and_then(|l| producer.push(&l));
                        }
                        Err(_) => break,
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if sent.is_err() {
            break;
        }
    }
    let sent = sent.and_then(|()| producer.flush());
    // Also after a failure, so that one knows from where to go on.
    if output == Output::Json {
        output::line(json!({"topic": args.topic, "records": producer.sent}).to_string())?;
    } else {
        let records = output::count(producer.sent);
        output::remark(format!("{records} records acknowledged by `{}`", args.topic));
    }
    sent.map(|()| ExitCode::SUCCESS)
}

/// Lines from a thread of its own, so that waiting for input and sending do not block each other.
fn read_lines() -> Receiver<io::Result<Vec<u8>>> {
    let (send, receive) = sync_channel(QUEUE_LINES);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = match input.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    }
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    Ok(line)
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if send.send(read).is_err() || failed {
                return;
            }
        }
    });
    receive
}

struct Producer {
    cluster: Cluster,
    topic: String,
    /// By partition number.
    leaders: Vec<i32>,
    fixed: Option<i32>,
    separator: Option<Vec<u8>>,
    format: LineFormat,
    headers: Vec<Header>,
    codec: Codec,
    empty_is_null: bool,
    clock: SystemClock,
    open: HashMap<i32, BatchBuilder>,
    /// Where records without a key go until the next flush.
    turn: i32,
    sent: u64,
}

impl Producer {
    fn new(cluster: Cluster, topic: MetadataTopic, args: &ProduceArgs) -> Result<Self, Failure> {
        let mut partitions = topic.partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        let leaders: Vec<_> = partitions.iter().map(|partition| partition.leader_id).collect();
        let count = i32::try_from(leaders.len()).unwrap_or(i32::MAX);
        if let Some(fixed) = args.partition
            && !(0..count).contains(&fixed)
        {
            return Err(Failure::new(format!(
                "topic `{}` has partitions 0 to {}, not {fixed}",
                args.topic,
                count - 1
            )));
        }
        let headers = args
            .header
            .iter()
            .map(|(name, value)| Header {
                name: Bytes::from(name.clone().into_bytes()),
                value: Some(Bytes::from(value.clone().into_bytes())),
            })
            .collect();
        Ok(Self {
            cluster,
            topic: args.topic.clone(),
            leaders,
            fixed: args.partition,
            separator: args.key_separator.clone().map(String::into_bytes),
            format: args.format,
            headers,
            codec: args.codec.into(),
            empty_is_null: args.empty_is_null,
            clock: SystemClock::new(),
            open: HashMap::new(),
            turn: 0,
            sent: 0,
        })
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        if self.format == LineFormat::Json {
            let mut record = record::from_json(line).map_err(|what| {
                Failure::new(format!("line {}: {what}", self.lines() + 1))
                    .hint("a line is what `yeoul consume --format json` writes")
            })?;
            record.headers.extend(self.headers.iter().cloned());
            let time_ms = record.timestamp_ms.unwrap_or(now_ms);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            return self.add(time_ms, key, value, &record.headers);
        }
        let (key, value) = self.take_apart(line)?;
        let value = (!value.is_empty() || !self.empty_is_null).then_some(value);
        let headers = std::mem::take(&mut self.headers);
        let added = self.add(now_ms, key, value, &headers);
        self.headers = headers;
        added
    }

    fn add(
        &mut self,
        time_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), Failure> {
        let partition = self.partition_of(key);
        let codec = self.codec;
        let batch = self.open.entry(partition).or_insert_with(|| BatchBuilder::new(codec));
        batch.push(time_ms, key, value, headers);
        if batch.len_bytes() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Lines taken so far.
    fn lines(&self) -> u64 {
        self.sent + self.open.values().map(|batch| batch.count() as u64).sum::<u64>()
    }

    fn take_apart<'l>(&self, line: &'l [u8]) -> Result<(Option<&'l [u8]>, &'l [u8]), Failure> {
        let Some(separator) = self.separator.as_deref().filter(|s| !s.is_empty()) else {
            return Ok((None, line));
        };
        let at = line.windows(separator.len()).position(|window| window == separator);
        let split = at.and_then(|at| Some((line.get(..at)?, line.get(at + separator.len()..)?)));
        match split {
            Some((key, value)) => Ok((Some(key), value)),
            None => {
                let separator = String::from_utf8_lossy(separator);
                Err(Failure::new(format!("line {} has no `{separator}`", self.lines() + 1)).hint(
                    "every line needs key, separator and value when --key-separator is given",
                ))
            }
        }
    }

    fn partition_of(&self, key: Option<&[u8]>) -> i32 {
        let count = i32::try_from(self.leaders.len()).unwrap_or(1).max(1);
        match (self.fixed, key) {
            (Some(fixed), _) => fixed,
            (None, Some(key)) => (murmur2(key) & 0x7fff_ffff).cast_signed() % count,
            (None, None) => self.turn % count,
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.turn = self.turn.wrapping_add(1) & i32::MAX;
        for (index, mut batch) in std::mem::take(&mut self.open) {
            let count = batch.count() as u64;
            let Some(records) = batch.finish() else { continue };
            let leader = usize::try_from(index).ok().and_then(|at| self.leaders.get(at));
            let leader = leader.copied().unwrap_or(-1);
            let partitions = vec![ProducePartition { index, records: Some(records) }];
            let request = ProduceRequest {
                acks: -1,
                timeout_ms: TIMEOUT_MS,
                topics: vec![ProduceTopic { name: self.topic.clone(), partitions }],
                ..ProduceRequest::default()
            };
            let answer = self.cluster.call_on(leader, request)?;
            for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                check(partition.error_code, || match partition.error_message {
                    Some(why) => format!("{} partition {index}: {why}", self.topic),
                    None => format!("{} partition {index}", self.topic),
                })?;
            }
            self.sent += count;
        }
        Ok(())
    }
}

/// The hash by which Kafka's clients choose a key's partition.
fn murmur2(key: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ (key.len() as u32);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafkas_clients_send_them() {
        // Kafka's own test of the function has these.
        assert_eq!(murmur2(b"21").cast_signed(), -973_932_308);
        assert_eq!(murmur2(b"foobar").cast_signed(), -790_332_482);
        assert_eq!(murmur2(b"a-little-bit-long-string").cast_signed(), -985_981_536);
        assert_eq!(murmur2(b"a-little-bit-longer-string").cast_signed(), -1_486_304_829);
    }
}
