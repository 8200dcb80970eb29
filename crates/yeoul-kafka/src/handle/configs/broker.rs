//! This node's settings under the names Kafka gives them: what holds, to be read by tools. They
//! are given when the node starts and none is changed by a client.

use std::collections::BTreeMap;
use std::time::Duration;

use yeoul_base::limits;
use yeoul_kafka_wire::api::describe_configs::{
    ConfigSynonym, DescribedConfig, SOURCE_DEFAULT, SOURCE_STATIC_BROKER,
};
use yeoul_log::topic_config::{self, ConfigType, TOPIC_CONFIGS};

use super::broker_name;
use crate::broker::{Broker, Context, NODE_ID};
use crate::handle::offsets;
use crate::options::KafkaOptions;

/// Every setting, by name.
pub(super) fn settings(context: &Context) -> Vec<DescribedConfig> {
    let own = own(&context.broker);
    let defaults = own_defaults();
    let given = own.into_iter().map(|(name, kind, value, doc)| {
        let by_default = defaults.get(name).is_some_and(|default| *default == value);
        let source = if by_default { SOURCE_DEFAULT } else { SOURCE_STATIC_BROKER };
        setting(name, kind, value, source, doc)
    });
    // What topics follow that do not set it themselves.
    let followed = TOPIC_CONFIGS.iter().map(|config| {
        let value = topic_config::effective(config, &BTreeMap::new());
        setting(broker_name(config.name), config.kind, value, SOURCE_DEFAULT, config.doc)
    });
    let mut all: Vec<_> = given.chain(followed).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn setting(name: &str, kind: ConfigType, value: String, source: i8, doc: &str) -> DescribedConfig {
    let synonym = ConfigSynonym { name: name.to_owned(), value: Some(value.clone()), source };
    DescribedConfig {
        name: name.to_owned(),
        value: Some(value),
        read_only: true,
        config_source: source,
        synonyms: vec![synonym],
        config_type: kind.number(),
        documentation: Some(doc.to_owned()),
        ..DescribedConfig::default()
    }
}

type Setting = (&'static str, ConfigType, String, &'static str);

fn own(broker: &Broker) -> Vec<Setting> {
    use ConfigType::{Int, List};
    let mut all = of_options(&broker.options);
    let list = |of: fn(&(String, String)) -> String| {
        broker.listeners.iter().map(of).collect::<Vec<_>>().join(",")
    };
    all.extend([
        ("broker.id", Int, NODE_ID.to_string(), "This node's id."),
        ("node.id", Int, NODE_ID.to_string(), "This node's id."),
        ("listeners", List, list(|(bound, _)| bound.clone()), "Where the node listens."),
        (
            "advertised.listeners",
            List,
            list(|(_, told)| told.clone()),
            "Where clients are told to come back; they are told the address they came to where it is the same as `listeners`.",
        ),
    ]);
    all
}

/// Of a node that was told nothing.
fn own_defaults() -> BTreeMap<&'static str, String> {
    let all = of_options(&KafkaOptions::default());
    all.into_iter().map(|(name, _, value, _)| (name, value)).collect()
}

fn of_options(options: &KafkaOptions) -> Vec<Setting> {
    use ConfigType::{Boolean, Int, Long};
    let groups = &options.groups;
    let ms = |time: Duration| time.as_millis().to_string();
    let minutes = (groups.offsets_retention.as_secs() / 60).to_string();
    vec![
        (
            "auto.create.topics.enable",
            Boolean,
            options.auto_create.to_string(),
            "Whether a client's question about a topic may create it.",
        ),
        ("connections.max.idle.ms", Long, ms(options.idle_max), "A silent connection ends."),
        ("default.replication.factor", Int, "1".to_owned(), "There is one node."),
        ("delete.topic.enable", Boolean, "true".to_owned(), "Topics can be deleted."),
        (
            "group.initial.rebalance.delay.ms",
            Int,
            ms(groups.initial_rebalance_delay),
            "How long the first member of a group waits for others.",
        ),
        ("group.max.session.timeout.ms", Int, ms(groups.session_max), "The longest session."),
        ("group.max.size", Int, groups.size_max.to_string(), "Members of one group."),
        ("group.min.session.timeout.ms", Int, ms(groups.session_min), "The shortest session."),
        ("max.connections", Int, options.connections_max.to_string(), "Open at a time."),
        (
            "num.partitions",
            Int,
            options.default_partitions.to_string(),
            "Partitions of a topic that is created without their number.",
        ),
        (
            "offset.metadata.max.bytes",
            Int,
            offsets::METADATA_BYTES_MAX.to_string(),
            "The text beside a committed offset.",
        ),
        (
            "offsets.retention.check.interval.ms",
            Long,
            ms(groups.offsets_check_every),
            "How often expired offsets are looked for.",
        ),
        (
            "offsets.retention.minutes",
            Int,
            minutes,
            "How long offsets are kept after their group lost its last member.",
        ),
        ("offsets.topic.replication.factor", Int, "1".to_owned(), "There is one node."),
        (
            "socket.request.max.bytes",
            Int,
            limits::REQUEST_BYTES_MAX.to_string(),
            "The largest request.",
        ),
        ("transaction.state.log.min.isr", Int, "1".to_owned(), "There is one node."),
        ("transaction.state.log.replication.factor", Int, "1".to_owned(), "There is one node."),
    ]
}
