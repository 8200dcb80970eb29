//! From a file's tree to its [`Pipeline`], going on after each error.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use yeoul_connect::SourceConfig;
use yeoul_format::Decode;

use crate::de::{Context, PROBLEMS_MAX, read, suggestion, variants_of};
use crate::model::{
    Named, NodeSettings, Pipeline, SourceSpec, StreamSpec, TableSpec, TestInput, TestSpec,
    TopicSpec,
};
use crate::report::{Problem, Report, Source, closest, listed};
use crate::tree::{self, Key, Node, Place, Value};
use crate::vars::Vars;

/// What a file may hold, in the order of the documentation.
pub(crate) const SECTIONS: [&str; 10] = [
    "name",
    "timezone",
    "node",
    "topics",
    "sources",
    "lookups",
    "streams",
    "tables",
    "dashboards",
    "tests",
];

impl Pipeline {
    /// Reads one file's text. `file` is its path as the user knows it: relative paths in the
    /// text start at its folder. Names of other components are not looked at here, they may be
    /// in another file: see [`crate::check`].
    pub fn parse(file: &str, text: &str, vars: &dyn Vars) -> Result<Self, Report> {
        let source = Source::new(file, text);
        let root = tree::parse(&source).map_err(|problem| Report { problems: vec![*problem] })?;
        let base_dir = Path::new(file).parent().unwrap_or(Path::new("")).to_owned();
        let cx = Context::new(&source, vars, &base_dir);
        let mut reader = Reader { cx: &cx, problems: Vec::new() };
        let pipeline = reader.pipeline(&root);
        let mut problems = reader.problems;
        match pipeline {
            Some(pipeline) if problems.is_empty() => Ok(pipeline),
            _ => {
                problems.sort_by_key(|problem| problem.place.map(|place| place.start));
                let more = problems.len().saturating_sub(PROBLEMS_MAX);
                if more > 0 {
                    problems.truncate(PROBLEMS_MAX);
                    let text = format!("{more} more problems are not shown");
                    problems.push(Problem::new(&source, None, &text));
                }
                Err(Report { problems })
            }
        }
    }
}

struct Reader<'a> {
    cx: &'a Context<'a>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, place: Place, message: &str, hint: impl Into<String>) {
        let problem = Problem::new(self.cx.source, Some(place), message);
        self.problems.push(problem.with_hint(hint));
    }

    fn read<T: for<'de> Deserialize<'de>>(&mut self, node: &Node, owner: Place) -> Option<T> {
        read(node, owner, self.cx, &mut self.problems)
    }

    fn pipeline(&mut self, root: &Node) -> Option<Pipeline> {
        let Some(entries) = root.as_map() else {
            let message = format!("a pipeline file is a map, this is {}", root.describe());
            self.problem(root.place, &message, format!("Begin with {}.", listed(SECTIONS)));
            return None;
        };
        let stem = Path::new(&self.cx.source.name).file_stem().and_then(|stem| stem.to_str());
        let mut pipeline = Pipeline {
            source: Arc::clone(self.cx.source),
            base_dir: self.cx.base_dir.to_owned(),
            name: stem.unwrap_or("pipeline").to_owned(),
            timezone: chrono_tz::UTC,
            node: NodeSettings::default(),
            topics: Vec::new(),
            sources: Vec::new(),
            lookups: Vec::new(),
            streams: Vec::new(),
            tables: Vec::new(),
            dashboards: Vec::new(),
            tests: Vec::new(),
        };
        for (key, node) in self.unique(entries) {
            self.section(&mut pipeline, key, node);
        }
        Some(pipeline)
    }

    fn section(&mut self, pipeline: &mut Pipeline, key: &Key, node: &Node) {
        match key.name.as_str() {
            "name" => {
                if let Some(name) = self.read(node, key.place) {
                    pipeline.name = name;
                }
            }
            "timezone" => {
                if let Some(zone) = self.timezone(node, key.place) {
                    pipeline.timezone = zone;
                }
            }
            "node" => {
                if let Some(settings) = self.read(node, key.place) {
                    pipeline.node = settings;
                    self.node_settings(node, &pipeline.node);
                }
            }
            "topics" => pipeline.topics = self.components(key, node, Self::topic),
            "sources" => pipeline.sources = self.components(key, node, Self::source),
            "lookups" => pipeline.lookups = self.components(key, node, Self::read),
            "streams" => pipeline.streams = self.components(key, node, Self::stream),
            "tables" => pipeline.tables = self.components(key, node, Self::table),
            "dashboards" => {
                pipeline.dashboards = self.read(node, key.place).unwrap_or_default();
            }
            "tests" => pipeline.tests = self.tests(key, node),
            other => {
                let message = format!("unknown field `{other}`");
                self.problem(key.place, &message, suggestion(other, &SECTIONS));
            }
        }
    }

    /// The entries without those whose name came before; these are reported.
    fn unique<'n>(&mut self, entries: &'n [(Key, Node)]) -> Vec<&'n (Key, Node)> {
        let mut first: HashMap<&str, Place> = HashMap::new();
        let mut unique = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, _) = entry;
            let Some(first) = first.get(key.name.as_str()) else {
                first.insert(&key.name, key.place);
                unique.push(entry);
                continue;
            };
            let message = format!("`{}` is defined twice", key.name);
            let problem = Problem::new(self.cx.source, Some(key.place), &message);
            self.problems.push(
                problem
                    .with_also(*first, "the first is here")
                    .with_hint("Put both under one, or give one of them another name."),
            );
        }
        unique
    }

    fn components<T>(
        &mut self,
        section: &Key,
        node: &Node,
        read: impl Fn(&mut Self, &Node, Place) -> Option<T>,
    ) -> Vec<Named<T>> {
        let Some(entries) = node.as_map() else {
            let message =
                format!("`{}` is a map of names, this is {}", section.name, node.describe());
            let hint = format!("Write `{}:`, then a line `  name:` for each.", section.name);
            self.problem(node.place, &message, hint);
            return Vec::new();
        };
        let mut components = Vec::new();
        for (key, node) in self.unique(entries) {
            self.check_name(&key.name, key.place);
            if let Some(spec) = read(self, node, key.place) {
                let (name, place) = (key.name.clone(), key.place);
                components.push(Named { name, spec, place, node: node.clone() });
            }
        }
        components
    }

    /// Every component's name is also part of a topic's: its own or its dead letters'.
    fn check_name(&mut self, name: &str, place: Place) {
        if let Err(error) = yeoul_base::store::check_topic_name(name) {
            let hint = "Use 1 to 249 ASCII letters, digits, `.`, `_` and `-`.";
            self.problem(place, &error.to_string(), hint);
        } else if name.starts_with("__") || name.starts_with("dead.") {
            let message = format!("the name `{name}` is kept for Yeoul's own topics");
            self.problem(place, &message, "Names may not begin with `__` or `dead.`.");
        }
    }

    fn timezone(&mut self, node: &Node, place: Place) -> Option<chrono_tz::Tz> {
        let name: String = self.read(node, place)?;
        self.zone(&name, node.place)
    }

    fn zone(&mut self, name: &str, place: Place) -> Option<chrono_tz::Tz> {
        if let Ok(zone) = name.parse() {
            return Some(zone);
        }
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = match closest(name, known) {
            Some(zone) => format!("Did you mean `{zone}`?"),
            None => "Write an IANA name such as `Asia/Seoul` or `UTC`.".to_owned(),
        };
        self.problem(place, &format!("`{name}` is not a time zone"), hint);
        None
    }

    fn topic(&mut self, node: &Node, owner: Place) -> Option<TopicSpec> {
        let topic: TopicSpec = self.read(node, owner)?;
        self.partitions(topic.partitions, node, owner)?;
        Some(topic)
    }

    fn stream(&mut self, node: &Node, owner: Place) -> Option<StreamSpec> {
        let stream: StreamSpec = self.read(node, owner)?;
        self.partitions(stream.partitions, node, owner)?;
        Some(stream)
    }

    fn table(&mut self, node: &Node, owner: Place) -> Option<TableSpec> {
        let table: TableSpec = self.read(node, owner)?;
        let time = node.field("time");
        if let Some(zone) = table.time.as_ref().and_then(|time| time.zone.as_ref()) {
            let place = time.and_then(|time| time.field("zone")).map_or(owner, |zone| zone.place);
            self.zone(zone, place)?;
        }
        Some(table)
    }

    fn partitions(&mut self, partitions: Option<u32>, node: &Node, owner: Place) -> Option<()> {
        const MAX: u32 = yeoul_base::limits::PARTITIONS_MAX;
        if partitions.is_none_or(|partitions| (1..=MAX).contains(&partitions)) {
            return Some(());
        }
        let place = node.field("partitions").map_or(owner, |value| value.place);
        let hint = format!("Give it 1 to {MAX}; one is enough to begin with.");
        self.problem(place, "not a number of partitions", hint);
        None
    }

    fn node_settings(&mut self, node: &Node, settings: &NodeSettings) {
        let listens = settings.kafka.iter().flatten().map(|listen| ("kafka", listen));
        let http = settings.http.iter().map(|listen| ("http", listen));
        for (field, listen) in listens.chain(http) {
            // `LISTEN=ADVERTISE` is Kafka's; both are a host and a port.
            let good = listen.split('=').all(|address| {
                address
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            });
            if !good {
                let place = node.field(field).map_or(node.place, |value| value.place);
                let message = format!("`{listen}` is not an address to listen on");
                self.problem(place, &message, "Write a host and a port: 127.0.0.1:9092.");
            }
        }
        if let Some(defaults) = node.field("topic_defaults") {
            let place = defaults.place;
            let _ = self.partitions(settings.topic_defaults.partitions, defaults, place);
        }
    }

    /// A source is one kind with its options, and beside it what all kinds share.
    fn source(&mut self, node: &Node, owner: Place) -> Option<SourceSpec> {
        const SHARED: [&str; 2] = ["decode", "to"];
        let kinds = variants_of::<SourceConfig>();
        let Some(entries) = node.as_map() else {
            let message = format!("a source is a map, this is {}", node.describe());
            let kinds = listed(kinds.iter().copied());
            self.problem(node.place, &message, format!("Give it one of {kinds}."));
            return None;
        };
        let before = self.problems.len();
        let (mut kind, mut decode, mut to) = (None, None, None);
        for (key, value) in self.unique(entries) {
            match key.name.as_str() {
                "decode" => decode = self.read::<Decode>(value, key.place),
                "to" => to = self.topic_name(value, key.place),
                name if kinds.contains(&name) => {
                    if let Some((first, _)) = kind.replace((key.clone(), value.clone())) {
                        self.two_kinds(&first, key);
                    }
                }
                name => {
                    let known: Vec<_> = kinds.iter().copied().chain(SHARED).collect();
                    let there_are = "A source has one of the kinds ";
                    let kinds = listed(kinds.iter().copied());
                    let mean = closest(name, known.iter().copied())
                        .map_or(String::new(), |name| format!("Did you mean `{name}`? "));
                    let hint =
                        format!("{mean}{there_are}{kinds}, and may have {}.", listed(SHARED));
                    self.problem(key.place, &format!("unknown field `{name}`"), hint);
                }
            }
        }
        let config = match kind {
            // An unknown field was probably meant to be the kind.
            None if self.problems.len() > before => None,
            None => {
                let kinds = listed(kinds.iter().copied());
                self.problem(owner, "this source has no kind", format!("Give it one of {kinds}."));
                None
            }
            Some((key, value)) => {
                let place = key.place;
                let only_kind = Node { value: Value::Map(vec![(key, value)]), place };
                self.read::<SourceConfig>(&only_kind, place)
            }
        };
        let own_name = || self.cx.source.text.get(owner.range()).unwrap_or_default();
        let to = to.unwrap_or_else(|| own_name().trim_matches(['"', '\'']).to_owned());
        (self.problems.len() == before).then_some(SourceSpec { config: config?, decode, to })
    }

    fn two_kinds(&mut self, first: &Key, second: &Key) {
        let message = format!("a source has one kind, this has `{}` too", second.name);
        let problem = Problem::new(self.cx.source, Some(second.place), &message);
        self.problems.push(
            problem.with_also(first.place, "the first kind").with_hint("Make two sources of it."),
        );
    }

    fn topic_name(&mut self, node: &Node, owner: Place) -> Option<String> {
        let name: String = self.read(node, owner)?;
        self.check_name(&name, node.place);
        Some(name)
    }

    fn tests(&mut self, section: &Key, node: &Node) -> Vec<TestSpec> {
        let Value::List(items) = &node.value else {
            let message = format!("`tests` is a list, this is {}", node.describe());
            self.problem(section.place, &message, "Begin each test with `- name: …`.");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.test(item)).collect()
    }

    fn test(&mut self, node: &Node) -> Option<TestSpec> {
        let test: RawTest = self.read(node, node.place)?;
        let place = node.place;
        let input = match (test.source, test.lines, test.topic, test.records) {
            (Some(source), Some(lines), None, None) => TestInput::Lines { source, lines },
            (None, None, Some(topic), Some(records)) => TestInput::Records { topic, records },
            _ => {
                let message = format!("test `{}` has no clear input", test.name);
                let hint = "Give it `source` and `lines`, or `topic` and `records`.";
                self.problem(place, &message, hint);
                return None;
            }
        };
        Some(TestSpec { name: test.name, input, expect: test.expect.into_iter().collect(), place })
    }
}

/// A test as it is written.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTest {
    name: String,
    /// The source whose decoder reads `lines`.
    source: Option<String>,
    lines: Option<Vec<String>>,
    /// The topic that `records` go to.
    topic: Option<String>,
    records: Option<Vec<Json>>,
    /// Topic or table → its rows; only the named fields are compared, in any order.
    expect: BTreeMap<String, Vec<Map<String, Json>>>,
}
