import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/** Consumer groups: each assignor over a rebalance, offsets with metadata, static members, members that go silent. */
final class GroupChecks {
    static void add(Map<String, Peer.Check> checks) {
        checks.put("group_resumes", GroupChecks::resumes);
        checks.put("group_range", peer -> rebalance(peer, RangeAssignor.class));
        checks.put("group_roundrobin", peer -> rebalance(peer, RoundRobinAssignor.class));
        checks.put("group_cooperative", peer -> rebalance(peer, CooperativeStickyAssignor.class));
        checks.put("group_static", GroupChecks::staticMembers);
        checks.put("group_silent", GroupChecks::silent);
        checks.put("group_pattern", GroupChecks::pattern);
    }

    /** One member, polled by a thread of its own until told to stop. */
    private static final class Member implements ConsumerRebalanceListener, AutoCloseable {
        final KafkaConsumer<String, String> consumer;
        final Set<TopicPartition> owned = java.util.Collections.synchronizedSet(new HashSet<>());
        final List<String> got = java.util.Collections.synchronizedList(new ArrayList<>());
        final List<TopicPartition> taken = java.util.Collections.synchronizedList(new ArrayList<>());
        volatile Throwable error;
        volatile boolean stop;
        volatile boolean silent;
        volatile int rebalances;
        final Thread thread;

        Member(Peer peer, List<String> topics, String... config) {
            consumer = peer.consumer(config);
            consumer.subscribe(topics, this);
            thread = new Thread(this::poll);
            thread.start();
        }

        private void poll() {
            try {
                while (!stop) {
                    if (silent) {
                        Thread.sleep(20);
                        continue;
                    }
                    consumer.poll(Duration.ofMillis(50)).forEach(row -> got.add(row.value()));
                    try {
                        consumer.commitSync();
                    } catch (RebalanceInProgressException goesOn) {
                        // With cooperative assignors this is said, and the next poll ends the rebalance.
                    }
                }
            } catch (Throwable thrown) {
                error = thrown;
            } finally {
                consumer.close();
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> gone) {
            consumer.commitSync();
            owned.removeAll(gone);
            taken.addAll(gone);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> gone) {
            owned.removeAll(gone);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> come) {
            owned.addAll(come);
            rebalances += 1;
        }

        void alive() {
            Peer.check(error == null, "the member ended with " + error);
        }

        @Override
        public void close() throws InterruptedException {
            stop = true;
            thread.join(Peer.LIMIT_S * 1000L);
        }
    }

    private static String resumes(Peer peer) throws Exception {
        String topic = peer.topic("resumes", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = peer.producer()) {
            Peer.send(producer, topic, 0, 100);
        }
        List<String> got = new ArrayList<>();
        for (int life = 0; life < 3; life++) {
            try (KafkaConsumer<String, String> consumer =
                    peer.consumer("group.id", "resumes-" + peer.run, "max.poll.records", "30")) {
                consumer.subscribe(List.of(topic));
                int before = got.size();
                Peer.until("some records", () -> {
                    consumer.poll(Duration.ofMillis(100)).forEach(row -> got.add(row.value()));
                    return got.size() > before;
                });
                consumer.commitSync(Map.of(partition, new OffsetAndMetadata(got.size(), "after " + got.size())));
                var stays = consumer.committed(Set.of(partition)).get(partition);
                Peer.same(stays.metadata(), "after " + got.size(), "metadata");
            }
        }
        Peer.same(got, Peer.numbers(0, got.size()), "records over three lives");
        return got.size() + " records over 3 lives, offsets with metadata";
    }

    /** Two members share, one joins and one leaves while records come: none is lost, and none is read twice. */
    private static String rebalance(Peer peer, Class<?> assignor) throws Exception {
        String name = assignor.getSimpleName();
        String topic = peer.topic("shared-" + name, 4);
        String[] config = {"group.id", name + "-" + peer.run, "partition.assignment.strategy", assignor.getName()};
        try (Member one = new Member(peer, List.of(topic), config); KafkaProducer<String, String> producer = peer.producer()) {
            Peer.until("all partitions", () -> one.owned.size() == 4);
            int sent = spread(producer, topic, 0, 200);
            try (Member two = new Member(peer, List.of(topic), config)) {
                Peer.until("an even share", () -> {
                    one.alive();
                    two.alive();
                    return one.owned.size() == 2 && two.owned.size() == 2;
                });
                if (assignor == CooperativeStickyAssignor.class) {
                    Peer.same(one.taken.size(), 2, "partitions taken from the first member");
                }
                sent = spread(producer, topic, sent, sent + 200);
                int want = sent;
                Peer.until("all records", () -> one.got.size() + two.got.size() >= want);
                one.got.addAll(two.got);
            }
            Peer.until("all partitions again", () -> one.owned.size() == 4);
            int want = spread(producer, topic, sent, sent + 200);
            Peer.until("all records", () -> one.got.size() >= want);
            one.alive();
            Peer.same(one.got.size(), want, "records");
            Peer.same(new TreeSet<>(one.got), new TreeSet<>(Peer.numbers(0, want)), "records");
            return want + " records once over two rebalances";
        }
    }

    private static int spread(KafkaProducer<String, String> producer, String topic, int from, int to) {
        for (String number : Peer.numbers(from, to)) {
            producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(
                    topic, Integer.parseInt(number) % 4, null, number));
        }
        producer.flush();
        return to;
    }

    /** A static member that comes back within its session gets what it had, without a rebalance of the others. */
    private static String staticMembers(Peer peer) throws Exception {
        String topic = peer.topic("static", 4);
        String group = "static-" + peer.run;
        List<String> topics = List.of(topic);
        try (Member stays = new Member(peer, topics, "group.id", group, "group.instance.id", "a", "session.timeout.ms", "20000")) {
            Set<TopicPartition> had;
            int before;
            try (Member goes = new Member(peer, topics, "group.id", group, "group.instance.id", "b", "session.timeout.ms", "20000")) {
                Peer.until("an even share", () -> stays.owned.size() == 2 && goes.owned.size() == 2);
                had = new HashSet<>(goes.owned);
                before = stays.rebalances;
            }
            try (Member back = new Member(peer, topics, "group.id", group, "group.instance.id", "b", "session.timeout.ms", "20000")) {
                Peer.until("what it had", () -> back.owned.equals(had));
                Peer.same(stays.rebalances, before, "rebalances of the other member");
                stays.alive();
                try (Member double_ = new Member(peer, topics, "group.id", group, "group.instance.id", "b", "session.timeout.ms", "20000")) {
                    Peer.until("the first of the two is fenced", () -> back.error != null);
                    Peer.check(back.error instanceof FencedInstanceIdException, String.valueOf(back.error));
                    Peer.until("the second has its share", () -> double_.owned.equals(had));
                }
            }
        }
        return "back without a rebalance; a second one of the name fences the first";
    }

    /** A member that stops polling leaves by itself; the other takes its share and the records it had not committed. */
    private static String silent(Peer peer) throws Exception {
        String topic = peer.topic("silent", 4);
        String[] config = {"group.id", "silent-" + peer.run, "max.poll.interval.ms", "1500", "session.timeout.ms", "6000"};
        try (Member one = new Member(peer, List.of(topic), config);
                Member two = new Member(peer, List.of(topic), config);
                KafkaProducer<String, String> producer = peer.producer()) {
            Peer.until("an even share", () -> one.owned.size() == 2 && two.owned.size() == 2);
            two.silent = true;
            Peer.until("all partitions", () -> one.owned.size() == 4);
            int want = spread(producer, topic, 0, 100);
            Peer.until("all records", () -> one.got.size() == want);
            two.silent = false;
            Peer.until("an even share again", () -> one.owned.size() == 2 && two.owned.size() == 2);
            return "left after max.poll.interval.ms, and came back";
        }
    }

    /** A subscription by pattern sees a topic that is made later, and partitions that are added. */
    private static String pattern(Peer peer) throws Exception {
        String prefix = "pattern-" + peer.run;
        try (KafkaConsumer<String, String> consumer =
                peer.consumer("group.id", prefix, "metadata.max.age.ms", "300")) {
            consumer.subscribe(java.util.regex.Pattern.compile(prefix + ".*"));
            consumer.poll(Duration.ofMillis(300));
            String topic = prefix + "-later";
            Peer.get(peer.admin.createTopics(
                    List.of(new org.apache.kafka.clients.admin.NewTopic(topic, 1, (short) 1))).all());
            Peer.until("the topic", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == 1;
            });
            Peer.get(peer.admin.createPartitions(
                    Map.of(topic, org.apache.kafka.clients.admin.NewPartitions.increaseTo(3))).all());
            Peer.until("the added partitions", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == 3;
            });
        }
        return "a later topic and added partitions";
    }
}
