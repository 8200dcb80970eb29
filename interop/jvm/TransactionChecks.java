import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;

/** Transactions: commit, abort, what each isolation sees, offsets inside, fencing, time-out, and the admin's view. */
final class TransactionChecks {
    static void add(Map<String, Peer.Check> checks) {
        checks.put("tx_commit_abort", TransactionChecks::commitAndAbort);
        checks.put("tx_open", TransactionChecks::open);
        checks.put("tx_offsets", TransactionChecks::offsets);
        checks.put("tx_fencing", TransactionChecks::fencing);
        checks.put("tx_timeout", TransactionChecks::timeout);
        checks.put("tx_many", TransactionChecks::many);
        checks.put("tx_admin", TransactionChecks::admin);
    }

    private static KafkaProducer<String, String> transactional(Peer peer, String id, String... more) {
        String[] all = new String[more.length + 2];
        all[0] = "transactional.id";
        all[1] = id + "-" + peer.run;
        System.arraycopy(more, 0, all, 2, more.length);
        return peer.producer(all);
    }

    private static String commitAndAbort(Peer peer) throws Exception {
        String one = peer.topic("tx-one", 1);
        String two = peer.topic("tx-two", 1);
        try (KafkaProducer<String, String> producer = transactional(peer, "commit")) {
            producer.initTransactions();
            for (int turn = 0; turn < 6; turn++) {
                producer.beginTransaction();
                Peer.send(producer, one, turn * 10, turn * 10 + 10);
                Peer.send(producer, two, turn * 10, turn * 10 + 10);
                if (turn % 3 == 1) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        List<String> committed = new ArrayList<>(Peer.numbers(0, 10));
        committed.addAll(Peer.numbers(20, 40));
        committed.addAll(Peer.numbers(50, 60));
        for (String topic : List.of(one, two)) {
            List<ConsumerRecord<String, String>> rows = peer.all(topic, "read_committed");
            Peer.same(Peer.values(rows), committed, "committed");
            Peer.same(rows.get(10).offset(), 22L, "a marker takes an offset");
            Peer.same(Peer.values(peer.all(topic, "read_uncommitted")), Peer.numbers(0, 60), "all");
        }
        return "4 committed and 2 aborted over two topics";
    }

    /** An open transaction holds the last stable offset, for its own partition only. */
    private static String open(Peer peer) throws Exception {
        String topic = peer.topic("tx-open", 2);
        TopicPartition held = new TopicPartition(topic, 0);
        TopicPartition free = new TopicPartition(topic, 1);
        try (KafkaProducer<String, String> producer = transactional(peer, "open");
                KafkaProducer<String, String> plain = peer.producer();
                KafkaConsumer<String, String> committed = peer.consumer("isolation.level", "read_committed");
                KafkaConsumer<String, String> uncommitted = peer.consumer()) {
            Peer.send(plain, topic, 0, 5);
            producer.initTransactions();
            producer.beginTransaction();
            Peer.send(producer, topic, 5, 10);
            Peer.send(plain, topic, 10, 15);
            Peer.get(plain.send(new ProducerRecord<>(topic, 1, null, "x")));
            var seen = committed.endOffsets(List.of(held, free));
            Peer.same(seen.get(held), 5L, "last stable offset");
            Peer.same(seen.get(free), 1L, "of the other partition");
            Peer.same(uncommitted.endOffsets(List.of(held)).get(held), 15L, "high watermark");
            Peer.same(Peer.values(peer.all(topic, "read_committed")).size(), 6, "while it is open");
            producer.commitTransaction();
            // Apache Kafka writes its markers behind the answer.
            Peer.until("the commit to show", () -> committed.endOffsets(List.of(held)).get(held) == 16);
            List<String> after = Peer.values(peer.all(topic, "read_committed"));
            Peer.same(after.subList(0, 15), Peer.numbers(0, 15), "after the commit");
        }
        return "the last stable offset waits and goes on";
    }

    /** Consume, transform, produce: offsets and output are one. */
    private static String offsets(Peer peer) throws Exception {
        String in = peer.topic("tx-in", 1);
        String out = peer.topic("tx-out", 1);
        String group = "tx-group-" + peer.run;
        TopicPartition partition = new TopicPartition(in, 0);
        try (KafkaProducer<String, String> plain = peer.producer()) {
            Peer.send(plain, in, 0, 300);
        }
        int aborted = 0;
        // Each life of the worker takes some, aborts one batch, and leaves; the next goes on at what was committed.
        for (int life = 0; life < 3; life++) {
            try (KafkaProducer<String, String> producer = transactional(peer, "worker");
                    KafkaConsumer<String, String> consumer = peer.consumer(
                            "group.id", group, "isolation.level", "read_committed", "max.poll.records", "20")) {
                producer.initTransactions();
                consumer.subscribe(List.of(in));
                int done = 0;
                boolean spoilt = false;
                long end = System.nanoTime() + 20_000_000_000L;
                while (done < 5 && System.nanoTime() < end) {
                    var rows = consumer.poll(Duration.ofMillis(100));
                    if (rows.isEmpty()) {
                        continue;
                    }
                    producer.beginTransaction();
                    long next = 0;
                    for (ConsumerRecord<String, String> row : rows) {
                        producer.send(new ProducerRecord<>(out, 0, row.key(), row.value()));
                        next = row.offset() + 1;
                    }
                    producer.sendOffsetsToTransaction(
                            Map.of(partition, new OffsetAndMetadata(next, "life " + life)), consumer.groupMetadata());
                    if (!spoilt && done == 2) {
                        producer.abortTransaction();
                        spoilt = true;
                        aborted += 1;
                        consumer.seek(partition, rows.iterator().next().offset());
                    } else {
                        producer.commitTransaction();
                        done += 1;
                        OffsetAndMetadata want = new OffsetAndMetadata(next, "life " + life);
                        Peer.until("the group's offset after the commit", () -> want.equals(committed(peer, group, partition)));
                    }
                }
            }
        }
        Peer.same(Peer.values(peer.all(out, "read_committed")), Peer.numbers(0, 300), "the output");
        return "300 records once over 3 lives and " + aborted + " aborts";
    }

    private static OffsetAndMetadata committed(Peer peer, String group, TopicPartition partition) {
        try {
            return Peer.get(peer.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(partition);
        } catch (Exception error) {
            throw new AssertionError(error);
        }
    }

    private static String fencing(Peer peer) throws Exception {
        String topic = peer.topic("tx-fenced", 1);
        try (KafkaProducer<String, String> zombie = transactional(peer, "fenced");
                KafkaProducer<String, String> heir = transactional(peer, "fenced")) {
            zombie.initTransactions();
            zombie.beginTransaction();
            Peer.send(zombie, topic, 0, 5);
            heir.initTransactions();
            String said;
            try {
                Throwable error = Peer.fails(zombie.send(new ProducerRecord<>(topic, 0, null, "late")));
                said = error.getClass().getSimpleName();
                Peer.check(error instanceof InvalidProducerEpochException || error instanceof ProducerFencedException, said);
                zombie.commitTransaction();
                throw new AssertionError("the zombie has committed");
            } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
                said = fenced.getClass().getSimpleName();
            }
            heir.beginTransaction();
            Peer.send(heir, topic, 10, 15);
            heir.commitTransaction();
            Peer.same(Peer.values(peer.all(topic, "read_committed")), Peer.numbers(10, 15), "committed");
            return said + " for the zombie, its records aborted";
        }
    }

    private static String timeout(Peer peer) throws Exception {
        String topic = peer.topic("tx-late", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> forgetful = transactional(peer, "late", "transaction.timeout.ms", "1500");
                KafkaConsumer<String, String> committed = peer.consumer("isolation.level", "read_committed")) {
            forgetful.initTransactions();
            forgetful.beginTransaction();
            Peer.send(forgetful, topic, 0, 5);
            Peer.same(committed.endOffsets(List.of(partition)).get(partition), 0L, "while it is open");
            Peer.until("the abort", () -> committed.endOffsets(List.of(partition)).get(partition) == 6);
            Peer.same(peer.all(topic, "read_committed").size(), 0, "records of the aborted transaction");
            String said;
            try {
                forgetful.commitTransaction();
                throw new AssertionError("committed after the time-out");
            } catch (org.apache.kafka.common.KafkaException error) {
                said = error.getClass().getSimpleName();
            }
            return "aborted by the broker; the commit after it: " + said;
        }
    }

    /** Many short transactions of several producers into shared partitions, some aborted. */
    private static String many(Peer peer) throws Exception {
        String topic = peer.topic("tx-many", 4);
        List<Thread> threads = new ArrayList<>();
        List<Throwable> errors = java.util.Collections.synchronizedList(new ArrayList<>());
        List<String> committed = java.util.Collections.synchronizedList(new ArrayList<>());
        for (int who = 0; who < 4; who++) {
            String name = "many" + who;
            threads.add(new Thread(() -> {
                try (KafkaProducer<String, String> producer = transactional(peer, name)) {
                    producer.initTransactions();
                    for (int turn = 0; turn < 60; turn++) {
                        producer.beginTransaction();
                        List<String> mine = new ArrayList<>();
                        for (int number = 0; number < 1 + turn % 7; number++) {
                            mine.add(name + "." + turn + "." + number);
                            producer.send(new ProducerRecord<>(topic, (turn + number) % 4, null, mine.get(number)));
                        }
                        if (turn % 5 == 4) {
                            producer.abortTransaction();
                        } else {
                            producer.commitTransaction();
                            committed.addAll(mine);
                        }
                    }
                } catch (Throwable error) {
                    errors.add(error);
                }
            }));
        }
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        Peer.check(errors.isEmpty(), errors.toString());
        List<String> got = new ArrayList<>(Peer.values(peer.all(topic, "read_committed")));
        got.sort(null);
        committed.sort(null);
        Peer.same(got, committed, "committed");
        return committed.size() + " records of 192 committed transactions, 48 aborted";
    }

    private static String admin(Peer peer) throws Exception {
        String topic = peer.topic("tx-admin", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        String id = "admin-" + peer.run;
        try (KafkaProducer<String, String> producer = transactional(peer, "admin")) {
            producer.initTransactions();
            producer.beginTransaction();
            Peer.send(producer, topic, 0, 5);
            List<ProducerState> states =
                    Peer.get(peer.admin.describeProducers(List.of(partition)).partitionResult(partition)).activeProducers();
            Peer.same(states.size(), 1, "producers");
            ProducerState state = states.get(0);
            Peer.same(state.currentTransactionStartOffset().getAsLong(), 0L, "start of the transaction");
            Peer.same(state.lastSequence(), 4, "last sequence");
            TransactionListing listed = Peer.get(peer.admin.listTransactions().all()).stream()
                    .filter(one -> one.transactionalId().equals(id)).findFirst().orElseThrow();
            Peer.same(listed.state(), TransactionState.ONGOING, "state in the list");
            Peer.same(listed.producerId(), state.producerId(), "producer id");
            TransactionDescription seen = Peer.get(peer.admin.describeTransactions(List.of(id)).all()).get(id);
            Peer.same(seen.state(), TransactionState.ONGOING, "state");
            Peer.same(seen.topicPartitions(), java.util.Set.of(partition), "partitions");
            Peer.check(seen.transactionStartTimeMs().isPresent(), "no start");
            var committed = new ListOffsetsOptions(IsolationLevel.READ_COMMITTED);
            Peer.same(Peer.get(peer.admin.listOffsets(Map.of(partition, OffsetSpec.latest()), committed).all())
                    .get(partition).offset(), 0L, "last stable offset");
            producer.commitTransaction();
            Peer.until("the commit to show", () -> {
                try {
                    return Peer.get(peer.admin.listOffsets(Map.of(partition, OffsetSpec.latest()), committed).all())
                            .get(partition).offset() == 6;
                } catch (Exception error) {
                    throw new AssertionError(error);
                }
            });
            seen = Peer.get(peer.admin.describeTransactions(List.of(id)).all()).get(id);
            Peer.same(seen.state(), TransactionState.COMPLETE_COMMIT, "state after the commit");
            return "producers, list and description of an open and an ended transaction";
        }
    }
}
