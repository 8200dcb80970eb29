//! What changes between two states of a node, component by component.
//!
//! A component changes when its own settings do, or when something it was planned from does (a
//! declared schema, a lookup). It does not change because what feeds it changed: a topic lies
//! between, and that is the point of topics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use yeoul_connect::SourceConfig;

use crate::model::{ComponentKind, Named, Pipeline};
use crate::report::listed;
use crate::tree::{Node, Value};

/// What happens to one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `kind/name`.
    pub component: String,
    pub kind: ComponentKind,
    pub name: String,
    pub change: ChangeKind,
    /// For people; no value from `${…}` is in it.
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Add,
    Remove,
    Change,
    Keep,
}

/// From what runs to what shall run: topics, sources, lookups, streams, tables, each in the order
/// of the new files, then what goes. Both sides have passed [`crate::check`].
pub fn diff(old: &[Pipeline], new: &[Pipeline]) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old_topics, new_topics) = (all(old, |file| &file.topics), all(new, |file| &file.topics));
    compare(ComponentKind::Topic, &old_topics, &new_topics, &mut changes, |_, _| None);
    // A topic that comes or goes changes nobody's plan by itself: only another schema does.
    let schemas = |topics: &[At<'_, crate::model::TopicSpec>]| {
        let schema = |it: &At<'_, crate::model::TopicSpec>| {
            it.1.spec.schema.clone().map(|schema| (it.1.name.clone(), schema))
        };
        topics.iter().filter_map(schema).collect::<BTreeMap<_, _>>()
    };
    let (old_schemas, new_schemas) = (schemas(&old_topics), schemas(&new_topics));
    let other_schema = |topic: &str| old_schemas.get(topic) != new_schemas.get(topic);

    let sources = (all(old, |file| &file.sources), all(new, |file| &file.sources));
    compare(ComponentKind::Source, &sources.0, &sources.1, &mut changes, |old, new| {
        let moved = old.0.base_dir != new.0.base_dir && names_relative_path(&new.1.spec.config);
        moved.then(|| "the folder of its file is another".to_owned())
    });

    let lookups = (all(old, |file| &file.lookups), all(new, |file| &file.lookups));
    compare(ComponentKind::Lookup, &lookups.0, &lookups.1, &mut changes, |old, new| {
        let relative = Path::new(&new.1.spec.file.path).is_relative();
        let moved = old.0.base_dir != new.0.base_dir && relative;
        moved.then(|| "the folder of its file is another".to_owned())
    });
    let touched: BTreeSet<String> = changes
        .iter()
        .filter(|it| it.kind == ComponentKind::Lookup && it.change != ChangeKind::Keep)
        .map(|it| it.name.clone())
        .collect();

    let streams = (all(old, |file| &file.streams), all(new, |file| &file.streams));
    compare(ComponentKind::Stream, &streams.0, &streams.1, &mut changes, |old, new| {
        let inputs = Pipeline::inputs(&new.1.spec.sql);
        let names = |name: &&String, of: &str| name.eq_ignore_ascii_case(of);
        let lookup = touched.iter().find(|lookup| inputs.iter().any(|it| names(&it, lookup)));
        if let Some(lookup) = lookup {
            return Some(format!("it joins lookup `{lookup}`, which changes"));
        }
        let topic = inputs.iter().find(|input| other_schema(input));
        topic.map(|topic| format!("the schema of topic `{topic}` changed")).or(zone(old.0, new.0))
    });

    let tables = (all(old, |file| &file.tables), all(new, |file| &file.tables));
    compare(ComponentKind::Table, &tables.0, &tables.1, &mut changes, |old, new| {
        let from = &new.1.spec.from;
        other_schema(from)
            .then(|| format!("the schema of topic `{from}` changed"))
            .or(zone(old.0, new.0))
    });
    changes
}

/// A component and its file.
type At<'a, T> = (&'a Pipeline, &'a Named<T>);

fn all<'a, T>(
    files: &'a [Pipeline],
    of: impl Fn(&'a Pipeline) -> &'a [Named<T>],
) -> Vec<At<'a, T>> {
    files.iter().flat_map(|file| of(file).iter().map(move |it| (file, it))).collect()
}

fn zone(old: &Pipeline, new: &Pipeline) -> Option<String> {
    (old.timezone != new.timezone).then(|| "`timezone` changed".to_owned())
}

fn names_relative_path(config: &SourceConfig) -> bool {
    match config {
        SourceConfig::Tail(tail) => tail.path.iter().any(|path| Path::new(path).is_relative()),
        SourceConfig::Generate(_) => false,
    }
}

/// `around` tells of a change beside the component's own settings.
fn compare<T: PartialEq>(
    kind: ComponentKind,
    old: &[At<'_, T>],
    new: &[At<'_, T>],
    changes: &mut Vec<Change>,
    around: impl Fn(At<'_, T>, At<'_, T>) -> Option<String>,
) {
    let mut push = |name: &str, change: ChangeKind, why: String| {
        let component = format!("{}/{name}", kind.as_str());
        changes.push(Change { component, kind, name: name.to_owned(), change, why });
    };
    for &new in new {
        let name = &new.1.name;
        let before = old.iter().find(|old| old.1.name == *name);
        match before {
            None => push(name, ChangeKind::Add, "new".to_owned()),
            Some(old) if old.1.spec != new.1.spec => {
                push(name, ChangeKind::Change, changed_fields(&old.1.node, &new.1.node));
            }
            Some(&old) => match around(old, new) {
                Some(why) => push(name, ChangeKind::Change, why),
                None => push(name, ChangeKind::Keep, "unchanged".to_owned()),
            },
        }
    }
    for (_, gone) in old.iter().filter(|old| !new.iter().any(|new| new.1.name == old.1.name)) {
        let why = match kind {
            ComponentKind::Topic => "not declared any more; its records stay",
            _ => "not in the files any more",
        };
        push(&gone.name, ChangeKind::Remove, why.to_owned());
    }
}

/// Which fields were written differently.
fn changed_fields(old: &Node, new: &Node) -> String {
    let (old, new) = (old.as_map().unwrap_or_default(), new.as_map().unwrap_or_default());
    let names: BTreeSet<&str> = old.iter().chain(new).map(|(key, _)| key.name.as_str()).collect();
    let field = |entries: &'_ [(crate::tree::Key, Node)], name: &str| {
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node.value.clone())
    };
    let differs = |name: &&str| match (field(old, name), field(new, name)) {
        (Some(old), Some(new)) => !same(&old, &new),
        _ => true,
    };
    let changed: Vec<&str> = names.into_iter().filter(differs).collect();
    if changed.is_empty() {
        // Written alike and yet not equal.
        return "a value behind `${…}` changed".to_owned();
    }
    format!("{} changed", listed(changed))
}

/// Whether two values are written alike, wherever they stand.
fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(old), Value::Bool(new)) => old == new,
        (Value::Int(old), Value::Int(new)) => old == new,
        (Value::Float(old), Value::Float(new)) => old == new,
        (Value::Text(old), Value::Text(new)) => old == new,
        (Value::List(old), Value::List(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(&a.value, &b.value))
        }
        (Value::Map(old), Value::Map(new)) => {
            let pair = |(a, b): (&(crate::tree::Key, Node), &(crate::tree::Key, Node))| {
                a.0.name == b.0.name && same(&a.1.value, &b.1.value)
            };
            old.len() == new.len() && old.iter().zip(new).all(pair)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vars::SystemVars;

    const OLD: &str = "
topics:
  movies: { schema: 'movie STRING' }
sources:
  movies: { tail: { path: a.tsv } }
lookups:
  countries: { file: { path: c.csv }, key: movie }
  unused: { file: { path: u.csv } }
streams:
  joined: { sql: SELECT * FROM movies JOIN Countries USING (movie) }
  plain: { sql: SELECT movie FROM joined, trigger: 60s }
tables:
  films: { from: joined }
";

    fn read(text: &str) -> Vec<Pipeline> {
        let files = vec![Pipeline::parse("x/p.yaml", text, &SystemVars).unwrap()];
        crate::check(&files).unwrap();
        files
    }

    /// The components that do not stay, each with the first letter of its change and why.
    fn changes(new: &str) -> Vec<String> {
        let changes = diff(&read(OLD), &read(new));
        let moving = changes.iter().filter(|it| it.change != ChangeKind::Keep);
        moving.map(|it| format!("{:?} {}: {}", it.change, it.component, it.why)).collect()
    }

    #[test]
    fn what_is_written_otherwise_but_means_the_same_stays() {
        let kept = diff(&read(OLD), &read(OLD));
        assert_eq!(kept.len(), 7);
        assert!(kept.iter().all(|it| it.change == ChangeKind::Keep));
        let respelled = OLD.replace("trigger: 60s }", "trigger: 1m } # a minute");
        assert_eq!(changes(&respelled), [""; 0]);
    }

    #[test]
    fn a_change_stops_at_the_next_topic() {
        assert_eq!(
            changes(&OLD.replace("a.tsv", "b.tsv")),
            ["Change source/movies: `tail` changed"]
        );
        assert_eq!(
            changes(&OLD.replace("USING (movie)", "USING (movie) WHERE true")),
            ["Change stream/joined: `sql` changed"]
        );
    }

    #[test]
    fn what_a_component_was_planned_from_changes_it() {
        assert_eq!(
            changes(&OLD.replace("c.csv", "d.csv")),
            [
                "Change lookup/countries: `file` changed",
                "Change stream/joined: it joins lookup `countries`, which changes"
            ]
        );
        assert_eq!(
            changes(&OLD.replace("movie STRING", "movie INT")),
            [
                "Change topic/movies: `schema` changed",
                "Change stream/joined: the schema of topic `movies` changed"
            ]
        );
        assert_eq!(
            changes(&format!("timezone: Asia/Seoul\n{OLD}")),
            [
                "Change stream/joined: `timezone` changed",
                "Change stream/plain: `timezone` changed",
                "Change table/films: `timezone` changed"
            ]
        );
    }

    #[test]
    fn what_comes_and_goes_is_named() {
        let new = OLD.replace("  unused: { file: { path: u.csv } }\n", "");
        let new = new.replace("  films: { from: joined }", "  other: { from: plain }");
        assert_eq!(
            changes(&new),
            [
                "Remove lookup/unused: not in the files any more",
                "Add table/other: new",
                "Remove table/films: not in the files any more"
            ]
        );
    }
}
