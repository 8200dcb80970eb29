//! Druid's functions, as its SQL documentation means them. Instants are `Timestamp(µs, UTC)`;
//! local time is asked for by an argument.

mod arrays;
mod call;
mod cast;
mod format;
pub(crate) mod json;
mod lookup;
mod meaning;
mod number;
mod pattern;
mod period;
mod search;
mod text;
mod time;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

pub(crate) use call::DruidFunction;
pub(crate) use lookup::Lookup;
pub(crate) use meaning::{Meaning, Types};
pub use period::Period;
pub(crate) use time::zone;

/// Functions of DataFusion that are offered beside our own. What is not here is not: some make
/// much of little, some reach outside, and what a later version adds is looked at first.
const KEPT: &[&str] = &[
    // Text.
    "ascii",
    "btrim",
    "chr",
    "contains",
    "decode",
    "ends_with",
    "initcap",
    "levenshtein",
    "lower",
    "ltrim",
    "md5",
    "octet_length",
    "regexp_count",
    "rtrim",
    "sha256",
    "split_part",
    "starts_with",
    "to_hex",
    "translate",
    "upper",
    // Times.
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "now",
    "current_date",
    "to_char",
    "to_date",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    // Numbers.
    "abs",
    "acos",
    "asin",
    "atan",
    "atan2",
    "cbrt",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "isnan",
    "ln",
    "log",
    "log10",
    "log2",
    "pi",
    "radians",
    "random",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    // Any value.
    "arrow_typeof",
    "coalesce",
    "get_field",
    "greatest",
    "least",
    "nullif",
    "nvl",
    "nvl2",
    // Lists.
    "array_distinct",
    "array_element",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_length",
    "array_max",
    "array_min",
    "array_position",
    "array_slice",
    "array_sort",
    "cardinality",
    "string_to_array",
];

/// Leaves what is kept, and what is only offered within bounds.
fn prune(session: &SessionContext) {
    let state = session.state();
    let given: Vec<_> = state.scalar_functions().values().cloned().collect();
    for function in &given {
        let name = function.name();
        if !KEPT.contains(&name) {
            for name in std::iter::once(name).chain(function.aliases().iter().map(String::as_str)) {
                session.deregister_udf(name);
            }
        }
        if arrays::GROWING.contains(&name) {
            session.register_udf(ScalarUDF::new_from_impl(arrays::Bounded(Arc::clone(function))));
        }
    }
}

/// Adds the functions to a session.
pub fn register(session: &SessionContext) {
    prune(session);
    let tables = [
        text::FUNCTIONS,
        number::FUNCTIONS,
        pattern::FUNCTIONS,
        json::FUNCTIONS,
        format::FUNCTIONS,
        search::FUNCTIONS,
        arrays::FUNCTIONS,
    ];
    for definition in tables.into_iter().flatten().chain([&json::JSON_VALUE]) {
        session.register_udf(DruidFunction::udf(definition));
    }
    for function in time::FUNCTIONS {
        session.register_udf(ScalarUDF::new_from_impl(time::TimeFunction::new(function)));
    }
    super::aggregate::register(session);
    register_aliases(session);
}

/// Names of functions that DataFusion has under another one.
fn register_aliases(session: &SessionContext) {
    const ALIASES: [(&str, &[&str]); 2] =
        [("array_has", &["mv_contains"]), ("array_length", &["mv_length"])];
    let state = session.state();
    for (name, aliases) in ALIASES {
        if let Some(function) = state.scalar_functions().get(name) {
            let function = ScalarUDF::clone(function.as_ref());
            session.register_udf(function.with_aliases(aliases.iter().copied()));
        }
    }
}
