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


TOPICS = {"first": (1,), "second": (2,), "passing": (1,)}


def disk_full(folder):
    """Room comes from outside: a file that does not belong to the broker goes away."""
    def make_room(scene):
        scene.filler.unlink()
        return "a stranger's file was removed"

    return on_small_disk(folder, make_room, filler_mb=DISK_MB // 2)


def disk_full_of_records(folder):
    """Room comes from the broker's own requests, which must work on a disk without a free byte."""
    def make_room(scene):
        for topic in ("first", "second"):
            for partition in range(TOPICS[topic][0]):
                scene.delete_all(topic, partition)
        # What the producer had queued may make it again, under the same name and from offset 0.
        if "passing" not in scene.deleted:
            scene.admin.delete_topics(["passing"])["passing"].result(20)
            scene.deleted.add("passing")
        return "records and a topic were deleted"

    return on_small_disk(folder, make_room)


class Scene:
    """A broker on a small disk, with topics and a history."""

    def __init__(self, folder, filler_mb):
        from confluent_kafka.admin import NewTopic

        self.folder, self.disk = folder, SmallDisk(folder, DISK_MB)
        self.broker = Broker(folder, data_dir=self.disk.inside / "data-dir", wrap=self.disk.wrap)
        self.history = History(folder / "controller.jsonl", 7)
        self.deleted = set()
        self.filler = pathlib.Path(f"/proc/{self.disk.holder.pid}/root{self.disk.inside}/filler")
        self.filler.write_bytes(bytes(filler_mb << 20))
        try:
            self.broker.start()
            self.admin = admin_of(self.broker)
            config = {"segment.bytes": "1048576"}
            made = [NewTopic(name, count, 1, config=config) for name, (count,) in TOPICS.items()]
            for future in self.admin.create_topics([*made, NewTopic("probed", 1, 1)]).values():
                future.result(30)
        except BaseException:
            self.close()
            raise

    def delete_all(self, topic, partition):
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import OffsetSpec

        place = TopicPartition(topic, partition)
        end = self.admin.list_offsets({place: OffsetSpec.latest()})[place].result(20).offset
        place, began = TopicPartition(topic, partition, end), now()
        self.admin.delete_records([place])[place].result(20)
        self.history.add("delete", topic=topic, partition=partition, offset=end, outcome="ok", t_inv=began, t_ret=now())

    def close(self):
        if self.broker.process and self.broker.process.poll() is None:
            self.broker.kill()
        self.disk.close()


def on_small_disk(folder, make_room, filler_mb=0):
    scene = Scene(pathlib.Path(folder), filler_mb)
    broker = scene.broker
    try:
        process = broker.process.pid
        load = Load(broker, scene.history, {topic: count for topic, (count,) in TOPICS.items()}, 7)
        wait_for("a full disk", lambda: load.stalled(), 120)
        full_at = load.acked
        error = probe(broker, "probed")
        check(error is not None, "a producer was acknowledged on a full disk")
        check(getattr(error, "retriable", False), f"the error may not be repeated: {error!r}")
        read = reads_go_on(broker, "second", 1, 50)
        check(broker.process.poll() is None, f"the broker ended: {broker.said()}")
        how = make_room(scene)
        # The deleted topic gets no more records; what is left must fit.
        load.topics, freed = {"first": 1, "second": 2}, time.monotonic()
        wait_for("acknowledgements after room was made", lambda: load.flows(full_at), 30)
        resumed_s = time.monotonic() - freed
        load.stopping.set()
        if load.stalled():
            make_room(scene)
        load.stop()
        check(broker.process.pid == process and broker.process.poll() is None, f"the broker ended: {broker.said()}")
        broker.kill()
        broker.start()
        listed = set(admin_of(broker).list_topics(timeout=20).topics)
        check(listed >= set(TOPICS) - scene.deleted, f"topics are gone: {listed}")
        drain_all(scene.history, broker.kafka,
                  {topic: count for topic, count in TOPICS.items() if topic not in scene.deleted})
        scene.history.close()
        for topic in scene.deleted:
            forget(folder, topic)
        result = judge(folder)
    finally:
        scene.close()
    return (f"{DISK_MB} MB disk full at {full_at} records: {type(error).__name__}, {read} records read meanwhile, "
            f"acknowledged again {resumed_s:.1f} s after {how}, {load.acked} acknowledged, {result['anomalies']} anomalies")


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
