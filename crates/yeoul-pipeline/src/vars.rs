//! `${env:X}`, `${file:path}` and `${X:-default}` in a value.
//!
//! They are replaced when a value is given to its component, long after the YAML was read: what
//! is in a variable can never become structure. What they stand for is never shown: messages
//! name the expression.

use std::io::Read as _;
use std::path::Path;

/// A value in a file is a token or an address, not a document.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the values of expressions come from; tests put fixed ones in its place.
pub trait Vars {
    /// An environment variable; `None` when it is not set or not UTF-8.
    fn env(&self, name: &str) -> Option<String>;
    /// The content of a file without the line break at its end; `Err` says why not. `base_dir`
    /// is the folder of the pipeline file.
    fn file(&self, base_dir: &Path, path: &str) -> Result<String, String>;
}

/// The process's environment, and the files of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemVars;

impl Vars for SystemVars {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    #[expect(clippy::disallowed_methods, reason = "a file the user names, not one of ours")]
    fn file(&self, base_dir: &Path, path: &str) -> Result<String, String> {
        let path = base_dir.join(path);
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("{} is larger than 1 MiB", path.display()));
        }
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Ok(text)
    }
}

/// Why an expression has no value, and the remedy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// The text with its expressions replaced; `None` when it has none.
pub(crate) fn resolve(
    text: &str,
    vars: &dyn Vars,
    base_dir: &Path,
) -> Result<Option<String>, Unresolved> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let Some((inner, after)) = tail.get(2..).unwrap_or_default().split_once('}') else {
            return Err(Unresolved {
                message: "`${` is not closed".to_owned(),
                hint: "Write `${env:NAME}`, `${file:path}` or `${NAME:-default}`.".to_owned(),
            });
        };
        out.push_str(&value_of(inner, vars, base_dir)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn value_of(inner: &str, vars: &dyn Vars, base_dir: &Path) -> Result<String, Unresolved> {
    if let Some(path) = inner.strip_prefix("file:") {
        return vars.file(base_dir, path).map_err(|why| Unresolved {
            message: format!("`${{{inner}}}` cannot be read: {why}"),
            hint: "The path starts at the folder of this file.".to_owned(),
        });
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let bare = name.strip_prefix("env:");
    if bare.is_none() && default.is_none() {
        return Err(Unresolved {
            message: format!("`${{{inner}}}` is not an expression of a pipeline file"),
            hint: format!("For an environment variable write `${{env:{inner}}}`."),
        });
    }
    let name = bare.unwrap_or(name);
    match (vars.env(name), default) {
        // As in a shell, `:-` also replaces an empty value.
        (Some(value), _) if !value.is_empty() || default.is_none() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (_, None) => Err(Unresolved {
            message: format!("the environment variable `{name}` is not set"),
            hint: format!("Set it, or give a default: `${{{name}:-default}}`."),
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two variables and one file.
    #[derive(Debug)]
    pub(crate) struct Fixed;

    impl Vars for Fixed {
        fn env(&self, name: &str) -> Option<String> {
            match name {
                "TOKEN" => Some("s3cr3t".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            }
        }

        fn file(&self, _: &Path, path: &str) -> Result<String, String> {
            if path == "key.bin" { Ok("k3y".to_owned()) } else { Err("no such file".to_owned()) }
        }
    }

    #[test]
    fn expressions_are_replaced() {
        let of = |text| resolve(text, &Fixed, Path::new("."));
        assert_eq!(of("plain $x {y}"), Ok(None));
        assert_eq!(of("a${env:TOKEN}b${file:key.bin}"), Ok(Some("as3cr3tbk3y".to_owned())));
        assert_eq!(of("${NONE:-x}${EMPTY:-y}${TOKEN:-z}"), Ok(Some("xys3cr3t".to_owned())));
        assert_eq!(of("${env:EMPTY}"), Ok(Some(String::new())));
        assert_eq!(of("${NONE:-}"), Ok(Some(String::new())));
        for bad in ["${env:NONE}", "${file:none}", "${TOKEN}", "${env:TOKEN"] {
            let error = of(bad).unwrap_err();
            assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
        }
    }
}
