"""Write-up E, Kafka's basics: the quickstart's steps, a mistake found before the start, and the ways to stop."""
import json
import os
import signal
import subprocess

from steps import (
    LIMIT_S, apply, binary, check, component, fails, kafka, kafka_python_reads, kcat, main, new_node,
    processes_below, start_with_nothing, stream_values, wait_for,
)

node = new_node()
MESSAGES = ["This is a message", "This is another message"]


def nothing_to_install():
    start_with_nothing(node)
    maps = open(f"/proc/{node.process.pid}/maps", encoding="utf-8").read()
    check("libjvm" not in maps, "a JVM is loaded")
    return "runs with an empty environment"


def one_binary():
    check(not processes_below(node.process.pid), "it has started other programs")
    said = subprocess.run(["ldd", binary()], capture_output=True, text=True, timeout=LIMIT_S).stdout
    check("not found" not in said, said)
    return "no other program, no library of its own"


def one_command():
    check(json.loads(kcat(node, "-L", "-J"))["brokers"], "no broker")
    check(node.request("/api/v1/info")["kafka"], "no listener")
    return "broker and page by one command"


def topics():
    kafka(node, "topics", "create", "test", "--partitions", "1")
    listed = [one["name"] for one in json.loads(kafka(node, "topics", "list", "--output", "json"))]
    check(listed == ["test"], f"{listed}")
    check("test" in kafka(node, "topics", "list"), "not printed")
    return "made and listed"


def two_messages():
    done = subprocess.run(
        [binary(), "produce", "test", "--bootstrap-server", node.kafka],
        input="".join(message + "\n" for message in MESSAGES), capture_output=True, text=True, timeout=LIMIT_S,
    )
    check(done.returncode == 0, done.stderr)
    check(kafka(node, "consume", "test", "--from", "beginning").splitlines() == MESSAGES, "yeoul consume")
    check(kafka_python_reads(node, "test", 2) == MESSAGES, "kafka-python")
    return "two messages from the beginning"


def missing():
    path = node.folder / "bad.yaml"
    path.write_text("name: bad\nsources:\n  tweets:\n    tail: { read_from: beginning }\n")
    said = fails("check", str(path))
    check("path" in said and "bad.yaml:4:" in said, said)
    path.write_text("name: bad\nstreams:\n  out:\n    sql: SELECT word FROM nowhere\n")
    said = fails("check", str(path))
    check("nowhere" in said and "bad.yaml:4:" in said, said)
    before = node.request("/api/v1/topics")
    fails("apply", str(path), "--url", node.http)
    check(node.request("/api/v1/topics") == before, "a bad file changed the node")
    path.unlink()
    return "a missing key and a missing topic, each at its line; nothing was started"


def changed():
    apply(node, "topics: { test: { partitions: 1 } }\nstreams: { words: { sql: SELECT upper(_value) AS loud FROM test } }\n")
    got = [row["loud"] for _, row in stream_values(node, "words", 2)]
    check(got == [message.upper() for message in MESSAGES], f"{got}")
    pid = node.process.pid
    kcat(node, "-P", "-t", "test", input="once more\n")
    check([row["loud"] for _, row in stream_values(node, "words", 3)][2] == "ONCE MORE", "the third message")
    check(node.process.poll() is None and node.process.pid == pid, "another process")
    return "a stream was added to the running node"


def stops():
    node.process.send_signal(signal.SIGTERM)
    check(node.process.wait(LIMIT_S) == 0, f"ended with {node.process.returncode}")
    check(not os.path.exists(f"/proc/{node.process.pid}"), "still there")
    return "one process, ended with 0"


def every_way():
    node.start()
    node.process.send_signal(signal.SIGINT)
    check(node.process.wait(LIMIT_S) == 0, f"Ctrl-C: ended with {node.process.returncode}")
    node.start()
    sent = MESSAGES + ["once more"]
    for number in range(3):
        sent.append(f"before kill {number}")
        kcat(node, "-P", "-t", "test", "-X", "acks=all", input=sent[-1] + "\n")
        node.kill()
        node.start()
        got = [record["value"] for record in node.records("test")]
        check(got == sent, f"{got}, wanted {sent}")
    apply(node, "topics: { test: { partitions: 1 } }\nstreams: { words: { sql: SELECT upper(_value) AS loud FROM test } }\n")
    wait_for("the stream", lambda: component(node, "stream/words")["in_total"] >= len(sent), LIMIT_S)
    loud = [row["loud"] for _, row in stream_values(node, "words", len(sent))]
    check(loud == [message.upper() for message in sent], f"{loud}")
    return f"Ctrl-C, and 3 kill -9: {len(sent)} messages, each once"


main(
    {
        "E2": nothing_to_install, "E3": one_binary, "E6": one_command, "E7": topics, "E8": two_messages,
        "E9": missing, "E14": changed, "E10": stops, "E16": every_way,
    },
    [node],
)
