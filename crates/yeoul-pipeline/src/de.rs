//! From the tree of a file to typed settings, with every error at its place.
//!
//! Serde stops at the first error. [`read`] leaves out what was wrong and reads again, so that a
//! person sees all that is wrong with a component at once. Invariants: an error names the
//! innermost key or value it is about; a text that came out of `${…}` is never in a message.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use crate::report::{Problem, Source, closest, listed};
use crate::tree::{Key, Node, Place, Value};
use crate::vars::{Vars, resolve};

/// Enough to see what is wrong; a file of another kind would give thousands.
const PROBLEMS_MAX: usize = 50;

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

/// One node as serde sees it.
struct De<'a> {
    node: &'a Node,
    cx: &'a Context<'a>,
}

impl<'a> De<'a> {
    fn expected(&self, what: &str) -> Error {
        Error::at(self.node, format!("expected {what}, found {}", self.node.describe()))
    }

    /// The text of a scalar: as written for numbers, so that `007` and `1.10` stay themselves.
    /// The second part says whether it came out of an expression.
    fn text(&self) -> Result<(String, bool), Error> {
        match &self.node.value {
            Value::Text(text) => match resolve(text, self.cx.vars, self.cx.base_dir) {
                Ok(Some(resolved)) => Ok((resolved, true)),
                Ok(None) => Ok((text.clone(), false)),
                Err(error) => {
                    Err(Error::at(self.node, format!("{}\n{}", error.message, error.hint)))
                }
            },
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                Ok((self.cx.spelling(self.node).to_owned(), false))
            }
            Value::Null | Value::List(_) | Value::Map(_) => Err(self.expected("text")),
        }
    }

    fn visit_text<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        let (text, secret) = self.text()?;
        let result = visitor.visit_str::<Error>(&text);
        let result = result.map_err(|error| if secret { error.hiding(&text) } else { error });
        result.map_err(|error| error.within(self.node.place, None))
    }

    fn visit_number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Int(value) => visitor.visit_i64::<Error>(*value),
            Value::Float(value) => visitor.visit_f64::<Error>(*value),
            Value::Text(written) => {
                let (text, secret) = self.text()?;
                let found = if secret { written.as_str() } else { text.as_str() };
                match text.trim().parse::<i64>() {
                    // Only an expression may stand for a number as text.
                    Ok(value) if secret => {
                        visitor.visit_i64::<Error>(value).map_err(|error| error.hiding(&text))
                    }
                    _ => Err(Kind::Message(format!("expected a number, found `{found}`")).into()),
                }
            }
            _ => Err(self.expected("a number")),
        };
        result.map_err(|error| error.within(self.node.place, None))
    }

    fn map<'de, V: Visitor<'de>>(&self, visitor: V, what: &str) -> Result<V::Value, Error> {
        let entries = self.node.as_map().ok_or_else(|| self.expected(what))?;
        visitor.visit_map(Entries { rest: entries, seen: Vec::new(), value: None, cx: self.cx })
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.visit_number(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for De<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit::<Error>(),
            Value::Bool(value) => visitor.visit_bool::<Error>(*value),
            Value::Int(_) | Value::Float(_) => return self.visit_number(visitor),
            Value::Text(_) => return self.visit_text(visitor),
            Value::List(_) => return self.deserialize_seq(visitor),
            Value::Map(_) => return self.map(visitor, "a map"),
        };
        result.map_err(|error| error.within(self.node.place, None))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Text(text) if !text.contains("${") => {
                Err(Error::at(self.node, format!("expected `true` or `false`, found `{text}`")))
            }
            Value::Text(_) => match self.text()?.0.as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(self.expected("`true` or `false`")),
            },
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Map(entries) if entries.is_empty() => visitor.visit_unit(),
            _ => Err(self.expected("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(items) => visitor
                .visit_seq(Items { rest: items, cx: self.cx })
                .map_err(|error| error.within(self.node.place, None)),
            _ => Err(self.expected("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(visitor, "a map")
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let what = format!("a map with {}", listed(fields.iter().copied()));
        self.map(visitor, &what)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let choice = || format!("one of {}", listed(variants.iter().copied()));
        match &self.node.value {
            Value::Map(entries) => match entries.as_slice() {
                [(key, value)] => {
                    let tagged = Tagged { name: &key.name, place: key.place, value: Some(value) };
                    visitor.visit_enum(TaggedDe { tagged, cx: self.cx })
                }
                // The second key is the one too many.
                [_, (second, _), ..] => Err(Error {
                    place: Some(second.place),
                    ..Error::at(self.node, format!("expected only {}", choice()))
                }),
                [] => Err(self.expected(&choice())),
            },
            Value::Text(_) => {
                let (name, secret) = self.text()?;
                let tagged = Tagged { name: &name, place: self.node.place, value: None };
                let result = visitor.visit_enum(TaggedDe { tagged, cx: self.cx });
                result.map_err(|error| if secret { error.hiding(&name) } else { error })
            }
            _ => Err(self.expected(&choice())),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

struct Entries<'a> {
    rest: &'a [(Key, Node)],
    seen: Vec<&'a Key>,
    value: Option<(&'a Key, &'a Node)>,
    cx: &'a Context<'a>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        while let Some(((key, value), rest)) = self.rest.split_first() {
            self.rest = rest;
            if self.cx.skips(key.place.start) {
                continue;
            }
            let skip = || Some((key.place.start, key.name.clone()));
            if self.seen.iter().any(|seen| seen.name == key.name) {
                let text = format!("`{}` is set twice\nKeep one of them.", key.name);
                return Err(Error::from(Kind::Message(text)).within(key.place, skip()));
            }
            self.seen.push(key);
            self.value = Some((key, value));
            let name: StrDeserializer<'_, Error> = key.name.as_str().into_deserializer();
            return seed
                .deserialize(name)
                .map(Some)
                .map_err(|error| error.within(key.place, skip()));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let result = seed.deserialize(De { node, cx: self.cx });
        // The place of a map or list is its first character; its key says more.
        let place = match node.value {
            Value::Map(_) | Value::List(_) | Value::Null => key.place,
            _ => node.place,
        };
        let skip = Some((key.place.start, key.name.clone()));
        result.map_err(|error| self.cx.hide(node, error).within(place, skip))
    }
}

struct Items<'a> {
    rest: &'a [Node],
    cx: &'a Context<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        while let Some((node, rest)) = self.rest.split_first() {
            self.rest = rest;
            if self.cx.skips(node.place.start) {
                continue;
            }
            let skip = Some((node.place.start, String::new()));
            return seed
                .deserialize(De { node, cx: self.cx })
                .map(Some)
                .map_err(|error| self.cx.hide(node, error).within(node.place, skip));
        }
        Ok(None)
    }
}

/// `kind: settings`, or only `kind`.
struct Tagged<'a> {
    name: &'a str,
    place: Place,
    value: Option<&'a Node>,
}

struct TaggedDe<'a> {
    tagged: Tagged<'a>,
    cx: &'a Context<'a>,
}

impl<'de> EnumAccess<'de> for TaggedDe<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.tagged.name.into_deserializer();
        let place = self.tagged.place;
        match seed.deserialize(name) {
            Ok(value) => Ok((value, self)),
            Err(error) => Err(error.within(place, None)),
        }
    }
}

impl<'de> VariantAccess<'de> for TaggedDe<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.tagged.value {
            None => Ok(()),
            Some(node) => Deserialize::deserialize(De { node, cx: self.cx }),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        // `decode: json` is `decode: { json: {} }`.
        let empty = Node { value: Value::Map(Vec::new()), place: self.tagged.place };
        let node = self.tagged.value.unwrap_or(&empty);
        let result = seed.deserialize(De { node, cx: self.cx });
        result.map_err(|error| error.within(self.tagged.place, None))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        match self.tagged.value {
            Some(node) => de::Deserializer::deserialize_seq(De { node, cx: self.cx }, visitor),
            None => Err(Kind::Message("expected a list".to_owned()).into()),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let empty = Node { value: Value::Map(Vec::new()), place: self.tagged.place };
        let node = self.tagged.value.unwrap_or(&empty);
        let result = De { node, cx: self.cx }.map(visitor, "a map");
        result.map_err(|error| error.within(self.tagged.place, None))
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
