"""Writes bin/kafka-*.sh beside libs/, as Kafka's distribution has them: `wrappers.py FOLDER FINAL_FOLDER`.

A Maven repository holds Kafka's jars but not its scripts. Each script there starts one class, and which
one moved over the versions, so the first that the jars hold is taken. `log4j` warnings go to stderr.
"""
import pathlib
import sys
import zipfile

# Where the class of a script lives, newest first.
CLASSES = {
    "kafka-topics": ["org.apache.kafka.tools.TopicCommand", "kafka.admin.TopicCommand"],
    "kafka-configs": ["org.apache.kafka.tools.ConfigCommand", "kafka.admin.ConfigCommand"],
    "kafka-console-producer": ["org.apache.kafka.tools.ConsoleProducer", "kafka.tools.ConsoleProducer"],
    "kafka-console-consumer": [
        "org.apache.kafka.tools.consumer.ConsoleConsumer", "kafka.tools.ConsoleConsumer",
    ],
    "kafka-consumer-groups": [
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "kafka.admin.ConsumerGroupCommand",
    ],
    "kafka-groups": ["org.apache.kafka.tools.GroupsCommand"],
    "kafka-get-offsets": ["org.apache.kafka.tools.GetOffsetShell", "kafka.tools.GetOffsetShell"],
    "kafka-delete-records": ["org.apache.kafka.tools.DeleteRecordsCommand", "kafka.admin.DeleteRecordsCommand"],
    "kafka-producer-perf-test": ["org.apache.kafka.tools.ProducerPerformance"],
    "kafka-consumer-perf-test": ["org.apache.kafka.tools.ConsumerPerformance", "kafka.tools.ConsumerPerformance"],
    "kafka-e2e-latency": ["org.apache.kafka.tools.EndToEndLatency", "kafka.tools.EndToEndLatency"],
    "kafka-transactions": ["org.apache.kafka.tools.TransactionsCommand"],
    "kafka-dump-log": ["org.apache.kafka.tools.DumpLogSegments", "kafka.tools.DumpLogSegments"],
    "kafka-verifiable-producer": ["org.apache.kafka.tools.VerifiableProducer"],
    "kafka-verifiable-consumer": ["org.apache.kafka.tools.VerifiableConsumer"],
    "kafka-broker-api-versions": [
        "org.apache.kafka.tools.BrokerApiVersionsCommand", "kafka.admin.BrokerApiVersionsCommand",
    ],
    "kafka-log-dirs": ["org.apache.kafka.tools.LogDirsCommand", "kafka.admin.LogDirsCommand"],
    "kafka-leader-election": ["org.apache.kafka.tools.LeaderElectionCommand", "kafka.admin.LeaderElectionCommand"],
    "kafka-reassign-partitions": [
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "kafka.admin.ReassignPartitionsCommand",
    ],
    "kafka-features": ["org.apache.kafka.tools.FeatureCommand", "kafka.admin.FeatureCommand"],
    "kafka-storage": ["kafka.tools.StorageTool"],
    "kafka-server-start": ["kafka.Kafka"],
    "connect-standalone": ["org.apache.kafka.connect.cli.ConnectStandalone"],
}

LOG4J_1 = """log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.appender.stderr.Target=System.err
"""
LOG4J_2 = """status = WARN
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.stderr.ref = stderr
"""

# Small heaps and the quick compiler: these programs live for seconds, several at a time.
SCRIPT = """#!/bin/sh
exec java ${{KAFKA_HEAP_OPTS:--Xmx256m}} -XX:+UseSerialGC -XX:TieredStopAtLevel=${{YEOUL_JVM_TIER:-1}} \\
  -Dlog4j.configuration=file:{final}/config/log4j1.properties \\
  -Dlog4j2.configurationFile={final}/config/log4j2.properties \\
  -cp "{final}/libs/*${{CLASSPATH:+:$CLASSPATH}}" {main} "$@"
"""


def main(folder, final):
    held = set()
    for jar in (folder / "libs").glob("*.jar"):
        with zipfile.ZipFile(jar) as names:
            held.update(names.namelist())
    (folder / "bin").mkdir()
    (folder / "config").mkdir()
    (folder / "config/log4j1.properties").write_text(LOG4J_1)
    (folder / "config/log4j2.properties").write_text(LOG4J_2)
    for script, classes in CLASSES.items():
        there = [one for one in classes if one.replace(".", "/") + ".class" in held]
        if there:
            path = folder / "bin" / f"{script}.sh"
            path.write_text(SCRIPT.format(final=final, main=there[0]))
            path.chmod(0o755)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
