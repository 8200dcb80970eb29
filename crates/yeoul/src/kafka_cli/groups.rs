//! `yeoul groups list | describe | reset | delete`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use yeoul_kafka_wire::api::delete_groups::DeleteGroupsRequest;
use yeoul_kafka_wire::api::describe_groups::DescribeGroupsRequest;
use yeoul_kafka_wire::api::list_groups::ListGroupsRequest;
use yeoul_kafka_wire::api::list_offsets::LATEST;

use super::client::{Bootstrap, Cluster, check};
use super::consume::{Commits, coordinator};
use super::reset::ResetArgs;
use crate::output::{self, Failure, Output};

#[derive(Debug, Args)]
pub(crate) struct GroupsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[command(subcommand)]
    command: GroupsCommand,
}

#[derive(Debug, Subcommand)]
enum GroupsCommand {
    /// Names and states
    List,
    /// Members, and how far the group is in each partition
    Describe { name: String },
    /// Move a group that has no members to another place
    Reset(ResetArgs),
    /// Forget a group without members, with its offsets
    Delete { name: String },
}

pub(crate) fn groups(args: GroupsArgs, output: Output) -> Result<ExitCode, Failure> {
    let mut cluster = Cluster::connect(&args.bootstrap)?;
    match args.command {
        GroupsCommand::List => list(&mut cluster, output)?,
        GroupsCommand::Describe { name } => describe(&mut cluster, &name, output)?,
        GroupsCommand::Reset(reset) => super::reset::reset(&mut cluster, &reset, output)?,
        GroupsCommand::Delete { name } => delete(&mut cluster, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(cluster: &mut Cluster, output: Output) -> Result<(), Failure> {
    // Each broker lists the groups it coordinates.
    let brokers = cluster.metadata(Some(&[]), false)?.brokers;
    let mut groups = Vec::new();
    for broker in brokers {
        let answer = cluster.call_on(broker.node_id, ListGroupsRequest::default())?;
        check(answer.error_code, || "listing groups".to_owned())?;
        groups.extend(answer.groups);
    }
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    if output == Output::Json {
        let groups: Vec<_> = groups
            .into_iter()
            .map(|g| json!({"name": g.group_id, "state": g.group_state, "protocol": g.protocol_type}))
            .collect();
        return output::line(Value::from(groups).to_string());
    }
    let rows = groups.into_iter().map(|group| vec![group.group_id, group.group_state]);
    output::line(output::table(&["group", "state"], rows))
}

fn describe(cluster: &mut Cluster, name: &str, output: Output) -> Result<(), Failure> {
    let node = coordinator(cluster, name)?;
    let request =
        DescribeGroupsRequest { groups: vec![name.to_owned()], ..DescribeGroupsRequest::default() };
    let answer = cluster.call_on(node, request)?;
    let Some(group) = answer.groups.into_iter().next().filter(|g| g.group_state != "Dead") else {
        return Err(Failure::new(format!("group `{name}` does not exist"))
            .hint("`yeoul groups list` shows those that do"));
    };
    check(group.error_code, || format!("group `{name}`"))?;
    let mut rows = Vec::new();
    for (topic, offsets) in (Commits { group: name, node }).all(cluster)? {
        let info = cluster.topic(&topic, false)?;
        let ends = cluster.offsets(&info, LATEST)?;
        for (partition, offset) in offsets {
            let end = ends.get(&partition).copied().unwrap_or(offset);
            rows.push((topic.clone(), partition, offset, end));
        }
    }
    if output == Output::Json {
        let offsets: Vec<_> = rows
            .iter()
            .map(|(topic, partition, offset, end)| {
                let lag = (end - offset).max(0);
                json!({"topic": topic, "partition": partition, "offset": offset, "end": end, "lag": lag})
            })
            .collect();
        let members: Vec<_> = group
            .members
            .iter()
            .map(|m| json!({"id": m.member_id, "client": m.client_id, "host": m.client_host}))
            .collect();
        let described = json!({
            "name": name, "state": group.group_state, "members": members, "offsets": offsets,
        });
        return output::line(described.to_string());
    }
    output::line(format!("{name}: {}, {} members", group.group_state, group.members.len()))?;
    let rows = rows.into_iter().map(|(topic, partition, offset, end)| {
        let lag = output::count(u64::try_from(end - offset).unwrap_or(0));
        vec![topic, partition.to_string(), offset.to_string(), end.to_string(), lag]
    });
    output::line(output::table(&["topic", "partition", "offset", "end", "lag"], rows))
}

fn delete(cluster: &mut Cluster, name: &str) -> Result<(), Failure> {
    let node = coordinator(cluster, name)?;
    let request = DeleteGroupsRequest { group_names: vec![name.to_owned()] };
    for result in cluster.call_on(node, request)?.results {
        check(result.error_code, || format!("group `{name}`"))?;
    }
    output::remark(format!("group `{name}` deleted"));
    Ok(())
}
