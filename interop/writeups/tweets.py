"""Write-up C, tweets through Kafka: what its machines did with the broker, and what its shell asked for."""
import json
import os
import pathlib
import subprocess
import urllib.request

from steps import (
    LIMIT_S, apply, binary, check, component, fails, http, kafka, kafka_python_reads, kcat, listening, main, new_node,
    page_shows, port, same_bag, start_with_nothing, wait_for,
)

node = new_node()
TOPIC = "twitter"
TWEETS = [json.dumps({"id": number, "text": f"여울 {number}", "user": {"name": "a"}}, ensure_ascii=False) for number in range(40)]


def same_process():
    start_with_nothing(node)
    check(os.readlink(f"/proc/{node.process.pid}/exe") == os.path.realpath(binary()), "another program")
    check(json.loads(kcat(node, "-L", "-J"))["brokers"], "no broker")
    return "one process is the broker"


def health():
    with urllib.request.urlopen(node.http + "/health/ready", timeout=LIMIT_S) as answer:
        check(answer.status == 200, f"{answer.status}")
    check(listening(node) == {port(node.http), port(node.kafka)}, f"listens on {listening(node)}")
    return "ready; Kafka on one port, the page on another"


def no_settings():
    files = [path for path in node.folder.iterdir() if path.suffix in (".properties", ".cfg", ".conf", ".yaml")]
    check(not files and not node.pipelines, f"{files}")
    check(len(json.loads(kcat(node, "-L", "-J"))["brokers"]) == 1, "not one broker")
    return "serves without a line of settings"


def topics():
    kafka(node, "topics", "create", TOPIC, "--partitions", "1")
    listed = [one["name"] for one in json.loads(kafka(node, "topics", "list", "--output", "json"))]
    check(listed == [TOPIC], f"{listed}")
    said = json.loads(kafka(node, "topics", "describe", TOPIC, "--output", "json"))
    check(len(said["partitions"]) == 1, f"{said}")
    (seen,) = json.loads(kcat(node, "-L", "-J", "-t", TOPIC))["topics"]
    check(len(seen["partitions"][0]["replicas"]) == 1, f"{seen}")
    return "one partition, one replica"


def retention():
    def setting(topic):
        return json.loads(kafka(node, "topics", "describe", topic, "--output", "json"))["config"]["retention.bytes"]

    check(setting(TOPIC) == "-1", f"before: {setting(TOPIC)}")
    kafka(node, "topics", "alter", TOPIC, "--config", "retention.bytes=104857600")
    check(setting(TOPIC) == "104857600", f"after: {setting(TOPIC)}")
    apply(node, "topics: { tweets-in-the-file: { retention: { bytes: 1MB } } }\n")
    check(setting("tweets-in-the-file") == "1000000", f"by the file: {setting('tweets-in-the-file')}")
    return "by command and by the file"


def console():
    words = ["produce", TOPIC, "--bootstrap-server", node.kafka]
    done = subprocess.run(
        [binary(), *words], input="\n".join(TWEETS[:20]) + "\n", text=True, timeout=LIMIT_S, capture_output=True
    )
    check(done.returncode == 0, done.stderr)
    kcat(node, "-P", "-t", TOPIC, input="\n".join(TWEETS[20:]) + "\n")
    wanted = TWEETS
    check(kafka(node, "consume", TOPIC, "--from", "beginning").splitlines() == wanted, "yeoul consume")
    check(kcat(node, "-C", "-t", TOPIC, "-o", "beginning", "-e", "-q").splitlines() == wanted, "kcat")
    check(kafka_python_reads(node, TOPIC, len(wanted)) == wanted, "kafka-python")
    return f"{len(wanted)} messages, three readers"


def map_count():
    limit = int(pathlib.Path("/proc/sys/vm/max_map_count").read_text())
    used = len(pathlib.Path(f"/proc/{node.process.pid}/maps").read_text().splitlines())
    check(used < 65_530 / 10, f"{used} maps of the kernel's default 65,530 (here {limit})")
    return f"{used} maps; the kernel's default is 65,530"


def status():
    check(component(node, f"topic/{TOPIC}")["in_total"] == len(TWEETS), "another count")
    check(f"topic/{TOPIC}" in http(node, "status"), "not shown")
    node.kill()
    try:
        urllib.request.urlopen(node.http + "/health/ready", timeout=1)
        check(False, "ready although the node is gone")
    except OSError:
        pass
    fails("status", "--url", node.http)
    node.start()
    wait_for("ready", lambda: urllib.request.urlopen(node.http + "/health/ready", timeout=1).status == 200, LIMIT_S)
    return "ready and counted; a dead node fails both"


def sql_box():
    page_shows(node, ["sql", "SELECT count(*) AS n FROM topic.twitter", str(len(TWEETS))])
    return "the SQL box counts the topic"


def stopped():
    node.stop()
    check(node.process.returncode == 0, f"ended with {node.process.returncode}")
    check(not pathlib.Path(f"/proc/{node.process.pid}").exists(), "the process is still there")
    node.cli("doctor", "--data-dir", str(node.data_dir))
    node.start()
    same_bag([one["value"] for one in node.records(TOPIC)], TWEETS, "after the stop")
    return f"ended with 0, all readable, {len(TWEETS)} messages still there"


main(
    {
        "C7": same_process, "C8": health, "C9": no_settings, "C10": topics, "C11": retention, "C12": console,
        "C15": map_count, "C16": status, "C26": sql_box, "C6": stopped,
    },
    [node],
)
