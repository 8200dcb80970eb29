"""Kafka Connect in standalone mode, as in the write-ups: a file's lines into a topic, the topic into a file.

A source of Connect is at least once over a crash and exactly once over an orderly stop: its offset is written
to a file of its own when it stops. So an orderly restart must show each line once. (Lines are ASCII: the file
source counts characters and skips bytes.)
"""
import os
import pathlib
import signal
import subprocess

from peers import CONNECT, Tools, check
from yeoul_node import wait_for

LINES = 500

WORKER = """bootstrap.servers={bootstrap}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{port}
plugin.discovery=service_load
consumer.auto.offset.reset=earliest
consumer.session.timeout.ms=6000
"""
SOURCE = """name=lines-in
connector.class=org.apache.kafka.connect.file.FileStreamSourceConnector
tasks.max=1
file={folder}/in.txt
topic=connect-lines
topic.creation.default.partitions=1
topic.creation.default.replication.factor=1
"""
SINK = """name=lines-out
connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector
tasks.max=1
file={folder}/out.txt
topics=connect-lines
"""


class ConnectChecks:
    def __init__(self, node, folder):
        self.node = node
        self.folder = pathlib.Path(folder) / "connect"
        self.worker = None

    def quick(self):
        return [("connect.restart", self.restart)]

    def full(self):
        return [("connect.broker_killed", self.broker_killed)]

    def prepare(self, name):
        self.folder = self.folder / name
        self.folder.mkdir(parents=True)
        values = {"bootstrap": self.node.kafka, "folder": self.folder, "port": 8083}
        for file, text in [("worker", WORKER), ("source", SOURCE), ("sink", SINK)]:
            text = text.format(**values).replace("connect-lines", f"connect-{name}").replace("lines-", f"{name}-")
            (self.folder / f"{file}.properties").write_text(text)
        (self.folder / "in.txt").touch()

    def start(self):
        words = [str(CONNECT / "bin/connect-standalone.sh")]
        words += [str(self.folder / f"{file}.properties") for file in ("worker", "source", "sink")]
        with open(self.folder / "worker.log", "ab") as log:
            self.worker = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "KAFKA_HEAP_OPTS": "-Xmx384m"})

    def stop(self):
        if self.worker and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(60)

    def write(self, start, count):
        with open(self.folder / "in.txt", "a", encoding="utf-8") as file:
            file.writelines(f"line {number}\n" for number in range(start, start + count))

    def shown(self):
        out = self.folder / "out.txt"
        return out.read_text(encoding="utf-8").splitlines() if out.exists() else []

    def arrives(self, count):
        def seen():
            if self.worker.poll() is not None:
                raise ValueError((self.folder / "worker.log").read_text()[-1500:])
            return len(self.shown()) >= count

        try:
            wait_for(f"{count} lines", seen, 90)
        except Exception as error:
            log = (self.folder / "worker.log").read_text(errors="replace")
            raise type(error)(f"{error}; {len(self.shown())} lines; {log[-1500:]}") from None

    def restart(self):
        """Each line once, in order, over an orderly restart of the worker."""
        self.prepare("restart")
        try:
            self.start()
            self.write(0, LINES)
            self.arrives(LINES)
            self.stop()
            self.write(LINES, LINES)
            self.start()
            self.arrives(2 * LINES)
            self.stop()
        finally:
            self.stop()
        want = [f"line {number}" for number in range(2 * LINES)]
        check(self.shown() == want, f"{len(self.shown())} lines, {len(set(self.shown()))} different")
        return f"{2 * LINES} lines through source, topic and sink, each once, over a restart"

    def broker_killed(self):
        """The node dies under Connect and comes back: no line is lost, and none comes again whose offset was committed."""
        self.prepare("killed")
        try:
            self.start()
            self.write(0, LINES)
            self.arrives(LINES)
            tools = Tools("4.3.0", self.node.kafka, self.folder)
            wait_for("the sink's offset", lambda: any(
                line.split()[3:4] == [str(LINES)]
                for line in tools.run("kafka-consumer-groups", "--describe", "--group", "connect-killed-out").lines
            ), 60)
            self.node.kill()
            self.write(LINES, LINES)
            self.node.start()
            self.node.kafka = "localhost:9092"
            self.arrives(2 * LINES)
            self.stop()
        finally:
            self.stop()
        shown = self.shown()
        want = [f"line {number}" for number in range(2 * LINES)]
        check(set(shown) == set(want), f"{len(set(shown))} different lines")
        check(shown[:LINES] == want[:LINES] and not set(shown[LINES:]) & set(want[:LINES]), "lines came again")
        return f"{2 * LINES} lines over a kill -9 of the node, {len(shown) - 2 * LINES} twice"
