"""What people and strangers get wrong, against the running binary.

Messages: a typo in the file, a missing file, a column that is not there, a port in use, a data folder
in use. Each must fail by its exit code (2 for what the user wrote, 1 otherwise), name what and where on
stderr, and never show a panic.

Garbage: 1,000 hostile frames on the Kafka port while a producer keeps its rate. Every record of the
producer must be there, in order and once; the node must neither end nor grow.

Full disk: a small file system runs full while a producer writes. The producer gets an error that speaks
of the disk, what was acknowledged stays readable, and once there is space again, writing goes on; after a
kill everything acknowledged is there. Needs the right to mount; without it: `skipped`.

YEOUL_GARBAGE_SEED (1).
"""
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import Failed, HttpFailure, Node, binary, check, wait_for  # noqa: E402

SEED = int(os.environ.get("YEOUL_GARBAGE_SEED", "1"))
FRAMES = 1_000
ROWS, ROWS_PER_S = 5_000, 1_000
GROWTH_MB_MAX = 64
GOOD = """\
sources:
  movies:
    tail: { path: [movies.tsv], read_from: beginning }
    decode: { tsv: { columns: { time: int, movie: string } } }
tables:
  films: { from: movies }
"""


def refused(name, words, *wanted):
    """Runs the binary, which must fail soon, without a panic, naming every one of `wanted`."""
    done = subprocess.run([binary(), *words], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    said = done.stderr
    check(done.returncode in (1, 2), f"{name}: exit {done.returncode}: {said}")
    check("panicked" not in said and "RUST_BACKTRACE" not in said, f"{name}: a panic: {said}")
    for words_ in wanted:
        check(words_ in said, f"{name}: the message does not say {words_!r}: {said}")


def messages(folder):
    (folder / "good.yaml").write_text(GOOD)
    (folder / "movies.tsv").touch()
    (folder / "typo.yaml").write_text(GOOD.replace("read_from", "read_form"))
    listen = ["--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0"]
    fresh = ["--data-dir", str(folder / "other"), *listen]
    refused("typo", ["run", str(folder / "typo.yaml"), *fresh], "typo.yaml", "read_form", "read_from")
    refused("missing file", ["run", str(folder / "nowhere.yaml"), *fresh], "nowhere.yaml")
    node = Node(folder, [folder / "good.yaml"]).start()
    try:
        refused("data folder in use", ["run", "--data-dir", str(node.data_dir), *listen], str(node.data_dir))
        port = node.http.rsplit(":", 1)[1]
        taken = ["--http", f"127.0.0.1:{port}", "--kafka", "127.0.0.1:0"]
        refused("port in use", ["run", "--data-dir", str(folder / "third"), *taken], port, "--http")
        refused("unknown column", ["sql", "--url", node.http, "SELECT nope FROM films"], "nope")
        try:
            node.request("/api/v1/sql", {"query": "SELEKT 1"})
            raise Failed("SELEKT was accepted")
        except HttpFailure as failure:
            check(400 <= failure.status < 500, f"SELEKT: {failure}")
    finally:
        node.stop()
    return "typo, missing file, data folder, port, column, syntax"


def frame(dice):
    """One hostile frame: some have a true header, some lie about a length, some are noise."""
    body = dice.randbytes(dice.randrange(0, 300))
    header = struct.pack(">hhih", dice.randrange(-2, 80), dice.randrange(-1, 14), dice.getrandbits(31), -1)
    kind = dice.randrange(7)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 200))
    if kind == 1:
        return struct.pack(">i", dice.choice([-1, 0, 2**31 - 1, -(2**31), 1 << 30])) + body
    if kind == 2:
        # Metadata that announces two thousand million topics.
        return sized(struct.pack(">hhih", 3, dice.randrange(0, 10), 7, -1) + struct.pack(">i", 0x7FFFFFF0))
    if kind == 3:
        return sized(struct.pack(">hhih", 0, dice.randrange(3, 10), 7, -1) + body)
    if kind == 4:
        return sized(struct.pack(">hhih", dice.choice([1, 8, 9, 11, 14, 18, 19]), dice.randrange(0, 13), 7, -1) + body)
    if kind == 5:
        return struct.pack(">i", 100_000) + header + body
    return sized(header + body)


def sized(frame_):
    return struct.pack(">i", len(frame_)) + frame_


def attack(host, port):
    dice = random.Random(SEED)
    for _ in range(FRAMES):
        with socket.create_connection((host, port), timeout=5) as stranger:
            stranger.settimeout(0.02)
            try:
                stranger.sendall(frame(dice))
                stranger.recv(4096)
            except (TimeoutError, ConnectionError):
                pass


def garbage(folder):
    node = Node(folder).start()
    try:
        node.cli("topics", "create", "kept", "--bootstrap-server", node.kafka)
        before = node.memory_mb()
        host, port = node.kafka.rsplit(":", 1)
        attacker = threading.Thread(target=attack, args=(host, int(port)), daemon=True)
        words = [binary(), "produce", "kept", "--bootstrap-server", node.kafka]
        producer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        attacker.start()
        began = time.monotonic()
        for n in range(ROWS):
            producer.stdin.write(f"row {n}\n".encode())
            if n % 10 == 9:
                producer.stdin.flush()
                time.sleep(max(0.0, began + n / ROWS_PER_S - time.monotonic()))
        producer.stdin.close()
        code = producer.wait(60)
        took = time.monotonic() - began
        check(code == 0, f"the producer ended with {code}: {producer.stderr.read().decode()}")
        check(took < 1.5 * ROWS / ROWS_PER_S + 2, f"{ROWS} rows took {took:.1f} s")
        attacker.join(120)
        check(not attacker.is_alive(), "the garbage is not through after two minutes")
        wait_for("all rows", lambda: node.end_offset("kept") >= ROWS)
        values = [record["value"] for record in node.records("kept")]
        check(values == [f"row {n}" for n in range(ROWS)], f"{len(values)} records, or out of order")
        grown = node.memory_mb() - before
        check(node.process.poll() is None, f"the node ended: {node.said()}")
        check(grown < GROWTH_MB_MAX, f"the node grew by {grown:.0f} MB")
    finally:
        node.stop()
    return f"{FRAMES} frames, {ROWS} rows in {took:.1f} s, grown by {grown:.0f} MB, seed {SEED}"


def produce(node, topic, lines):
    """Produces lines and returns (exit code, how many were acknowledged, stderr)."""
    words = [binary(), "produce", topic, "--bootstrap-server", node.kafka, "--output", "json"]
    done = subprocess.run(words, input="".join(lines), capture_output=True, text=True, timeout=120)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.returncode, said[-1]["records"] if said else 0, done.stderr


def disk_full(folder):
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        return "skipped: no right to mount a small file system"
    try:
        return on_small_disk(folder, disk)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def on_small_disk(folder, disk):
    node = Node(folder)
    node.data_dir = disk / "data-dir"
    node.start()
    try:
        node.cli("topics", "create", "kept", "--bootstrap-server", node.kafka)
        space = os.statvfs(disk)
        with open(disk / "filler", "wb") as filler:
            filler.write(bytes(max(0, space.f_bavail * space.f_frsize - 8_000_000)))
        rows = [f"{n} {'x' * 1000}\n" for n in range(150_000)]
        code, acked, said = produce(node, "kept", rows)
        check(code != 0, f"150 MB went onto a disk with 8 MB of space ({acked} acknowledged)")
        check("disk" in said.lower() or "space" in said.lower(), f"the producer's error: {said}")
        lived = node.process.poll() is None
        if lived:
            wait_for("what was acknowledged", lambda: node.end_offset("kept") >= acked)
            node.sql("SELECT 1")
        else:
            check("disk" in node.said().lower() or "space" in node.said().lower(), f"it ended with: {node.said()}")
        (disk / "filler").unlink()
        if not lived:
            node.start()

        def goes_on():
            code, more, _ = produce(node, "kept", ["and on\n"])
            return code == 0 and more == 1

        wait_for("a write once there is space", goes_on, 30, 0.5)
        node.kill()
        node.start()
        values = [record["value"] for record in node.records("kept")]
        check(len(values) > acked, f"{len(values)} records after the kill, {acked + 1} were acknowledged")
        wrong = [at for at in range(acked) if values[at] + "\n" != rows[at]]
        check(not wrong, f"records differ from offset {wrong[:1]} on")
        check(values[-1] == "and on", f"the last record is {values[-1][:40]!r}")
    finally:
        if node.process.poll() is None:
            node.stop()
    how = "lived on" if lived else "stopped with its reason"
    return f"{acked} rows acknowledged before the disk was full, the node {how}, nothing lost"


def main():
    passed, failed = 0, 0
    for part in (messages, garbage, disk_full):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="yeoul-bad-"))
        try:
            print(f"ok   {part.__name__}: {part(folder)}")
            passed += 1
            shutil.rmtree(folder)
        except Failed as failure:
            failed += 1
            print(f"FAIL {part.__name__}: {failure}\n     kept: {folder}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
