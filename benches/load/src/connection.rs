//! One blocking connection whose requests may be under way several at a time.

use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use yeoul_kafka_wire::api::create_topics::{CreatableConfig, CreatableTopic, CreateTopicsRequest};
use yeoul_kafka_wire::{ErrorCode, Request, decode_response, encode_request};

use crate::{Failure, Target};

/// Longer than any broker under test may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: u32 = 256 << 20;

pub(crate) struct Connection {
    stream: TcpStream,
    next_id: i32,
    /// The correlation id of the oldest request without its answer.
    oldest_id: i32,
}

impl Connection {
    pub(crate) fn open(addr: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, next_id: 0, oldest_id: 0 })
    }

    /// Both ends of the same connection, one to send and one to receive.
    pub(crate) fn split(self) -> Result<(Self, Self), Failure> {
        let stream = self.stream.try_clone()?;
        let (next_id, oldest_id) = (self.next_id, self.oldest_id);
        Ok((Self { stream, next_id, oldest_id }, self))
    }

    pub(crate) fn send<R: Request>(&mut self, version: i16, request: R) -> Result<(), Failure> {
        let frame = encode_request(version, self.next_id, "load", request)?;
        self.next_id = self.next_id.wrapping_add(1);
        let slices: Vec<_> = frame.chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        write_all(&mut self.stream, slices)
    }

    /// The answer to the oldest request, which must be an `R`.
    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, Failure> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len);
        if len > ANSWER_BYTES_MAX {
            return Err(format!("an answer of {len} bytes").into());
        }
        let mut frame = vec![0; len as usize];
        self.stream.read_exact(&mut frame)?;
        let id = self.oldest_id;
        self.oldest_id = self.oldest_id.wrapping_add(1);
        Ok(decode_response::<R>(Bytes::from(frame), version, id)?)
    }

    pub(crate) fn call<R: Request>(
        &mut self,
        version: i16,
        request: R,
    ) -> Result<R::Response, Failure> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }
}

fn write_all(stream: &mut TcpStream, mut slices: Vec<IoSlice<'_>>) -> Result<(), Failure> {
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = stream.write_vectored(rest)?;
        if written == 0 {
            return Err("the broker takes nothing more".into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// An error code as a failure.
pub(crate) fn check(code: ErrorCode, what: &str) -> Result<(), Failure> {
    if code.is_ok() { Ok(()) } else { Err(format!("{what}: {code}").into()) }
}

pub(crate) fn create(target: &Target, config: &[String]) -> Result<Value, Failure> {
    const VERSION: i16 = 5;
    let configs = config
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => {
                Ok(CreatableConfig { name: name.into(), value: Some(value.into()) })
            }
            None => Err(Failure::from(format!("`{text}` is not KEY=VALUE"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let topic = CreatableTopic {
        name: target.topic.clone(),
        num_partitions: target.partitions,
        replication_factor: 1,
        configs,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
    let answer = Connection::open(&target.addr)?.call(VERSION, request)?;
    for made in answer.topics {
        if made.error_code != ErrorCode::TOPIC_ALREADY_EXISTS {
            check(made.error_code, made.error_message.as_deref().unwrap_or("creating the topic"))?;
        }
    }
    Ok(json!({ "topic": target.topic, "partitions": target.partitions }))
}
