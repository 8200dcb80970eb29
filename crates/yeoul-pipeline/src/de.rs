//! From the tree of a file to typed settings, with every error at its place.
//!
//! Serde stops at the first error. [`read`] leaves out what was wrong and reads again, so that a
//! person sees all that is wrong with a component at once. Invariants: an error names the
//! innermost key or value it is about; a text that came out of `${…}` is never in a message.

mod node;
mod parts;

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{self, Deserialize, Expected, Unexpected, Visitor};

use node::De;

use crate::report::{Problem, Source, closest, listed};
use crate::tree::{Node, Place, Value};
use crate::vars::{Vars, resolve};

/// Enough to see what is wrong; a file of another kind would give thousands.
pub(crate) const PROBLEMS_MAX: usize = 50;

/// What reading a file needs: its text, its variables, and what to leave out because it was
/// wrong.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a Arc<Source>,
    pub(crate) vars: &'a dyn Vars,
    pub(crate) base_dir: &'a Path,
    skipped: RefCell<Vec<(usize, String)>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(source: &'a Arc<Source>, vars: &'a dyn Vars, base_dir: &'a Path) -> Self {
        Self { source, vars, base_dir, skipped: RefCell::default() }
    }

    fn skips(&self, start: usize) -> bool {
        self.skipped.borrow().iter().any(|(at, _)| *at == start)
    }

    fn skips_name(&self, name: &str) -> bool {
        self.skipped.borrow().iter().any(|(_, skipped)| skipped == name)
    }

    /// A type that is read from text makes its error from what the text resolved to.
    fn hide(&self, node: &Node, error: Error) -> Error {
        let Value::Text(text) = &node.value else { return error };
        match resolve(text, self.vars, self.base_dir) {
            Ok(Some(resolved)) => error.hiding(&resolved),
            _ => error,
        }
    }

    fn spelling(&self, node: &Node) -> &'a str {
        self.source.text.get(node.place.range()).unwrap_or_default().trim_end()
    }
}

/// Reads a value; `None` after errors, all of which are in `problems`. `owner` is the place that
/// a missing field is reported at.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    node: &Node,
    owner: Place,
    cx: &Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    cx.skipped.borrow_mut().clear();
    let before = problems.len();
    loop {
        let error = match T::deserialize(De { node, cx }) {
            Ok(value) => return (problems.len() == before).then_some(value),
            Err(error) => error,
        };
        // What we left out because it was wrong is not missing.
        if matches!(&error.kind, Kind::Missing(field) if cx.skips_name(field)) {
            return None;
        }
        let skip = error.skip.clone();
        problems.push(error.into_problem(owner, cx));
        match skip {
            Some(skip) if !cx.skips(skip.0) && problems.len() < PROBLEMS_MAX => {
                cx.skipped.borrow_mut().push(skip);
            }
            _ => return None,
        }
    }
}

/// The names that an externally tagged enum has as kinds.
pub(crate) fn variants_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(Probe) {
        Err(Error { kind: Kind::Variants(names), .. }) => names,
        _ => &[],
    }
}

#[derive(Debug)]
pub(crate) struct Error {
    kind: Kind,
    place: Option<Place>,
    /// Start and name of the entry to leave out so that reading can go on.
    skip: Option<(usize, String)>,
}

#[derive(Debug)]
enum Kind {
    UnknownField(String, &'static [&'static str]),
    UnknownVariant(String, &'static [&'static str]),
    Missing(&'static str),
    /// The part after a line break is the remedy.
    Message(String),
    /// Answer of [`Probe`].
    Variants(&'static [&'static str]),
}

impl Error {
    fn at(node: &Node, message: impl Into<String>) -> Self {
        Self { kind: Kind::Message(message.into()), place: Some(node.place), skip: None }
    }

    fn within(mut self, place: Place, skip: Option<(usize, String)>) -> Self {
        self.place.get_or_insert(place);
        if self.skip.is_none() {
            self.skip = skip;
        }
        self
    }

    /// Takes a resolved value out of the message.
    fn hiding(mut self, secret: &str) -> Self {
        if let Kind::Message(text) | Kind::UnknownVariant(text, _) = &mut self.kind
            && !secret.is_empty()
        {
            *text = text.replace(secret, "***");
        }
        self
    }

    fn into_problem(self, owner: Place, cx: &Context<'_>) -> Problem {
        let place = Some(self.place.unwrap_or(owner));
        let problem = |message: &str| Problem::new(cx.source, place, message);
        match self.kind {
            Kind::UnknownField(field, known) => {
                let problem = problem(&format!("unknown field `{field}`"));
                problem.with_hint(suggestion(&field, known))
            }
            Kind::UnknownVariant(variant, known) => {
                let problem = problem(&format!("unknown value `{variant}`"));
                problem.with_hint(suggestion(&variant, known))
            }
            Kind::Missing(field) => {
                problem(&format!("`{field}` is missing")).with_hint(format!("Add `{field}:` here."))
            }
            Kind::Message(text) => match text.split_once('\n') {
                Some((message, hint)) => problem(message).with_hint(hint),
                None => problem(&text),
            },
            Kind::Variants(_) => problem("expected another value"),
        }
    }
}

/// `Did you mean `x`?` when something is close, and what exists.
pub(crate) fn suggestion(typed: &str, known: &[&str]) -> String {
    let there_are = if known.len() == 1 { "There is only" } else { "There are" };
    let all = format!("{there_are} {}.", listed(known.iter().copied()));
    match closest(typed, known.iter().copied()) {
        Some(name) => format!("Did you mean `{name}`? {all}"),
        None => all,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Error {}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind, place: None, skip: None }
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Kind::Message(message.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Kind::Message(format!("expected {expected}, found {}", plain(found))).into()
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Kind::UnknownField(field.to_owned(), known).into()
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Kind::UnknownVariant(variant.to_owned(), known).into()
    }

    fn missing_field(field: &'static str) -> Self {
        Kind::Missing(field).into()
    }

    fn duplicate_field(field: &'static str) -> Self {
        Kind::Message(format!("`{field}` is set twice")).into()
    }
}

/// A found value in the words of the file.
fn plain(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Str(value) => format!("`{value}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// Asks a type for the names of its variants.
struct Probe;

impl<'de> de::Deserializer<'de> for Probe {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Kind::Variants(&[]).into())
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(Kind::Variants(variants).into())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}
