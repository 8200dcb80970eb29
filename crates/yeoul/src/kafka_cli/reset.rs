//! `yeoul groups reset`: where a group without members goes on. Says what would change, and
//! changes it once it was told yes.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::client::Cluster;
use super::consume::{Commits, coordinator};
use super::place::{Place, Places, parse_place};
use crate::output::{self, Failure, Output};

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    name: String,
    /// Where to: beginning, end, an offset, a time such as 2026-11-21T09:00:00Z, or how long ago
    /// such as 90m
    #[arg(long, value_name = "PLACE", value_parser = parse_place)]
    to: Place,
    /// Only this topic (repeatable); without it every topic the group has read
    #[arg(long, short, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Only this partition
    #[arg(long, short)]
    partition: Option<i32>,
    /// Show what would change and leave it
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do it without asking
    #[arg(long, short)]
    yes: bool,
}

/// One partition's way from here to there.
struct Move {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
    end: i64,
}

pub(super) fn reset(
    cluster: &mut Cluster,
    args: &ResetArgs,
    output: Output,
) -> Result<(), Failure> {
    let node = coordinator(cluster, &args.name)?;
    let commits = Commits { group: &args.name, node };
    let moves = plan(cluster, args, &commits)?;
    show(&moves, output)?;
    if args.dry_run {
        return Ok(());
    }
    if !args.yes && !output::confirm(&format!("move group `{}`?", args.name))? {
        output::remark("nothing changed");
        return Ok(());
    }
    let mut by_topic: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
    for step in &moves {
        by_topic.entry(&step.topic).or_default().insert(step.partition, step.to);
    }
    for (topic, positions) in by_topic {
        commits.commit(cluster, topic, &positions)?;
    }
    output::remark(format!("group `{}` goes on there", args.name));
    Ok(())
}

fn plan(
    cluster: &mut Cluster,
    args: &ResetArgs,
    commits: &Commits<'_>,
) -> Result<Vec<Move>, Failure> {
    let committed = commits.all(cluster)?;
    let topics: Vec<String> = if args.topic.is_empty() {
        committed.keys().cloned().collect()
    } else {
        args.topic.clone()
    };
    if topics.is_empty() {
        return Err(Failure::new(format!("group `{}` has no offsets yet", args.name))
            .hint("name the topics it is to read with --topic"));
    }
    let mut moves = Vec::new();
    for name in topics {
        let topic = cluster.topic(&name, false)?;
        let places = Places::find(cluster, &topic, args.to)?;
        let mut numbers: Vec<i32> = topic.partitions.iter().map(|p| p.partition_index).collect();
        numbers.retain(|number| args.partition.is_none_or(|only| only == *number));
        numbers.sort_unstable();
        for partition in numbers {
            moves.push(Move {
                from: committed.get(&name).and_then(|offsets| offsets.get(&partition)).copied(),
                to: places.offset(partition),
                end: places.end(partition),
                topic: name.clone(),
                partition,
            });
        }
    }
    if moves.is_empty() {
        return Err(Failure::new("no partition of that number in these topics"));
    }
    Ok(moves)
}

fn show(moves: &[Move], output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        let moves: Vec<_> = moves
            .iter()
            .map(|step| {
                json!({"topic": step.topic, "partition": step.partition, "from": step.from,
                       "to": step.to, "end": step.end})
            })
            .collect();
        return output::line(Value::from(moves).to_string());
    }
    let rows = moves.iter().map(|step| {
        let from = step.from.map_or_else(|| "none".to_owned(), |from| from.to_string());
        let again = output::count(u64::try_from(step.end - step.to).unwrap_or(0));
        vec![step.topic.clone(), step.partition.to_string(), from, step.to.to_string(), again]
    });
    output::line(output::table(&["topic", "partition", "now", "then", "to read"], rows))
}
