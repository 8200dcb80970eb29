//! `yeoul tables` and `yeoul redo`: a node's tables, and making one again.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::{NodeAddr, NodeClient};
use crate::output::{self, Failure, Output, cell, count};

const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct TablesArgs {
    #[command(subcommand)]
    command: TablesCommand,
    #[command(flatten)]
    node: NodeAddr,
}

#[derive(Debug, Subcommand)]
enum TablesCommand {
    /// All tables with their rows and files
    List,
    /// One table with its columns
    Describe { name: String },
    /// Remove a table that no pipeline feeds any more, with its files
    Drop {
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn tables(args: TablesArgs, output: Output) -> Result<(), Failure> {
    let client = NodeClient::new(&args.node)?;
    match args.command {
        TablesCommand::List => list(&client, output).await,
        TablesCommand::Describe { name } => describe(&client, &name, output).await,
        TablesCommand::Drop { name, yes } => drop_table(&client, &name, yes, output).await,
    }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(String::new, count)
}

fn day(value: &Value) -> String {
    let time = value.as_i64().and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

async fn list(client: &NodeClient, output: Output) -> Result<(), Failure> {
    let list = client.get("tables").await?;
    if output == Output::Json {
        return output::line(list.to_string());
    }
    let rows = list.as_array().into_iter().flatten().map(|table| {
        vec![
            cell(&table["name"]),
            cell(&table["topic"]),
            cell(&table["state"]),
            number(&table["rows"]),
            number(&table["segments"]),
            number(&table["bytes"]),
            day(&table["min_ms"]),
            day(&table["max_ms"]),
        ]
    });
    let headings = ["table", "topic", "state", "rows", "files", "bytes", "from", "to"];
    output::line(output::table(&headings, rows))
}

async fn describe(client: &NodeClient, name: &str, output: Output) -> Result<(), Failure> {
    let table = client.get(&format!("tables/{name}")).await?;
    if output == Output::Json {
        return output::line(table.to_string());
    }
    let facts = [
        ("table", cell(&table["name"])),
        ("topic", cell(&table["topic"])),
        ("state", cell(&table["state"])),
        ("rows", number(&table["rows"])),
        ("files", number(&table["segments"])),
        ("bytes", number(&table["bytes"])),
        ("from", day(&table["min_ms"])),
        ("to", day(&table["max_ms"])),
        ("lag", number(&table["lag"])),
    ];
    for (name, value) in facts {
        output::line(format!("{name:<6} {value}"))?;
    }
    let columns = table["columns"].as_array().into_iter().flatten();
    let rows = columns.map(|column| vec![cell(&column["name"]), cell(&column["type"])]);
    output::line(output::table(&["column", "type"], rows))
}

async fn drop_table(
    client: &NodeClient,
    name: &str,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let table = client.get(&format!("tables/{name}")).await?;
    let (rows, files) = (number(&table["rows"]), number(&table["segments"]));
    let question = format!("Drop the table `{name}` with {rows} rows in {files} files?");
    if !yes && !output::confirm(&question)? {
        output::remark("nothing was changed");
        return Ok(());
    }
    let answer = client.delete(&format!("tables/{name}")).await?;
    if output == Output::Json {
        return output::line(answer.to_string());
    }
    output::remark(format!("dropped `{name}`: {rows} rows in {files} files"));
    Ok(())
}

#[derive(Debug, Args)]
pub(crate) struct RedoArgs {
    /// A table, or table/NAME
    name: String,
    /// Where in the topic to begin
    #[arg(long, default_value = "beginning", value_parser = ["beginning"])]
    from: String,
    /// Put it in place as soon as it has caught up, without asking
    #[arg(long)]
    yes: bool,
    /// Also when the topic no longer has all that the table was made of
    #[arg(long)]
    lossy: bool,
    #[command(flatten)]
    node: NodeAddr,
}

pub(crate) async fn redo(args: RedoArgs, output: Output) -> Result<(), Failure> {
    let name = args.name.strip_prefix("table/").unwrap_or(&args.name);
    if name.contains('/') {
        return Err(Failure::new(format!("`{name}` is not a table"))
            .hint("only tables are made again by this version"));
    }
    let client = NodeClient::new(&args.node)?;
    let path = format!("tables/{name}/redo");
    let before = client.get(&path).await?;
    if before["redo"].is_null() {
        let begin = json!({ "action": "begin", "switch": args.yes, "lossy": args.lossy });
        client.post(&path, &begin).await?;
    } else {
        output::remark("it is being made again already");
        if args.yes {
            client.post(&path, &json!({ "action": "confirm" })).await?;
        }
    }
    let made = caught_up(&client, &path).await?;
    if let Some(state) = &made {
        let (old, new) = (number(&state["rows_now"]), number(&state["rows_after"]));
        output::remark(format!("rows before: {old}, rows after: {new}"));
        if !args.yes {
            let question = format!("Put the new `{name}` in the old one's place?");
            let sure = output::confirm(&question);
            if !matches!(sure, Ok(true)) {
                client.post(&path, &json!({ "action": "cancel" })).await?;
                output::remark("nothing was changed: what was made is given up");
                return sure.map(drop);
            }
            client.post(&path, &json!({ "action": "confirm" })).await?;
        }
    }
    let after = loop {
        let now = client.get(&path).await?;
        if now["redo"].is_null() {
            break now;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    let (old, new) = (number(&before["rows"]), number(&after["rows"]));
    if output == Output::Json {
        let told =
            json!({ "table": name, "rows_before": before["rows"], "rows_after": after["rows"] });
        return output::line(told.to_string());
    }
    output::remark(format!("`{name}` was made again: {old} rows before, {new} now"));
    Ok(())
}

/// Waits until what is made has caught up; `None`: it is in place already.
async fn caught_up(client: &NodeClient, path: &str) -> Result<Option<Value>, Failure> {
    let mut told = None;
    loop {
        let now = client.get(path).await?;
        let Some(state) = now.get("redo").filter(|redo| !redo.is_null()) else { return Ok(None) };
        if state["caught_up"] == Value::Bool(true) {
            return Ok(Some(state.clone()));
        }
        let lag = state["lag"].clone();
        if told.as_ref() != Some(&lag) && output::on_terminal() {
            output::remark(format!("{} records to go", number(&lag)));
            told = Some(lag);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
