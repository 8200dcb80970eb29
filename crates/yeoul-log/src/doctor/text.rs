//! A diagnosis in plain words.

use std::fmt::Write;

use super::{Choice, Diagnosis, Finding, Loses, LostOffsets, Repaired};

impl std::fmt::Display for LostOffsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.topic {
            Some(topic) => write!(f, "topic {topic}, partition {}", self.index)?,
            None => write!(f, "partition {} of no topic", self.part)?,
        }
        match self.first == self.last {
            true => write!(f, ": offset {}", self.first),
            false => write!(f, ": offsets {} to {}", self.first, self.last),
        }
    }
}

impl Choice {
    /// For scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::OlderSnapshot => "older snapshot",
            Self::Hole => "hole",
            Self::Accept => "accept",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Cut => "cut the commit log here and go on with the commits before",
            Self::OlderSnapshot => "go on with the snapshot before and the commit log since",
            Self::Hole => "go on without these bytes; what they held is lost, all else stays",
            Self::Accept => "give these records up: readers pass over them without an error",
        }
    }
}

impl Loses {
    /// One a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((first, last)) = self.commits {
            lines.push(match first == last {
                true => format!("commit {first}"),
                false => format!("commits {first} to {last}"),
            });
        }
        if self.untold > 0 {
            lines.push(format!(
                "what {} of these commits held cannot be told any more",
                self.untold
            ));
        }
        lines.extend(self.topics.iter().map(|topic| format!("topic {topic}, made by them")));
        lines.extend(self.offsets.iter().map(LostOffsets::to_string));
        let facts = self.facts.iter();
        lines.extend(facts.map(|(kind, count)| format!("{count} changes of facts of kind {kind}")));
        lines
    }
}

impl Finding {
    /// Several lines, the first of them what is wrong and where.
    pub fn text(&self) -> String {
        let mut out = self.file.clone();
        if let Some(position) = self.position {
            let _ = write!(out, " at byte {position}");
        }
        let _ = write!(out, ": {}", self.what);
        let Some(choice) = self.choice else {
            out.push_str("\n  no repair can help: restore the file from a backup");
            return out;
        };
        let _ = write!(out, "\n  repair: {}", choice.meaning());
        let lost = self.loses.lines();
        if lost.is_empty() {
            out.push_str("\n  loses nothing more");
        }
        for line in lost {
            let _ = write!(out, "\n  loses {line}");
        }
        out
    }
}

impl Diagnosis {
    /// What is wrong, what can be done and what that loses; nothing when all is well.
    pub fn text(&self) -> String {
        let mut lines: Vec<_> = self.findings.iter().map(Finding::text).collect();
        lines.extend(self.accepted.iter().map(|lost| format!("given up before: {lost}")));
        if self.torn_groups > 0 {
            let groups = self.torn_groups;
            lines.push(format!(
                "{groups} groups at the end of the commit log were never acknowledged; the next \
                 start keeps them aside"
            ));
        }
        lines.join("\n")
    }
}

impl Repaired {
    /// What was done.
    pub fn text(&self) -> String {
        let Some(recovered) = &self.recovered else { return "nothing was changed".to_owned() };
        let mut out = format!(
            "repaired {} findings; the log goes on behind commit {}",
            self.settled.len(),
            recovered.sequence
        );
        let kept = self.kept.iter().chain(&recovered.quarantined);
        for file in kept {
            let _ = write!(out, "\nkept aside: {file}");
        }
        out
    }
}
