"""Write-up A, the live bike dashboard: the steps that work today, with the author's own producer loop."""
import datetime
import json
import os
import socket
import urllib.request

from steps import (
    LIMIT_S, apply, check, count, fails, kafka, kafka_python_reads, kcat, listening, main, new_node,
    page_shows, partitions, port, processes_below, same_bag, start_with_nothing, wait_for,
)

node = new_node()
second = new_node(options=["--kafka", "127.0.0.1:0=broker.example:19092"])
TOPIC = "bike-station-info"
SENT = []

PIPELINE = """\
timezone: Asia/Seoul
topics:
  bike-station-info:
    partitions: 3
    schema: "rackTotCnt STRING, stationName STRING, parkingBikeTotCnt STRING, stationId STRING, timestamp STRING"
streams:
  bike_stations:
    sql: |
      SELECT stationId AS station_id, stationName AS station_name, CAST(rackTotCnt AS INT) AS racks,
             CAST(parkingBikeTotCnt AS INT) AS bikes, to_timestamp(timestamp) AS ts
      FROM "bike-station-info" WHERE CAST(rackTotCnt AS INT) > 0
    key: station_id
tables:
  stations: { from: bike_stations, time: { column: ts }, partition: day }
"""


def picture():
    page_shows(node, ["flow", [f"topic/{TOPIC}", "stream/bike_stations", "topic/bike_stations", "table/stations"]])
    return "topic, stream, topic, table are drawn"


def alone():
    start_with_nothing(node)
    check(not processes_below(node.process.pid), "the node has started other programs")
    check(node.request("/api/v1/info")["version"], "no version")
    return "serves with an empty environment, starts no other program"


def listeners():
    second.start()
    own = json.loads(kcat(second, "-L", "-J"))["brokers"]
    ready = json.loads((second.folder / "ready.json").read_text())
    second.kafka = ready["kafka"][1]
    told = json.loads(kcat(second, "-L", "-J"))["brokers"]
    second.kill()
    check([one["name"] for one in own] == [ready["kafka"][0]], f"the first listener advertises {own}")
    check([one["name"] for one in told] == ["broker.example:19092"], f"the second advertises {told}")
    said = fails("run", "--data-dir", str(second.folder / "x"), "--http", "127.0.0.1:0", "--kafka", "0.0.0.0:0")
    check("--insecure" in said, f"listening for all is refused without its reason: {said}")
    return "told broker.example:19092; 0.0.0.0 is refused"


def ports():
    wanted = {port(node.http), port(node.kafka)}
    check(listening(node) == wanted, f"listens on {listening(node)}, told {wanted}")
    return "two ports, each told"


def ready():
    # Not one attempt more: what the ready file names must answer at once.
    node.stop()
    node.start()
    socket.create_connection(tuple(node.kafka.rsplit(":", 1)), timeout=1).close()
    node.request("/api/v1/topics", limit_s=5)
    check(json.loads(kcat(node, "-L", "-J"))["brokers"], "no broker")
    return f"ready after {node.ready_s:.2f} s"


def create():
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    kafka(node, "topics", "create", TOPIC, "--partitions", "3")
    check("already" in fails("topics", "create", TOPIC, "--bootstrap-server", node.kafka).lower(), "made twice")
    admin = KafkaAdminClient(bootstrap_servers=node.kafka)
    admin.create_topics([NewTopic("by-kafka-python", 3, 1)])
    admin.close()
    apply(node, "topics: { by-the-file: { partitions: 3 } }\n", "topics.yaml")
    for topic in (TOPIC, "by-kafka-python", "by-the-file"):
        check(partitions(node, topic) == 3, f"{topic} has {partitions(node, topic)} partitions")
    return "by command, by kafka-python, by the file"


def describe():
    said = json.loads(kafka(node, "topics", "describe", TOPIC, "--output", "json"))
    check([one["partition"] for one in said["partitions"]] == [0, 1, 2], f"{said}")
    check(said["config"]["retention.ms"] == "604800000", f"{said['config']}")
    return "3 partitions and the settings"


def produce():
    from kafka import KafkaProducer

    producer = KafkaProducer(
        bootstrap_servers=[node.kafka], value_serializer=lambda row: json.dumps(row).encode("utf-8")
    )
    for poll in range(2):
        for number in range(50):
            station = {
                "rackTotCnt": str(number % 7), "stationName": f"{number}. 여울역 {poll}번 출구",
                "parkingBikeTotCnt": str(number), "stationId": f"ST-{number}",
                "timestamp": f"2024-04-2{4 + poll} 01:20:{number:02}",
            }
            producer.send(TOPIC, station)
            SENT.append(station)
        producer.flush()
    producer.close()
    check(node.end_offset(TOPIC) == len(SENT), f"{node.end_offset(TOPIC)} records")
    return f"{len(SENT)} stations"


def consume():
    wanted = [json.dumps(row) for row in SENT]
    check(wanted, "nothing was sent")
    same_bag(kafka(node, "consume", TOPIC, "--from", "beginning").splitlines(), wanted, "yeoul consume")
    same_bag(kcat(node, "-C", "-t", TOPIC, "-o", "beginning", "-e", "-q").splitlines(), wanted, "kcat")
    same_bag(kafka_python_reads(node, TOPIC, len(wanted)), wanted, "kafka-python")
    ends = node.request(f"/api/v1/topics/{TOPIC}")["end_offsets"]
    page_shows(node, *(["record", TOPIC, at, "parkingBikeTotCnt"] for at, end in enumerate(ends) if end))
    return "yeoul consume, kcat, kafka-python, the page"


def tables():
    apply(node, PIPELINE)
    wanted = sum(row["rackTotCnt"] != "0" for row in SENT)
    wait_for(f"{wanted} rows", lambda: count(node, "stations") >= wanted, LIMIT_S)
    check(count(node, "stations") == wanted, f"{count(node, 'stations')} rows, wanted {wanted}")
    check(not processes_below(node.process.pid), "the node has started other programs")
    return f"{wanted} rows in the process that keeps the topic"


def ingestion():
    bikes = sum(int(row["parkingBikeTotCnt"]) for row in SENT if row["rackTotCnt"] != "0")
    got = node.sql("SELECT sum(bikes) FROM stations")
    check(got == [[bikes]], f"{got} bikes, wanted {bikes}")
    info = node.request("/api/v1/tables/stations")
    check(info["topic"] == "bike_stations", f"{info}")
    return f"{bikes} bikes by `from: bike_stations`"


def wizard():
    info = node.request("/api/v1/tables/stations")
    types = {one["name"]: one["type"] for one in info["columns"]}
    check(types["racks"] == types["bikes"] == "int" and types["station_name"] == "string", f"{types}")
    check(count(node, "stations", "racks = 0") == 0, "the filter does not hold")
    seoul = datetime.timezone(datetime.timedelta(hours=9))
    times = [datetime.datetime.fromisoformat(r["timestamp"]).replace(tzinfo=seoul) for r in SENT if r["rackTotCnt"] != "0"]
    span = [int(one(times).timestamp() * 1000) for one in (min, max)]
    check([info["min_ms"], info["max_ms"]] == span, f"{info['min_ms']} to {info['max_ms']}, wanted {span}")
    # Files are cut by day only where a day has many rows, so here it is seen that the setting is one.
    changed = PIPELINE.replace("partition: day", "partition: hour")
    said = apply(node, changed, "pipeline.yaml", "--dry-run", "--output", "json")
    changes = {one["component"]: one["change"] for one in json.loads(said)["changes"]}
    check(changes["table/stations"] == "change", f"`partition` changes nothing: {changes}")
    days = "SELECT count(DISTINCT date_trunc('day', __time)) FROM stations"
    check(node.sql(days) == [[2]], f"{node.sql(days)} days")
    return "types, filter, time in Seoul, two days; `partition` is a setting"


def taken():
    said = fails("run", "--data-dir", str(second.folder / "y"), "--http", node.http[7:], "--kafka", "127.0.0.1:0")
    check(f"pid {node.process.pid}" in said and "yeoul" in said and "--http" in said, f"HTTP: {said}")
    said = fails("run", "--data-dir", str(second.folder / "y"), "--http", "127.0.0.1:0", "--kafka", node.kafka)
    check(f"pid {node.process.pid}" in said and "--kafka" in said, f"Kafka: {said}")
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = "127.0.0.1:%d" % held.getsockname()[1]
        said = fails("run", "--data-dir", str(second.folder / "y"), "--http", address, "--kafka", "127.0.0.1:0")
    check(f"pid {os.getpid()}" in said and address in said, f"another program: {said}")
    return said.splitlines()[0]


def page():
    # The default is seen from what a node says when this port is held, by us or by whoever has it.
    try:
        held = socket.create_server(("127.0.0.1", 8888))
    except OSError:
        held = None
    said = fails("run", "--data-dir", str(second.folder / "z"), "--kafka", "127.0.0.1:0")
    if held:
        held.close()
    check("127.0.0.1:8888 is taken" in said, said)
    with urllib.request.urlopen(node.http + "/", timeout=LIMIT_S) as answer:
        text = answer.read().decode()
    script = text.split('src="', 1)[1].split('"', 1)[0]
    with urllib.request.urlopen(node.http + script, timeout=LIMIT_S) as answer:
        check(len(answer.read()) > 50_000, f"{script} is no application")
    page_shows(node, ["flow", [f"topic/{TOPIC}"]])
    return "8888 is the default, and the page draws the flow"


main(
    {
        "A2": alone, "A3": listeners, "A4": ports, "A5": ready, "A6": create, "A7": describe, "A10": produce,
        "A12": consume, "A13": tables, "A14": taken, "A15": page, "A16": ingestion, "A17": wizard, "A1": picture,
    },
    [node, second],
)
