//! Functions by face: a name means what the people of that face expect it to mean.

mod aggregate;
pub mod druid;
pub mod stream;

pub(crate) use aggregate::by_record;
