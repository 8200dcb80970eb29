//! Continuous queries: topics, through SQL, to topics; and the way of a topic into a table.
//!
//! A stream works in epochs. One epoch reads records, runs them through a plan made once, and
//! commits rows, dead letters, counts and input positions as one frame; so what it does happens
//! exactly once, whenever the process is killed.

mod epoch;
mod evaluate;
mod infer;
mod input;
mod inputs;
pub mod into;
mod lookup;
mod operator;
mod part;
mod plan;
pub mod position;
mod spec;
mod status;
mod stream;

pub use epoch::StreamContext;
pub use evaluate::{Dead, Evaluated, OutRow};
pub use input::{Taken, is_system};
pub use into::table::{
    FunctionSet, Language, MetricInput, Missing, Previewed, ReadField, Reads, RedoRequest,
    RedoStatus, Redoer, RollupIngest, SpecProblem, TableContext, TableHandle, TableIngest,
    TimeColumn, TimeFormat, Transform, ValueFormat, preview, read_metric, start_table,
};
pub use lookup::{Keep, LookupFormat, LookupSpec, LookupStatus, Lookups};
pub use plan::{Plan, names_in, plan};
pub use spec::{Inputs, PlanError, StreamSpec, TopicSchema, Trigger};
pub use status::{Progress, SourceProgress, State, Status};
pub use stream::{StreamHandle, start};
