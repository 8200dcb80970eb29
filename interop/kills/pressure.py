"""The broker on a disk that runs full and with too few file descriptors: producers get an error that they may
repeat, readers go on, and it resumes by itself, in the same process."""
import os
import pathlib
import socket
import subprocess
import threading
import time

from broker import Broker
from drain import drain_all
from history import History, Sender, now, payload
from storm import judge
from yeoul_node import Failed, check, wait_for

DISK_MB = 64
RECORD_BYTES = 20_000


def may_mount():
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0


class SmallDisk:
    """A file system of its own in a namespace of its own; the broker joins that namespace."""

    def __init__(self, folder, size_mb):
        self.inside = pathlib.Path(folder) / "disk"
        self.inside.mkdir()
        script = f"mount -t tmpfs -o size={size_mb}m tmpfs '{self.inside}' && echo ready && exec sleep 100000"
        self.holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        check(self.holder.stdout.readline().strip() == "ready", "the small file system could not be mounted")
        self.wrap = ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials", "--"]

    def free_bytes(self):
        space = os.statvfs(f"/proc/{self.holder.pid}/root{self.inside}")
        return space.f_bavail * space.f_frsize

    def close(self):
        self.holder.kill()
        self.holder.wait()


class Load:
    """An idempotent producer that repeats for minutes, and what became of its records."""

    def __init__(self, broker, history, topics, run, size=RECORD_BYTES, per_s=400):
        self.broker, self.topics, self.run, self.size, self.gap = broker, topics, run, size, 1 / per_s
        self.sender = Sender(history, "filler", 1)
        self.acked, self.failed, self.last_ack = 0, [], time.monotonic()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def told(self, value):
        def told(error, message):
            if error is None:
                self.acked += 1
                self.last_ack = time.monotonic()
                self.sender.end(value, "ok", message.offset())
            else:
                self.failed.append(str(error))
                self.sender.end(value, "info")

        return told

    def work(self):
        from confluent_kafka import Producer

        producer = Producer({
            "bootstrap.servers": self.broker.kafka, "enable.idempotence": True, "delivery.timeout.ms": 300_000,
            "linger.ms": 5, "log_level": 0, "queue.buffering.max.messages": 200, "retry.backoff.ms": 100,
            "retry.backoff.max.ms": 300,
        })
        number = 0
        while not self.stopping.is_set():
            topic, count = list(self.topics.items())[number % len(self.topics)]
            partition, number = number % count, number + 1
            value = self.sender.begin(topic, partition)
            body, headers = payload(self.run, topic, partition, value, self.size)
            while not self.stopping.is_set():
                try:
                    producer.produce(topic, partition=partition, value=body, headers=headers, on_delivery=self.told(value))
                    break
                except BufferError:
                    producer.poll(0.05)
            else:
                self.sender.end(value, "fail")
            producer.poll(self.gap)
        self.left = producer.flush(60)
        self.sender.give_up()

    def stalled(self, for_s=2.0):
        return time.monotonic() - self.last_ack > for_s

    def flows(self, since):
        return self.acked > since + 20

    def stop(self):
        self.stopping.set()
        self.thread.join(90)
        check(not self.thread.is_alive() and self.left == 0, "the producer could not end")


def probe(broker, topic):
    """What a producer without patience is told: None when it was acknowledged."""
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    producer = KafkaProducer(bootstrap_servers=broker.kafka, enable_idempotence=False, retries=0, acks="all",
                             request_timeout_ms=10_000, delivery_timeout_ms=10_010)
    try:
        producer.send(topic, b"x" * RECORD_BYTES, partition=0).get(timeout=15)
        return None
    except KafkaError as error:
        return error
    finally:
        producer.close(timeout=1)


def admin_of(broker):
    from confluent_kafka.admin import AdminClient

    return AdminClient({"bootstrap.servers": broker.kafka, "log_level": 0})


def reads_go_on(broker, topic, partition, at_least):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.kafka, "group.id": "probe", "enable.auto.commit": False,
                         "log_level": 0})
    place = TopicPartition(topic, partition)
    place.offset = consumer.get_watermark_offsets(place, timeout=10)[0]
    consumer.assign([place])
    read, end = 0, time.monotonic() + 20
    while read < at_least and time.monotonic() < end:
        read += sum(m.error() is None for m in consumer.consume(at_least, 0.5))
    consumer.close()
    check(read >= at_least, f"a reader got {read} of {at_least} records of {topic}/{partition}")
    return read


def disk_full(folder):
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import NewTopic, OffsetSpec

    folder, run = pathlib.Path(folder), 7
    disk = SmallDisk(folder, DISK_MB)
    broker = Broker(folder, data_dir=disk.inside / "data-dir", wrap=disk.wrap)
    history = History(folder / "controller.jsonl", run)
    try:
        broker.start()
        admin = admin_of(broker)
        topics = {"first": 1, "second": 2, "passing": 1}
        made = admin.create_topics([NewTopic(t, n, 1, config={"segment.bytes": "1048576"}) for t, n in topics.items()])
        for topic, future in made.items():
            future.result(30)
        # A second one, which nothing probes from outside the history.
        admin.create_topics([NewTopic("probed", 1, 1)])["probed"].result(30)
        process = broker.process.pid
        load = Load(broker, history, topics, run)
        wait_for("a full disk", lambda: load.stalled(), 120)
        full_at, errors = load.acked, []
        error = probe(broker, "probed")
        check(error is not None, "a producer was acknowledged on a full disk")
        check(getattr(error, "retriable", False), f"the error may not be repeated: {error!r}")
        errors.append(type(error).__name__)
        read = reads_go_on(broker, "second", 1, 50)
        check(broker.process.poll() is None, f"the broker ended: {broker.said()}")
        # Deleting records must work on a full disk, and is enough.
        for topic in ("first", "second"):
            for partition in range(topics[topic]):
                place = TopicPartition(topic, partition)
                end = admin.list_offsets({place: OffsetSpec.latest()})[place].result(20).offset
                place = TopicPartition(topic, partition, end)
                began = now()
                admin.delete_records([place])[place].result(20)
                history.add("delete", topic=topic, partition=partition, offset=end, outcome="ok", t_inv=began, t_ret=now())
        freed = time.monotonic()
        wait_for("acknowledgements after records were deleted", lambda: load.flows(full_at), 30)
        resumed_s = time.monotonic() - freed
        wait_for("a disk that is full again", lambda: load.stalled(), 120)
        again_at = load.acked
        freed = time.monotonic()
        admin.delete_topics(["passing"])["passing"].result(20)
        wait_for("acknowledgements after a topic was deleted", lambda: load.flows(again_at), 30)
        resumed_again_s = time.monotonic() - freed
        check(broker.process.pid == process and broker.process.poll() is None, f"the broker ended: {broker.said()}")
        load.topics = {"second": 2}
        wait_for("room for the rest", lambda: make_room(admin, history, topics) or load.flows(again_at + 200), 60, 0.5)
        load.stop()
        broker.kill()
        broker.start()
        del topics["passing"]
        drain_all(history, broker.kafka, {topic: (count,) for topic, count in topics.items()})
        history.close()
        forget(folder, "passing")
        result = judge(folder)
    finally:
        if broker.process and broker.process.poll() is None:
            broker.kill()
        disk.close()
    return (f"{DISK_MB} MB disk full at {full_at} records: {errors[0]}, {read} records read meanwhile, "
            f"acknowledged again {resumed_s:.1f} s after records and {resumed_again_s:.1f} s after a topic were deleted, "
            f"{load.acked} acknowledged, {result['anomalies']} anomalies")


def make_room(admin, history, topics):
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    for partition in range(topics["second"]):
        place = TopicPartition("second", partition)
        end = admin.list_offsets({place: OffsetSpec.latest()})[place].result(20).offset
        place, began = TopicPartition("second", partition, end), now()
        admin.delete_records([place])[place].result(20)
        history.add("delete", topic="second", partition=partition, offset=end, outcome="ok", t_inv=began, t_ret=now())


def forget(folder, topic):
    """A deleted topic is not judged."""
    path = pathlib.Path(folder) / "controller.jsonl"
    lines = [line for line in path.read_text().splitlines() if f'"topic":"{topic}"' not in line]
    path.write_text("\n".join(lines) + "\n")


def few_files(folder):
    said = []
    for limit, partitions, strangers in ((64, 8, 200), (256, 60, 500)):
        inner = pathlib.Path(folder) / str(limit)
        inner.mkdir()
        said.append(with_limit(inner, limit, partitions, strangers))
    return "; ".join(said)


def with_limit(folder, limit, partitions, strangers):
    """More connections than descriptors, beside a producer that is connected already."""
    from confluent_kafka.admin import NewTopic

    run = 9
    broker = Broker(folder, wrap=["sh", "-c", f"ulimit -n {limit}; exec \"$@\"", "sh"]).start()
    history = History(folder / "controller.jsonl", run)
    held = []
    try:
        admin = admin_of(broker)
        admin.create_topics([NewTopic("many", partitions, 1, config={"segment.bytes": "65536"})])["many"].result(30)
        load = Load(broker, history, {"many": partitions}, run, size=2_000, per_s=300)
        wait_for("records", lambda: load.flows(300), 60)
        for _ in range(strangers):
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(("127.0.0.1", broker.port))
            held.append(peer)
        began, before = time.monotonic(), load.acked
        slowest = 0.0
        while time.monotonic() - began < 5:
            time.sleep(0.1)
            slowest = max(slowest, time.monotonic() - load.last_ack)
            check(broker.process.poll() is None, f"limit {limit}: the broker ended: {broker.said()}")
        check(load.acked > before + 100, f"limit {limit}: {load.acked - before} acknowledged beside {strangers} strangers")
        open_files = len(list(pathlib.Path(f"/proc/{broker.process.pid}/fd").iterdir()))
        beside = load.acked - before
        for peer in held:
            peer.close()
        freed = time.monotonic()
        wait_for("a new connection", lambda: broker.apis(), 30)
        recovered_s = time.monotonic() - freed
        load.stop()
        check(not load.failed, f"limit {limit}: {len(load.failed)} records failed: {load.failed[:1]}")
        broker.kill()
        broker.start()
        drain_all(history, broker.kafka, {"many": (partitions,)})
        history.close()
        result = judge(folder)
    except Failed:
        print(f"        the broker said: {broker.said()}", flush=True)
        raise
    finally:
        for peer in held:
            peer.close()
        if broker.process.poll() is None:
            broker.kill()
    return (f"ulimit -n {limit}: {open_files} open with {strangers} strangers and {partitions} partitions, {beside} "
            f"records acknowledged beside them (longest pause {slowest:.1f} s), a new connection {recovered_s:.1f} s after "
            f"they left, {result['anomalies']} anomalies")
