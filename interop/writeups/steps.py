"""Shared by the scripts of the write-ups: each holds one check per step it proves, by the step's name.

A script fails when a check fails, and also when `docs/writeups.md` ticks a step with its name for which it
has no check: a tick cannot be had without one. Step names as arguments run only these.
"""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

CLIENTS = pathlib.Path(os.environ.get("YEOUL_CLIENTS") or pathlib.Path.home() / ".cache/yeoul/clients")
VENV = CLIENTS / "venv/bin/python"
if VENV.exists() and pathlib.Path(sys.prefix).resolve() != VENV.parents[1].resolve():
    os.execv(VENV, [str(VENV), *sys.argv])

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import ROOT, Failed, Node, binary, check, wait_for  # noqa: E402

LIMIT_S = 20


def main(checks, nodes):
    """Runs `checks` (step → function), stops `nodes`, and ends the process."""
    here = f"interop/writeups/{pathlib.Path(sys.argv[0]).name}"
    text = (ROOT / "docs/writeups.md").read_text(encoding="utf-8")
    ticked = re.findall(rf"^- \[x\] (\w+) .*<!-- run: {re.escape(here)} -->$", text, re.MULTILINE)
    without = sorted(set(ticked) - set(checks))
    only, failed, passed = sys.argv[1:], len(without), 0
    if without:
        print(f"FAIL ticked for this script, but it has no check for {', '.join(without)}")
    try:
        for step, one in checks.items():
            if only and step not in only:
                continue
            began = time.monotonic()
            try:
                said = one()
                passed += 1
                print(f"ok   {step}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as error:  # noqa: BLE001: whatever a client raises is a failed step
                failed += 1
                trace = "" if isinstance(error, Failed) else traceback.format_exc()
                print(f"FAIL {step}: {error}\n{trace}", flush=True)
    finally:
        for node in nodes:
            if node.process is not None and node.process.poll() is None:
                node.kill()
            shutil.rmtree(node.folder, ignore_errors=True)
    print(f"{passed} steps hold, {failed} do not")
    sys.exit(1 if failed or not passed else 0)


def new_node(**kwargs):
    """A node on a folder of its own and free ports; not started yet."""
    return Node(tempfile.mkdtemp(prefix="yeoul-writeup-"), **kwargs)


def fails(*words, limit_s=LIMIT_S, **kwargs):
    """Runs the binary, which must end with an error, and returns all it said."""
    done = subprocess.run(
        [binary(), *words], capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL, **kwargs
    )
    check(done.returncode != 0, f"yeoul {' '.join(words)} did not fail")
    return done.stdout + done.stderr


def kafka(node, *words):
    """A command that speaks Kafka's protocol to the node."""
    return node.cli(*words, "--bootstrap-server", node.kafka, limit_s=LIMIT_S)


def http(node, *words):
    return node.cli(*words, "--url", node.http, limit_s=LIMIT_S)


def kcat(node, *words, **kwargs):
    words = ["kcat", "-b", node.kafka, "-X", "fetch.wait.max.ms=10", *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, **kwargs)
    check(done.returncode == 0, f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def kafka_python_reads(node, topic, count):
    """The first `count` values of a topic from the beginning, as a consumer of kafka-python gets them."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic, bootstrap_servers=node.kafka, auto_offset_reset="earliest", group_id=None,
        consumer_timeout_ms=10_000,
    )
    rows = [message.value.decode() for _, message in zip(range(count), consumer)]
    consumer.close()
    return rows


def apply(node, text, name="pipeline.yaml", *words):
    """Makes the running node follow this pipeline, through `yeoul apply`."""
    path = node.folder / name
    path.write_text(text, encoding="utf-8")
    return http(node, "apply", str(path), *words)


def page_shows(node, *looks):
    """Looks at the node's page in a browser; `page.mjs` says what can be looked for."""
    words = ["node", str(pathlib.Path(__file__).with_name("page.mjs")), node.http, json.dumps(looks)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=2 * LIMIT_S)
    check(done.returncode == 0, f"the page, looking for {looks}: {done.stderr.strip()[-600:]}")


def partitions(node, topic):
    listed = json.loads(kcat(node, "-L", "-J", "-t", topic))
    (found,) = [one for one in listed["topics"] if one["topic"] == topic]
    return len(found["partitions"])


def component(node, name):
    """A component of `yeoul status --output json`."""
    every = json.loads(http(node, "status", "--output", "json"))["components"]
    found = [one for one in every if one["id"] == name]
    check(found, f"status does not name {name}: {[one['id'] for one in every]}")
    return found[0]


def stream_values(node, name, wanted):
    """(key, value) of every record of a stream's topic, once it has `wanted` of them."""
    wait_for(f"{wanted} records in {name}", lambda: node.end_offset(name) >= wanted, LIMIT_S)
    records = [one for p in range(partitions(node, name)) for one in node.records(name, p)]
    return [(record["key"], json.loads(record["value"])) for record in records]


def count(node, table, where="true"):
    return node.sql(f"SELECT count(*) FROM {table} WHERE {where}")[0][0]


def same_bag(got, wanted, what):
    got, wanted = collections.Counter(got), collections.Counter(wanted)
    missing, extra = wanted - got, got - wanted
    check(
        got == wanted,
        f"{what}: {missing.total()} missing, {extra.total()} too many; "
        f"first {list(missing)[:1]} / {list(extra)[:1]}",
    )


def listening(node):
    """The TCP ports on which the node's process listens."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{node.process.pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
        except FileNotFoundError:
            continue
        if found:
            inodes.add(found[1])
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def port(address):
    return int(address.rsplit(":", 1)[1])


def start_with_nothing(node):
    """Starts the node without PATH, HOME or any other variable: what it needs it brings."""
    saved = dict(os.environ)
    try:
        for name in saved:
            if name != "YEOUL_BIN":
                del os.environ[name]
        node.start()
    finally:
        os.environ.update(saved)
    return node


def processes_below(pid):
    """The processes a process has started."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found
