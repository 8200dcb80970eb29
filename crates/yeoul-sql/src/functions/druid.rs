//! Druid's functions, as its SQL documentation means them. Instants are `Timestamp(µs, UTC)`;
//! local time is asked for by an argument.

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

use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

pub(crate) use call::DruidFunction;
pub(crate) use lookup::Lookup;
pub(crate) use meaning::{Meaning, Types};
pub use period::Period;
pub(crate) use time::zone;

/// Functions of DataFusion that make much of little: a query could take all memory in one step.
const REMOVED: &[&str] = &[
    "range",
    "generate_series",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "concat_ws",
    "array_to_string",
    "list_to_string",
    "array_join",
    "list_join",
];

/// Adds the functions to a session.
pub fn register(session: &SessionContext) {
    for name in REMOVED {
        session.deregister_udf(name);
    }
    let tables = [
        text::FUNCTIONS,
        number::FUNCTIONS,
        pattern::FUNCTIONS,
        json::FUNCTIONS,
        format::FUNCTIONS,
        search::FUNCTIONS,
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
    const ALIASES: [(&str, &[&str]); 2] = [("nvl", &["ifnull"]), ("array_length", &["mv_length"])];
    let state = session.state();
    for (name, aliases) in ALIASES {
        if let Some(function) = state.scalar_functions().get(name) {
            let function = ScalarUDF::clone(function.as_ref());
            session.register_udf(function.with_aliases(aliases.iter().copied()));
        }
    }
}
