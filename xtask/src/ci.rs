//! The gate after the tests. Every part runs even when an earlier one failed, so one run shows
//! all there is to mend; the parts that build nothing come first.

use crate::repo::{Outcome, Repo};
use crate::{Flags, examples, fuzz, licences, node, run, scripts, tidy};

pub(crate) fn run(repo: &Repo) -> Outcome {
    let mut failed = Vec::new();
    let mut part = |name: &str, work: &mut dyn FnMut() -> Outcome| {
        if let Err(message) = run::timed(name, work) {
            println!("{message}");
            failed.push(name.to_owned());
        }
    };
    part("fmt", &mut || run::plain(repo, &["cargo", "fmt", "--all", "--check"], &[]));
    part("tidy", &mut || tidy::run(repo));
    part("licences", &mut || licences::run(repo));
    part("examples", &mut || examples::run(repo, true));
    part("clippy", &mut || clippy(repo));
    part("ui", &mut || ui(repo));
    part("interop", &mut || {
        let binary = node::binary_of_tests(repo)?;
        scripts::interop_with(repo, &binary)
    });
    part("fuzz", &mut || fuzz::run(repo, &Flags::default()));
    if failed.is_empty() {
        println!("ci: all parts ok");
        return Ok(());
    }
    Err(format!("ci: {} failed", failed.join(", ")))
}

fn clippy(repo: &Repo) -> Outcome {
    let words =
        ["cargo", "clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run::plain(repo, &words, &[])
}

/// The UI's own tests. They need its packages; the committed build itself does not (tidy has
/// proved that it belongs to these sources).
fn ui(repo: &Repo) -> Outcome {
    let npm = |arguments: &[&str]| {
        let mut words = vec!["npm", "--prefix", "ui"];
        words.extend(arguments);
        run::plain(repo, &words, &[])
    };
    npm(&["ci", "--no-audit", "--no-fund"])?;
    npm(&["test"])
}
