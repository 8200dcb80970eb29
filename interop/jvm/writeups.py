"""The write-ups' own command lines, letter by letter, with the tools of Kafka 2.8.0.

They speak to localhost:9092 and localhost:9093 (the course's container), so the node listens on both. What a
write-up leaves open (a name of one's own) is filled in; what does not work with Kafka must not work here.
"""
import os
import signal
import subprocess
import tempfile
import time

from peers import LIMIT_S, Tools, check

MESSAGES = ["This is a message", "This is another message"]


class WriteUps:
    def __init__(self, folder):
        self.tools = Tools("2.8.0", "localhost:9092", folder)

    def said(self, line, give="", fails=False):
        return self.tools.shell(line, give=give, fails=fails)

    def checks(self):
        return [
            ("writeup.bikes", self.bikes),
            ("writeup.course", self.course),
            ("writeup.tweets", self.tweets),
            ("writeup.basics", self.basics),
        ]

    def watched(self, consumer, then, want):
        """A consumer that is started first and ended by Ctrl-C once it has shown what `then` sends."""
        with tempfile.TemporaryFile("w+b") as shown:
            process = subprocess.Popen(
                ["bash", "-c", "exec " + consumer], cwd=self.tools.home, stdout=shown,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )
            try:
                end = time.monotonic() + LIMIT_S
                lines = []
                # It begins at the end of the topic, and when it has got there nobody is told: send until it shows.
                while not set(want) <= set(lines):
                    check(time.monotonic() < end, f"`{consumer}` showed {lines}")
                    then()
                    shown.seek(0)
                    lines = shown.read().decode().splitlines()
                return lines
            finally:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def bikes(self):
        said = self.said("""./bin/kafka-topics.sh --create --topic bike-station-info \\
--bootstrap-server localhost:9092 --partitions 3 """)
        check("Created topic bike-station-info." in said.out, said.out)
        said = self.said("""./bin/kafka-topics.sh --describe --topic bike-station-info \\
--bootstrap-server localhost:9092""")
        check("PartitionCount: 3" in said.out and "ReplicationFactor: 1" in said.out, said.out)
        check(sum("Leader: 1" in line and "Isr: 1" in line for line in said.lines) == 3, said.out)
        station = '{"stationName": "102. 망원역 1번출구 앞", "parkingBikeTotCnt": "10"}'
        self.watched(
            """./bin/kafka-console-consumer.sh \\
--bootstrap-server localhost:9092 \\
--topic bike-station-info""",
            lambda: self.tools.produce("bike-station-info", [station]), [station],
        )
        return "topic of 3 partitions made, described, watched"

    def course(self):
        boot = 'boot="--bootstrap-server localhost:9093"\n'
        movies = [f'{{"movie":"{number}","title":"핑크 팬더 {number}"}}' for number in range(8)]
        self.tools.produce("movies", movies)
        said = self.said(boot + "bin/kafka-console-consumer.sh $boot --topic movies --from-beginning --max-messages 5")
        check(said.out.splitlines() == movies[:5], said.out)
        check("Processed a total of 5 messages" in said.err + said.out, said.err)
        # The name is the reader's to choose: as it stands there it is none that Kafka takes.
        create = "bin/kafka-topics.sh $boot --create --topic \"{}\" --partitions 1 --replication-factor 1 --config retention.ms=3600000"
        said = self.said(boot + create.format("토픽이름"), fails=True)
        check("InvalidTopicException" in said.out + said.err, said.out + said.err)
        self.said(boot + "bin/kafka-topics.sh $boot --delete --topic \"movies\"")
        check("movies" not in self.said(boot + "bin/kafka-topics.sh $boot --list").lines, "deleted and listed")
        self.said(boot + create.format("movies"))
        said = self.said(boot + "bin/kafka-topics.sh $boot --describe --topic movies")
        check("PartitionCount: 1" in said.out and "retention.ms=3600000" in said.out, said.out)
        self.tools.produce("movies", movies[:5])
        said = self.said(boot + "bin/kafka-console-consumer.sh $boot --topic movies --from-beginning --max-messages 5")
        check(said.out.splitlines() == movies[:5], said.out)
        return "five messages from the beginning; deleted, made again, loaded again"

    def tweets(self):
        self.said(
            "./bin/kafka-topics.sh --create --topic twitter --bootstrap-server \\ localhost:9092"
            " --replication-factor 1 --partitions 1"
        )
        check("twitter" in self.said("./bin/kafka-topics.sh --list --bootstrap-server localhost:9092").lines, "list")
        said = self.said("./bin/kafka-topics.sh --describe --bootstrap-server localhost:9092")
        check("Topic: twitter" in said.out, said.out)
        # The tool for topics knows neither entities nor --add-config. The right one is kafka-configs.sh.
        wrong = (
            "./bin/kafka-topics.sh --bootstrap-server localhost:9092 --entity-type topics --entity-name twitter"
            " --alter --add-config retention.bytes=100000000"
        )
        said = self.said(wrong, fails=True)
        check("entity-type is not a recognized option" in said.err, said.err)
        self.said(wrong.replace("kafka-topics.sh", "kafka-configs.sh"))
        said = self.said("./bin/kafka-topics.sh --describe --topic twitter --bootstrap-server localhost:9092")
        check("retention.bytes=100000000" in said.out, said.out)
        self.watched(
            "./bin/kafka-console-consumer.sh --bootstrap-server localhost:9092 -topic twitter",
            lambda: self.said(
                "./bin/kafka-console-producer.sh --broker-list localhost:9092 -topic twitter", give="hello\n방탄\n"
            ),
            ["hello", "방탄"],
        )
        return "made, listed, described; retention.bytes by the wrong tool refused, by the right one set; watched"

    def basics(self):
        self.said(
            "bin/kafka-topics.sh --create --bootstrap-server localhost:9092 --replication-factor 1 --partitions 1 --topic test"
        )
        check("test" in self.said("bin/kafka-topics.sh --list --bootstrap-server localhost:9092").lines, "list")
        give = "".join(message + "\n" for message in MESSAGES)
        self.said("bin/kafka-console-producer.sh --broker-list localhost:9092 --topic test", give=give)
        lines = self.watched(
            "bin/kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic test --from-beginning",
            lambda: time.sleep(0.1), MESSAGES,
        )
        check(lines == MESSAGES, f"{lines}")
        return "two messages typed and read from the beginning"


