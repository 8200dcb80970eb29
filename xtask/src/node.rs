//! The binary that scripts drive: the one `YEOUL_BIN` names, else the debug build of this tree,
//! made first so that a script never judges an old one.

use std::path::PathBuf;

use crate::repo::Repo;
use crate::run;

/// The binary that scripts are told: `YEOUL_BIN`, or a debug build. The path is absolute.
pub(crate) fn binary(repo: &Repo) -> Result<String, String> {
    if let Some(named) = std::env::var_os("YEOUL_BIN") {
        let path = repo.root.join(PathBuf::from(named));
        if path.is_file() {
            return Ok(path.to_string_lossy().into_owned());
        }
        return Err(format!("YEOUL_BIN names {}, which is no file", path.display()));
    }
    run::plain(repo, &["cargo", "build", "--quiet", "--package", "yeoul"], &[])?;
    debug_build(repo)
}

/// The binary as the tests have it. Some dev-dependencies switch on features of packages far
/// below, so building the binary alone after the tests would compile DataFusion a second time;
/// named together with the tests everything is there already.
pub(crate) fn binary_of_tests(repo: &Repo) -> Result<String, String> {
    let words = ["cargo", "build", "--quiet", "--workspace", "--tests", "--bins"];
    run::plain(repo, &words, &[])?;
    debug_build(repo)
}

fn debug_build(repo: &Repo) -> Result<String, String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo.path("target"), PathBuf::from);
    let path = repo.root.join(target).join("debug/yeoul");
    if path.is_file() {
        return Ok(path.to_string_lossy().into_owned());
    }
    Err(format!("{} is not there after the build: set YEOUL_BIN to the binary", path.display()))
}
