"""The log and its Kafka face under load, Apache Kafka beside it in the same run.

Rounds are interleaved (ours acknowledging after the sync, ours relaxed, Apache Kafka, and again), each
on a fresh data directory. Every figure is the median of the rounds with the least and the most. What is
sent is built beforehand by `benches/load`, so that the client costs little and the same for each.

  produce_1k     1 KiB records in batches of 16 KiB, one partition, one connection, five requests under way
  produce_100    100 B records in batches of 16 KiB, likewise
  produce_64     1 KiB records, 64 partitions, eight batches a request
  consume        what produce_1k wrote, from the start
  latency        2,000 records of 1 KiB a second, each alone: due → acknowledged, due → seen by a consumer
  cpu_s_per_gb   processor time of the whole broker process until it is idle again, for each GB of values
  first_ack      spawn → first acknowledged record, on an empty directory
  memory         anonymous resident memory, idle and after the loads; the most resident memory at all
  restart        kill -9 after the loads → first acknowledged record (recovery of what was written)

The machine's own row: memcpy, appending to a file, fdatasync of 4 KiB, and one connection on loopback.

YEOUL_BIN names a release build; without it the `serve` example of yeoul-kafka must be built in release.
YEOUL_BENCH_LOAD names `broker-load`; YEOUL_BENCH_KAFKA a folder with Apache Kafka's `libs/` (or `-` for
none; default: the newest that `interop/jvm/install.sh` installed). YEOUL_BENCH_ROUNDS (5),
YEOUL_BENCH_GB (1.0), YEOUL_BENCH_SECONDS (10, of latency), YEOUL_BENCH_DIR, YEOUL_BENCH_FORCE=1 to go on
when the machine is busy.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("YEOUL_BENCH_ROUNDS", "5"))
BYTES = int(float(os.environ.get("YEOUL_BENCH_GB", "1.0")) * 1e9)
SECONDS = int(os.environ.get("YEOUL_BENCH_SECONDS", "10"))
TICK = os.sysconf("SC_CLK_TCK")
LOAD_MAX = 0.5


def target_folder():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")) / "release"


def program(variable, *places):
    if os.environ.get(variable):
        return pathlib.Path(os.environ[variable])
    for place in places:
        if place.exists():
            return place
    sys.exit(f"none of {', '.join(map(str, places))} is there: build it in release, or name it in {variable}")


LOAD = program("YEOUL_BENCH_LOAD", target_folder() / "broker-load")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def load(command, port, *args):
    done = subprocess.run([str(LOAD), command, "--addr", f"127.0.0.1:{port}", *map(str, args)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command} {args}: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Broker:
    """A broker process on a data directory and a port."""

    config = ()

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.process = None

    def start(self):
        """Milliseconds from the spawn to the first acknowledged record."""
        waiting = {}
        asker = threading.Thread(target=lambda: waiting.update(load("first-ack", self.port, "--topic", "first")))
        asker.start()
        log = open(self.folder / "out.txt", "ab")
        began = time.monotonic()
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env={**os.environ, **self.env()})
        lag = (time.monotonic() - began) * 1000
        asker.join()
        if "ms" not in waiting:
            raise RuntimeError((self.folder / "out.txt").read_text()[-2000:])
        return waiting["ms"] - lag

    def env(self):
        return {}

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        of = {line.split(":")[0]: line.split()[1] for line in status if line.startswith(("Rss", "VmHWM"))}
        return {"anonymous_mib": int(of["RssAnon"]) / 1024, "most_mib": int(of["VmHWM"]) / 1024}

    def settle(self):
        """Until it has done what it does behind the acknowledgements."""
        before = self.cpu()
        for _ in range(60):
            time.sleep(0.5)
            now = self.cpu()
            if now - before <= 0.02:
                return now
            before = now
        return before

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(60)


class Ours(Broker):
    name = "yeoul, ack after fsync"

    def command(self):
        data, address = str(self.folder / "data"), f"127.0.0.1:{self.port}"
        if os.environ.get("YEOUL_BIN"):
            return [os.environ["YEOUL_BIN"], "run", "--data-dir", data, "--kafka", address, "--http", "127.0.0.1:0"]
        serve = program("YEOUL_BENCH_SERVE", target_folder() / "examples" / "serve")
        return [str(serve), data, address]


class Relaxed(Ours):
    name = "yeoul, relaxed"
    config = ("--config", "yeoul.durability=relaxed")


class Kafka(Broker):
    name = "Apache Kafka, no fsync"
    home = None

    def start(self):
        (self.folder / "data").mkdir(exist_ok=True)
        controller = free_port()
        settings = {
            "process.roles": "broker,controller", "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data", "num.partitions": 1,
            "offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1, "group.initial.rebalance.delay.ms": 0,
        }
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if not (self.folder / "data" / "meta.properties").exists():
            subprocess.run([*self.java("256m"), "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk",
                            "-c", str(path)], check=True, capture_output=True)
        return super().start()

    def java(self, heap="1g"):
        return ["java", f"-Xmx{heap}", f"-Xms{heap}", "-XX:+UseG1GC", "-cp", f"{self.home}/libs/*"]

    def command(self):
        return [*self.java(), "kafka.Kafka", str(self.folder / "server.properties")]


def produce(broker, topic, partitions, *more):
    load("create", broker.port, "--topic", topic, "--partitions", partitions, *broker.config)
    before = broker.settle()
    figures = load("produce", broker.port, "--topic", topic, "--partitions", partitions, "--bytes", BYTES, *more)
    return {"gb_per_s": figures["gb_per_s"], "records_per_s": figures["records_per_s"],
            "ack_p99_ms": figures["ack"]["p99_ms"],
            "cpu_s_per_gb": (broker.settle() - before) / (figures["bytes"] / 1e9)}


def round_of(kind, folder):
    folder.mkdir(parents=True)
    broker = kind(folder)
    figures = {"first_ack_ms": broker.start()}
    try:
        time.sleep(2)
        figures["idle"] = broker.memory()
        figures["produce_1k"] = produce(broker, "kib", 1)
        figures["produce_100"] = produce(broker, "small", 1, "--record-bytes", 100)
        figures["produce_64"] = produce(broker, "many", 64, "--batches", 8)
        before = broker.settle()
        read = load("consume", broker.port, "--topic", "kib")
        figures["consume"] = {"gb_per_s": read["gb_per_s"],
                              "cpu_s_per_gb": (broker.settle() - before) / (read["bytes"] / 1e9)}
        load("create", broker.port, "--topic", "single", *broker.config)
        late = load("latency", broker.port, "--topic", "single", "--seconds", SECONDS)
        figures["latency"] = {f"{what}_{place}": late[what][place]
                              for what in ("ack", "seen") for place in ("p50_ms", "p99_ms", "p999_ms")}
        figures["loaded"] = broker.memory()
        broker.stop(signal.SIGKILL)
        figures["restart_ms"] = broker.start()
        broker.stop()
    finally:
        if broker.process.poll() is None:
            broker.stop(signal.SIGKILL)
        shutil.rmtree(folder)
    return figures


def machine(folder):
    """What this machine can do at best, measured right here."""
    block = os.urandom(1 << 20)
    target = bytearray(len(block) * 64)
    began = time.perf_counter()
    for at in range(0, len(target), len(block)):
        target[at:at + len(block)] = block
    memcpy = len(target) / (time.perf_counter() - began) / 1e9
    fd = os.open(folder / "append.bin", os.O_WRONLY | os.O_CREAT)
    began = time.perf_counter()
    for _ in range(512):
        for at in range(0, len(block), 65536):
            os.write(fd, block[at:at + 65536])
    append = 512 * len(block) / (time.perf_counter() - began) / 1e9
    os.fdatasync(fd)
    syncs = []
    for number in range(2000):
        began = time.perf_counter()
        os.pwrite(fd, block[:4096], number * 4096)
        os.fdatasync(fd)
        syncs.append((time.perf_counter() - began) * 1000)
    os.close(fd)
    os.remove(folder / "append.bin")
    syncs.sort()
    return {"memcpy_gb_per_s": memcpy, "append_gb_per_s": append, "loopback_gb_per_s": loopback(),
            "fdatasync_p50_ms": syncs[1000], "fdatasync_p99_ms": syncs[1980]}


def loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
    block, count = bytes(1 << 20), 1024

    def send():
        for _ in range(count):
            sender.sendall(block)
        sender.close()

    began = time.perf_counter()
    thread = threading.Thread(target=send)
    thread.start()
    into = bytearray(1 << 20)
    while receiver.recv_into(into):
        pass
    thread.join()
    receiver.close()
    return count * len(block) / (time.perf_counter() - began) / 1e9


def merge(rounds):
    """Median, least and most of each figure."""
    first = rounds[0]
    if isinstance(first, dict):
        return {key: merge([one[key] for one in rounds]) for key in first}
    return {"median": round(statistics.median(rounds), 3), "least": round(min(rounds), 3), "most": round(max(rounds), 3)}


def kafka_home():
    named = os.environ.get("YEOUL_BENCH_KAFKA")
    if named == "-":
        return None
    if named:
        return pathlib.Path(named)
    found = sorted(pathlib.Path(os.environ.get("YEOUL_JVM", pathlib.Path.home() / ".cache/yeoul/jvm")).glob("kafka-*/libs"))
    return found[-1].parent if found else None


def main():
    busy = os.getloadavg()[0]
    if busy > LOAD_MAX and os.environ.get("YEOUL_BENCH_FORCE") != "1":
        sys.exit(f"the machine is busy (load {busy:.2f}): figures would mean nothing. Wait, or YEOUL_BENCH_FORCE=1")
    kinds = [Ours, Relaxed]
    Kafka.home = kafka_home()
    if Kafka.home:
        kinds.append(Kafka)
    else:
        print("skipped: no Apache Kafka here (interop/jvm/install.sh brings it)", file=sys.stderr)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="yeoul-bench-", dir=os.environ.get("YEOUL_BENCH_DIR")))
    try:
        out = {"load_before": busy, "rounds": ROUNDS, "bytes": BYTES, "machine": machine(folder)}
        of = {kind: [] for kind in kinds}
        for number in range(ROUNDS):
            for kind in kinds:
                print(f"round {number + 1} of {ROUNDS}: {kind.name}", file=sys.stderr)
                of[kind].append(round_of(kind, folder / f"{kind.__name__}-{number}"))
        out["brokers"] = {kind.name: merge(rounds) for kind, rounds in of.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(out))
    ours = out["brokers"][Ours.name]
    print(f"produce 1 KiB {ours['produce_1k']['gb_per_s']['median']} GB/s at "
          f"{ours['produce_1k']['cpu_s_per_gb']['median']} CPU-s/GB, ack p99 {ours['latency']['ack_p99_ms']['median']} ms")


if __name__ == "__main__":
    main()
