import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/** Producing and consuming without groups: codecs, nulls, headers, idempotence, time, a topic made anew. */
final class ClientChecks {
    private static final int RECORDS = 20_000;

    static void add(Map<String, Peer.Check> checks) {
        checks.put("codecs", ClientChecks::codecs);
        checks.put("acks", ClientChecks::acks);
        checks.put("idempotent", ClientChecks::idempotent);
        checks.put("too_large", ClientChecks::tooLarge);
        checks.put("mid_batch", ClientChecks::midBatch);
        checks.put("by_time", ClientChecks::byTime);
        checks.put("recreated", ClientChecks::recreated);
    }

    private static String codecs(Peer peer) throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = peer.topic("codec-" + codec, 1);
            try (KafkaProducer<String, String> producer = peer.producer("compression.type", codec, "linger.ms", "20")) {
                for (int number = 0; number < 50; number++) {
                    String value = number == 2 ? null : number == 3 ? "" : ("값 " + number).repeat(20);
                    ProducerRecord<String, String> record =
                            new ProducerRecord<>(topic, 0, number == 4 ? null : "k" + number, value);
                    record.headers().add("a", new byte[] {1}).add("b", null).add("a", new byte[0]);
                    producer.send(record);
                }
            }
            List<ConsumerRecord<String, String>> rows = peer.all(topic, "read_committed");
            Peer.same(rows.size(), 50, codec);
            for (int number = 0; number < 50; number++) {
                ConsumerRecord<String, String> row = rows.get(number);
                Peer.same(row.key(), number == 4 ? null : "k" + number, codec + " key");
                Peer.same(row.value(), number == 2 ? null : number == 3 ? "" : ("값 " + number).repeat(20), codec + " value");
                List<String> headers = new ArrayList<>();
                for (Header header : row.headers()) {
                    headers.add(header.key() + (header.value() == null ? "-" : header.value().length));
                }
                Peer.same(headers, List.of("a1", "b-", "a0"), codec + " headers");
            }
        }
        return "5 codecs, null and empty, a header twice and one of null";
    }

    private static String acks(Peer peer) throws Exception {
        String topic = peer.topic("acks", 1);
        try (KafkaProducer<String, String> all = peer.producer("acks", "all")) {
            Peer.same(Peer.get(all.send(new ProducerRecord<>(topic, "0"))).offset(), 0L, "acks=all");
        }
        try (KafkaProducer<String, String> one = peer.producer("acks", "1", "enable.idempotence", "false")) {
            Peer.same(Peer.get(one.send(new ProducerRecord<>(topic, "1"))).offset(), 1L, "acks=1");
        }
        try (KafkaProducer<String, String> none = peer.producer("acks", "0", "enable.idempotence", "false")) {
            Peer.same(Peer.get(none.send(new ProducerRecord<>(topic, "2"))).offset(), -1L, "acks=0");
            Peer.get(none.send(new ProducerRecord<>(topic, "3")));
        }
        Peer.until("what was sent without an answer", () -> peer.all(topic, "read_committed").size() == 4);
        Peer.same(Peer.values(peer.all(topic, "read_committed")), Peer.numbers(0, 4), "values");
        return "all, 1 and 0";
    }

    private static String idempotent(Peer peer) throws Exception {
        String topic = peer.topic("idempotent", 1);
        long began = System.nanoTime();
        try (KafkaProducer<String, String> producer = peer.producer("linger.ms", "1", "batch.size", "2048")) {
            Peer.send(producer, topic, 0, RECORDS);
        }
        double took = (System.nanoTime() - began) / 1e9;
        List<ConsumerRecord<String, String>> rows = peer.all(topic, "read_committed");
        Peer.same(Peer.values(rows), Peer.numbers(0, RECORDS), "values");
        return String.format("%d records once and in order in %.1f s", RECORDS, took);
    }

    private static String tooLarge(Peer peer) throws Exception {
        String topic = peer.topic("large", 1, "max.message.bytes", "20000");
        try (KafkaProducer<String, String> producer = peer.producer()) {
            Throwable error = Peer.fails(producer.send(new ProducerRecord<>(topic, 0, null, "x".repeat(30_000))));
            Peer.same(error.getClass().getSimpleName(), "RecordTooLargeException", "error");
            Peer.same(Peer.get(producer.send(new ProducerRecord<>(topic, 0, null, "x"))).offset(), 0L, "the next");
        }
        return "RecordTooLargeException, and the producer goes on";
    }

    private static String midBatch(Peer peer) throws Exception {
        String topic = peer.topic("middle", 1);
        try (KafkaProducer<String, String> producer = peer.producer("linger.ms", "200", "compression.type", "lz4")) {
            Peer.send(producer, topic, 0, 100);
        }
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = peer.consumer("max.partition.fetch.bytes", "1")) {
            consumer.assign(List.of(partition));
            for (long offset : new long[] {57, 99, 1, 0}) {
                consumer.seek(partition, offset);
                ConsumerRecord<String, String> first = null;
                for (int tries = 0; first == null && tries < 100; tries++) {
                    var rows = consumer.poll(Duration.ofMillis(100)).records(partition);
                    first = rows.isEmpty() ? null : rows.get(0);
                }
                Peer.check(first != null, "nothing from " + offset);
                Peer.same(first.offset(), offset, "first record");
            }
        }
        return "any offset inside a compressed batch";
    }

    private static String byTime(Peer peer) throws Exception {
        String topic = peer.topic("times", 1);
        long base = System.currentTimeMillis() - 1_000_000;
        try (KafkaProducer<String, String> producer = peer.producer("linger.ms", "100", "compression.type", "gzip")) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int number = 0; number < 100; number++) {
                // The largest is not the last.
                long time = number == 70 ? base + 500_000 : base + number * 1_000L;
                sent.add(producer.send(new ProducerRecord<>(topic, 0, time, null, Integer.toString(number))));
            }
            producer.flush();
            for (Future<RecordMetadata> one : sent) {
                Peer.get(one);
            }
        }
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = peer.consumer()) {
            Peer.same(consumer.offsetsForTimes(Map.of(partition, base + 41_500)).get(partition).offset(), 42L, "inside");
            Peer.same(consumer.offsetsForTimes(Map.of(partition, 0L)).get(partition).offset(), 0L, "before all");
            Peer.same(consumer.offsetsForTimes(Map.of(partition, base + 99_500)).get(partition).offset(), 70L, "the outlier");
            Peer.same(consumer.offsetsForTimes(Map.of(partition, base + 900_000)).get(partition), null, "after all");
            Peer.same(consumer.beginningOffsets(List.of(partition)).get(partition), 0L, "beginning");
            Peer.same(consumer.endOffsets(List.of(partition)).get(partition), 100L, "end");
        }
        return "inside a compressed batch, before and after all";
    }

    /** As the write-ups do it: the topic goes while somebody reads, and comes back under its name. */
    private static String recreated(Peer peer) throws Exception {
        String topic = peer.topic("anew", 1);
        var before = Peer.get(peer.admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).topicId();
        try (KafkaConsumer<String, String> reader =
                peer.consumer("group.id", "anew-" + peer.run, "metadata.max.age.ms", "500")) {
            reader.subscribe(List.of(topic));
            try (KafkaProducer<String, String> producer = peer.producer()) {
                Peer.send(producer, topic, 0, 10);
            }
            List<String> got = new ArrayList<>();
            Peer.until("ten records", () -> {
                reader.poll(Duration.ofMillis(100)).forEach(row -> got.add(row.value()));
                return got.size() >= 10;
            });
            reader.commitSync();
            Peer.get(peer.admin.deleteTopics(List.of(topic)).all());
            // Apache Kafka deletes behind its answer and has the name taken for a while.
            Peer.until("the name to be free", () -> {
                try {
                    Peer.get(peer.admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
                    return true;
                } catch (java.util.concurrent.ExecutionException taken) {
                    return false;
                } catch (Exception error) {
                    throw new AssertionError(error);
                }
            });
            try (KafkaProducer<String, String> producer = peer.producer()) {
                Peer.send(producer, topic, 100, 103);
            }
            var after = Peer.get(peer.admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).topicId();
            Peer.check(!before.equals(after), "the same topic id");
            List<ConsumerRecord<String, String>> rows = peer.all(topic, "read_committed");
            Peer.same(rows.get(0).offset(), 0L, "first offset");
            Peer.same(Peer.values(rows), Peer.numbers(100, 103), "values");
            got.clear();
            Peer.until("the reader finds the new topic", () -> {
                reader.poll(Duration.ofMillis(100)).forEach(row -> got.add(row.value()));
                return got.containsAll(Peer.numbers(100, 103));
            });
            Peer.same(got, Peer.numbers(100, 103), "what the reader got");
        }
        return "a new id, offset 0, and a reader that was there goes on";
    }
}
