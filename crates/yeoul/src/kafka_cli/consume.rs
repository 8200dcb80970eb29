//! `yeoul consume TOPIC`: records to stdout, from any place, to the end or for ever.
//!
//! With `--group` it starts where the group stopped and commits what it has written out, as a
//! client that assigns partitions itself: it does not share them with other members. Records of
//! transactions that are open or were aborted are left out unless asked for.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use yeoul_base::AbortedTxn;
use yeoul_kafka_wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};
use yeoul_kafka_wire::api::find_coordinator::{FindCoordinatorRequest, GROUP};
use yeoul_kafka_wire::api::list_offsets::LATEST;
use yeoul_kafka_wire::api::metadata::MetadataTopic;
use yeoul_kafka_wire::api::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use yeoul_kafka_wire::api::offset_fetch::{OffsetFetchGroup, OffsetFetchRequest};
use yeoul_log::batch::{self, BatchHeader};
use yeoul_log::reader::Aborting;

use super::client::{Bootstrap, Cluster, check};
use super::place::{Place, Places, parse_place};
use super::record::{self, Format};
use crate::output::{Failure, Output};

const WAIT_MS: i32 = 500;
const FETCH_BYTES: i32 = 8 << 20;
const PARTITION_BYTES: i32 = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    topic: String,
    /// Where to begin: beginning, end, an offset, a time such as 2026-11-21T09:00:00Z, or how
    /// long ago such as 90m
    #[arg(long, value_name = "PLACE", value_parser = parse_place)]
    from: Option<Place>,
    /// One partition only
    #[arg(long, short)]
    partition: Option<i32>,
    /// Go on where this consumer group stopped, and remember how far it came
    #[arg(long, short)]
    group: Option<String>,
    /// Stop after so many records
    #[arg(long, short = 'n', value_name = "N")]
    max: Option<u64>,
    /// Wait for further records instead of stopping at the end
    #[arg(long, short)]
    follow: bool,
    /// How a record is written
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Also records of transactions that are open or were aborted
    #[arg(long)]
    uncommitted: bool,
}

pub(crate) fn consume(args: ConsumeArgs, output: Output) -> Result<ExitCode, Failure> {
    let default = if output == Output::Json { Format::Json } else { Format::Value };
    let format = args.format.unwrap_or(default);
    let mut cluster = Cluster::connect(&args.bootstrap)?;
    cluster.committed = !args.uncommitted;
    let mut topic = cluster.topic(&args.topic, false)?;
    if let Some(wanted) = args.partition {
        topic.partitions.retain(|partition| partition.partition_index == wanted);
        if topic.partitions.is_empty() {
            return Err(Failure::new(format!("`{}` has no partition {wanted}", args.topic)));
        }
    }
    let node = args.group.as_deref().map(|group| coordinator(&mut cluster, group)).transpose()?;
    let commits = args.group.as_deref().zip(node).map(|(group, node)| Commits { group, node });
    let positions = start(&mut cluster, &topic, &args, commits.as_ref())?;
    let ends = if args.follow { None } else { Some(cluster.offsets(&topic, LATEST)?) };
    let mut consumer = Consumer {
        topic: args.topic.clone(),
        leaders: topic.partitions.iter().map(|p| (p.partition_index, p.leader_id)).collect(),
        positions,
        ends,
        left: args.max.unwrap_or(u64::MAX),
        format,
        isolation: i8::from(!args.uncommitted),
    };
    match consumer.run(&mut cluster, commits.as_ref()) {
        // The reader of our output has seen enough.
        Err(Stop::Pipe(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(Stop::Pipe(error)) => Err(error.into()),
        Err(Stop::Failure(failure)) => Err(failure),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

/// Why consuming ends before its end.
enum Stop {
    Pipe(io::Error),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Where each partition begins: as told, else where the group stopped, else at the beginning of
/// what is there (at the end when following without a group).
fn start(
    cluster: &mut Cluster,
    topic: &MetadataTopic,
    args: &ConsumeArgs,
    commits: Option<&Commits<'_>>,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let committed = match (args.from, commits) {
        (None, Some(commits)) => commits.all(cluster)?.remove(&args.topic).unwrap_or_default(),
        _ => BTreeMap::new(),
    };
    let default = if args.follow && commits.is_none() { Place::End } else { Place::Beginning };
    let places = Places::find(cluster, topic, args.from.unwrap_or(default))?;
    let mut positions = BTreeMap::new();
    for partition in &topic.partitions {
        let number = partition.partition_index;
        let position = match committed.get(&number) {
            Some(offset) => (*offset).clamp(places.first(number), places.end(number)),
            None => places.offset(number),
        };
        positions.insert(number, position);
    }
    Ok(positions)
}

struct Consumer {
    topic: String,
    leaders: BTreeMap<i32, i32>,
    positions: BTreeMap<i32, i64>,
    /// Where to stop; `None` follows.
    ends: Option<HashMap<i32, i64>>,
    left: u64,
    format: Format,
    /// As Kafka numbers it: 0 reads uncommitted, 1 committed.
    isolation: i8,
}

/// What a fetch brought of one partition.
struct Fetched {
    partition: i32,
    records: Vec<Bytes>,
    aborted: Vec<AbortedTxn>,
}

impl Consumer {
    fn run(&mut self, cluster: &mut Cluster, commits: Option<&Commits<'_>>) -> Result<(), Stop> {
        let mut out = BufWriter::new(io::stdout().lock());
        while self.left > 0 {
            let wanted = self.wanted();
            if wanted.is_empty() {
                break;
            }
            let before = self.positions.clone();
            for (leader, partitions) in wanted {
                for fetched in self.fetch(cluster, leader, partitions)? {
                    self.write(&mut out, fetched)?;
                }
            }
            out.flush().map_err(Stop::Pipe)?;
            if let Some(commits) = commits
                && before != self.positions
            {
                commits.commit(cluster, &self.topic, &self.positions)?;
            }
        }
        Ok(())
    }

    /// What is not at its end yet, by leader.
    fn wanted(&self) -> BTreeMap<i32, Vec<FetchPartition>> {
        let mut wanted: BTreeMap<i32, Vec<FetchPartition>> = BTreeMap::new();
        for (number, position) in &self.positions {
            let end = self.ends.as_ref().map(|ends| ends.get(number).copied().unwrap_or(0));
            let Some(leader) = self.leaders.get(number) else { continue };
            if end.is_none_or(|end| *position < end) {
                wanted.entry(*leader).or_default().push(FetchPartition {
                    partition: *number,
                    fetch_offset: *position,
                    partition_max_bytes: PARTITION_BYTES,
                    ..FetchPartition::default()
                });
            }
        }
        wanted
    }

    fn fetch(
        &self,
        cluster: &mut Cluster,
        leader: i32,
        partitions: Vec<FetchPartition>,
    ) -> Result<Vec<Fetched>, Failure> {
        let request = FetchRequest {
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            isolation_level: self.isolation,
            topics: vec![FetchTopic { name: self.topic.clone(), partitions }],
            ..FetchRequest::default()
        };
        let answer = cluster.call_on(leader, request)?;
        check(answer.error_code, || format!("reading `{}`", self.topic))?;
        let mut fetched = Vec::new();
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            let number = partition.partition_index;
            check(partition.error_code, || format!("{} partition {number}", self.topic))?;
            let aborted = partition.aborted_transactions.unwrap_or_default().into_iter();
            let aborted = aborted.map(|txn| AbortedTxn {
                producer_id: txn.producer_id,
                first_offset: txn.first_offset,
            });
            fetched.push(Fetched {
                partition: number,
                records: partition.records.0,
                aborted: aborted.collect(),
            });
        }
        Ok(fetched)
    }

    fn write(&mut self, out: &mut impl Write, fetched: Fetched) -> Result<(), Stop> {
        let Fetched { partition: number, records, aborted } = fetched;
        let mut aborting = Aborting::new(&aborted);
        // A broker may cut the last batch short; it comes whole with the next fetch.
        for one in records.into_iter().flat_map(batch::split).map_while(Result::ok) {
            let bad = |error| {
                Stop::Failure(Failure::new(format!("{} partition {number}: {error}", self.topic)))
            };
            let header = BatchHeader::parse(&one).map_err(bad)?;
            let from = self.positions.get(&number).copied().unwrap_or(0);
            if header.is_control() {
                aborting.marker(&header, &one);
            } else if !aborting.covers(&header) {
                for record in batch::decode(&one).map_err(bad)? {
                    if record.offset < from {
                        continue;
                    }
                    if self.left == 0 {
                        return Ok(());
                    }
                    record::write(out, self.format, &self.topic, number, &record)
                        .map_err(Stop::Pipe)?;
                    self.left -= 1;
                    self.positions.insert(number, record.offset + 1);
                }
            }
            self.positions.insert(number, header.last_offset() + 1);
        }
        Ok(())
    }
}

/// The broker that looks after a group.
pub(super) fn coordinator(cluster: &mut Cluster, group: &str) -> Result<i32, Failure> {
    // So that the brokers' addresses are known.
    cluster.metadata(Some(&[]), false)?;
    let request = FindCoordinatorRequest {
        key: group.to_owned(),
        key_type: GROUP,
        coordinator_keys: vec![group.to_owned()],
    };
    let answer = cluster.call(request)?;
    let (code, node) = match answer.coordinators.into_iter().next() {
        Some(found) => (found.error_code, found.node_id),
        None => (answer.error_code, answer.node_id),
    };
    check(code, || format!("group `{group}`"))?;
    Ok(node)
}

/// A group's committed offsets, at its coordinator.
pub(super) struct Commits<'g> {
    pub(super) group: &'g str,
    pub(super) node: i32,
}

impl Commits<'_> {
    /// Topic → partition → next offset.
    pub(super) fn all(
        &self,
        cluster: &mut Cluster,
    ) -> Result<BTreeMap<String, BTreeMap<i32, i64>>, Failure> {
        let group = self.group.to_owned();
        let request = OffsetFetchRequest {
            group_id: group.clone(),
            groups: vec![OffsetFetchGroup { group_id: group, ..OffsetFetchGroup::default() }],
            ..OffsetFetchRequest::default()
        };
        let answer = cluster.call_on(self.node, request)?;
        check(answer.error_code, || format!("group `{}`", self.group))?;
        let mut topics = answer.topics;
        for group in answer.groups {
            check(group.error_code, || format!("group `{}`", self.group))?;
            topics.extend(group.topics);
        }
        let mut all: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        for topic in topics {
            let known = topic.partitions.iter().filter(|p| p.committed_offset >= 0);
            let offsets = known.map(|p| (p.partition_index, p.committed_offset));
            all.entry(topic.name).or_default().extend(offsets);
        }
        Ok(all)
    }

    pub(super) fn commit(
        &self,
        cluster: &mut Cluster,
        topic: &str,
        positions: &BTreeMap<i32, i64>,
    ) -> Result<(), Failure> {
        let partitions = positions.iter().map(|(number, offset)| OffsetCommitPartition {
            partition_index: *number,
            committed_offset: *offset,
            committed_metadata: Some(String::new()),
            ..OffsetCommitPartition::default()
        });
        let topics =
            vec![OffsetCommitTopic { name: topic.to_owned(), partitions: partitions.collect() }];
        let request = OffsetCommitRequest {
            group_id: self.group.to_owned(),
            topics,
            ..OffsetCommitRequest::default()
        };
        let answer = cluster.call_on(self.node, request)?;
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            check(partition.error_code, || {
                format!(
                    "group `{}` could not remember its offsets (has it other members?)",
                    self.group
                )
            })?;
        }
        Ok(())
    }
}
