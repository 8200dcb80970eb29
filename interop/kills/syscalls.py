"""The broker under strace: the proof that every acknowledgement and every record shown to a reader was synced
before, and injected errors of the calls that a disk fails with."""
import asyncio
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time

import trace
from broker import Broker
from history import now
from yeoul_node import Failed, check, wait_for

# Not traced, only there to be given faults.
QUIET = ["-e", "trace=fdatasync", "-e", "status=none", "-o", "/dev/null"]
STRACE = ["strace", "-f", "-qq"]
# Stops a thread only for the calls traced. With it, strace 6.1 injects no signals: not for faults.
FAST = ["--seccomp-bpf"]


def have_strace():
    return bool(shutil.which("strace"))


class Traced(Broker):
    """A broker whose process is strace's child; `kill` and `stop` go to the broker itself."""

    def __init__(self, folder, options, **more):
        super().__init__(folder, **more)
        self.options = options
        self.inject()

    def inject(self, *faults, trace_to=None):
        """From the next start on: `fdatasync:error=EIO:when=3` and the like."""
        options = list(self.options)
        if faults:
            names = ",".join(sorted({fault.split(":")[0] for fault in faults}))
            options = ["-e", f"trace={names}", "-y", "-s", "0", "-o", str(trace_to or "/dev/null")]
            for fault in faults:
                options += ["-e", f"inject={fault}"]
        self.wrap = [*STRACE, *([] if faults else FAST), *options, "--"]

    def child(self):
        """The traced process, or None when it has ended (strace ends soon after)."""
        pid = self.process.pid
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return int(text.split()[0]) if text.split() else None

    def signal(self, number):
        child = self.child()
        if child:
            subprocess.run(["kill", f"-{number}", str(child)], check=False)

    def kill(self):
        self.signal(9)
        self.process.wait(30)

    def stop(self, limit_s=60):
        if self.process is None or self.process.poll() is not None:
            return
        self.signal(signal.SIGINT.value)
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()


class Tokens:
    """Texts that occur once; they are found again in the bytes of calls."""

    def __init__(self):
        self.run = random.SystemRandom().getrandbits(32)
        self.next = 0
        self.lock = threading.Lock()

    def take(self):
        with self.lock:
            self.next += 1
            return b"YT%08x-%07d-TY" % (self.run, self.next)


def one_by_one(kafka, tokens, count):
    """Each record waits for the acknowledgement of the one before."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0)
    for _ in range(count):
        producer.send("traced", tokens.take(), partition=0).get(timeout=30)
    producer.close()
    return count


def pipelined(kafka, tokens, count, idempotent=True):
    from confluent_kafka import Producer

    failed = []
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": idempotent, "acks": "all", "linger.ms": 1,
                         "batch.num.messages": 20, "log_level": 0})
    for number in range(count):
        producer.produce("traced", tokens.take(), partition=number % 2, on_delivery=lambda e, _: e and failed.append(e))
        producer.poll(0)
        if number % 50 == 0:
            time.sleep(0.005)
    check(producer.flush(60) == 0 and not failed, f"not acknowledged: {failed[:1]}")
    return count


def many_at_once(kafka, tokens, count):
    """acks=1 counts too: it promises the same here."""
    from aiokafka import AIOKafkaProducer

    async def one(acks):
        producer = AIOKafkaProducer(bootstrap_servers=kafka, acks=acks)
        await producer.start()
        for _ in range(count // 4):
            await producer.send_and_wait("traced", tokens.take(), partition=1)
        await producer.stop()

    async def all_():
        await asyncio.gather(*(one(acks) for acks in ("all", "all", 1, 1)))

    asyncio.run(all_())
    return count // 4 * 4


def follow(kafka, done, seen):
    """A reader beside them, so that what is shown is proved too."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "follower", "enable.auto.commit": False,
                         "fetch.wait.max.ms": 5, "isolation.level": "read_uncommitted", "log_level": 0})
    consumer.assign([TopicPartition("traced", 0, 0), TopicPartition("traced", 1, 0)])
    while not done.is_set():
        seen.extend(m for m in consumer.consume(100, 0.1) if m.error() is None)
    consumer.close()


def commits(kafka, tokens, count):
    """Offsets with a token as their metadata."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "committer", "enable.auto.commit": False,
                         "log_level": 0})
    for number in range(count):
        place = TopicPartition("traced", 0, number + 1, metadata=tokens.take().decode())
        told = consumer.commit(offsets=[place], asynchronous=False)
        check(not told[0].error, str(told[0].error))
    consumer.close()
    return count


def transactions(kafka, tokens, count):
    """Each by a producer of its own, committed or aborted, every other one with offsets."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    reader = Consumer({"bootstrap.servers": kafka, "group.id": "in-transactions", "log_level": 0})
    for number in range(count):
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": tokens.take().decode(), "linger.ms": 0,
                             "log_level": 0})
        producer.init_transactions(30)
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce("ended", b"in a transaction", partition=partition)
        # An abort throws away what was not sent, and then there is nothing to end.
        producer.flush(30)
        if number % 2:
            place = TopicPartition("ended", 0, number)
            producer.send_offsets_to_transaction([place], reader.consumer_group_metadata(), 30)
        producer.commit_transaction(30) if number % 3 else producer.abort_transaction(30)
    reader.close()
    return count


def proof(folder, scale=1):
    """Returns in words what was proved; raises `Failed` when an order was wrong or nothing was seen."""
    path = pathlib.Path(folder) / "trace.txt"
    options = ["-ttt", "-xx", "-yy", "-s", "2000000", "-e", f"trace={trace.CALLS}", "-o", str(path)]
    broker = Traced(folder, options).start(90)
    make_topic(broker.kafka, "traced", 2)
    make_topic(broker.kafka, "ended", 2)
    tokens, done, seen = Tokens(), threading.Event(), []
    reader = threading.Thread(target=follow, args=(broker.kafka, done, seen), daemon=True)
    reader.start()
    sent = one_by_one(broker.kafka, tokens, 40 * scale)
    both = [threading.Thread(target=call, args=(broker.kafka, tokens, count), daemon=True)
            for call, count in ((pipelined, 600 * scale), (many_at_once, 80 * scale))]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    sent += 680 * scale
    committed = commits(broker.kafka, tokens, 20 * scale)
    ended = transactions(broker.kafka, tokens, 10 * scale)
    wait_for("all records at the reader", lambda: len(seen) >= sent, 60)
    done.set()
    reader.join(20)
    broker.stop()
    lines = path.read_text(errors="replace").splitlines()
    found = trace.Proof(lines)
    check(not found.wrong, f"{len(found.wrong)} told before they were synced:\n" + "\n".join(found.wrong[:20]))
    acked, positions, shown = (found.counts[f"{how}"] for how in (
        f"acknowledged by {trace.PRODUCE}", f"acknowledged by {trace.OFFSET_COMMIT}", f"shown by {trace.FETCH}"))
    ends = found.counts["transactions ended"]
    check(ends >= ended, f"the trace holds {ends} of {ended} ends of transactions")
    check(acked >= sent and positions >= committed and shown >= sent,
          f"the trace holds {acked} of {sent} acknowledgements, {positions} of {committed} commits, {shown} shown: {found.counts}")
    for spoil in (trace.unsynced, trace.hasty):
        wrong = trace.Proof(spoil(lines)).wrong
        check(len(wrong) > sent // 2, f"the proof does not notice {spoil.__name__}")
        check(sum("its end read" in line for line in wrong) >= ended,
              f"the proof does not notice {spoil.__name__} at ends of transactions")
    return (f"{acked} acknowledged records, {positions} committed offsets, {ends} ends of transactions, "
            f"{shown} records shown to a reader: each "
            f"after the fdatasync that covers it ({found.counts['syncs of the commit log']} syncs)")


def make_topic(kafka, name, partitions, configs=None):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    admin.create_topics([NewTopic(name, partitions, 1, config=configs or {})])[name].result(30)


class SyscallDeaths:
    """The broker dies exactly at its Nth sync, its Nth write to a file, and at renames and unlinks; and its disk fails
    it with EIO and ENOSPC. Each time it is started again without faults and works for a moment.

    After an EIO of a sync of the commit log it must have ended by itself, with a reason, and answered nothing since.
    """

    def __init__(self, up_to):
        kill = "signal=KILL:when"
        self.faults = [f"fdatasync:{kill}={n}" for n in range(1, up_to + 1)]
        self.faults += [f"pwrite64:{kill}={n}" for n in range(1, up_to + 1, 5)]
        self.faults += [f"{call}:{kill}={n}" for call in ("rename", "unlink", "fsync", "ftruncate") for n in (1, 2)]
        self.faults += [f"fdatasync:error=EIO:when={n}" for n in range(2, up_to + 1, 6)]
        self.faults += [f"pwrite64:error={e}:when={n}" for e in ("EIO", "ENOSPC") for n in range(2, up_to + 1, 10)]
        self.kills, self.at_fault, self.by_itself, self.lived = 0, 0, 0, 0

    def run(self, broker, alive, history):
        time.sleep(2.0)
        for fault in self.faults:
            alive()
            broker.kill()
            self.kills += 1
            history.add("crash", t_inv=now(), fault=fault)
            self.one(broker, fault)
            broker.inject()
            broker.start(90)
            time.sleep(0.3)

    def one(self, broker, fault):
        path = broker.folder / "fault.txt"
        broker.inject(fault, trace_to=path)
        broker.spawn()
        try:
            code = broker.process.wait(6)
        except subprocess.TimeoutExpired:
            code = None
        text = path.read_text(errors="replace")
        if "signal=KILL" in fault:
            self.at_fault += code is not None
            self.lived += code is None
            check(code in (None, -9, 137), f"{fault}: ended with {code}: {broker.said()}")
        else:
            hit = [line for line in text.splitlines() if "(INJECTED)" in line]
            of_log = [line for line in hit if "/wal/" in line]
            self.by_itself += code is not None
            self.lived += code is None
            if code is None and of_log and "fdatasync" in fault:
                raise Failed(f"{fault}: lives on after a failed sync of its log: {of_log[:1]}")
            if code is not None:
                check(code not in (0, -6, -11, 134, 139), f"{fault}: ended with {code}: {broker.said()}")
                check("panicked" not in broker.said() and len(broker.said()) > 20,
                      f"{fault}: ended with {code} and said: {broker.said()!r}")
        if code is None:
            broker.kill()

    def told(self):
        check(self.at_fault > len(self.faults) // 3, f"only {self.at_fault} of {len(self.faults)} faults killed it")
        return (f"{len(self.faults)} faults: died at {self.at_fault} calls, ended by itself with a reason {self.by_itself}x, "
                f"went on {self.lived}x")
