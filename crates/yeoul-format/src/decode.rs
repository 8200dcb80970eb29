//! The `decode:` options of a pipeline file: what the lines of a source are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::Columns;
use crate::schema::{Origin, Schema};

/// How a line becomes a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// The line's bytes as they are.
    #[default]
    None,
    /// Each line is one JSON object.
    Json,
    /// Fields between tabs, without quoting. Cut fields at the end are null.
    Tsv(Delimited),
    /// Fields between commas, quoted with `"` where needed, one record per line.
    Csv(Delimited),
}

/// Options of `tsv` and `csv`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delimited {
    /// Names and types in the order of the fields. With `header: true` it may be left out (all
    /// are strings then) or name only some.
    pub columns: Columns,
    /// Whether the first line of each file names the columns instead of being a record.
    pub header: bool,
    /// One ASCII character; default tab or comma.
    pub delimiter: Option<char>,
    /// Of the text, such as `euc-kr`; default UTF-8.
    pub encoding: Option<String>,
}

impl Decode {
    /// The schema these options give a topic; `None` when the records must be looked at.
    pub fn schema(&self) -> Option<Schema> {
        match self {
            Self::None | Self::Json => None,
            Self::Tsv(options) | Self::Csv(options) => (!options.columns.is_empty())
                .then(|| Schema::new(options.columns.to_vec(), Origin::Decoder)),
        }
    }
}
