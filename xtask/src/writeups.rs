//! The steps of the write-ups this project wants to make needless (`docs/writeups.md`): a ticked
//! step names the script that proves it, and this runs each. A tick without a script, or with one
//! that is not there or fails, is an error: a tick means that it was seen working.

use crate::repo::{Outcome, Repo};
use crate::{node, run, scripts};

const STEPS: &str = "docs/writeups.md";

/// One step of the list.
#[derive(Debug, PartialEq)]
struct Step {
    /// 1-based line in the document.
    line: usize,
    ticked: bool,
    script: Option<String>,
}

pub(crate) fn run(repo: &Repo, record: bool) -> Outcome {
    let steps = parse(&repo.read(STEPS)?);
    let mut problems = Vec::new();
    let mut passed = 0;
    let ticked: Vec<&Step> = steps.iter().filter(|step| step.ticked).collect();
    let binary = if ticked.is_empty() { String::new() } else { node::binary(repo)? };
    // Steps of one write-up often share a script; it then runs once and speaks for all of them.
    let mut ran: Vec<(String, bool)> = Vec::new();
    for step in ticked {
        let place = format!("{STEPS}:{}", step.line);
        let Some(script) = &step.script else {
            problems.push(format!("{place}: ticked without a script (<!-- run: PATH -->)"));
            continue;
        };
        if !repo.path(script).is_file() {
            problems.push(format!("{place}: {script} is not there"));
            continue;
        }
        let known = ran.iter().find(|(path, _)| path == script).map(|(_, ok)| *ok);
        let ok = known.unwrap_or_else(|| {
            let words = run::script_words(script);
            let env = [("YEOUL_BIN", binary.as_str())];
            let ok = run::timed(script, || run::summarised(repo, &words, &env)).is_ok();
            ran.push((script.clone(), ok));
            ok
        });
        if ok {
            passed += 1;
        } else {
            problems.push(format!("{place}: {script} failed"));
        }
    }
    for problem in &problems {
        println!("error: {problem}");
    }
    let summary = format!("{passed} of {} steps", steps.len());
    println!("writeups: {summary}");
    let result = if problems.is_empty() {
        Ok(summary)
    } else {
        Err(format!("{} ticked steps do not hold ({summary} do)", problems.len()))
    };
    if record {
        scripts::write_result(repo, "writeups", &result)?;
    }
    result.map(|_| ())
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let ticked = trimmed.starts_with("- [x] ");
        if !ticked && !trimmed.starts_with("- [ ] ") {
            continue;
        }
        let script = trimmed.split_once("<!-- run:").and_then(|(_, rest)| {
            let path = rest.split_once("-->")?.0.trim();
            (!path.is_empty()).then(|| path.to_owned())
        });
        steps.push(Step { line: at + 1, ticked, script });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_with_their_scripts() {
        let text =
            "# T\n- [x] a <!-- run: interop/a.py -->\n- [ ] b <!-- run: -->\ntext\n- [ ] c\n";
        let step = |line, ticked, script: Option<&str>| Step {
            line,
            ticked,
            script: script.map(str::to_owned),
        };
        let expected =
            [step(2, true, Some("interop/a.py")), step(3, false, None), step(5, false, None)];
        assert_eq!(parse(text), expected);
    }
}
