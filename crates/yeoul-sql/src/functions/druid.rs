//! Druid's functions, as its SQL documentation means them. Instants are `Timestamp(µs, UTC)`;
//! local time is asked for by an argument.

mod period;
mod time;

use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

pub use period::Period;

/// Adds the functions to a session.
pub fn register(session: &SessionContext) {
    for function in time::FUNCTIONS {
        session.register_udf(ScalarUDF::new_from_impl(time::TimeFunction::new(function)));
    }
    let distinct = AggregateUDF::clone(&approx_distinct_udaf()).with_aliases([
        "approx_count_distinct",
        "approx_count_distinct_builtin",
        "approx_count_distinct_ds_hll",
        "approx_count_distinct_ds_theta",
    ]);
    session.register_udaf(distinct);
    register_aliases(session);
}

/// Names of functions that DataFusion has under another one.
fn register_aliases(session: &SessionContext) {
    const ALIASES: [(&str, &[&str]); 3] =
        [("character_length", &["strlen"]), ("trunc", &["truncate"]), ("nvl", &["ifnull"])];
    let state = session.state();
    for (name, aliases) in ALIASES {
        if let Some(function) = state.scalar_functions().get(name) {
            let function = ScalarUDF::clone(function.as_ref());
            session.register_udf(function.with_aliases(aliases.iter().copied()));
        }
    }
}
