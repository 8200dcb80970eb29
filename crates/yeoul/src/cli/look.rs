//! Commands that look at a running node: `status`, `tap`, `sql`, `dead`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::{NodeAddr, NodeClient};
use crate::output::{self, Failure, Output, cell, count};

/// How often `--watch` and `--follow` look again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    node: NodeAddr,
    /// Show it anew twice a second
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn status(args: StatusArgs, output: Output) -> Result<(), Failure> {
    let client = NodeClient::new(&args.node)?;
    loop {
        let status = client.get("status").await?;
        if output == Output::Json {
            output::line(status.to_string())?;
        } else {
            if args.watch && output::on_terminal() {
                // Home, then clear to the end of the screen: no flicker.
                output::line("\u{1b}[H\u{1b}[J")?;
            }
            output::line(status_table(&status))?;
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn status_table(status: &Value) -> String {
    let number = |node: &Value, key: &str| node.get(key).and_then(Value::as_u64).unwrap_or(0);
    let rows =
        status.get("components").and_then(Value::as_array).into_iter().flatten().map(|node| {
            vec![
                cell(&node["id"]),
                cell(&node["state"]),
                count(number(node, "in_total")),
                count(number(node, "out_total")),
                count(number(node, "dead_total")),
                count(number(node, "lag")),
                node["rate_out"].as_f64().map_or_else(String::new, |rate| format!("{rate:.0}/s")),
                cell(&node["message"]),
            ]
        });
    output::table(&["component", "state", "in", "out", "dead", "lag", "rate", "message"], rows)
}

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// The query; without it, read from stdin
    query: Option<String>,
    #[command(flatten)]
    node: NodeAddr,
    /// Run it again whenever the answer may have changed
    #[arg(long)]
    follow: bool,
    /// At most this many rows
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

pub(crate) async fn sql(args: SqlArgs, output: Output) -> Result<(), Failure> {
    let query = match args.query {
        Some(query) => query,
        None => std::io::read_to_string(std::io::stdin())?,
    };
    let client = NodeClient::new(&args.node)?;
    let body = json!({ "query": query, "limit": args.limit });
    let mut last = None;
    loop {
        let answer = client.post("sql", &body).await?;
        let rows = answer.get("rows").cloned();
        if last != rows {
            output::line(if output == Output::Json { answer.to_string() } else { grid(&answer) })?;
            if output == Output::Table && answer["truncated"] == Value::Bool(true) {
                output::remark(format!("only the first {} rows; more with --limit", args.limit));
            }
            last = rows;
        }
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn grid(answer: &Value) -> String {
    let columns = answer["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let headings: Vec<_> = columns.iter().map(|column| cell(&column["name"])).collect();
    let headings: Vec<_> = headings.iter().map(String::as_str).collect();
    let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let cells = rows.iter().map(|row| row.as_array().into_iter().flatten().map(cell).collect());
    output::table(&headings, cells)
}

#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// A topic, stream, source or table; or kind/NAME
    name: String,
    #[command(flatten)]
    node: NodeAddr,
    /// Stop after this many records
    #[arg(long)]
    max: Option<usize>,
}

/// Shows the records that pass a component, as they come.
pub(crate) async fn tap(args: TapArgs, output: Output) -> Result<(), Failure> {
    let client = NodeClient::new(&args.node)?;
    let topic = topic_behind(&client, &args.name).await?;
    let described = client.get(&format!("topics/{topic}")).await?;
    let mut next: BTreeMap<usize, i64> = described["end_offsets"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(partition, end)| (partition, end.as_i64().unwrap_or(0)))
        .collect();
    output::remark(format!("records of topic `{topic}` from now on; Ctrl-C ends"));
    let mut shown = 0;
    loop {
        for (partition, from) in &mut next {
            let path =
                format!("topics/{topic}/records?partition={partition}&from={from}&limit=500");
            let answer = client.get(&path).await?;
            for record in answer["records"].as_array().into_iter().flatten() {
                *from = record["offset"].as_i64().unwrap_or(*from) + 1;
                output::line(record_line(record, output))?;
                shown += 1;
                if args.max.is_some_and(|max| shown >= max) {
                    return Ok(());
                }
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn record_line(record: &Value, output: Output) -> String {
    if output == Output::Json {
        return record.to_string();
    }
    let place = format!("{}@{}", cell(&record["partition"]), cell(&record["offset"]));
    match record["key"].as_str() {
        Some(key) => format!("{place}\t{key}\t{}", cell(&record["value"])),
        None => format!("{place}\t{}", cell(&record["value"])),
    }
}

/// The topic a component writes to (a table: reads from).
async fn topic_behind(client: &NodeClient, name: &str) -> Result<String, Failure> {
    let flow = client.get("flow").await?;
    let nodes = flow["nodes"].as_array().cloned().unwrap_or_default();
    let edges = flow["edges"].as_array().cloned().unwrap_or_default();
    let found = nodes
        .iter()
        .filter(|node| node["id"] == name || node["name"] == name)
        // A plain name means the topic when there is one of that name.
        .min_by_key(|node| node["kind"] != "topic");
    let Some(node) = found else {
        let names: Vec<_> = nodes.iter().map(|node| cell(&node["id"])).collect();
        return Err(Failure::new(format!("nothing is called `{name}` on this node"))
            .hint(format!("it has {}", names.join(", "))));
    };
    if node["kind"] == "topic" || node["kind"] == "dead" {
        return Ok(cell(&node["name"]));
    }
    let edge = edges
        .iter()
        .find(|edge| edge["from"] == node["id"] && !cell(&edge["to"]).starts_with("dead/"))
        .map(|edge| cell(&edge["to"]))
        .or_else(|| edges.iter().find(|edge| edge["to"] == node["id"]).map(|e| cell(&e["from"])));
    edge.and_then(|id| id.strip_prefix("topic/").map(str::to_owned))
        .ok_or_else(|| Failure::new(format!("`{name}` has no topic to look at")))
}

#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    command: DeadCommand,
    #[command(flatten)]
    node: NodeAddr,
}

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// Components that could not use some records, with counts
    List,
    /// The records themselves, each with its reason and origin
    Show {
        /// kind/NAME, or the dead-letter topic
        name: String,
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
}

pub(crate) async fn dead(args: DeadArgs, output: Output) -> Result<(), Failure> {
    let client = NodeClient::new(&args.node)?;
    match args.command {
        DeadCommand::List => {
            let list = client.get("dead").await?;
            if output == Output::Json {
                return output::line(list.to_string());
            }
            let rows = list.as_array().into_iter().flatten().map(|entry| {
                let records = entry["records"].as_u64().unwrap_or(0);
                vec![cell(&entry["component"]), count(records), cell(&entry["topic"])]
            });
            output::line(output::table(&["component", "records", "topic"], rows))
        }
        DeadCommand::Show { name, limit } => show_dead(&client, &name, limit, output).await,
    }
}

async fn show_dead(
    client: &NodeClient,
    name: &str,
    limit: usize,
    output: Output,
) -> Result<(), Failure> {
    let topic = if name.starts_with("dead.") {
        name.to_owned()
    } else {
        format!("dead.{}", name.replace('/', "."))
    };
    let path = format!("topics/{topic}/records?from=earliest&limit={limit}");
    let answer = client.get(&path).await?;
    for record in answer["records"].as_array().into_iter().flatten() {
        if output == Output::Json {
            output::line(record.to_string())?;
            continue;
        }
        let header = |wanted: &str| {
            let headers = record["headers"].as_array().into_iter().flatten();
            headers
                .filter(|pair| pair[0] == wanted)
                .map(|pair| cell(&pair[1]))
                .next()
                .unwrap_or_default()
        };
        let origin = [
            header("__connect.errors.topic"),
            header("__connect.errors.partition"),
            header("__connect.errors.offset"),
        ];
        let origin: Vec<_> = origin.into_iter().filter(|part| !part.is_empty()).collect();
        output::line(format!(
            "{} ({}{}{})\n    {}",
            header("__connect.errors.exception.message"),
            header("__connect.errors.stage"),
            if origin.is_empty() { "" } else { " at " },
            origin.join(" "),
            cell(&record["value"]),
        ))?;
    }
    Ok(())
}
