//! One place within JSON text, read without a tree: numbers keep their digits, what lies beside
//! the place is checked and skipped.

use std::borrow::Cow;

use crate::json::{JsonError, Kind, Scanner, unescape};

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonStep {
    Key(String),
    /// Of an array, from 0.
    Index(usize),
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonPlace<'a> {
    Null,
    /// A string's text, escapes resolved.
    Text(Cow<'a, str>),
    /// A number, `true` or `false`, as written.
    Scalar(&'a str),
    /// An object or array, as written.
    Nested(&'a str),
}

/// What stands at `steps` within `text`; `None` when they lead nowhere. Of equal keys the last
/// counts.
///
/// # Errors
/// When the text is not JSON.
pub fn json_at<'a>(text: &'a str, steps: &[JsonStep]) -> Result<Option<JsonPlace<'a>>, JsonError> {
    let mut scanner = Scanner::new(text);
    let mut here = scanner.value()?;
    scanner.end()?;
    for step in steps {
        let mut inner = Scanner::new(here.text);
        let mut first = true;
        let mut found = None;
        match (step, here.kind) {
            (JsonStep::Key(wanted), Kind::Object) => {
                inner.open(b'{')?;
                while let Some((key, value)) = inner.member(&mut first)? {
                    if unescape(key)? == wanted.as_str() {
                        found = Some(value);
                    }
                }
            }
            (JsonStep::Index(wanted), Kind::Array) => {
                inner.open(b'[')?;
                let mut at = 0;
                while let Some(value) = inner.element(&mut first)? {
                    if at == *wanted {
                        found = Some(value);
                        break;
                    }
                    at += 1;
                }
            }
            _ => {}
        }
        match found {
            Some(value) => here = value,
            None => return Ok(None),
        }
    }
    Ok(Some(match here.kind {
        Kind::Null => JsonPlace::Null,
        Kind::String => JsonPlace::Text(here.unescaped()?),
        Kind::Bool | Kind::Number => JsonPlace::Scalar(here.text),
        Kind::Object | Kind::Array => JsonPlace::Nested(here.text),
    }))
}

/// The keys of the object in `text`, each once, in its order; `None` when it is no object.
///
/// # Errors
/// When the text is not JSON.
pub fn json_keys(text: &str) -> Result<Option<Vec<String>>, JsonError> {
    let mut scanner = Scanner::new(text);
    if scanner.kind() != Some(Kind::Object) {
        crate::json::check(text)?;
        return Ok(None);
    }
    scanner.open(b'{')?;
    let (mut first, mut keys) = (true, Vec::new());
    let mut seen = std::collections::BTreeSet::new();
    while let Some((key, _)) = scanner.member(&mut first)? {
        let key = unescape(key)?.into_owned();
        if seen.insert(key.clone()) {
            keys.push(key);
        }
    }
    scanner.end()?;
    Ok(Some(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_with_all_its_digits() {
        let text =
            r#"{"a":[1,{"b \u00e9":12345678901234567890.10}],"a2":null,"x":"\"왕\"","x":"y"}"#;
        let key = |key: &str| JsonStep::Key(key.into());
        let at = |steps: &[JsonStep]| json_at(text, steps).unwrap();
        let place = at(&[key("a"), JsonStep::Index(1), key("b é")]);
        assert_eq!(place, Some(JsonPlace::Scalar("12345678901234567890.10")));
        assert_eq!(at(&[key("a2")]), Some(JsonPlace::Null));
        assert_eq!(at(&[key("x")]), Some(JsonPlace::Text("y".into())), "the last counts");
        assert_eq!(at(&[key("a"), JsonStep::Index(2)]), None);
        assert_eq!(at(&[key("a"), key("b")]), None);
        assert!(matches!(at(&[key("a")]), Some(JsonPlace::Nested(_))));
        assert!(json_at("{", &[]).is_err());
        assert!(json_at("1 2", &[]).is_err());
        assert_eq!(json_keys(text).unwrap().unwrap(), ["a", "a2", "x"]);
        assert_eq!(json_keys("[1]").unwrap(), None);
    }
}
