//! Headers and sizes of Rust files. Sizes count what is not test code: a file grows warnings at
//! 400 lines and fails above 800, a function at 70 and above 120. The limits only go down.

use super::{Finding, lexer};
use crate::repo::Repo;

const FILE_LINES_WARN: usize = 400;
const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_WARN: usize = 70;
const FUNCTION_LINES_MAX: usize = 120;

pub(super) fn check(repo: &Repo, files: &[String]) -> Vec<Finding> {
    let ours = |file: &&String| {
        let in_scope = file.starts_with("crates/") || file.starts_with("xtask/");
        in_scope && file.ends_with(".rs")
    };
    let mut findings = Vec::new();
    for file in files.iter().filter(ours) {
        match repo.read(file) {
            Ok(source) => findings.extend(check_file(file, &source)),
            Err(message) => findings.push(Finding::new(file, 0, message)),
        }
    }
    findings
}

fn check_file(file: &str, source: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !source.starts_with("//!") {
        let what = "must open with a `//!` header that says what this file is, why it exists and which invariant it keeps";
        findings.push(Finding::new(file, 1, what));
    }
    if is_test_file(file) {
        return findings;
    }
    let code = lexer::code_only(source);
    let tests = lexer::test_modules(&code);
    let lines = source.lines().count() - tests.iter().map(|(from, to)| to - from).sum::<usize>();
    if lines > FILE_LINES_MAX {
        let what = format!(
            "{lines} lines without tests, at most {FILE_LINES_MAX}: split it by what a reader looks for"
        );
        findings.push(Finding::new(file, 0, what));
    } else if lines > FILE_LINES_WARN {
        let what = format!("{lines} lines without tests, better below {FILE_LINES_WARN}");
        findings.push(Finding::warning(file, 0, what));
    }
    let outside_tests = |function: &&lexer::Function| {
        let line = function.line - 1;
        !tests.iter().any(|(from, to)| (*from..*to).contains(&line))
    };
    for function in lexer::functions(&code).iter().filter(outside_tests) {
        let lexer::Function { name, line, lines } = function;
        if *lines > FUNCTION_LINES_MAX {
            let what = format!(
                "fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}: give its steps names"
            );
            findings.push(Finding::new(file, *line, what));
        } else if *lines > FUNCTION_LINES_WARN {
            let what = format!("fn {name} has {lines} lines, better below {FUNCTION_LINES_WARN}");
            findings.push(Finding::warning(file, *line, what));
        }
    }
    findings
}

fn is_test_file(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("/tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(file: &str, source: &str) -> usize {
        let findings = check_file(file, source);
        findings.iter().filter(|f| !f.warning).count()
    }

    #[test]
    fn a_header_is_asked_for() {
        assert_eq!(failures("crates/a/src/lib.rs", "fn a() {}\n"), 1);
        assert_eq!(failures("crates/a/src/lib.rs", "//! A.\nfn a() {}\n"), 0);
    }

    #[test]
    fn tests_do_not_count_into_the_size() {
        let body = "    let x = 1;\n".repeat(900);
        let tests = format!("//! A.\n#[cfg(test)]\nmod tests {{\nfn t() {{\n{body}}}\n}}\n");
        assert_eq!(failures("crates/a/src/lib.rs", &tests), 0);
        let code = format!("//! A.\nfn long() {{\n{body}}}\n");
        assert_eq!(failures("crates/a/src/lib.rs", &code), 2, "file and function");
        assert_eq!(failures("crates/a/src/long/tests.rs", &code), 0);
    }
}
