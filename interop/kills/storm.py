"""Three client libraries at work while the broker is killed again and again on the same data and port; then
everything is read to its end and the history is judged by `cargo xtask history`."""
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

from broker import Broker
from drain import drain_all, settle
from history import History, now
from plan import TOPICS, TXN_TIMEOUT_MS
from yeoul_node import Failed, check, wait_for

HERE = pathlib.Path(__file__).resolve().parent
LIBRARIES = ["confluent", "python", "aio"]
# How long a stable offset may stay behind: the timeout, the broker's rhythm of looking, and its absences.
STABLE_LIMIT_S = TXN_TIMEOUT_MS / 1000 + 20


class Worker:
    """A process of workers over one library."""

    def __init__(self, library, options):
        self.library = library
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), library, json.dumps(options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.stdin.write("stop\n")
        self.process.stdin.flush()

    def result(self):
        said, _ = self.process.communicate(timeout=200)
        last = said.strip().splitlines()[-1] if said.strip() else "{}"
        result = json.loads(last)
        check(self.process.returncode == 0, f"the workers of {self.library} failed: {result.get('failures')}")
        return result["notes"]


def make_topics(broker, history):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": broker.kafka, "log_level": 0})
    made = admin.create_topics([NewTopic(name, count, 1, config=configs) for name, (count, configs, _) in TOPICS.items()])
    for name, future in made.items():
        future.result(30)
        history.add("topic", topic=name, **TOPICS[name][2])


def trim(broker, history, done):
    """Deletes records at run time, so that starts of logs move between kills."""
    from confluent_kafka import KafkaException, TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": broker.kafka, "log_level": 0, "reconnect.backoff.max.ms": 200})
    dice, ends = random.Random(1), {0: 0, 1: 0}
    while not done.wait(1.5):
        partition = dice.randrange(2)
        place = TopicPartition("trimmed", partition)
        began = now()
        try:
            from confluent_kafka.admin import OffsetSpec

            told = admin.list_offsets({place: OffsetSpec.latest()}, request_timeout=3)[place].result(5)
            ends[partition] = max(ends[partition], told.offset - dice.randrange(200, 400))
            if ends[partition] <= 0:
                continue
            asked = TopicPartition("trimmed", partition, ends[partition])
            began = now()
            admin.delete_records([asked], request_timeout=3)[asked].result(5)
            outcome = "ok"
        except KafkaException:
            outcome = "info"
        if ends[partition] > 0:
            history.add("delete", topic="trimmed", partition=partition, offset=ends[partition], outcome=outcome,
                        t_inv=began, t_ret=now())


class RandomKills:
    """kill -9 at random moments, sometimes again and again while it starts."""

    def __init__(self, cycles, seed, life_s=(0.3, 1.6)):
        self.cycles, self.dice, self.life_s = cycles, random.Random(seed), life_s
        self.kills = 0

    def run(self, broker, alive, history):
        for cycle in range(self.cycles):
            time.sleep(self.dice.uniform(*self.life_s) if cycle else 3.0)
            check(broker.process.poll() is None, f"the broker ended by itself: {broker.said()}")
            alive()
            self.kill(broker, history)
            while self.dice.random() < 0.15:
                # Killed again while it starts: recovery of a recovery.
                broker.spawn()
                time.sleep(self.dice.uniform(0.0, 0.06))
                check(broker.process.poll() is None, f"the broker did not start: {broker.said()}")
                self.kill(broker, history)
            broker.start()

    def kill(self, broker, history):
        broker.kill()
        self.kills += 1
        history.add("crash", t_inv=now())


def storm(folder, deaths, broker=None, rate=150, seed=1):
    """Workers of three libraries while `deaths` happen to the broker; returns what the judge said. Raises `Failed`
    on an anomaly, or when the run proved nothing."""
    folder = pathlib.Path(folder)
    began = time.monotonic()
    run = random.SystemRandom().getrandbits(31)
    history = History(folder / "controller.jsonl", run)
    history.add("run", lso_limit_ns=int(STABLE_LIMIT_S * 1e9), seed=seed)
    broker = (broker or Broker(folder)).start()
    make_topics(broker, history)
    txn = broker.has_transactions() and not os.environ.get("YEOUL_KILLS_NO_TXN")
    options = dict(kafka=broker.kafka, run=run, rate=rate, txn=txn)
    workers = [Worker(name, {**options, "history": str(folder / f"{name}.jsonl")}) for name in LIBRARIES]
    done = threading.Event()
    trimmer = threading.Thread(target=trim, args=(broker, history, done), daemon=True)
    trimmer.start()

    def alive():
        dead = [w.library for w in workers if w.process.poll() is not None]
        check(not dead, f"the workers of {dead} ended early")

    try:
        deaths.run(broker, alive, history)
        time.sleep(2.0)
        done.set()
        trimmer.join(20)
        for worker in workers:
            worker.stop()
        notes = {worker.library: worker.result() for worker in workers}
    finally:
        done.set()
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.kill()
    settle(broker.kafka, STABLE_LIMIT_S)
    broker.kill()
    broker.start()
    drain_all(history, broker.kafka)
    history.close()
    broker.stop()
    for library, said in notes.items():
        print(f"        {library}: {json.dumps(said, sort_keys=True)}", flush=True)
    check_it_worked(notes, txn)
    result = judge(folder)
    result.update(kills=deaths.kills + 1, seconds_all=round(time.monotonic() - began),
                  ready_max_s=round(broker.ready_max_s, 2), txn=txn)
    return result


def check_it_worked(notes, txn):
    """A run in which a library did nothing proves nothing."""
    # A member of a group that lost its coordinator every second may not get far with each library.
    check(any(said.get("commits ok") for said in notes.values()), "no group committed an offset")
    for library, said in notes.items():
        for what in ("sends", "polled"):
            check(said.get(what, 0) > 0, f"{library}: no {what}")
        check(not txn or said.get("transactions commit ok", 0) > 0, f"{library}: no transaction was committed")


def judge(folder):
    named = os.environ.get("YEOUL_XTASK")
    words = [named] if named else ["cargo", "xtask"]
    files = sorted(str(path) for path in pathlib.Path(folder).glob("*.jsonl"))
    done = subprocess.run([*words, "history", *files], capture_output=True, text=True, timeout=600,
                          cwd=HERE.parents[1])
    lines = done.stdout.strip().splitlines()
    result = next((json.loads(line) for line in reversed(lines) if line.startswith("{")), None)
    check(result is not None, f"the judge said: {done.stdout[-500:]}{done.stderr[-500:]}")
    result["kinds"] = result.pop("by_kind")
    if done.returncode != 0:
        raise Failed("\n".join(lines[:60]))
    return result


def told(result):
    txn = f"{result['transactions']} transactions" if result["txn"] else "no transactions"
    return (f"{result['kills']} kills, {result['sends']} sends, {txn}, {result['records_polled']} records polled, "
            f"{result['anomalies']} anomalies, {result['seconds_all']} s, slowest start {result['ready_max_s']} s")
