//! A JSON value that knows where it stands, so that every refusal says so.

use serde_json::{Map, Value};

use super::SpecError;

/// See the module's head.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    pub(crate) value: &'a Value,
    path: String,
}

impl<'a> At<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { value, path: "$".to_owned() }
    }

    /// The value's name in a message.
    pub(crate) fn error(&self, message: &str) -> SpecError {
        SpecError { path: self.path.clone(), message: message.to_owned() }
    }

    /// `None`: absent or null, which is the same to Druid.
    pub(crate) fn field(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Self { value, path: format!("{}.{name}", self.path) })
    }

    pub(crate) fn needed(&self, name: &str) -> Result<Self, SpecError> {
        self.field(name).ok_or_else(|| self.error(&format!("`{name}` is missing")))
    }

    pub(crate) fn object(&self) -> Result<&'a Map<String, Value>, SpecError> {
        self.value.as_object().ok_or_else(|| self.error("a JSON object is expected"))
    }

    pub(crate) fn text(&self) -> Result<&'a str, SpecError> {
        self.value.as_str().ok_or_else(|| self.error("a text is expected"))
    }

    /// Also as text, which some clients send.
    pub(crate) fn flag(&self) -> Result<bool, SpecError> {
        match self.value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            _ => Err(self.error("true or false is expected")),
        }
    }

    pub(crate) fn number(&self) -> Result<u64, SpecError> {
        self.value.as_u64().ok_or_else(|| self.error("a whole number is expected"))
    }

    pub(crate) fn list(&self) -> Result<Vec<Self>, SpecError> {
        let items = self.value.as_array().ok_or_else(|| self.error("a list is expected"))?;
        let item = |(index, value)| Self { value, path: format!("{}[{index}]", self.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>, SpecError> {
        self.list()?.iter().map(|item| Ok(item.text()?.to_owned())).collect()
    }

    /// Refuses fields that are not known: they might change rows.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), SpecError> {
        let unknown = self.object()?.keys().find(|name| !known.contains(&name.as_str()));
        match unknown.and_then(|name| self.field(name)) {
            Some(field) => Err(field.error(&format!(
                "not understood: leave it out, or use one of {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }
}
