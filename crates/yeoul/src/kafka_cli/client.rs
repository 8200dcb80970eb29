//! A small Kafka client for commands: blocking, one request at a time per broker.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use yeoul_base::limits::REQUEST_BYTES_MAX;
use yeoul_kafka_wire::api::api_versions::ApiVersionsRequest;
use yeoul_kafka_wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use yeoul_kafka_wire::api::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataTopic,
};
use yeoul_kafka_wire::{Api, ErrorCode, Request, decode_response, encode_request};

use crate::output::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any request of ours lets the broker wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const CLIENT_ID: &str = "yeoul";

/// Where Kafka's protocol is spoken.
#[derive(Debug, Clone, Args)]
pub(crate) struct Bootstrap {
    /// The node's (or any Kafka's) address for Kafka clients
    #[arg(long, global = true, env = "YEOUL_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap_server: String,
}

/// One connection to one broker, with the versions both sides know.
struct Connection {
    stream: TcpStream,
    addr: String,
    /// API number → the broker's oldest and newest version.
    versions: HashMap<i16, (i16, i16)>,
    correlation_id: i32,
}

impl Connection {
    fn open(addr: &str) -> Result<Self, Failure> {
        let stream = connect(addr).map_err(|error| {
            Failure::new(format!("no Kafka answers at {addr}: {error}"))
                .hint("start a node with `yeoul run`, or name another with --bootstrap-server")
        })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let versions = HashMap::new();
        let mut connection = Self { stream, addr: addr.to_owned(), versions, correlation_id: 0 };
        // The oldest version: every broker answers it.
        let answer = connection.call_as(0, ApiVersionsRequest::default())?;
        let known = answer.api_keys.iter();
        connection.versions =
            known.map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(connection)
    }

    fn call<R: Request>(&mut self, request: R) -> Result<R::Response, Failure> {
        let api = R::api();
        let version = self.version_of(&api).ok_or_else(|| {
            Failure::new(format!("{} does not serve {} as this program does", self.addr, api.name))
        })?;
        self.call_as(version, request)
    }

    fn version_of(&self, api: &Api) -> Option<i16> {
        let (min, max) = *self.versions.get(&(api.key as i16))?;
        let version = max.min(api.max);
        (version >= min && api.accepts(version)).then_some(version)
    }

    fn call_as<R: Request>(&mut self, version: i16, request: R) -> Result<R::Response, Failure> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let id = self.correlation_id;
        self.exchange(version, id, request).map_err(|mut failure| {
            failure.message = format!("{}: {}: {}", self.addr, R::api().name, failure.message);
            failure
        })
    }

    fn exchange<R: Request>(
        &mut self,
        version: i16,
        id: i32,
        request: R,
    ) -> Result<R::Response, Failure> {
        for chunk in encode_request(version, id, CLIENT_ID, request)?.chunks {
            self.stream.write_all(&chunk)?;
        }
        let frame = read_frame(&mut self.stream)?;
        Ok(decode_response::<R>(frame, version, id)?)
    }
}

fn connect(addr: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in addr.to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u64::from(u32::from_be_bytes(len));
    if len > REQUEST_BYTES_MAX as u64 {
        return Err(io::Error::other(format!("an answer of {len} bytes: is this a Kafka?")));
    }
    // Grows with what arrives, so a wrong length costs nothing.
    let mut frame = Vec::new();
    if stream.take(len).read_to_end(&mut frame)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Bytes::from(frame))
}

/// All brokers behind one address. Each partition's requests go to its leader.
pub(crate) struct Cluster {
    bootstrap: Connection,
    nodes: HashMap<i32, Connection>,
    addrs: HashMap<i32, String>,
    /// Whether a topic's end is that of its decided records only.
    pub(crate) committed: bool,
}

impl Cluster {
    pub(crate) fn connect(to: &Bootstrap) -> Result<Self, Failure> {
        let bootstrap = Connection::open(&to.bootstrap_server)?;
        Ok(Self { bootstrap, nodes: HashMap::new(), addrs: HashMap::new(), committed: false })
    }

    /// Asks the broker that was named.
    pub(crate) fn call<R: Request>(&mut self, request: R) -> Result<R::Response, Failure> {
        self.bootstrap.call(request)
    }

    /// Asks one broker of the cluster.
    pub(crate) fn call_on<R: Request>(
        &mut self,
        node: i32,
        request: R,
    ) -> Result<R::Response, Failure> {
        if !self.nodes.contains_key(&node) {
            let addr = self.addrs.get(&node).ok_or_else(|| {
                Failure::new(format!("broker {node} is not among the cluster's brokers"))
            })?;
            let connection = Connection::open(addr)?;
            self.nodes.insert(node, connection);
        }
        match self.nodes.get_mut(&node) {
            Some(connection) => connection.call(request),
            None => self.bootstrap.call(request),
        }
    }

    /// Asks about topics (all when `None`), never creating one unless told to.
    pub(crate) fn metadata(
        &mut self,
        names: Option<&[&str]>,
        create: bool,
    ) -> Result<MetadataResponse, Failure> {
        let topics = names.map(|names| {
            let topics = names.iter().map(|name| MetadataRequestTopic {
                name: Some((*name).to_owned()),
                ..MetadataRequestTopic::default()
            });
            topics.collect()
        });
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: create,
            ..MetadataRequest::default()
        };
        let answer = self.bootstrap.call(request)?;
        for broker in &answer.brokers {
            self.addrs.insert(broker.node_id, format!("{}:{}", broker.host, broker.port));
        }
        Ok(answer)
    }

    /// One topic that must exist (or may be created).
    pub(crate) fn topic(&mut self, name: &str, create: bool) -> Result<MetadataTopic, Failure> {
        // A broker that creates it may need a moment to have its leaders.
        const TRIES: usize = 20;
        const PAUSE: Duration = Duration::from_millis(100);
        let mut code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        for _ in 0..TRIES {
            let answer = self.metadata(Some(&[name]), create)?;
            if let Some(topic) = answer.topics.into_iter().next() {
                let leaderless = topic.partitions.iter().any(|partition| partition.leader_id < 0);
                code = topic.error_code;
                if code.is_ok() && !leaderless {
                    return Ok(topic);
                }
                if !create && code != ErrorCode::LEADER_NOT_AVAILABLE && !code.is_ok() {
                    break;
                }
            }
            std::thread::sleep(PAUSE);
        }
        Err(match code {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                Failure::new(format!("topic `{name}` does not exist")).hint(format!(
                    "`yeoul topics create {name}` makes it, `yeoul topics list` shows what there is"
                ))
            }
            code => Failure::new(format!("topic `{name}`: {code}")),
        })
    }

    /// Offsets of a topic's partitions at a time (or at one of ListOffsets' special times), by
    /// partition number. −1 where nothing is as late.
    pub(crate) fn offsets(
        &mut self,
        topic: &MetadataTopic,
        timestamp: i64,
    ) -> Result<HashMap<i32, i64>, Failure> {
        let mut by_leader: HashMap<i32, Vec<ListOffsetsPartition>> = HashMap::new();
        for partition in &topic.partitions {
            by_leader.entry(partition.leader_id).or_default().push(ListOffsetsPartition {
                partition_index: partition.partition_index,
                timestamp,
                ..ListOffsetsPartition::default()
            });
        }
        let name = topic.name.clone().unwrap_or_default();
        let mut offsets = HashMap::new();
        for (leader, partitions) in by_leader {
            let topics = vec![ListOffsetsTopic { name: name.clone(), partitions }];
            let request = ListOffsetsRequest {
                isolation_level: i8::from(self.committed),
                topics,
                ..ListOffsetsRequest::default()
            };
            let answer = self.call_on(leader, request)?;
            for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                check(partition.error_code, || {
                    format!("{name} partition {}", partition.partition_index)
                })?;
                offsets.insert(partition.partition_index, partition.offset);
            }
        }
        Ok(offsets)
    }
}

/// An error code as a failure that says what it is about.
pub(crate) fn check(code: ErrorCode, about: impl FnOnce() -> String) -> Result<(), Failure> {
    if code.is_ok() { Ok(()) } else { Err(Failure::new(format!("{}: {code}", about()))) }
}
