//! What can be told wrong by looking at the machine: options that will not work together, files
//! that are not there. The node can run in spite of some of it (it waits for a file to appear),
//! so `check` shows this and `run` does not ask.

use crate::model::Pipeline;
use crate::report::{Problem, Report};

/// Everything that stands in the way outside of the files themselves; an empty report when
/// nothing does.
pub fn check_outside(files: &[Pipeline]) -> Report {
    let problems = files.iter().flat_map(|file| sources(file).chain(lookups(file))).collect();
    Report { problems }
}

fn sources(file: &Pipeline) -> impl Iterator<Item = Problem> {
    file.sources.iter().flat_map(move |source| {
        let found = source.spec.config.check(source.spec.decode.as_ref(), &file.base_dir);
        found
            .into_iter()
            .map(|it| file.problem(source, None, &it.message, it.hint))
            .collect::<Vec<_>>()
    })
}

fn lookups(file: &Pipeline) -> impl Iterator<Item = Problem> {
    file.lookups.iter().filter_map(|lookup| {
        let path = file.base_dir.join(&lookup.spec.file.path);
        let message = match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => return None,
            Ok(_) => format!("lookup: {} is not a file", path.display()),
            Err(error) => format!("lookup: {}: {error}", path.display()),
        };
        let hint = "Relative paths start at the folder of the pipeline file.".to_owned();
        Some(file.problem(lookup, Some("file"), &message, Some(hint)))
    })
}
