//! `yeoul apply`: shows the difference between what a node runs and a file, and makes it so.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::client::{NodeAddr, NodeClient};
use crate::output::{self, Failure, Output, cell};

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Pipeline files, or folders of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    node: NodeAddr,
}

pub(crate) async fn apply(args: ApplyArgs, output: Output) -> Result<(), Failure> {
    let read = yeoul_pipeline::read_files(&args.files).map_err(|report| super::drawn(&report))?;
    // A mistake in the file is told here, at its line, before the node is asked. Whether all it
    // names is there only the node can say: it may come from another pipeline's file.
    yeoul_pipeline::parse_each(&read, &yeoul_pipeline::SystemVars)
        .map_err(|report| super::drawn(&report))?;
    let mut files = Vec::new();
    for (name, text) in read {
        // The node resolves relative paths from the file's own folder.
        files.push(json!({ "name": std::path::absolute(&name)?, "text": text }));
    }
    let client = NodeClient::new(&args.node)?;
    let answer = client.post("apply", &json!({ "files": files, "dry_run": args.dry_run })).await?;
    if output == Output::Json {
        return output::line(answer.to_string());
    }
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = changes.iter().map(|change| {
        vec![cell(&change["change"]), cell(&change["component"]), cell(&change["why"])]
    });
    output::line(output::table(&["change", "component", "why"], rows))?;
    output::remark(match (args.dry_run, answer["applied"] == Value::Bool(true)) {
        (true, _) => "nothing was changed: a dry run",
        (false, true) => "applied",
        (false, false) => "nothing to change",
    });
    Ok(())
}
