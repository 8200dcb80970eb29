//! The data of `examples/`: made here from fixed seeds, so that nothing in it belongs to anybody
//! else and everybody gets the same bytes. `--check` proves that the committed files are the ones
//! this code makes; the expected rows are computed here too, without the engine they judge.

mod bikes;
mod dice;
mod movies;

use crate::repo::{Outcome, Repo};

/// One generated file: its path from the root, and its whole content.
struct Made {
    path: &'static str,
    content: String,
}

/// Writes the generated files of every example, or with `check` only compares them.
pub(crate) fn run(repo: &Repo, check: bool) -> Outcome {
    let mut made = movies::files();
    made.extend(bikes::files());
    let mut stale = Vec::new();
    for file in &made {
        if check {
            if repo.read(file.path).ok().as_deref() != Some(file.content.as_str()) {
                stale.push(file.path);
            }
        } else {
            repo.write(file.path, &file.content)?;
            println!("{} ({} bytes)", file.path, file.content.len());
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not what `cargo xtask examples` makes: {}\n  run it and commit the result, or take back the edit by hand",
        stale.join(", ")
    ))
}
