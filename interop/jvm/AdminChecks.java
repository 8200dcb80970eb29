import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DeletedRecords;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The admin client: topics, configs, records, offsets, groups, and what a cluster of one says of itself. */
final class AdminChecks {
    static void add(Map<String, Peer.Check> checks) {
        checks.put("admin_cluster", AdminChecks::cluster);
        checks.put("admin_topics", AdminChecks::topics);
        checks.put("admin_refused", AdminChecks::refused);
        checks.put("admin_configs", AdminChecks::configs);
        checks.put("admin_broker_configs", AdminChecks::brokerConfigs);
        checks.put("admin_records", AdminChecks::records);
        checks.put("admin_groups", AdminChecks::groups);
        checks.put("admin_one_node", AdminChecks::oneNode);
    }

    private static String cluster(Peer peer) throws Exception {
        var seen = peer.admin.describeCluster();
        Peer.same(Peer.get(seen.nodes()).size(), 1, "nodes");
        Peer.same(Peer.get(seen.controller()).id(), Peer.get(seen.nodes()).iterator().next().id(), "controller");
        Peer.check(!Peer.get(seen.clusterId()).isEmpty(), "no cluster id");
        return "cluster " + Peer.get(seen.clusterId());
    }

    private static String topics(Peer peer) throws Exception {
        String name = "topics-" + peer.run;
        NewTopic wanted = new NewTopic(name, java.util.Optional.of(3), java.util.Optional.empty())
                .configs(Map.of("retention.ms", "3600000"));
        var dry = peer.admin.createTopics(List.of(wanted), new CreateTopicsOptions().validateOnly(true));
        Peer.same(Peer.get(dry.numPartitions(name)), 3, "partitions of the dry run");
        Peer.check(!Peer.get(peer.admin.listTopics().names()).contains(name), "made by a dry run");
        var made = peer.admin.createTopics(List.of(wanted));
        Peer.same(Peer.get(made.config(name)).get("retention.ms").value(), "3600000", "the config in the answer");
        Peer.same(Peer.get(made.replicationFactor(name)), 1, "replication factor");
        TopicDescription seen = Peer.get(peer.admin.describeTopics(List.of(name)).allTopicNames()).get(name);
        Peer.same(seen.partitions().size(), 3, "partitions");
        Peer.same(seen.topicId(), Peer.get(made.topicId(name)), "topic id");
        Peer.check(seen.partitions().stream().allMatch(one -> one.leader() != null && one.isr().size() == 1), "no leader");
        var byId = peer.admin.describeTopics(TopicCollection.ofTopicIds(List.of(seen.topicId()))).allTopicIds();
        Peer.same(Peer.get(byId).get(seen.topicId()).name(), name, "by its id");
        Peer.get(peer.admin.createPartitions(Map.of(name, NewPartitions.increaseTo(5))).all());
        // Apache Kafka's broker learns of it behind the answer.
        Peer.until("the added partitions", () -> {
            try {
                return Peer.get(peer.admin.describeTopics(List.of(name)).allTopicNames()).get(name).partitions().size() == 5;
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
        Peer.get(peer.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(seen.topicId()))).all());
        Peer.check(!Peer.get(peer.admin.listTopics().names()).contains(name), "deleted by id and listed");
        return "made, described, extended, deleted by id";
    }

    private static String error(java.util.concurrent.Future<?> future) throws Exception {
        return Peer.fails(future).getClass().getSimpleName();
    }

    private static String refused(Peer peer) throws Exception {
        String there = peer.topic("refused.there", 3);
        Peer.same(error(make(peer, there, 1, 1)), "TopicExistsException", "made twice");
        Peer.same(error(make(peer, there.replace('.', '_'), 1, 1)), "InvalidTopicException", "a.b beside a_b");
        Peer.same(error(make(peer, "a b", 1, 1)), "InvalidTopicException", "a name with a space");
        Peer.same(error(make(peer, "x".repeat(250), 1, 1)), "InvalidTopicException", "a long name");
        Peer.same(error(make(peer, "many-" + peer.run, 1, 3)), "InvalidReplicationFactorException", "three replicas");
        Peer.same(error(make(peer, "none-" + peer.run, 0, 1)), "InvalidPartitionsException", "no partition");
        NewTopic typo = new NewTopic("typo-" + peer.run, 1, (short) 1).configs(Map.of("retention.mss", "1"));
        Peer.same(error(peer.admin.createTopics(List.of(typo)).all()), "InvalidConfigurationException", "unknown config");
        NewTopic bad = new NewTopic("bad-" + peer.run, 1, (short) 1).configs(Map.of("retention.ms", "soon"));
        Peer.same(error(peer.admin.createTopics(List.of(bad)).all()), "InvalidConfigurationException", "bad config");
        Peer.same(error(peer.admin.deleteTopics(List.of("nowhere-" + peer.run)).all()),
                "UnknownTopicOrPartitionException", "deleting what is not there");
        Peer.same(error(peer.admin.describeTopics(List.of("nowhere-" + peer.run)).allTopicNames()),
                "UnknownTopicOrPartitionException", "describing what is not there");
        Peer.same(error(peer.admin.createPartitions(Map.of(there, NewPartitions.increaseTo(2))).all()),
                "InvalidPartitionsException", "fewer partitions");
        return "11 mistakes with Kafka's errors";
    }

    private static java.util.concurrent.Future<?> make(Peer peer, String name, int partitions, int replicas) {
        return peer.admin.createTopics(List.of(new NewTopic(name, partitions, (short) replicas))).all();
    }

    private static Config config(Peer peer, ConfigResource resource) throws Exception {
        return Peer.get(peer.admin.describeConfigs(List.of(resource)).all()).get(resource);
    }

    private static void alter(Peer peer, ConfigResource resource, AlterConfigOp.OpType how, String key, String value)
            throws Exception {
        Peer.get(peer.admin.incrementalAlterConfigs(
                Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(key, value), how)))).all());
    }

    private static String configs(Peer peer) throws Exception {
        String topic = peer.topic("configs", 1, "retention.ms", "7200000");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config seen = config(peer, resource);
        Map<String, String> defaults = Map.ofEntries(
                Map.entry("cleanup.policy", "delete"), Map.entry("compression.type", "producer"),
                Map.entry("delete.retention.ms", "86400000"), Map.entry("file.delete.delay.ms", "60000"),
                Map.entry("max.compaction.lag.ms", "9223372036854775807"), Map.entry("message.timestamp.type", "CreateTime"),
                Map.entry("min.cleanable.dirty.ratio", "0.5"), Map.entry("min.compaction.lag.ms", "0"),
                Map.entry("min.insync.replicas", "1"), Map.entry("retention.bytes", "-1"),
                Map.entry("segment.ms", "604800000"), Map.entry("unclean.leader.election.enable", "false"));
        for (Map.Entry<String, String> one : defaults.entrySet()) {
            ConfigEntry entry = seen.get(one.getKey());
            Peer.check(entry != null, one.getKey() + " is missing");
            Peer.same(entry.value(), one.getValue(), one.getKey());
            // Kafka 4 sets min.insync.replicas for the whole cluster.
            Peer.check(entry.isDefault() || one.getKey().equals("min.insync.replicas"), one.getKey() + " is no default");
        }
        Peer.same(seen.get("retention.ms").value(), "7200000", "set at creation");
        Peer.same(seen.get("retention.ms").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "its source");
        alter(peer, resource, AlterConfigOp.OpType.SET, "retention.bytes", "100000000");
        alter(peer, resource, AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact");
        alter(peer, resource, AlterConfigOp.OpType.DELETE, "retention.ms", "");
        seen = config(peer, resource);
        Peer.same(seen.get("retention.bytes").value(), "100000000", "retention.bytes");
        Peer.same(Set.of(seen.get("cleanup.policy").value().split(",")), Set.of("delete", "compact"), "cleanup.policy");
        Peer.same(seen.get("retention.ms").value(), "604800000", "retention.ms by default");
        alter(peer, resource, AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "delete");
        Peer.same(config(peer, resource).get("cleanup.policy").value(), "compact", "cleanup.policy");
        Throwable error = Peer.fails(peer.admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET)))).all());
        Peer.same(error.getClass().getSimpleName(), "InvalidConfigurationException", "a bad value");
        ConfigResource nowhere = new ConfigResource(ConfigResource.Type.TOPIC, "nowhere-" + peer.run);
        Peer.same(error(peer.admin.describeConfigs(List.of(nowhere)).all()), "UnknownTopicOrPartitionException", "unknown topic");
        return seen.entries().size() + " keys; set, append, subtract, delete";
    }

    private static String brokerConfigs(Peer peer) throws Exception {
        String id = Peer.get(peer.admin.describeCluster().nodes()).iterator().next().idString();
        Config seen = config(peer, new ConfigResource(ConfigResource.Type.BROKER, id));
        for (String key : List.of("log.retention.ms", "num.partitions", "auto.create.topics.enable",
                "default.replication.factor", "message.max.bytes")) {
            Peer.check(seen.get(key) != null, key + " is missing");
        }
        return seen.entries().size() + " keys";
    }

    private static String records(Peer peer) throws Exception {
        String topic = peer.topic("records", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        long base = System.currentTimeMillis() - 60_000;
        try (KafkaProducer<String, String> producer = peer.producer()) {
            for (int number = 0; number < 20; number++) {
                long time = number == 7 ? base + 50_000 : base + number;
                Peer.get(producer.send(new ProducerRecord<>(topic, 0, time, null, Integer.toString(number))));
            }
        }
        var newest = Peer.get(peer.admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all()).get(partition);
        Peer.same(newest.offset(), 7L, "offset of the largest timestamp");
        Peer.same(newest.timestamp(), base + 50_000, "the largest timestamp");
        var byTime = peer.admin.listOffsets(Map.of(partition, OffsetSpec.forTimestamp(base + 5))).all();
        Peer.same(Peer.get(byTime).get(partition).offset(), 5L, "by timestamp");
        DeletedRecords gone = Peer.get(peer.admin.deleteRecords(
                Map.of(partition, RecordsToDelete.beforeOffset(5))).lowWatermarks().get(partition));
        Peer.same(gone.lowWatermark(), 5L, "low watermark");
        Peer.same(offset(peer, partition, OffsetSpec.earliest()), 5L, "earliest");
        Peer.same(Peer.values(peer.all(topic, "read_committed")), Peer.numbers(5, 20), "what is left");
        Peer.same(error(peer.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(100))).all()),
                "OffsetOutOfRangeException", "beyond the end");
        Peer.get(peer.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all());
        Peer.same(offset(peer, partition, OffsetSpec.earliest()), 20L, "earliest after all were deleted");
        Peer.same(offset(peer, partition, OffsetSpec.latest()), 20L, "latest");
        return "largest timestamp, by timestamp, deleted up to an offset and to the end";
    }

    private static long offset(Peer peer, TopicPartition partition, OffsetSpec what) throws Exception {
        return Peer.get(peer.admin.listOffsets(Map.of(partition, what)).all()).get(partition).offset();
    }

    private static String groups(Peer peer) throws Exception {
        String topic = peer.topic("groups", 2);
        String group = "groups-" + peer.run;
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = peer.producer()) {
            Peer.send(producer, topic, 0, 20);
        }
        try (KafkaConsumer<String, String> consumer = peer.consumer("group.id", group, "client.id", "reader")) {
            consumer.subscribe(List.of(topic));
            Peer.until("an assignment", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == 2;
            });
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(20), new TopicPartition(topic, 1), new OffsetAndMetadata(0)));
            ConsumerGroupDescription seen = Peer.get(peer.admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Peer.same(seen.groupState(), GroupState.STABLE, "state");
            Peer.same(seen.partitionAssignor(), "range", "assignor");
            var member = seen.members().iterator().next();
            Peer.same(member.clientId(), "reader", "client id");
            Peer.check(member.host().contains("127.0.0.1"), "host " + member.host());
            Peer.same(member.assignment().topicPartitions().size(), 2, "assigned");
            Peer.check(Peer.get(peer.admin.listGroups().all()).stream().anyMatch(one -> one.groupId().equals(group)), "not listed");
            Peer.same(error(peer.admin.deleteConsumerGroups(List.of(group)).all()), "GroupNotEmptyException", "deleted in use");
            Peer.same(error(peer.admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3))).all()),
                    "UnknownMemberIdException", "offsets altered in use");
            Peer.same(error(peer.admin.deleteConsumerGroupOffsets(group, Set.of(partition)).partitionResult(partition)),
                    "GroupSubscribedToTopicException", "offsets deleted in use");
        }
        Peer.get(peer.admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(7, "by hand"))).all());
        var offsets = Peer.get(peer.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        Peer.same(offsets.get(partition), new OffsetAndMetadata(7, "by hand"), "altered");
        Peer.get(peer.admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all());
        offsets = Peer.get(peer.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        Peer.same(offsets.keySet(), Set.of(new TopicPartition(topic, 1)), "offsets left");
        Peer.get(peer.admin.deleteConsumerGroups(List.of(group)).all());
        Peer.check(Peer.get(peer.admin.listGroups().all()).stream().noneMatch(one -> one.groupId().equals(group)), "still listed");
        Peer.same(error(peer.admin.deleteConsumerGroups(List.of(group)).all()), "GroupIdNotFoundException", "deleted twice");
        return "described, altered, deleted, and refused while in use";
    }

    /** What a cluster of one answers where Kafka's tools ask for several. */
    private static String oneNode(Peer peer) throws Exception {
        String topic = peer.topic("one-node", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = peer.producer()) {
            Peer.send(producer, topic, 0, 100);
        }
        int node = Peer.get(peer.admin.describeCluster().nodes()).iterator().next().id();
        var dirs = Peer.get(peer.admin.describeLogDirs(List.of(node)).allDescriptions()).get(node);
        long size = dirs.values().stream().flatMap(dir -> dir.replicaInfos().entrySet().stream())
                .filter(one -> one.getKey().equals(partition)).mapToLong(one -> one.getValue().size()).sum();
        Peer.check(size > 100, "the partition has " + size + " bytes");
        Peer.same(Peer.get(peer.admin.listPartitionReassignments().reassignments()), Map.of(), "reassignments");
        var elected = Peer.get(peer.admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).partitions());
        Peer.same(elected.get(partition).orElseThrow().getClass().getSimpleName(), "ElectionNotNeededException", "election");
        return "log dirs, reassignments, election";
    }
}
