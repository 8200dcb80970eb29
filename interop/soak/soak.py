"""Minutes of writing, reading and killing; at the end every row is there exactly once.

A file grows at a steady rate; each row has a number. A source, a stream and a table follow it. At
moments drawn from a seed the node is killed (-9) or stopped (SIGTERM) and started again. Checked at the
end: the topic holds the numbers 0..n-1 in order, the stream's topic too, the table counts n rows with n
different numbers and the right sum; the memory never passed its limit.

YEOUL_SOAK_MINUTES (10), YEOUL_SOAK_ROWS_PER_S (2000), YEOUL_SOAK_SEED (1).
"""
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import Failed, Node, check, wait_for  # noqa: E402

MINUTES = float(os.environ.get("YEOUL_SOAK_MINUTES", "10"))
RATE = int(os.environ.get("YEOUL_SOAK_ROWS_PER_S", "2000"))
SEED = int(os.environ.get("YEOUL_SOAK_SEED", "1"))
MEMORY_MB_MAX = 400
PIPELINE = """\
name: soak
sources:
  numbers:
    tail: { path: [numbers.tsv], read_from: beginning }
    decode: { tsv: { columns: { n: int, time: int, city: string } } }
streams:
  even_or_odd:
    sql: SELECT n, n % 2 AS odd, to_timestamp(time) AS ts, city FROM numbers
    key: city
tables:
  counted: { from: even_or_odd, time: { column: ts }, partition: hour }
"""
CITIES = ["서울", "부산", "대구", "인천", "광주", "대전", "울산", "세종"]


class Writer(threading.Thread):
    """Appends rows in steps of 10 ms until told to stop."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.rows, self.over = path, 0, threading.Event()

    def run(self):
        began = time.monotonic()
        with open(self.path, "a", encoding="utf-8") as file:
            while not self.over.wait(0.01):
                due = int((time.monotonic() - began) * RATE)
                for n in range(self.rows, due):
                    file.write(f"{n}\t{1_700_000_000 + n}\t{CITIES[n % len(CITIES)]}\n")
                file.flush()
                self.rows = due


def numbers(node, topic):
    return [json.loads(record["value"])["n"] for record in node.records(topic)]


def run(folder):
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "numbers.tsv").touch()
    dice = random.Random(SEED)
    node = Node(folder, [folder / "pipeline.yaml"]).start()
    writer = Writer(folder / "numbers.tsv")
    writer.start()
    end = time.monotonic() + MINUTES * 60
    kills = stops = 0
    memory = slowest = 0.0
    while time.monotonic() < end:
        until = min(end, time.monotonic() + dice.uniform(0.2, 20))
        while time.monotonic() < until:
            memory = max(memory, node.memory_mb("VmHWM"))
            time.sleep(min(0.2, max(0.0, until - time.monotonic())))
        if dice.random() < 0.75:
            node.kill()
            kills += 1
        else:
            node.stop()
            stops += 1
        node.start()
        slowest = max(slowest, node.ready_s)
    writer.over.set()
    writer.join()
    n = writer.rows
    wait_for(f"{n} rows in the table", lambda: node.sql("SELECT count(*) FROM counted")[0][0] >= n, 300, 0.5)
    for topic in ("numbers", "even_or_odd"):
        got = numbers(node, topic)
        check(got == list(range(n)), f"{topic}: {len(got)} records for {n} rows, or out of order")
    totals = node.sql("SELECT count(*), count(DISTINCT n), sum(n), sum(odd) FROM counted")[0]
    check(totals == [n, n, n * (n - 1) // 2, n // 2], f"table: {totals} for {n} rows")
    memory = max(memory, node.memory_mb("VmHWM"))
    check(memory < MEMORY_MB_MAX, f"the node took {memory:.0f} MB, limit {MEMORY_MB_MAX}")
    node.stop()
    return (
        f"{n} rows in {MINUTES:g} min at {RATE}/s, {kills} kills, {stops} stops, none lost or doubled; "
        f"memory at most {memory:.0f} MB, slowest start {slowest:.2f} s, seed {SEED}"
    )


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="yeoul-soak-"))
    try:
        said = run(folder)
    except Failed as failure:
        sys.exit(f"FAIL: {failure}\nkept: {folder}, seed {SEED}")
    shutil.rmtree(folder)
    print(said)


main()
