//! Commands that speak Kafka's protocol: `topics`, `produce`, `consume`, `groups`. They work
//! against this node and against any Kafka.

mod client;
mod consume;
mod groups;
mod place;
mod produce;
mod record;
mod reset;
mod topics;
mod trim;

pub(crate) use consume::{ConsumeArgs, consume};
pub(crate) use groups::{GroupsArgs, groups};
pub(crate) use produce::{ProduceArgs, produce};
pub(crate) use topics::{TopicsArgs, topics};
