"""The first figures of the whole node, each with the machine's own beside it.

  sync      p50 of one 4 KiB write + fdatasync in a loop on the same file system
  start     spawn to ready file, empty data folder (median of 10)
  idle      resident memory 5 s after an empty node is ready
  tail      a file of film rows → topic, durable: MB of the file per second of processor time
  latency   10,000 rows/s into a file: from the write of a row to the end of the first query that
            sees it (so the query's own time is in it), p50 and p99
  memory    the most resident memory while `tail` and `latency` ran

Run by `YEOUL_BIN=… cargo xtask bench`. Prints one JSON object, then one line of summary.
YEOUL_BENCH_MB (100), YEOUL_BENCH_SECONDS (20), YEOUL_BENCH_ROWS_PER_S (10000), YEOUL_BENCH_DIR.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "interop" / "lib"))
from yeoul_node import Failed, Node, binary, check, wait_for  # noqa: E402

MEGABYTES = int(os.environ.get("YEOUL_BENCH_MB", "100"))
SECONDS = float(os.environ.get("YEOUL_BENCH_SECONDS", "20"))
RATE = int(os.environ.get("YEOUL_BENCH_ROWS_PER_S", "10000"))
SOURCE = """\
sources:
  movies:
    tail: { path: [movies.tsv], read_from: beginning }
    decode:
      tsv:
        columns: { time: int, movie: string, title: string, title_eng: string, year: int, grade: string }
"""
TO_TABLE = """\
streams:
  korean_movies:
    sql: SELECT movie, title, year, grade, time AS n, to_timestamp(time) AS ts FROM movies
    key: movie
tables:
  films: { from: korean_movies, time: { column: ts }, partition: day }
"""


def film(n):
    """A row of about 80 bytes whose `time` is its number, one second apart."""
    return f"{1_700_000_000 + n}\t{n:07d}\t푸른 골목의 약속 {n % 977}\tPromise Of The Blue Alley , 19{n % 90 + 10}\t19{n % 90 + 10}\tPG\n"


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def sync(folder):
    page = os.urandom(4096)
    fd = os.open(folder / "sync.bin", os.O_WRONLY | os.O_CREAT)
    os.write(fd, page * 1024)
    os.fsync(fd)
    times = []
    for at in range(500):
        began = time.perf_counter()
        os.pwrite(fd, page, 4096 * (at % 1024))
        os.fdatasync(fd)
        times.append(time.perf_counter() - began)
    os.close(fd)
    times.sort()
    return {"fdatasync_p50_ms": round(times[250] * 1e3, 3), "fdatasync_p99_ms": round(times[495] * 1e3, 3)}


def start(folder):
    times = []
    for at in range(10):
        node = Node(fresh(folder, f"start-{at}")).start()
        times.append(node.ready_s)
        node.stop()
    return {"start_ready_ms": round(statistics.median(times) * 1e3, 1), "start_ready_max_ms": round(max(times) * 1e3, 1)}


def idle(folder):
    node = Node(fresh(folder, "idle")).start()
    time.sleep(5)
    before, began = node.cpu_s(), time.monotonic()
    time.sleep(5)
    busy = (node.cpu_s() - before) / (time.monotonic() - began)
    result = {"idle_rss_mb": round(node.memory_mb(), 1), "idle_cpu_percent": round(busy * 100, 2)}
    node.stop()
    return result


def tail(folder):
    folder = fresh(folder, "tail")
    rows, size = 0, 0
    with open(folder / "movies.tsv", "w", encoding="utf-8") as file:
        while size < MEGABYTES * 1_000_000:
            part = "".join(film(n) for n in range(rows, rows + 10_000))
            file.write(part)
            rows, size = rows + 10_000, size + len(part.encode())
    (folder / "pipeline.yaml").write_text(SOURCE)
    node = Node(folder, [folder / "pipeline.yaml"])
    began = time.monotonic()
    node.start()
    # A record is shown only once it is durable, so the end offset is the durable end.
    wait_for(f"{rows} records", lambda: node.end_offset("movies") >= rows, 900, 0.2)
    wall, cpu = time.monotonic() - began, node.cpu_s()
    result = {
        "tail_mb": round(size / 1e6, 1),
        "tail_rows": rows,
        "tail_mb_per_cpu_s": round(size / 1e6 / cpu, 2),
        "tail_mb_per_s": round(size / 1e6 / wall, 2),
        "tail_rows_per_s": round(rows / wall),
        "tail_rss_max_mb": round(node.memory_mb("VmHWM"), 1),
    }
    node.stop()
    return result


class Writer(threading.Thread):
    """Appends RATE rows a second in steps of 5 ms and keeps (rows so far, moment of the write)."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.steps = path, []

    def run(self):
        began, rows = time.perf_counter(), 0
        with open(self.path, "ab", buffering=0) as file:
            while (passed := time.perf_counter() - began) < SECONDS:
                due = int(passed * RATE)
                if due > rows:
                    file.write("".join(film(n) for n in range(rows, due)).encode())
                    rows = due
                    self.steps.append((rows, time.perf_counter()))
                time.sleep(0.005)


def latency(folder):
    folder = fresh(folder, "latency")
    (folder / "pipeline.yaml").write_text(SOURCE + TO_TABLE)
    (folder / "movies.tsv").touch()
    node = Node(folder, [folder / "pipeline.yaml"]).start()
    writer = Writer(folder / "movies.tsv")
    writer.start()
    seen, queries = [], []

    def visible():
        began = time.perf_counter()
        count = node.sql("SELECT count(*) FROM films")[0][0]
        ended = time.perf_counter()
        queries.append(ended - began)
        seen.append((count, ended))
        return count

    while writer.is_alive():
        try:
            visible()
        except OSError:
            time.sleep(0.01)
        time.sleep(0.005)
    total = writer.steps[-1][0]
    wait_for(f"{total} rows visible", lambda: visible() >= total, 120, 0.01)
    waits, at, before = [], 0, 0
    for rows, written in writer.steps:
        while seen[at][0] < rows:
            at += 1
        waits += [seen[at][1] - written] * (rows - before)
        before = rows
    waits.sort()
    queries.sort()
    cpu = node.cpu_s()
    result = {
        "latency_rows": total,
        "latency_p50_ms": round(percentile(waits, 0.5) * 1e3, 1),
        "latency_p99_ms": round(percentile(waits, 0.99) * 1e3, 1),
        "latency_max_ms": round(waits[-1] * 1e3, 1),
        "latency_query_p50_ms": round(percentile(queries, 0.5) * 1e3, 1),
        "latency_queries": len(queries),
        "latency_cpu_s": round(cpu, 1),
        "latency_rss_max_mb": round(node.memory_mb("VmHWM"), 1),
    }
    node.stop()
    return result


def fresh(folder, name):
    path = folder / name
    path.mkdir()
    return path


def main():
    only = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="yeoul-bench-", dir=os.environ.get("YEOUL_BENCH_DIR")))
    figures = {"version": subprocess.run([binary(), "--version"], capture_output=True, text=True).stdout.strip()}
    try:
        for part in (sync, start, idle, tail, latency):
            if only and part.__name__ not in only:
                continue
            made = part(folder)
            figures |= made
            print(f"{part.__name__}: {made}", flush=True)
    except Failed as failure:
        sys.exit(f"FAIL: {failure}\nkept: {folder}")
    check(figures, "nothing was measured")
    shutil.rmtree(folder)
    print(json.dumps(figures, indent=1))
    print(", ".join(f"{name} {figure}" for name, figure in figures.items() if not name.endswith("_rows")))


main()
