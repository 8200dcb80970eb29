//! Druid's functions, as its SQL documentation means them. Instants are `Timestamp(µs, UTC)`;
//! local time is asked for by an argument.

mod period;
mod time;

use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

pub use period::Period;

/// Adds the functions to a session.
pub fn register(session: &SessionContext) {
    for function in time::FUNCTIONS {
        session.register_udf(ScalarUDF::new_from_impl(time::TimeFunction::new(function)));
    }
    super::aggregate::register(session);
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
