//! `yeoul topics trim`: removes the records before a place, as Kafka's DeleteRecords does. What
//! is removed is gone for every reader, so it is shown first.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};
use yeoul_kafka_wire::api::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};

use super::client::{Cluster, check};
use super::place::{Place, Places, parse_place};
use crate::output::{self, Failure, Output};

const TIMEOUT_MS: i32 = 30_000;

#[derive(Debug, Args)]
pub(crate) struct TrimArgs {
    name: String,
    /// The first record to stay: end, an offset, a time such as 2026-11-21T09:00:00Z, or how long
    /// ago such as 7d
    #[arg(long, value_name = "PLACE", value_parser = parse_place)]
    before: Place,
    /// Only this partition
    #[arg(long, short)]
    partition: Option<i32>,
    /// Show what would go and leave it
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do it without asking
    #[arg(long, short)]
    yes: bool,
}

/// What goes of one partition.
struct Cut {
    partition: i32,
    leader: i32,
    from: i64,
    to: i64,
}

pub(super) fn trim(cluster: &mut Cluster, args: &TrimArgs, output: Output) -> Result<(), Failure> {
    let topic = cluster.topic(&args.name, false)?;
    let places = Places::find(cluster, &topic, args.before)?;
    let mut cuts: Vec<Cut> = topic
        .partitions
        .iter()
        .filter(|part| args.partition.is_none_or(|only| only == part.partition_index))
        .map(|part| Cut {
            partition: part.partition_index,
            leader: part.leader_id,
            from: places.first(part.partition_index),
            to: places.offset(part.partition_index),
        })
        .collect();
    cuts.sort_by_key(|cut| cut.partition);
    if cuts.is_empty() {
        return Err(Failure::new(format!("`{}` has no partition of that number", args.name)));
    }
    show(&cuts, output)?;
    if args.dry_run {
        return Ok(());
    }
    let question = format!("remove these records of `{}` for good?", args.name);
    if !args.yes && !output::confirm(&question)? {
        output::remark("nothing removed");
        return Ok(());
    }
    let mut by_leader: BTreeMap<i32, Vec<DeleteRecordsPartition>> = BTreeMap::new();
    for cut in cuts {
        let (partition_index, offset) = (cut.partition, cut.to);
        let one = DeleteRecordsPartition { partition_index, offset };
        by_leader.entry(cut.leader).or_default().push(one);
    }
    for (leader, partitions) in by_leader {
        let topics = vec![DeleteRecordsTopic { name: args.name.clone(), partitions }];
        let request = DeleteRecordsRequest { topics, timeout_ms: TIMEOUT_MS };
        let answer = cluster.call_on(leader, request)?;
        for part in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            check(part.error_code, || format!("{} partition {}", args.name, part.partition_index))?;
        }
    }
    output::remark(format!("topic `{}` begins there", args.name));
    Ok(())
}

fn show(cuts: &[Cut], output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        let cuts = cuts.iter().map(|cut| {
            json!({"partition": cut.partition, "start": cut.from, "then": cut.to,
                   "removed": cut.to - cut.from})
        });
        return output::line(Value::from(cuts.collect::<Vec<_>>()).to_string());
    }
    let rows = cuts.iter().map(|cut| {
        let removed = output::count(u64::try_from(cut.to - cut.from).unwrap_or(0));
        vec![cut.partition.to_string(), cut.from.to_string(), cut.to.to_string(), removed]
    });
    output::line(output::table(&["partition", "start", "then", "removed"], rows))
}
