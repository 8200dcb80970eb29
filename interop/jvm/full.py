"""Unmodified peers of the JVM, what takes longer than `quick.py`: everything of it, then pyspark 3.5.0 with its
Kafka connector, the other tools (verifiable clients, log dirs, elections, latency), every codec, Connect over a
`kill -9` of the node, and the Java checks against Apache Kafka's own broker: what it does is what is right.
"""
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import peers
from connect import ConnectChecks
from peers import HERE, HOME, check
from quick import LISTENERS, quick
from tools import ToolChecks
from yeoul_node import Node, wait_for


def spark(result, folder, bootstrap):
    home = HOME / "spark-3.5.0"
    words = [str(home / "venv/bin/python"), str(HERE / "spark.py"), bootstrap, folder, str(home)]
    with open(pathlib.Path(folder) / "spark.err", "wb") as errors:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=600, check=False)
    print(done.stdout, end="", flush=True)
    lines = done.stdout.splitlines()
    result.passed += sum(line.startswith("ok ") for line in lines)
    failed = sum(line.startswith("FAILED ") for line in lines)
    if done.returncode and not failed:
        print(f"FAILED  spark: {(pathlib.Path(folder) / 'spark.err').read_text()[-1500:]}")
    result.failed += failed or bool(done.returncode)


def reference(result, folder):
    """The same Java program against Apache Kafka: a check that fails there asks for something that is not so."""
    port = 19092
    log = open(pathlib.Path(folder) / "broker.log", "wb")
    broker = subprocess.Popen(["bash", str(HERE / "broker.sh"), f"{folder}/kafka", str(port)], stdout=log, stderr=log)
    try:
        wait_for("Apache Kafka's broker", lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True, 120)
        time.sleep(1)
        print("against Apache Kafka's broker:")
        there = peers.Result([])
        there.java(folder, f"127.0.0.1:{port}")
        result.passed += there.passed
        result.failed += there.failed
    finally:
        broker.send_signal(signal.SIGTERM)
        broker.wait(60)


def main():
    peers.own_network(before=[["bash", str(HERE / "install.sh"), "spark"]])
    result = peers.Result(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="yeoul-jvm-") as folder:
        node = Node(folder, options=LISTENERS).start()
        node.kafka = "localhost:9092"
        try:
            quick(result, node, folder)
            result.beside([ToolChecks(version, node.kafka, folder, node.data_dir).full() for version in peers.VERSIONS])
            if result.wants("spark"):
                spark(result, folder, node.kafka)
            for one in ConnectChecks(node, folder).full():
                result.one(*one)
        finally:
            check(node.process.poll() is None, f"the node has ended: {node.said()}")
            node.stop()
        if result.wants("reference"):
            reference(result, folder)
    return result.end()


if __name__ == "__main__":
    sys.exit(main())
