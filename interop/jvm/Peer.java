import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The official Java clients against a broker: `java Peer BOOTSTRAP [CHECK…]`. A line per check, exit 1 when
 * one failed. Every wait has a limit. The checks are in ClientChecks, TransactionChecks, GroupChecks and
 * AdminChecks; names of topics and groups are the check's own, so they can run against a used broker.
 */
final class Peer {
    static final int LIMIT_S = 30;

    /** What a check may throw. */
    interface Check {
        String run(Peer peer) throws Exception;
    }

    final String bootstrap;
    final Admin admin;
    final String run = Long.toString(System.currentTimeMillis(), 36);

    Peer(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static <T> void same(T got, T want, String what) {
        check(want == null ? got == null : want.equals(got), what + ": " + got + " instead of " + want);
    }

    /** The error behind the future's own; fails when there is none. */
    static Throwable fails(java.util.concurrent.Future<?> future) throws Exception {
        try {
            future.get(LIMIT_S, TimeUnit.SECONDS);
        } catch (java.util.concurrent.ExecutionException error) {
            return error.getCause();
        }
        throw new AssertionError("no error came");
    }

    static <T> T get(java.util.concurrent.Future<T> future) throws Exception {
        return future.get(LIMIT_S, TimeUnit.SECONDS);
    }

    String topic(String name, int partitions, String... configs) throws Exception {
        String topic = name + "-" + run;
        Map<String, String> map = new HashMap<>();
        for (int at = 0; at < configs.length; at += 2) {
            map.put(configs[at], configs[at + 1]);
        }
        get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(map))).all());
        return topic;
    }

    private Properties with(String... more) {
        Properties all = new Properties();
        all.put("bootstrap.servers", bootstrap);
        for (int at = 0; at < more.length; at += 2) {
            all.put(more[at], more[at + 1]);
        }
        return all;
    }

    KafkaProducer<String, String> producer(String... more) {
        return new KafkaProducer<>(with(more), new StringSerializer(), new StringSerializer());
    }

    KafkaConsumer<String, String> consumer(String... more) {
        Properties all = with("auto.offset.reset", "earliest", "enable.auto.commit", "false", "session.timeout.ms", "6000",
                "heartbeat.interval.ms", "300", "fetch.max.wait.ms", "50");
        all.putAll(with(more));
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    /** All records of a topic up to the ends that this isolation shows, by partition and offset. */
    List<ConsumerRecord<String, String>> all(String topic, String isolation) {
        try (KafkaConsumer<String, String> consumer = consumer("isolation.level", isolation)) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(one -> partitions.add(new TopicPartition(topic, one.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            List<ConsumerRecord<String, String>> rows = new ArrayList<>();
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                check(System.nanoTime() < until, topic + ": only " + rows.size() + " records until " + ends);
                consumer.poll(Duration.ofMillis(100)).forEach(rows::add);
            }
            rows.sort((a, b) -> a.partition() != b.partition() ? a.partition() - b.partition()
                    : Long.compare(a.offset(), b.offset()));
            return rows;
        }
    }

    static List<String> values(List<ConsumerRecord<String, String>> rows) {
        return rows.stream().map(ConsumerRecord::value).toList();
    }

    static List<String> numbers(int from, int to) {
        List<String> all = new ArrayList<>();
        for (int number = from; number < to; number++) {
            all.add(Integer.toString(number));
        }
        return all;
    }

    /** Sends the numbers to partition 0 and waits for all acknowledgements. */
    static void send(KafkaProducer<String, String> producer, String topic, int from, int to) throws Exception {
        List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
        for (String number : numbers(from, to)) {
            sent.add(producer.send(new ProducerRecord<>(topic, 0, "k" + number, number)));
        }
        producer.flush();
        for (java.util.concurrent.Future<?> one : sent) {
            get(one);
        }
    }

    /** Polls until `seen` holds. */
    static void until(String what, java.util.function.BooleanSupplier seen) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
        while (!seen.getAsBoolean()) {
            check(System.nanoTime() < end, "waited " + LIMIT_S + " s for " + what);
            Thread.sleep(20);
        }
    }

    public static void main(String[] words) {
        Map<String, Check> checks = new LinkedHashMap<>();
        ClientChecks.add(checks);
        GroupChecks.add(checks);
        AdminChecks.add(checks);
        TransactionChecks.add(checks);
        List<String> only = Arrays.asList(words).subList(1, words.length);
        Peer peer = new Peer(words[0]);
        int failed = 0;
        for (Map.Entry<String, Check> one : checks.entrySet()) {
            if (!only.isEmpty() && only.stream().noneMatch(one.getKey()::startsWith)) {
                continue;
            }
            long began = System.nanoTime();
            try {
                String said = one.getValue().run(peer);
                System.out.printf("ok      java.%s: %s (%.1f s)%n", one.getKey(), said, (System.nanoTime() - began) / 1e9);
            } catch (Throwable error) {
                failed += 1;
                System.out.printf("FAILED  java.%s: %s%n", one.getKey(), error);
                for (StackTraceElement line : error.getStackTrace()) {
                    if (line.getClassName().endsWith("Checks") || line.getClassName().equals("Peer")) {
                        System.out.println("            at " + line);
                    }
                }
                if (error.getCause() != null) {
                    System.out.println("            because " + error.getCause());
                }
            }
            System.out.flush();
        }
        peer.admin.close(Duration.ofSeconds(2));
        System.exit(failed == 0 ? 0 : 1);
    }
}
