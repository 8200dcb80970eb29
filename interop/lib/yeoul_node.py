"""A node of Yeoul as a script drives it: start, kill, ask over HTTP, measure. Python 3, stdlib only.

Every wait has a limit and fails with what was last seen; nothing sleeps a fixed time and hopes.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def binary():
    """The binary under test: YEOUL_BIN, as `cargo xtask` sets it."""
    path = os.environ.get("YEOUL_BIN")
    if not path or not os.path.isfile(path):
        sys.exit("set YEOUL_BIN to the yeoul binary (cargo xtask does)")
    return path


class Failed(Exception):
    """A check that did not hold."""


def check(holds, what):
    if not holds:
        raise Failed(what)


def wait_for(what, seen, limit_s=60.0, every_s=0.05):
    """Polls `seen()` until it returns something true, which is returned. Node errors count as 'not yet'."""
    end = time.monotonic() + limit_s
    last = None
    while True:
        try:
            last = seen()
            if last:
                return last
        except (OSError, urllib.error.URLError, KeyError, ValueError) as error:
            last = repr(error)
        if time.monotonic() > end:
            raise Failed(f"waited {limit_s:.0f} s for {what}; last seen: {last}")
        time.sleep(every_s)


class HttpFailure(OSError):
    """An answer of 4xx or 5xx, with its body."""

    def __init__(self, status, body):
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.body = body


class Node:
    """One process over one data folder. `start` may be called again after `kill`."""

    def __init__(self, folder, pipelines=(), options=()):
        self.folder = pathlib.Path(folder)
        self.data_dir = self.folder / "data-dir"
        self.pipelines = [str(path) for path in pipelines]
        self.options = list(options)
        self.process = None
        self.http = None
        self.kafka = None
        self.starts = 0
        self.ready_s = None

    def start(self, limit_s=60.0):
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        self.starts += 1
        self.log = open(self.folder / f"node-{self.starts}.log", "wb")
        words = self.words(ready)
        began = time.monotonic()
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )

        def serves():
            if self.process.poll() is not None:
                raise Failed(f"the node ended with {self.process.returncode}: {self.said()}")
            return ready.exists() and ready.read_text()

        places = json.loads(wait_for("the ready file", serves, limit_s, every_s=0.002))
        self.ready_s = time.monotonic() - began
        self.http = "http://" + places["http"]
        self.kafka = places["kafka"][0]
        return self

    def words(self, ready):
        """The command line; YEOUL_BIN may be yeoul-kafka's example `serve`, which has the Kafka listener only."""
        if pathlib.Path(binary()).name == "serve":
            listeners = [to for flag, to in zip(self.options, self.options[1:]) if flag == "--kafka"]
            return [binary(), str(self.data_dir), ",".join(listeners) or "127.0.0.1:0", str(ready)]
        words = [binary(), "run", *self.pipelines, "--data-dir", str(self.data_dir)]
        words += ["--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--ready-file", str(ready)]
        return words + self.options

    def said(self):
        """The last lines the node wrote."""
        text = (self.folder / f"node-{self.starts}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def kill(self):
        """kill -9: no goodbye, as a crash."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, limit_s=30.0):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"the node did not stop within {limit_s:.0f} s of SIGTERM") from None

    def request(self, path, body=None, limit_s=30.0):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data=data)
        if data is not None:
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=limit_s) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise HttpFailure(error.code, error.read().decode(errors="replace")) from None

    def sql(self, query):
        """Rows as lists, in the query's order of columns."""
        return self.request("/api/v1/sql", {"query": query, "limit": 1_000_000})["rows"]

    def end_offset(self, topic):
        """Records ever given to the topic, over all partitions; 0 while it is not there."""
        try:
            return sum(self.request(f"/api/v1/topics/{topic}")["end_offsets"])
        except HttpFailure as error:
            if error.status == 404:
                return 0
            raise

    def records(self, topic, partition=0):
        """Every record of a partition, in order."""
        at, all_records = 0, []
        end = self.request(f"/api/v1/topics/{topic}")["end_offsets"][partition]
        while at < end:
            path = f"/api/v1/topics/{topic}/records?from={at}&partition={partition}&limit=500"
            page = self.request(path)["records"]
            check(page, f"{topic}/{partition}: nothing from {at} on, though it ends at {end}")
            all_records += page
            at = page[-1]["offset"] + 1
        return all_records

    def cli(self, *words, limit_s=60.0):
        """Runs a command of the binary against this node and returns what it prints."""
        done = subprocess.run(
            [binary(), *words], capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL
        )
        check(done.returncode == 0, f"yeoul {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def cpu_s(self):
        """Processor time of the process so far, user and system, in seconds."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def memory_mb(self, key="VmRSS"):
        """Resident memory in MB (10^6); `VmHWM` is the most it ever was."""
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024 / 1e6
        raise Failed(f"no {key} in the process's status")
