"""Ours and the others as this bench drives them: load, ask, measure. Answers come as rows of plain values."""
import atexit
import http.client
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "interop" / "lib"))
from yeoul_node import Failed, Node, binary, check, wait_for  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = "id BIGINT, station STRING, region STRING, kind STRING, user_id BIGINT, bikes BIGINT, amount DOUBLE"
TOPIC = """\
topics:
  {topic}:
    schema: "ts BIGINT, {columns}"
"""
EVENTS = """\
tables:
  {table}: {{ from: {topic}, time: {{ column: ts, format: ms }}, partition: hour }}
"""
# Answers of sealed table segments may be kept; the raw figures must not come from such.
NO_CACHE = {"useCache": False, "populateCache": False, "useResultLevelCache": False, "populateResultLevelCache": False}
# What is not sealed by its size is sealed after a minute.
SEAL_S = 63
EXACT = {"useApproximateCountDistinct": False}

STARTED = []


@atexit.register
def leave_none():
    """Whatever ended this run, no node outlives it."""
    for node in STARTED:
        if node.process.poll() is None:
            node.kill()


class Peer:
    """`peer.py`, asked line by line."""

    def __init__(self, name, folder):
        self.name = name
        words = [sys.executable, str(HERE / "peer.py"), name, str(folder)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do, **more):
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        check(line, f"{self.name} ended while asked to {do}")
        answer = json.loads(line)
        check("error" not in answer, f"{self.name}, {do} {str(more)[:300]}: {answer.get('error')}")
        return answer["value"]

    def measure(self, sql, repeats):
        return self.ask("measure", sql=sql, repeats=repeats)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Ours:
    """A node and Druid's SQL over one connection that stays."""

    name = "yeoul"

    def __init__(self, folder, pipeline, options=()):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "pipeline.yaml"
        path.write_text(pipeline, encoding="utf-8")
        self.node = Node(folder, [path], options)

    def start(self):
        self.node.start(limit_s=600)
        STARTED.append(self.node)
        self.connection = http.client.HTTPConnection(self.node.http[7:], timeout=600)
        return self

    def rows(self, sql, cache=False):
        context = EXACT | ({} if cache else NO_CACHE)
        body = json.dumps({"query": sql, "resultFormat": "array", "context": context})
        self.connection.request("POST", "/druid/v2/sql", body, {"content-type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Failed(f"{answer.status} for {sql}: {text[:600]!r}")
        return json.loads(text)

    def count(self, table, what="COUNT(*)"):
        """Rows, or another number; 0 while the table is not there."""
        try:
            return self.rows(f"SELECT {what} FROM {table}")[0][0] or 0
        except Failed as failure:
            if f"no table `{table}`" in str(failure):
                return 0
            raise

    def measure(self, sql, repeats, cache=False):
        self.rows(sql, cache)
        began, cpu = time.perf_counter(), self.node.cpu_s()
        for _ in range(repeats):
            rows = self.rows(sql, cache)
        return {"rows": rows, "cpu_ms": (self.node.cpu_s() - cpu) * 1000 / repeats,
                "wall_ms": (time.perf_counter() - began) * 1000 / repeats}

    def settle(self):
        """Waits until the process does nothing any more."""
        last = self.node.cpu_s()
        quiet = 0
        while quiet < 4:
            time.sleep(0.25)
            now = self.node.cpu_s()
            quiet = quiet + 1 if now - last <= 0.02 else 0
            last = now

    def stop(self):
        self.connection.close()
        self.node.stop(limit_s=600)

    def stop_counted(self):
        """Stops and returns the processor time of the whole life."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.stop()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def produce(node, topic, lines):
    """A file of JSON lines into a topic, by the binary itself."""
    with open(lines, "rb") as source:
        words = [binary(), "produce", topic, "--bootstrap-server", node.kafka]
        done = subprocess.run(words, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    check(done.returncode == 0, f"yeoul produce: {done.stderr.decode(errors='replace')}")


def ingest(folder, pipeline, table, rows, what="COUNT(*)"):
    """The topic is there; makes the table from it and seals. Processor seconds and most memory of it all."""
    ours = Ours(folder, pipeline).start()
    began = time.monotonic()
    wait_for(f"{rows} rows in {table}", lambda: ours.count(table, what) >= rows, 3_600, 1.0)
    took = time.monotonic() - began
    # The rest is sealed when it has waited its time.
    time.sleep(SEAL_S)
    ours.settle()
    memory = ours.node.memory_mb("VmHWM")
    return {"wall_s": took, "cpu_s": ours.stop_counted(), "rss_mb": memory}


def disk_of(folder, table):
    """Bytes of a table's files; of these, bytes of the columns that say where a row comes from."""
    import pyarrow.parquet

    total, origin, rows, files = 0, 0, 0, 0
    for path in sorted((folder / "data-dir" / "tables" / table).glob("*.parquet")):
        about = pyarrow.parquet.ParquetFile(path).metadata
        total, rows, files = total + path.stat().st_size, rows + about.num_rows, files + 1
        for group in range(about.num_row_groups):
            for column in range(about.num_columns):
                chunk = about.row_group(group).column(column)
                if chunk.path_in_schema in ("_partition", "_offset"):
                    origin += chunk.total_compressed_size
    return {"bytes": total, "origin_bytes": origin, "rows": rows, "files": files}


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)


def mebibytes(path):
    return os.stat(path).st_size / 1e6
