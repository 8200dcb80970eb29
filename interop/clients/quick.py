"""Real Kafka clients against the running binary: kcat, kafka-python, confluent-kafka, aiokafka, kafkajs.

Every client writes with every codec it has, and every client reads what every other wrote: keys, headers
(one name twice), null and empty values. Topics are made, described and deleted; an idempotent producer's
records arrive once and in order, also across a kill -9 of the node; a group goes on where it stopped,
after its client and after the node went; two members share the partitions; a thousand hostile peers do
not disturb a producer. Transactions: see transactions.py.

A client that is not installed is `skipped`. YEOUL_CLIENTS: where `install.sh` put them.
"""
import os
import pathlib
import sys

HOME = pathlib.Path(os.environ.get("YEOUL_CLIENTS") or pathlib.Path.home() / ".cache/yeoul/clients")
VENV = HOME / "venv/bin/python"
if VENV.exists() and pathlib.Path(sys.prefix).resolve() != VENV.parents[1].resolve():
    os.execv(VENV, [str(VENV), *sys.argv])

import asyncio  # noqa: E402
import json  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
import struct  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import Failed, Node, check, wait_for  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import transactions  # noqa: E402

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
IDEMPOTENT_RECORDS = 20_000
LIMIT_S = 30
# The end of a partition is known from an empty answer: do not wait half a second for each.
AT_ONCE = {"fetch.wait.max.ms": 10}


class Skipped(Exception):
    """A client is not installed."""


def need(module):
    try:
        return __import__(module)
    except ImportError:
        raise Skipped(f"{module} is not installed") from None


def expected(count=20):
    """(key, value, headers) of what every client writes; the third has no value, the fourth an empty one."""
    rows = []
    for number in range(count):
        value = f"값 {number}".encode() * 20
        value = None if number == 2 else b"" if number == 3 else value
        rows.append((f"key{number}".encode(), value, [("a", b"1"), ("b", b"\xff\x00"), ("a", b"2")]))
    return rows


# --- writers: topic, codec → nothing --------------------------------------------------------------------


def write_kafka_python(node, topic, codec):
    need("kafka")
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=node.kafka, compression_type=None if codec == "none" else codec)
    sent = [producer.send(topic, key=k, value=v, headers=h, partition=0) for k, v, h in expected()]
    for future in sent:
        future.get(timeout=LIMIT_S)
    producer.close()


def write_confluent(node, topic, codec):
    need("confluent_kafka")
    from confluent_kafka import Producer

    failed = []
    producer = Producer({"bootstrap.servers": node.kafka, "compression.codec": codec, "linger.ms": 20})
    for key, value, headers in expected():
        producer.produce(
            topic, key=key, value=value, headers=headers, partition=0,
            on_delivery=lambda error, _: error and failed.append(error),
        )
    check(producer.flush(LIMIT_S) == 0, "records were not acknowledged in time")
    check(not failed, f"{failed[:1]}")


def write_aiokafka(node, topic, codec):
    need("aiokafka")
    from aiokafka import AIOKafkaProducer

    async def go():
        producer = AIOKafkaProducer(
            bootstrap_servers=node.kafka, compression_type=None if codec == "none" else codec, linger_ms=20
        )
        await producer.start()
        sent = [await producer.send(topic, key=k, value=v, headers=h, partition=0) for k, v, h in expected()]
        for future in sent:
            await future
        await producer.stop()

    asyncio.run(asyncio.wait_for(go(), LIMIT_S))


def write_kafkajs(node, topic, codec):
    if codec not in ("none", "gzip"):
        raise Skipped("kafkajs brings gzip only")
    script = """
        const [bootstrap, topic, codec, rows] = JSON.parse(process.argv[1]);
        const { Kafka, CompressionTypes, logLevel } = require('kafkajs');
        const producer = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR }).producer();
        const bytes = (hex) => hex === null ? null : Buffer.from(hex, 'hex');
        const messages = rows.map(([k, v, h]) => ({ key: bytes(k), value: bytes(v), partition: 0,
            headers: h.reduce((o, [n, x]) => ({ ...o, [n]: n in o ? [].concat(o[n], bytes(x)) : bytes(x) }), {}) }));
        (async () => {
            await producer.connect();
            await producer.send({ topic, messages, acks: -1,
                compression: codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None });
            await producer.disconnect();
        })().catch((error) => { console.error(error); process.exit(1); });
    """
    rows = [[k.hex(), None if v is None else v.hex(), [[n, x.hex()] for n, x in h]] for k, v, h in expected()]
    run_node(script, [node.kafka, topic, codec, rows])


def run_node(script, argument):
    if not shutil.which("node") or not (HOME / "node_modules/kafkajs").exists():
        raise Skipped("kafkajs is not installed")
    done = subprocess.run(
        ["node", "-e", script, json.dumps(argument)], cwd=HOME, capture_output=True, text=True, timeout=2 * LIMIT_S
    )
    check(done.returncode == 0, done.stderr.strip()[-500:])
    return done.stdout


# --- readers: topic → [(key, value, headers)] -----------------------------------------------------------


def read_kafka_python(node, topic):
    need("kafka")
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic, bootstrap_servers=node.kafka, auto_offset_reset="earliest", group_id=None, consumer_timeout_ms=10_000
    )
    # To the end is confluent-kafka's part: this one would have to wait for it.
    rows = [(m.key, m.value, list(m.headers)) for _, m in zip(expected(), consumer)]
    consumer.close()
    return rows


def read_confluent(node, topic):
    need("confluent_kafka")
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": "reader", "enable.partition.eof": True, **AT_ONCE})
    consumer.assign([TopicPartition(topic, 0, 0)])
    rows, end = [], time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            check(message.error().code() == KafkaError._PARTITION_EOF, str(message.error()))
            break
        rows.append((message.key(), message.value(), message.headers() or []))
    consumer.close()
    return rows


def read_kcat(node, topic):
    if not shutil.which("kcat"):
        raise Skipped("kcat is not installed")
    done = subprocess.run(
        ["kcat", "-b", node.kafka, "-C", "-t", topic, "-p", "0", "-e", "-q", "-u", "-f", "%K %k %S %s\\n",
         *(f"-X{key}={value}" for key, value in AT_ONCE.items())],
        capture_output=True, timeout=LIMIT_S,
    )
    check(done.returncode == 0, done.stderr.decode(errors="replace"))
    rows, rest = [], done.stdout
    while rest:
        key_len, rest = rest.split(b" ", 1)
        key, rest = rest[: int(key_len)], rest[int(key_len) + 1 :]
        value_len, rest = rest.split(b" ", 1)
        size = int(value_len)
        value, rest = (None, rest) if size < 0 else (rest[:size], rest[size:])
        # kcat does not show header values with zero bytes, so the others check headers.
        rows.append((key, value, None))
        rest = rest.split(b"\n", 1)[1]
    return rows


WRITERS = [write_kafka_python, write_confluent, write_aiokafka, write_kafkajs]
READERS = [read_kafka_python, read_confluent, read_kcat]


def everybody_reads_everybody(node):
    """One topic per writer and codec, read by all readers."""
    combinations, missing = 0, set()
    for write in WRITERS:
        for codec in CODECS:
            topic = f"{write.__name__}.{codec}"
            try:
                write(node, topic, codec)
            except Skipped as why:
                missing.add(str(why))
                continue
            for read in READERS:
                try:
                    rows = read(node, topic)
                except Skipped as why:
                    missing.add(str(why))
                    continue
                said = f"{topic} by {read.__name__}"
                check(len(rows) == len(expected()), f"{said}: {len(rows)} records")
                for got, want in zip(rows, expected()):
                    check(got[:2] == want[:2], f"{said}: {got[:2]} instead of {want[:2]}")
                    # kafkajs cannot keep the order of different header names around a repeated one.
                    if got[2] is not None:
                        check(sorted(got[2]) == sorted(want[2]), f"{said}: headers {got[2]}")
                combinations += 1
    check(combinations >= 20, f"only {combinations} combinations: {missing}")
    return f"{combinations} combinations of writer, codec and reader" + "".join(f"; {why}" for why in sorted(missing))


def kcat_writes(node):
    """kcat as a writer: keys, a header, a null value, metadata."""
    if not shutil.which("kcat"):
        raise Skipped("kcat is not installed")
    for codec in CODECS:
        topic = f"kcat-{codec}"
        words = ["kcat", "-b", node.kafka, "-P", "-t", topic, "-K", ":", "-Z", "-H", "h=x", "-z", codec]
        done = subprocess.run(words, input=b"a:1\nb:\nc:3\n", capture_output=True, timeout=LIMIT_S)
        check(done.returncode == 0, done.stderr.decode(errors="replace"))
        rows = [(k, v) for k, v, _ in read_kcat(node, topic)]
        check(rows == [(b"a", b"1"), (b"b", None), (b"c", b"3")], f"{codec}: {rows}")
    listed = json.loads(subprocess.check_output(["kcat", "-b", node.kafka, "-L", "-J"], timeout=LIMIT_S))
    names = {topic["topic"] for topic in listed["topics"]}
    check({f"kcat-{codec}" for codec in CODECS} <= names, f"not listed: {names}")
    return f"{len(CODECS)} codecs"


def topics_are_administered(node):
    """Create, describe, alter, delete with both admin clients."""
    need("confluent_kafka")
    need("kafka")
    from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
    from kafka import KafkaAdminClient
    from kafka.admin import NewPartitions

    admin = AdminClient({"bootstrap.servers": node.kafka})
    made = admin.create_topics([NewTopic("made", 3, 1, config={"retention.ms": "123456"})])
    made["made"].result(LIMIT_S)
    resource = ConfigResource("topic", "made")
    entries = admin.describe_configs([resource])[resource].result(LIMIT_S)
    check(entries["retention.ms"].value == "123456", f"retention.ms is {entries['retention.ms'].value}")
    check(entries["cleanup.policy"].value == "delete", "cleanup.policy has no default")
    again = admin.create_topics([NewTopic("made", 1, 1)])["made"]
    check("TOPIC_ALREADY_EXISTS" in repr(again.exception(LIMIT_S)), "made twice")
    python = KafkaAdminClient(bootstrap_servers=node.kafka)
    python.create_partitions({"made": NewPartitions(total_count=5)})
    partitions = admin.list_topics("made", timeout=LIMIT_S).topics["made"].partitions
    check(len(partitions) == 5, f"{len(partitions)} partitions")
    check("made" in python.list_topics(), "kafka-python does not list it")
    python.delete_topics(["made"])
    check("made" not in admin.list_topics(timeout=LIMIT_S).topics, "deleted and still listed")
    python.close()
    return "made, described, extended, deleted"


def values(node, topic):
    return [value for _, value, _ in read_confluent(node, topic)]


def idempotent_producer(node):
    need("confluent_kafka")
    from confluent_kafka import Producer

    failed = []
    producer = Producer({"bootstrap.servers": node.kafka, "enable.idempotence": True, "linger.ms": 5})
    began = time.monotonic()
    for number in range(IDEMPOTENT_RECORDS):
        producer.produce(
            "idempotent", value=b"%d" % number, partition=0,
            on_delivery=lambda error, _: error and failed.append(error),
        )
        producer.poll(0)
    check(producer.flush(LIMIT_S) == 0 and not failed, f"not acknowledged: {failed[:1]}")
    took = time.monotonic() - began
    check(values(node, "idempotent") == [b"%d" % n for n in range(IDEMPOTENT_RECORDS)], "not once and in order")
    return f"{IDEMPOTENT_RECORDS} records in {took:.1f} s"


def a_producer_survives_the_node(node):
    """kill -9 in the middle of an idempotent producer's work: each record once, in order."""
    need("confluent_kafka")
    from confluent_kafka import Producer

    fixed_port(node)
    acked, failed = [], []
    producer = Producer({
        "bootstrap.servers": node.kafka, "enable.idempotence": True, "linger.ms": 1,
        "message.timeout.ms": 60_000, "reconnect.backoff.max.ms": 200,
    })

    def delivered(error, message):
        (failed if error else acked).append(message.value())

    for number in range(3_000):
        producer.produce("survivor", value=b"%d" % number, partition=0, on_delivery=delivered)
        producer.poll(0)
        if number in (1_000, 2_000):
            wait_for("some acknowledgements", lambda: producer.poll(0.01) or len(acked) > number // 2)
            node.kill()
            node.start()
        time.sleep(0.0005)
    check(producer.flush(60) == 0 and not failed, f"not acknowledged: {failed[:1]}")
    got = values(node, "survivor")
    check(set(acked) <= set(got), f"{len(set(acked) - set(got))} acknowledged records are gone")
    check(got == [b"%d" % n for n in range(3_000)], f"{len(got)} records, {len(set(got))} different")
    return "3000 records once and in order over 2 kill -9"


def fixed_port(node):
    """From here on the node comes back under the port that clients know."""
    if "--kafka" not in node.options:
        node.options += ["--kafka", node.kafka]
        # Given twice, the listener of Node.start takes a free port beside it.
        node.stop()
        node.start()
        node.kafka = node.options[-1]


def a_group_goes_on(node):
    """Committed offsets outlive the client and a kill -9 of the node, in three clients."""
    need("confluent_kafka")
    need("kafka")
    from confluent_kafka import Consumer, Producer
    from kafka import KafkaConsumer

    producer = Producer({"bootstrap.servers": node.kafka})
    for number in range(300):
        producer.produce("resumed", value=b"%d" % number)
    producer.flush(LIMIT_S)

    def take(count):
        consumer = Consumer({
            "bootstrap.servers": node.kafka, "group.id": "resuming", "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "session.timeout.ms": 6_000,
        })
        consumer.subscribe(["resumed"])
        got, end = [], time.monotonic() + LIMIT_S
        while len(got) < count and time.monotonic() < end:
            for message in consumer.consume(count - len(got), 0.5):
                check(not message.error(), str(message.error()))
                got.append(int(message.value()))
        consumer.commit(asynchronous=False)
        consumer.close()
        return got

    check(take(100) == list(range(100)), "the first hundred")
    check(take(100) == list(range(100, 200)), "after the client was restarted")
    node.kill()
    node.start()
    check(take(50) == list(range(200, 250)), "after kill -9 of the node")
    consumer = KafkaConsumer(
        "resumed", bootstrap_servers=node.kafka, group_id="resuming", auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
    )
    got = [int(next(consumer).value) for _ in range(50)]
    consumer.close()
    check(got == list(range(250, 300)), "kafka-python goes on where confluent-kafka stopped")
    return "resumed after client, node and change of client"


def members_share(node):
    """Two members of a group share four partitions; when one leaves, the other takes all."""
    need("confluent_kafka")
    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": node.kafka})
    admin.create_topics([NewTopic("shared", 4, 1)])["shared"].result(LIMIT_S)
    for strategy in ("range", "cooperative-sticky"):
        def member():
            consumer = Consumer({
                "bootstrap.servers": node.kafka, "group.id": f"sharing-{strategy}",
                "partition.assignment.strategy": strategy, "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 300,
            })
            consumer.subscribe(["shared"])
            return consumer

        def assigned(*members):
            for consumer in members:
                consumer.poll(0.05)
            return [len(consumer.assignment()) for consumer in members]

        one = member()
        wait_for("all partitions", lambda: assigned(one) == [4], LIMIT_S)
        two = member()
        wait_for("an even share", lambda: assigned(one, two) == [2, 2], LIMIT_S)
        two.close()
        wait_for("all partitions again", lambda: assigned(one) == [4], LIMIT_S)
        one.close()
    return "range and cooperative-sticky"


def aiokafka_group(node):
    need("aiokafka")
    from aiokafka import AIOKafkaConsumer

    async def go():
        consumer = AIOKafkaConsumer(
            "idempotent", bootstrap_servers=node.kafka, group_id="aio", auto_offset_reset="earliest"
        )
        await consumer.start()
        got = [int((await consumer.getone()).value) for _ in range(1_000)]
        await consumer.commit()
        await consumer.stop()
        return got

    check(asyncio.run(asyncio.wait_for(go(), LIMIT_S)) == list(range(1_000)), "the first thousand")
    return "1000 records in a group"


def kafkajs_group(node):
    script = """
        const [bootstrap, topic] = JSON.parse(process.argv[1]);
        const { Kafka, logLevel } = require('kafkajs');
        const consumer = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR }).consumer({ groupId: 'js' });
        let count = 0;
        (async () => {
            await consumer.connect();
            await consumer.subscribe({ topics: [topic], fromBeginning: true });
            await consumer.run({ eachMessage: async ({ message }) => {
                if (Number(message.value.toString()) !== count) { console.error('out of order'); process.exit(1); }
                count += 1;
                if (count === 1000) { console.log(count); setTimeout(async () => { await consumer.disconnect(); process.exit(0); }, 0); }
            } });
        })().catch((error) => { console.error(error); process.exit(1); });
    """
    check(run_node(script, [node.kafka, "idempotent"]).startswith("1000"), "the first thousand")
    return "1000 records in a group"


def garbage_beside_a_producer(node):
    """A thousand hostile peers while a producer keeps its rate."""
    need("kafka")
    from kafka import KafkaProducer

    host, port = node.kafka.rsplit(":", 1)
    before = node.memory_mb()
    frames = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303"),
        struct.pack(">i", 0x7FFFFFFF) + b"\x00" * 64,
        struct.pack(">i", 90 << 20) + struct.pack(">hhih", 0, 9, 1, -1) + b"\x00" * 64,
        struct.pack(">ihhih", 14, 3, 4, 1, -1) + b"\x7f\xff\xff\xff",
        struct.pack(">ihhih", 10, 99, 0, 1, -1),
        b"\xff" * 200,
    ]
    held = []

    def rave():
        for number in range(1_000):
            peer = socket.create_connection((host, int(port)), timeout=LIMIT_S)
            try:
                peer.sendall(frames[number % len(frames)])
            except OSError:
                # Dropped before all was sent, as it should be.
                pass
            held.append(peer)

    raving = threading.Thread(target=rave)
    raving.start()
    producer = KafkaProducer(bootstrap_servers=node.kafka, acks="all", linger_ms=0)
    sent, slowest = 0, 0.0
    while raving.is_alive() or sent < 500:
        began = time.monotonic()
        producer.send("beside", b"%d" % sent, partition=0).get(timeout=LIMIT_S)
        slowest = max(slowest, time.monotonic() - began)
        sent += 1
    raving.join()
    producer.close()
    for peer in held:
        peer.close()
    check(values(node, "beside") == [b"%d" % n for n in range(sent)], "not once and in order")
    grown = node.memory_mb() - before
    check(grown < 64, f"the node grew by {grown:.0f} MB")
    check(slowest < 2, f"a record took {slowest:.1f} s")
    return f"{len(held)} peers, {sent} records beside them, slowest {slowest * 1000:.0f} ms, +{grown:.0f} MB"


def transactions_of(check_of, *modules):
    """A check of transactions.py, skipped where its clients are not installed."""

    def run(node):
        for module in ("confluent_kafka", *modules):
            need(module)
        if check_of is transactions.transactions_kafkajs:
            return check_of(node, run_node)
        if check_of is transactions.transactions_over_a_kill:
            fixed_port(node)
        return check_of(node)

    run.__name__ = check_of.__name__
    return run


CHECKS = [
    kcat_writes,
    everybody_reads_everybody,
    topics_are_administered,
    idempotent_producer,
    aiokafka_group,
    kafkajs_group,
    members_share,
    transactions_of(transactions.transactions_confluent),
    transactions_of(transactions.a_zombie_is_fenced),
    transactions_of(transactions.a_forgotten_transaction_is_aborted),
    transactions_of(transactions.transactions_aiokafka, "aiokafka"),
    transactions_of(transactions.transactions_kafka_python, "kafka"),
    transactions_of(transactions.transactions_kafkajs),
    garbage_beside_a_producer,
    a_group_goes_on,
    a_producer_survives_the_node,
]
# Only when named: after a restart of the lone broker librdkafka at times waits for its coordinator without
# asking anybody, and then no time is enough. `interop/kills` runs transactions of librdkafka over kills with
# clients that are given up in that state.
NAMED = [transactions_of(transactions.transactions_over_a_kill)]


def main():
    only = sys.argv[1:]
    passed, failed, skipped = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        node = Node(folder).start()
        for one in CHECKS + NAMED:
            if one.__name__ not in only and (only or one in NAMED):
                continue
            began = time.monotonic()
            try:
                said = one(node)
                passed += 1
                print(f"ok      {one.__name__}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
            except Skipped as why:
                skipped += 1
                print(f"skipped {one.__name__}: {why}", flush=True)
            except Exception as error:  # noqa: BLE001: whatever a client raises is a failed check
                failed += 1
                trace = "" if isinstance(error, Failed) else traceback.format_exc()
                print(f"FAILED  {one.__name__}: {error}\n{trace}", flush=True)
                if node.process.poll() is not None:
                    print(f"the node has ended: {node.said()}", flush=True)
                    node.start()
        node.stop()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
