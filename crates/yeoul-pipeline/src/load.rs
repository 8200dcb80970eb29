//! Files and folders of a node's pipelines.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::check::check;
use crate::model::Pipeline;
use crate::report::{Problem, Report, Source};
use crate::tree::FILE_BYTES_MAX;
use crate::vars::Vars;

/// Reads files one by one: what they name may be in files that are not here. Each is a name and
/// a text; relative paths in a text start at the folder of its name.
pub fn parse_each(files: &[(String, String)], vars: &dyn Vars) -> Result<Vec<Pipeline>, Report> {
    let mut pipelines = Vec::with_capacity(files.len());
    let mut problems = Vec::new();
    for (name, text) in files {
        match Pipeline::parse(name, text, vars) {
            Ok(pipeline) => pipelines.push(pipeline),
            Err(report) => problems.extend(report.problems),
        }
    }
    // Names of a file that could not be read would all seem to be missing.
    if problems.is_empty() { Ok(pipelines) } else { Err(Report { problems }) }
}

/// Reads all files of a node, as [`parse_each`] does, and looks at them together.
pub fn parse_all(files: &[(String, String)], vars: &dyn Vars) -> Result<Vec<Pipeline>, Report> {
    let pipelines = parse_each(files, vars)?;
    check(&pipelines)?;
    Ok(pipelines)
}

/// Reads files, and of folders the `.yaml` and `.yml` files in the order of their names.
pub fn load(paths: &[PathBuf], vars: &dyn Vars) -> Result<Vec<Pipeline>, Report> {
    parse_all(&read_files(paths)?, vars)
}

/// The names and texts that [`load`] would read.
pub fn read_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Report> {
    collect(files_of(paths)?.iter().map(|path| read_file(path)))
}

/// The paths that [`load`] would read: files as given, folders as the files in them.
pub fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Report> {
    let each = |path: &PathBuf| if path.is_dir() { folder(path) } else { Ok(vec![path.clone()]) };
    collect(paths.iter().map(each)).map(|found| found.into_iter().flatten().collect())
}

/// All results, or all problems.
fn collect<T>(results: impl Iterator<Item = Result<T, Box<Problem>>>) -> Result<Vec<T>, Report> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for result in results {
        match result {
            Ok(one) => found.push(one),
            Err(problem) => problems.push(*problem),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(Report { problems }) }
}

fn folder(folder: &Path) -> Result<Vec<PathBuf>, Box<Problem>> {
    let is_pipeline = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    };
    let entries = std::fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let entries = entries.map_err(|error| file_problem(folder, &error.to_string()))?;
    let mut paths: Vec<_> = entries.into_iter().filter(is_pipeline).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(file_problem(folder, "the folder has no .yaml file"));
    }
    Ok(paths)
}

#[expect(clippy::disallowed_methods, reason = "a file the user names, not one of ours")]
fn read_file(path: &Path) -> Result<(String, String), Box<Problem>> {
    let mut text = String::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    std::fs::File::open(path)
        // One byte more than allowed is read, so that the parser sees that it is too long.
        .and_then(|file| file.take(limit + 1).read_to_string(&mut text))
        .map_err(|error| file_problem(path, &error.to_string()))?;
    Ok((path.display().to_string(), text))
}

fn file_problem(path: &Path, message: &str) -> Box<Problem> {
    let source = Source::new(&path.display().to_string(), "");
    let problem = Problem::new(&source, None, message);
    Box::new(problem.with_hint("Name a pipeline file, or a folder that holds some."))
}
