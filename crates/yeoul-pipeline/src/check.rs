//! What can only be seen when all files of a node lie side by side: names that lead nowhere,
//! names given twice, circles.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ComponentKind, Named, Pipeline, TestInput, TopicSpec};
use crate::names;
use crate::report::{Problem, Report, closest};
use crate::tree::Place;

/// A name in one of the files.
#[derive(Clone, Copy)]
struct Site<'a> {
    file: &'a Pipeline,
    place: Place,
    kind: ComponentKind,
}

/// Looks at the files of one node together. Each was read by [`Pipeline::parse`].
pub fn check(files: &[Pipeline]) -> Result<(), Report> {
    let mut checker = Checker { files, problems: Vec::new() };
    checker.unique();
    checker.node_settings();
    checker.one_meaning();
    checker.dangling();
    checker.circles();
    let mut problems = checker.problems;
    if problems.is_empty() {
        return Ok(());
    }
    let order = |problem: &Problem| {
        let file = files.iter().position(|file| file.source == problem.source);
        (file, problem.place.map(|place| place.start))
    };
    problems.sort_by_key(order);
    Err(Report { problems })
}

/// The topic or lookup that a relation of a query names: exactly, else ignoring case when that
/// fits one only.
fn resolve<'a>(name: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    if let Some(exact) = known.get(name) {
        return Some(exact);
    }
    let mut alike = known.iter().filter(|known| known.eq_ignore_ascii_case(name));
    match (alike.next(), alike.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

impl Pipeline {
    /// What a stream of this file reads, as its SQL names it, in the order of the SQL.
    pub fn inputs(sql: &str) -> Vec<String> {
        let mut inputs: Vec<String> = Vec::new();
        for read in names::reads(sql) {
            if !inputs.contains(&read.name) {
                inputs.push(read.name);
            }
        }
        inputs
    }
}

struct Checker<'a> {
    files: &'a [Pipeline],
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn problem(&mut self, site: Site<'_>, message: &str) -> &mut Problem {
        self.problems.push(Problem::new(&site.file.source, Some(site.place), message));
        let last = self.problems.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "pushed just now")]
        &mut self.problems[last]
    }

    /// Points at another place: as a label in the same file, else in words.
    fn other_place(problem: &mut Problem, other: Site<'_>, what: &str) {
        if problem.source == other.file.source {
            problem.also = Some((other.place, what.to_owned()));
        } else {
            let (line, column) = other.file.source.line_column(other.place.start);
            let name = &other.file.source.name;
            let words = format!("({what}: {name}:{line}:{column})");
            let hint = problem.hint.take();
            problem.hint = Some(hint.map_or(words.clone(), |hint| format!("{hint} {words}")));
        }
    }

    fn named<T>(
        &self,
        kind: ComponentKind,
        of: impl Fn(&'a Pipeline) -> &'a [Named<T>],
    ) -> Vec<(&'a str, Site<'a>)>
    where
        T: 'a,
    {
        let sites = |file: &'a Pipeline| {
            of(file).iter().map(move |it| (it.name.as_str(), Site { file, place: it.place, kind }))
        };
        self.files.iter().flat_map(sites).collect()
    }

    /// A name of a kind is given once, over all files.
    fn unique(&mut self) {
        let all = [
            self.named(ComponentKind::Topic, |file| &file.topics),
            self.named(ComponentKind::Source, |file| &file.sources),
            self.named(ComponentKind::Lookup, |file| &file.lookups),
            self.named(ComponentKind::Stream, |file| &file.streams),
            self.named(ComponentKind::Table, |file| &file.tables),
        ];
        for sites in all {
            let mut first: BTreeMap<&str, Site<'a>> = BTreeMap::new();
            for (name, site) in sites {
                // A topic of which nothing is said is only said to be there: that may be said
                // by all who need it.
                let only_there = |topic: &Named<TopicSpec>| {
                    topic.name == name && topic.spec == TopicSpec::default()
                };
                if site.kind == ComponentKind::Topic && site.file.topics.iter().any(only_there) {
                    continue;
                }
                if let Some(first) = first.insert(name, site) {
                    let kind = site.kind.as_str();
                    let problem = self.problem(site, &format!("{kind} `{name}` is defined twice"));
                    problem.hint = Some("Give one of them another name.".to_owned());
                    Self::other_place(problem, first, "the first is here");
                }
            }
        }
    }

    /// The node has one set of settings.
    fn node_settings(&mut self) {
        let mut with_settings =
            self.files.iter().filter(|file| file.node != crate::model::NodeSettings::default());
        let Some(first) = with_settings.next() else { return };
        let later: Vec<_> = with_settings.collect();
        for file in later {
            let message = format!("`node` is set here and in {}", first.source.name);
            let problem = Problem::new(&file.source, None, &message);
            self.problems.push(problem.with_hint("Keep the settings of the node in one file."));
        }
    }

    /// Who writes each topic.
    fn writers(&self) -> BTreeMap<&'a str, Site<'a>> {
        let mut writers = BTreeMap::new();
        for (name, site) in self.named(ComponentKind::Stream, |file| &file.streams) {
            writers.entry(name).or_insert(site);
        }
        for file in self.files {
            for source in &file.sources {
                let site = Site { file, place: source.place, kind: ComponentKind::Source };
                writers.entry(source.spec.to.as_str()).or_insert(site);
            }
        }
        writers
    }

    /// All topics that exist because of these files.
    fn topics(&self) -> BTreeSet<&'a str> {
        let declared = self.named(ComponentKind::Topic, |file| &file.topics);
        let declared = declared.into_iter().map(|(name, _)| name);
        declared.chain(self.writers().into_keys()).collect()
    }

    /// In a query a name is a topic or a lookup; and a topic's rows come from sources or from
    /// one stream.
    fn one_meaning(&mut self) {
        let writers = self.writers();
        for file in self.files {
            for source in &file.sources {
                let writer = writers.get(source.spec.to.as_str()).copied();
                let Some(stream) = writer.filter(|site| site.kind == ComponentKind::Stream) else {
                    continue;
                };
                let site = Site { file, place: source.place, kind: ComponentKind::Source };
                let message = format!(
                    "topic `{}` would be written by source `{}` and by stream `{0}`",
                    source.spec.to, source.name
                );
                let problem = self.problem(site, &message);
                problem.hint = Some("A stream writes the topic of its own name: rename it, or send the source elsewhere with `to`.".to_owned());
                Self::other_place(problem, stream, "the stream");
            }
        }
        let topics = self.topics();
        for (name, site) in self.named(ComponentKind::Lookup, |file| &file.lookups) {
            if topics.contains(name) {
                let message = format!("`{name}` is a lookup and a topic");
                let problem = self.problem(site, &message);
                problem.hint =
                    Some("A query would read the topic: give the lookup another name.".to_owned());
            }
        }
    }

    fn dangling(&mut self) {
        let topics = self.topics();
        let lookups: BTreeSet<&str> =
            self.named(ComponentKind::Lookup, |file| &file.lookups).iter().map(|it| it.0).collect();
        let relations: BTreeSet<&str> = topics.union(&lookups).copied().collect();
        for file in self.files {
            for table in &file.tables {
                if !topics.contains(table.spec.from.as_str()) {
                    let place = table.field("from");
                    let site = Site { file, place, kind: ComponentKind::Table };
                    self.unknown_topic(site, &table.spec.from, &topics);
                }
            }
            for stream in &file.streams {
                for read in names::reads(&stream.spec.sql) {
                    if resolve(&read.name, &relations).is_none() {
                        let place = file.place_in_sql(stream, read.start, read.len);
                        let site = Site { file, place, kind: ComponentKind::Stream };
                        self.unknown_topic(site, &read.name, &relations);
                    }
                }
            }
            self.tests(file, &topics);
        }
    }

    fn unknown_topic(&mut self, site: Site<'_>, name: &str, known: &BTreeSet<&str>) {
        let what = if site.kind == ComponentKind::Stream { "topic or lookup" } else { "topic" };
        let mean = closest(name, known.iter().copied())
            .map_or(String::new(), |name| format!("Did you mean `{name}`? "));
        let hint =
            format!("{mean}A topic that only Kafka clients write is declared under `topics:`.");
        self.problem(site, &format!("no {what} is named `{name}`")).hint = Some(hint);
    }

    fn tests(&mut self, file: &'a Pipeline, topics: &BTreeSet<&str>) {
        let sources: Vec<_> = self.named(ComponentKind::Source, |file| &file.sources);
        let sources: BTreeSet<&str> = sources.iter().map(|it| it.0).collect();
        let tables = self.named(ComponentKind::Table, |file| &file.tables);
        let outputs: BTreeSet<&str> =
            topics.iter().copied().chain(tables.iter().map(|it| it.0)).collect();
        for test in &file.tests {
            let site = Site { file, place: test.place, kind: ComponentKind::Topic };
            let (kind, name, known) = match &test.input {
                TestInput::Lines { source, .. } => ("source", source, &sources),
                TestInput::Records { topic, .. } => ("topic", topic, topics),
            };
            let expected = test.expect.iter().map(|(name, _)| ("topic or table", name, &outputs));
            for (kind, name, known) in std::iter::once((kind, name, known)).chain(expected) {
                if !known.contains(name.as_str()) {
                    let message = format!("test `{}`: no {kind} is named `{name}`", test.name);
                    let hint = closest(name, known.iter().copied())
                        .map(|name| format!("Did you mean `{name}`?"));
                    self.problem(site, &message).hint = hint;
                }
            }
        }
    }

    /// A stream that reads, over others, what it writes would never come to rest.
    fn circles(&mut self) {
        let streams: BTreeMap<&str, (Site<'a>, Vec<String>)> = self
            .files
            .iter()
            .flat_map(|file| file.streams.iter().map(move |stream| (file, stream)))
            .map(|(file, stream)| {
                let site = Site { file, place: stream.place, kind: ComponentKind::Stream };
                (stream.name.as_str(), (site, Pipeline::inputs(&stream.spec.sql)))
            })
            .collect();
        let names: BTreeSet<&str> = streams.keys().copied().collect();
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        for name in &names {
            let Some(circle) = circle_of(name, &streams, &names) else { continue };
            if circle.iter().any(|name| reported.contains(name)) {
                continue;
            }
            reported.extend(&circle);
            let Some((site, _)) = streams.get(name) else { continue };
            let path: Vec<_> = circle.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("stream `{name}` reads what it writes: {}", path.join(" → "));
            let problem = self.problem(*site, &message);
            problem.hint = Some("Break the circle: let one of them read another topic.".to_owned());
        }
    }
}

/// The way from a stream back to itself, both ends included.
fn circle_of<'a>(
    start: &'a str,
    streams: &BTreeMap<&'a str, (Site<'a>, Vec<String>)>,
    names: &BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    let inputs = |name: &str| {
        let inputs = streams.get(name).map_or(&[][..], |(_, inputs)| inputs.as_slice());
        inputs.iter().filter_map(|input| resolve(input, names)).collect::<Vec<&'a str>>()
    };
    // A breadth-first walk against the flow; `from` remembers the way for the message.
    let mut from: BTreeMap<&str, &'a str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(name) = queue.pop_front() {
        for input in inputs(name) {
            if input == start {
                let mut way = vec![start, name];
                let mut at = name;
                while at != start {
                    at = from.get(at).copied()?;
                    way.push(at);
                }
                return Some(way);
            }
            if !from.contains_key(input) {
                from.insert(input, name);
                queue.push_back(input);
            }
        }
    }
    None
}
