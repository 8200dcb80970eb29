"""Unmodified peers of the JVM against the running binary (quick part): Apache Kafka's own tools of 2.8.0, 3.9
and 4.3 with the write-ups' command lines letter by letter, its log reader on our log segments, the official
Java clients of 4.3 (idempotence, transactions, groups, admin), and Kafka Connect with a restart.

`install.sh` puts them into YEOUL_JVM (~/.cache/yeoul/jvm). Names of checks as arguments run only these.
"""
import sys
import tempfile

import peers
from connect import ConnectChecks
from tools import ToolChecks
from writeups import WriteUps
from yeoul_node import Node

LISTENERS = ["--kafka", "localhost:9092", "--kafka", "localhost:9093"]


def quick(result, node, folder):
    tools = [ToolChecks(version, node.kafka, folder, node.data_dir) for version in peers.VERSIONS]
    result.beside([WriteUps(folder).checks(), *[one.quick() for one in tools]])
    result.java(folder, node.kafka)
    # By now the log holds every codec, transactions, and their markers.
    result.beside([one.quiet() for one in tools])
    for one in ConnectChecks(node, folder).quick():
        result.one(*one)


def main():
    peers.own_network()
    result = peers.Result(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="yeoul-jvm-") as folder:
        node = Node(folder, options=LISTENERS).start()
        node.kafka = "localhost:9092"
        try:
            quick(result, node, folder)
        finally:
            if node.process.poll() is not None:
                result.failed += 1
                print(f"the node has ended: {node.said()}", flush=True)
            node.stop()
    return result.end()


if __name__ == "__main__":
    sys.exit(main())
