//! The binary that scripts drive: the one `YEOUL_BIN` names, else the debug build of this tree,
//! made first so that a script never judges an old one.

use std::path::PathBuf;

use crate::repo::Repo;
use crate::run;

/// The path of the binary, absolute.
pub(crate) fn binary(repo: &Repo) -> Result<String, String> {
    if let Some(named) = std::env::var_os("YEOUL_BIN") {
        let path = repo.root.join(PathBuf::from(named));
        if path.is_file() {
            return Ok(path.to_string_lossy().into_owned());
        }
        return Err(format!("YEOUL_BIN names {}, which is no file", path.display()));
    }
    run::plain(repo, &["cargo", "build", "--quiet", "--package", "yeoul"], &[])?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo.path("target"), PathBuf::from);
    let path = repo.root.join(target).join("debug/yeoul");
    if path.is_file() {
        return Ok(path.to_string_lossy().into_owned());
    }
    Err(format!("{} is not there after the build: set YEOUL_BIN to the binary", path.display()))
}
