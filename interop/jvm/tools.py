"""Apache Kafka's command line tools of one version, each doing what it is for, against the node."""
import json
import pathlib
import re
import shutil
import time

from peers import Tools, check
from yeoul_node import wait_for

PERF_RECORDS = 20_000


class ToolChecks:
    """`quick` in order: later ones use what earlier ones made."""

    def __init__(self, version, bootstrap, folder, data_dir=None):
        self.tools = Tools(version, bootstrap, folder)
        self.version = version
        self.folder = pathlib.Path(folder)
        self.data_dir = data_dir and pathlib.Path(data_dir)
        self.topic = f"tools-{version.replace('.', '-')}"
        self.group = f"group-{version}"

    def quick(self):
        rows = [
            self.topics, self.configs, self.console, self.groups, self.offsets, self.delete_records,
            self.perf, self.transactions, self.deleted,
        ]
        return self.named(rows)

    def full(self):
        rows = [
            self.verifiable, self.every_codec, self.cluster, self.e2e_latency, self.compacted,
        ]
        return self.named(rows)

    def quiet(self):
        """What wants that nobody writes meanwhile."""
        return self.named([self.dump_log])

    def named(self, rows):
        return [(f"{self.version}.{work.__name__}", work) for work in rows]

    def old(self):
        return self.version.startswith("2.")

    def show(self, *settings):
        """What the console consumer prints of a record: Kafka 4.2 has another word for it and calls the old one late."""
        word = "--formatter-property" if self.version.startswith("4.") else "--property"
        return [part for setting in settings for part in (word, setting)]

    def keyed(self):
        word = "--reader-property" if self.version.startswith("4.") else "--property"
        return [word, "parse.key=true", word, "key.separator=:"]

    def topics(self):
        tools, topic = self.tools, self.topic
        said = tools.run("kafka-topics", "--create", "--topic", topic, "--partitions", "3", "--config", "segment.bytes=1048576")
        check(f"Created topic {topic}." in said.out, said.out)
        said = tools.run("kafka-topics", "--create", "--topic", topic, fails=True)
        check("already exists" in said.out + said.err, said.out + said.err)
        tools.run("kafka-topics", "--create", "--topic", topic, "--if-not-exists")
        tools.run("kafka-topics", "--alter", "--topic", topic, "--partitions", "4")
        said = tools.run("kafka-topics", "--describe", "--topic", topic)
        check("PartitionCount: 4" in said.out and "segment.bytes=1048576" in said.out, said.out)
        check(sum("Leader: 1" in line for line in said.lines) == 4, said.out)
        said = tools.run("kafka-topics", "--describe", "--unavailable-partitions")
        check(topic not in said.out, said.out)
        check(topic in tools.run("kafka-topics", "--list").lines, "not listed")
        return "made, refused twice, extended, described, listed"

    def configs(self):
        tools = self.tools
        entity = ["--entity-type", "topics", "--entity-name", self.topic]
        tools.run("kafka-configs", *entity, "--alter", "--add-config", "retention.bytes=100000000,cleanup.policy=[compact,delete]")
        said = tools.run("kafka-configs", *entity, "--describe")
        check("retention.bytes=100000000" in said.out and "cleanup.policy=compact,delete" in said.out, said.out)
        tools.run("kafka-configs", *entity, "--alter", "--delete-config", "retention.bytes,cleanup.policy")
        said = tools.run("kafka-configs", *entity, "--describe", "--all")
        check(re.search(r"retention\.bytes=-1 .*DEFAULT_CONFIG", said.out), said.out)
        check("DYNAMIC_TOPIC_CONFIG:segment.bytes=1048576" in said.out, said.out)
        said = tools.run("kafka-configs", *entity, "--alter", "--add-config", "retention.bites=1", fails=True)
        check("retention.bites" in said.out + said.err, said.out + said.err)
        said = tools.run("kafka-configs", "--entity-type", "brokers", "--entity-name", "1", "--describe", "--all")
        check("log.retention.ms=" in said.out and "message.max.bytes=" in said.out, said.out)
        return "set, described with sources, deleted; an unknown key refused; the broker's own"

    def console(self):
        tools, topic = self.tools, self.topic
        lines = [f"key{number}:값 {number}" for number in range(40)]
        tools.produce(topic, lines, *self.keyed(), "--compression-codec", "zstd")
        got = tools.consume(topic, 40, *self.show("print.key=true", "key.separator=:"), "--group", self.group)
        check(sorted(got) == sorted(lines), f"{got}")
        # Each key in the partition that every client of Kafka gives it.
        got = tools.consume(topic, 40, *self.show("print.partition=true", "print.key=true"))
        check(len({line.split("\t")[0] for line in got}) == 4, f"{got}")
        return "40 records with keys over 4 partitions, read in a group and without"

    def described(self):
        said = self.tools.run("kafka-consumer-groups", "--describe", "--group", self.group)
        rows = [line.split() for line in said.lines if line.startswith(self.group)]
        # group, topic, partition, current, end, lag
        return {int(row[2]): (row[3], row[4], row[5]) for row in rows}

    def groups(self):
        tools = self.tools
        check(self.group in tools.run("kafka-consumer-groups", "--list").lines, "not listed")
        rows = self.described()
        check(len(rows) == 4 and all(row[2] == "0" and row[0] == row[1] for row in rows.values()), f"{rows}")
        said = tools.run("kafka-consumer-groups", "--describe", "--group", self.group, "--state")
        check("Empty" in said.out, said.out)
        what = ["--group", self.group, "--topic", self.topic]
        tools.run("kafka-consumer-groups", "--reset-offsets", *what, "--to-earliest", "--execute")
        rows = self.described()
        check(all(row[0] == "0" for row in rows.values()), f"{rows}")
        check(sum(int(row[2]) for row in rows.values()) == 40, f"{rows}")
        tools.run("kafka-consumer-groups", "--delete-offsets", "--group", self.group, "--topic", f"{self.topic}:0")
        check(set(self.described()) == {1, 2, 3}, "offsets of partition 0")
        tools.run("kafka-consumer-groups", "--delete", "--group", self.group)
        check(self.group not in tools.run("kafka-consumer-groups", "--list").lines, "deleted and listed")
        return "listed, described with lag, reset, offsets deleted, deleted"

    def ends(self, time_):
        """Offsets by partition, by the tool that prints them."""
        where = "--broker-list" if self.old() else "--bootstrap-server"
        said = self.tools.run("kafka-get-offsets", "--topic", self.topic, "--time", str(time_), where=where)
        return {int(line.split(":")[1]): int(line.split(":")[2] or 0) for line in said.lines if line.count(":") == 2}

    def offsets(self):
        check(sum(self.ends(-1).values()) == 40, f"{self.ends(-1)}")
        check(self.ends(-2) == dict.fromkeys(range(4), 0), "earliest")
        check(all(offset == 0 for offset in self.ends(int(time.time() * 1000) - 3_600_000).values()), "an hour ago")
        return "latest, earliest, by time"

    def delete_records(self):
        ends = self.ends(-1)
        path = self.folder / f"{self.topic}.json"
        rows = [{"topic": self.topic, "partition": 0, "offset": -1}, {"topic": self.topic, "partition": 1, "offset": 1}]
        path.write_text(json.dumps({"partitions": rows, "version": 1}))
        said = self.tools.run("kafka-delete-records", "--offset-json-file", str(path))
        check(f"partition: {self.topic}-0\tlow_watermark: {ends[0]}" in said.out, said.out)
        check(self.ends(-2) == {0: ends[0], 1: 1, 2: 0, 3: 0}, f"{self.ends(-2)}")
        got = self.tools.consume(self.topic, sum(ends.values()) - ends[0] - 1)
        check(len(got) == sum(ends.values()) - ends[0] - 1, f"{got}")
        return f"all of one partition ({ends[0]}), one record of another"

    def perf(self):
        topic, count = f"{self.topic}-perf", str(PERF_RECORDS)
        self.tools.run("kafka-topics", "--create", "--topic", topic, "--partitions", "2")
        said = self.tools.run(
            "kafka-producer-perf-test", "--topic", topic, "--num-records", count, "--record-size", "200", "--throughput", "-1",
            "--producer-props", f"bootstrap.servers={self.tools.bootstrap}", "acks=all", "compression.type=lz4", where=None,
        )
        sent = [line for line in said.lines if line.startswith(f"{PERF_RECORDS} records sent")]
        check(sent, said.out)
        said = self.tools.run("kafka-consumer-perf-test", "--topic", topic, "--messages", count, "--timeout", "20000")
        read = said.lines[-1].split(",")
        check(int(read[4]) == PERF_RECORDS, said.out)
        rate = float(re.search(r"([\d.]+) records/sec", sent[-1]).group(1))
        return f"{PERF_RECORDS} records written ({rate:.0f}/s) and read"

    def transactions(self):
        if not self.tools.has("kafka-transactions"):
            return "no such tool in this version"
        said = self.tools.run("kafka-transactions", "list")
        check("TransactionalId" in said.out, said.out)
        said = self.tools.run("kafka-transactions", "describe-producers", "--topic", f"{self.topic}-perf", "--partition", "0")
        check("ProducerId" in said.out, said.out)
        said = self.tools.run("kafka-transactions", "find-hanging", "--broker-id", "1")
        rows = [line for line in said.lines if line.startswith(self.topic)]
        check(said.lines[0].startswith("Topic") and not rows, said.out)
        return "list, describe-producers, find-hanging"

    def segments(self):
        """Our log segments under names that the tool knows: by the first offset alone."""
        found = []
        for path in sorted(self.data_dir.glob("parts/*/*.log"), key=lambda path: path.stat().st_size)[-40:]:
            base = re.match(r"\d{20}", path.name)
            check(base, f"{path} does not begin with its base offset")
            if path.name != f"{base.group()}.log":
                folder = self.folder / f"dump-{self.version}" / path.parent.name
                folder.mkdir(parents=True, exist_ok=True)
                path = pathlib.Path(shutil.copy(path, folder / f"{base.group()}.log"))
            if path.stat().st_size:
                found.append(path)
        return found

    def dump_log(self):
        """Each log segment of the node as Kafka reads it: every checksum valid, offsets without a gap."""
        if self.data_dir is None:
            return "the broker is not ours"
        files = self.segments()
        said = self.tools.run(
            "kafka-dump-log", "--deep-iteration", "--files", ",".join(map(str, files)), where=None
        )
        batches = [line for line in said.lines if line.startswith("baseOffset:")]
        bad = [line for line in batches if "isvalid: true" not in line]
        check(batches and not bad, f"{len(batches)} batches, not valid: {bad[:3]}")
        check("Found" not in said.out, said.out[-500:])
        records, expected = 0, None
        for line in said.lines:
            if re.match(r"(Log s|S)tarting offset: \d", line):
                expected = int(line.split(":")[1])
            elif line.startswith("baseOffset:"):
                base, last = map(int, re.match(r"baseOffset: (\d+) lastOffset: (\d+)", line).groups())
                check(base == expected, f"a batch at {base} where {expected} is expected")
                expected = last + 1
                records += int(re.search(r" count: (\d+)", line).group(1))
        return f"{len(files)} log segments, {len(batches)} batches, {records} records"

    def deleted(self):
        self.tools.run("kafka-topics", "--delete", "--topic", self.topic)
        check(self.topic not in self.tools.run("kafka-topics", "--list").lines, "deleted and listed")
        said = self.tools.run("kafka-topics", "--delete", "--topic", self.topic, fails=True)
        check("does not exist" in said.out + said.err, said.out + said.err)
        return "gone, and refused twice"

    # --- only in full -------------------------------------------------------------------------------------

    def verifiable(self):
        topic = f"{self.topic}-verifiable"
        self.tools.run("kafka-topics", "--create", "--topic", topic, "--partitions", "2")
        where = "--broker-list" if self.old() else "--bootstrap-server"
        said = self.tools.run("kafka-verifiable-producer", "--topic", topic, "--max-messages", "2000", where=where)
        rows = [json.loads(line) for line in said.lines if line.startswith("{")]
        check(sum(row["name"] == "producer_send_success" for row in rows) == 2000, said.out[-500:])
        said = self.tools.run(
            "kafka-verifiable-consumer", "--topic", topic, "--group-id", topic, "--max-messages", "2000",
            "--reset-policy", "earliest", where=where,
        )
        rows = [json.loads(line) for line in said.lines if line.startswith("{")]
        read = sum(row["count"] for row in rows if row["name"] == "records_consumed")
        check(read == 2000, f"{read} records")
        return "2000 records sent, acknowledged, read in a group"

    def every_codec(self):
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
            topic = f"{self.topic}-{codec}"
            lines = [f"{codec} {number}" for number in range(100)]
            self.tools.produce(topic, lines, "--compression-codec", codec)
            check(self.tools.consume(topic, 100) == lines, codec)
        return "none, gzip, snappy, lz4, zstd"

    def cluster(self):
        tools, topic = self.tools, f"{self.topic}-perf"
        said = tools.run("kafka-broker-api-versions")
        check("Produce(0): 0 to" in said.out and "(id: 1 rack: null" in said.out, said.out[:300])
        said = tools.run("kafka-log-dirs", "--describe", "--topic-list", topic)
        dirs = json.loads(next(line for line in said.lines if line.startswith("{")))
        sizes = [one["size"] for one in dirs["brokers"][0]["logDirs"][0]["partitions"]]
        check(len(sizes) == 2 and sum(sizes) > 10_000, f"{dirs}")
        said = tools.run("kafka-leader-election", "--election-type", "preferred", "--topic", topic, "--partition", "0")
        check("already elected" in said.out or "Valid replica" in said.out, said.out)
        said = tools.run("kafka-reassign-partitions", "--list")
        check("No partition reassignments found." in said.out, said.out)
        return "api versions, log dirs, leader election, reassignments"

    def e2e_latency(self):
        topic = f"{self.topic}-e2e"
        self.tools.run("kafka-topics", "--create", "--topic", topic)
        if self.version.startswith("4."):
            words = ["--bootstrap-server", self.tools.bootstrap, "--topic", topic, "--num-records", "500",
                     "--producer-acks", "all", "--record-size", "100"]
        else:
            words = [self.tools.bootstrap, topic, "500", "all", "100"]
        said = self.tools.run("kafka-e2e-latency", *words, where=None)
        found = re.search(r"Percentiles: 50th = (\d+), 99th = (\d+), 99.9th = (\d+)", said.out)
        check(found, said.out[-300:])
        return f"500 records one by one, median {found.group(1)} ms, 99 % {found.group(2)} ms"

    def compacted(self):
        """Superseded records go once their log segment is closed; offsets stay, and Kafka's reader takes the new file."""
        topic = f"{self.topic}-compacted"
        self.tools.run(
            "kafka-topics", "--create", "--topic", topic, "--config", "cleanup.policy=compact",
            "--config", "min.cleanable.dirty.ratio=0.01", "--config", "segment.ms=100",
        )
        before = set(self.data_dir.glob("parts/*/*-*.log"))
        self.tools.produce(topic, [f"k{number % 5}:{number}" for number in range(100)], *self.keyed())
        # Written later than segment.ms, so the log segment before is closed.
        self.tools.produce(topic, ["k0:last"], *self.keyed())
        made = wait_for("a compacted log segment", lambda: set(self.data_dir.glob("parts/*/*-*.log")) - before, 150)
        said = self.tools.run(
            "kafka-console-consumer", "--topic", topic, "--from-beginning", "--timeout-ms", "8000",
            *self.show("print.key=true", "key.separator=:", "print.offset=true"), fails=None,
        )
        rows = [line.split("\t")[-1].split("Offset:")[-1] for line in said.lines if "k" in line and ":" in line]
        values = sorted(line.rsplit(":", 1)[-1] for line in rows)
        check(values == sorted(["96", "97", "98", "99", "last"]) or values == sorted(["95", "96", "97", "98", "99", "last"]),
              f"{said.out}")
        check("Offset:99" in said.out and "Offset:100" in said.out, said.out)
        return f"{len(rows)} of 101 records left at their offsets, {len(made)} new log segments"
