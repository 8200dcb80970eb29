"""Transactions of real clients: consume, transform, produce; aborts; a zombie; a crash of the node.

Checks for `quick.py`, which runs them against its node. Each library does the same work: it reads `WORK`
numbers from a topic in batches, writes each one's square, commits the offsets in the same transaction, and
aborts every third batch once before it goes through. Committed readers must then see each square once.
"""
import asyncio
import time

from yeoul_node import check, wait_for

WORK = 300
BATCH = 30
LIMIT_S = 60
# For offsets sent with a transaction, and how often a restart may leave a client waiting for them.
OFFSETS_S = 15
RESTARTS = 2
SQUARES = sorted(n * n for n in range(WORK))


def produce_numbers(node, topic):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": node.kafka})
    for number in range(WORK):
        producer.produce(topic, value=b"%d" % number, partition=0)
    check(producer.flush(LIMIT_S) == 0, "the numbers were not acknowledged")


def values(node, topic, isolation):
    """What a reader of librdkafka sees at this isolation level, to the end of the partition."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": node.kafka, "group.id": "judge", "enable.partition.eof": True,
        "isolation.level": isolation, "fetch.wait.max.ms": 10,
    })
    consumer.assign([TopicPartition(topic, 0, 0)])
    rows, end = [], time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            check(message.error().code() == KafkaError._PARTITION_EOF, str(message.error()))
            break
        rows.append(int(message.value()))
    consumer.close()
    return rows


def committed(node, topic):
    return values(node, topic, "read_committed")


def judged(node, topic):
    got = committed(node, topic)
    check(sorted(got) == SQUARES, f"{len(got)} squares, {len(set(got))} different, of {WORK}")
    every = len(values(node, topic, "read_uncommitted"))
    check(every > WORK, f"{every} records: nothing was aborted, so nothing was shown")
    return f"{WORK} squares once, {every - WORK} aborted ones hidden"


def polled(consumer):
    """Up to a batch of messages."""
    messages = []
    while len(messages) < BATCH:
        message = consumer.poll(0.5)
        if message is None:
            break
        if not message.error():
            messages.append(message)
    return messages


def transactions_confluent(node, restart=False):
    """librdkafka: transactions with offsets; with `restart`, over a kill -9 of the node."""
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

    source, out = ("txn-rd-in", "txn-rd-out") if not restart else ("txn-kill-in", "txn-kill-out")
    produce_numbers(node, source)

    def clients():
        consumer = Consumer({
            "bootstrap.servers": node.kafka, "group.id": f"workers-{source}", "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "isolation.level": "read_committed", "session.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 200, "metadata.recovery.strategy": "none",
        })
        producer = Producer({
            "bootstrap.servers": node.kafka, "transactional.id": f"squares-{source}", "linger.ms": 1,
            "transaction.timeout.ms": 30_000, "reconnect.backoff.max.ms": 200,
            # With its default, librdkafka 2.16 forgets a lone broker that goes, but not that it is the group's
            # coordinator: TxnOffsetCommit then waits for the forgotten one for ever.
            "metadata.recovery.strategy": "none",
        })
        # Aborts what an earlier producer of this id has left open.
        producer.init_transactions(LIMIT_S)
        consumer.subscribe([source])
        return consumer, producer

    consumer, producer = clients()
    batches, done, aborted, made_anew = 0, 0, 0, 0
    end = time.monotonic() + 2 * LIMIT_S
    while done < WORK:
        check(time.monotonic() < end, f"{done} of {WORK} after {2 * LIMIT_S} s")
        messages = polled(consumer)
        if not messages:
            continue
        first = {(m.topic(), m.partition()): m for m in reversed(messages)}
        producer.begin_transaction()
        for message in messages:
            producer.produce(out, value=b"%d" % (int(message.value()) ** 2), partition=0)
        batches += 1
        abort = batches % 3 == 0
        try:
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), OFFSETS_S
            )
            if restart and batches in (4, 8):
                producer.flush(LIMIT_S)
                node.kill()
                node.start()
            if abort:
                # What is not sent yet would be dropped by the client, and nothing would be aborted here.
                producer.flush(LIMIT_S)
                producer.abort_transaction(LIMIT_S)
            else:
                producer.commit_transaction(LIMIT_S)
                done += len(messages)
        except KafkaException as error:
            if restart and error.args[0].code() == KafkaError._TIMED_OUT and made_anew < RESTARTS:
                # After a restart librdkafka at times waits for a coordinator it does not look for (its
                # issues 5456 and 5511). What an application does then: new clients, the same id. They
                # begin at the committed offsets, so this also shows that nothing was committed halfway.
                consumer.close()
                consumer, producer = clients()
                made_anew += 1
                at = consumer.committed([TopicPartition(source, 0)], LIMIT_S)[0].offset
                done = max(at, 0)
                continue
            check(error.args[0].txn_requires_abort(), f"not to be aborted: {error}")
            producer.abort_transaction(LIMIT_S)
            abort = True
        if abort:
            aborted += 1
            for message in first.values():
                consumer.seek(TopicPartition(message.topic(), message.partition(), message.offset()))
    consumer.close()
    anew = f", clients made anew {made_anew} times" if made_anew else ""
    return judged(node, out) + f", {batches} transactions{anew}"


def transactions_over_a_kill(node):
    return transactions_confluent(node, restart=True)


def a_zombie_is_fenced(node):
    """Two producers with one transactional id: the first cannot commit any more, nor is its record seen."""
    from confluent_kafka import KafkaError, KafkaException, Producer

    def producer():
        made = Producer({"bootstrap.servers": node.kafka, "transactional.id": "twin", "linger.ms": 0})
        made.init_transactions(LIMIT_S)
        return made

    zombie = producer()
    zombie.begin_transaction()
    zombie.produce("twins", value=b"666", partition=0)
    check(zombie.flush(LIMIT_S) == 0, "the first record was not acknowledged")
    twin = producer()
    twin.begin_transaction()
    twin.produce("twins", value=b"7", partition=0)
    check(twin.flush(LIMIT_S) == 0, "the second record was not acknowledged")
    try:
        zombie.commit_transaction(LIMIT_S)
        check(False, "the zombie committed")
    except KafkaException as error:
        said = error.args[0]
        check(said.fatal() or said.code() == KafkaError._FENCED, f"not fenced: {said}")
    twin.commit_transaction(LIMIT_S)
    got = committed(node, "twins")
    check(got == [7], f"read {got}")
    return "fenced, its record hidden"


def a_forgotten_transaction_is_aborted(node):
    """A producer that goes silent does not hold the readers for longer than its timeout."""
    from confluent_kafka import Producer

    silent = Producer({"bootstrap.servers": node.kafka, "transactional.id": "silent", "transaction.timeout.ms": 2_000})
    silent.init_transactions(LIMIT_S)
    silent.begin_transaction()
    silent.produce("held", value=b"1", partition=0)
    silent.flush(LIMIT_S)
    plain = Producer({"bootstrap.servers": node.kafka})
    plain.produce("held", value=b"2", partition=0)
    plain.flush(LIMIT_S)
    check(committed(node, "held") == [], "read beyond an open transaction")
    began = time.monotonic()
    wait_for("the end of the transaction", lambda: committed(node, "held") == [2], 20, every_s=0.2)
    return f"aborted after {time.monotonic() - began:.1f} s"


def transactions_aiokafka(node):
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    produce_numbers(node, "txn-aio-in")

    async def go():
        consumer = AIOKafkaConsumer(
            "txn-aio-in", bootstrap_servers=node.kafka, group_id="workers-aio", enable_auto_commit=False,
            auto_offset_reset="earliest", isolation_level="read_committed",
        )
        producer = AIOKafkaProducer(bootstrap_servers=node.kafka, transactional_id="squares-aio")
        await consumer.start()
        await producer.start()
        batches, done = 0, 0
        while done < WORK:
            got = await consumer.getmany(timeout_ms=500, max_records=BATCH)
            for partition, messages in got.items():
                batches += 1
                abort = batches % 3 == 0
                try:
                    async with producer.transaction():
                        for message in messages:
                            await producer.send("txn-aio-out", b"%d" % (int(message.value) ** 2), partition=0)
                        await producer.flush()
                        offsets = {TopicPartition(partition.topic, partition.partition): messages[-1].offset + 1}
                        await producer.send_offsets_to_transaction(offsets, "workers-aio")
                        if abort:
                            raise ZeroDivisionError
                    done += len(messages)
                except ZeroDivisionError:
                    consumer.seek(partition, messages[0].offset)
        left = await consumer.committed(TopicPartition("txn-aio-in", 0))
        await producer.stop()
        await consumer.stop()
        check(left == WORK, f"the group is at {left}")

    asyncio.run(asyncio.wait_for(go(), LIMIT_S))
    return judged(node, "txn-aio-out")


def transactions_kafka_python(node):
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.structs import OffsetAndMetadata

    produce_numbers(node, "txn-py-in")
    consumer = KafkaConsumer(
        "txn-py-in", bootstrap_servers=node.kafka, group_id="workers-py", enable_auto_commit=False,
        auto_offset_reset="earliest", isolation_level="read_committed",
    )
    producer = KafkaProducer(bootstrap_servers=node.kafka, transactional_id="squares-py")
    producer.init_transactions()
    batches, done, end = 0, 0, time.monotonic() + LIMIT_S
    while done < WORK:
        check(time.monotonic() < end, f"{done} of {WORK} after {LIMIT_S} s")
        for partition, messages in consumer.poll(500, max_records=BATCH).items():
            batches += 1
            producer.begin_transaction()
            for message in messages:
                producer.send("txn-py-out", b"%d" % (int(message.value) ** 2), partition=0)
            offsets = {partition: OffsetAndMetadata(messages[-1].offset + 1, "", -1)}
            producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
            if batches % 3 == 0:
                # What is not sent yet would be dropped by the client, and nothing would be aborted here.
                producer.flush()
                producer.abort_transaction()
                consumer.seek(partition, messages[0].offset)
            else:
                producer.commit_transaction()
                done += len(messages)
    left = consumer.committed(TopicPartition("txn-py-in", 0))
    producer.close()
    consumer.close()
    check(left == WORK, f"the group is at {left}")
    return judged(node, "txn-py-out")


KAFKAJS = """
    const [bootstrap, source, out, work] = JSON.parse(process.argv[1]);
    const { Kafka, logLevel } = require('kafkajs');
    const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });
    const producer = kafka.producer({ transactionalId: 'squares-js', idempotent: true, maxInFlightRequests: 1 });
    const consumer = kafka.consumer({ groupId: 'workers-js', readUncommitted: false });
    let batches = 0, done = 0;
    (async () => {
        await producer.connect();
        await consumer.connect();
        await consumer.subscribe({ topics: [source], fromBeginning: true });
        await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: async ({ batch }) => {
            for (let at = 0; at < batch.messages.length; at += 30) {
                const messages = batch.messages.slice(at, at + 30);
                const attempt = async (abort) => {
                    const transaction = await producer.transaction();
                    await transaction.send({ topic: out, acks: -1, messages: messages.map((m) =>
                        ({ value: String(Number(m.value.toString()) ** 2), partition: 0 })) });
                    const offset = String(Number(messages[messages.length - 1].offset) + 1);
                    await transaction.sendOffsets({ consumerGroupId: 'workers-js',
                        topics: [{ topic: source, partitions: [{ partition: batch.partition, offset }] }] });
                    await (abort ? transaction.abort() : transaction.commit());
                };
                batches += 1;
                if (batches % 3 === 0) await attempt(true);
                await attempt(false);
                done += messages.length;
            }
            if (done >= work) { console.log(done); setTimeout(async () => {
                await consumer.disconnect(); await producer.disconnect(); process.exit(0); }, 0); }
        } });
    })().catch((error) => { console.error(error); process.exit(1); });
"""


def transactions_kafkajs(node, run_node):
    produce_numbers(node, "txn-js-in")
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": node.kafka})
    admin.create_topics([NewTopic("txn-js-out", 1, 1)])["txn-js-out"].result(LIMIT_S)
    run_node(KAFKAJS, [node.kafka, "txn-js-in", "txn-js-out", WORK])
    return judged(node, "txn-js-out")
