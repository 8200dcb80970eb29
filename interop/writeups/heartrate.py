"""Write-up D, heart rates: a topic with a declared schema, times as arrays, a table to sum minutes in."""
import datetime
import json
import time

from steps import (
    LIMIT_S, apply, check, component, count, kcat, main, new_node, partitions, stream_values, wait_for,
)

RAW = "heartbeat-raw-topic"
DDL = "playerId STRING, heartbeat DOUBLE, createdAt ARRAY<INT>"
PIPELINE = f"""\
timezone: Asia/Seoul
topics:
  {RAW}: {{ partitions: 2, schema: "{DDL}" }}
streams:
  heartbeats:
    sql: |
      SELECT playerId AS player, heartbeat, timestamp_from_array(createdAt) AS ts, _partition AS p, _offset AS o
      FROM "{RAW}"
    key: player
tables:
  beats: {{ from: heartbeats, time: {{ column: ts }}, partition: day }}
"""
LOAD = "sources: { watches: { generate: { shape: heartrate, rate: 100 } } }\n"
node = new_node(options=["--kafka", "127.0.0.1:0=kafka:29092"])

# (array, the same time in UTC): Seoul is nine hours ahead; seconds and nanoseconds may be missing.
TIMES = [
    ([2023, 11, 23, 10, 5, 7, 123456789], "2023-11-23T01:05:07.123456Z"),
    ([2023, 11, 23, 10, 5, 8], "2023-11-23T01:05:08Z"),
    ([2023, 11, 23, 10, 6], "2023-11-23T01:06:00Z"),
    ([2023, 11, 24, 8, 59, 59, 500000000], "2023-11-23T23:59:59.500Z"),
]
BEATS = [
    {"playerId": f"player-{number % 3}", "heartbeat": 60.0 + number % 90, "createdAt": TIMES[number % 4][0]}
    for number in range(240)
]


def one_binary():
    # At its first start the node knows nothing but its flags and the file.
    path = node.folder / "pipeline.yaml"
    path.write_text(PIPELINE)
    node.pipelines = [str(path)]
    node.start()
    ready = json.loads((node.folder / "ready.json").read_text())
    own, node.kafka = node.kafka, ready["kafka"][1]
    told = [one["name"] for one in json.loads(kcat(node, "-L", "-J"))["brokers"]]
    node.kafka = own
    check(told == ["kafka:29092"], f"advertised {told}")
    return "told kafka:29092"


def two_partitions():
    check(partitions(node, RAW) == 2, f"{partitions(node, RAW)} partitions")
    return "there at the start, 2 partitions"


def earliest():
    from kafka import KafkaProducer

    # The stream is taken away while the watches send, and comes back afterwards under another name.
    apply(node, PIPELINE.split("streams:")[0])
    producer = KafkaProducer(bootstrap_servers=node.kafka, value_serializer=lambda row: json.dumps(row).encode())
    for number, beat in enumerate(BEATS):
        producer.send(RAW, beat, partition=number % 2)
    producer.flush()
    producer.close()
    check(node.end_offset(RAW) == len(BEATS), f"{node.end_offset(RAW)} records")
    apply(node, PIPELINE)
    rows = [row for _, row in stream_values(node, "heartbeats", len(BEATS))]
    places = {(row["p"], row["o"]) for row in rows}
    wanted = {(p, o) for p in range(2) for o in range(len(BEATS) // 2)}
    check(len(rows) == len(BEATS) and places == wanted, f"{len(rows)} rows of {len(places)} places")
    return f"{len(rows)} records that were there before"


def sql_in_file():
    seen = component(node, "stream/heartbeats")["detail"]["lastProgress"]
    ends = {one["description"]: one["endOffset"] for one in seen["sources"]}
    check(ends == {f"{RAW}[0]": 120, f"{RAW}[1]": 120}, f"{ends}")
    rows = [row for _, row in stream_values(node, "heartbeats", len(BEATS))]
    check(sorted(row["player"] for row in rows) == sorted(row["playerId"] for row in BEATS), "other players")
    return "no job to submit: the file's SQL runs"


def typed():
    wait_for("every beat", lambda: count(node, "beats") >= len(BEATS), LIMIT_S)
    types = {one["name"]: one["type"] for one in node.request("/api/v1/tables/beats")["columns"]}
    wanted = {"player": "string", "heartbeat": "double", "ts": "timestamp"}
    check({name: types.get(name) for name in wanted} == wanted, f"{types}")
    total = node.sql("SELECT count(*), sum(heartbeat) FROM beats")
    check(total == [[len(BEATS), sum(row["heartbeat"] for row in BEATS)]], f"{total}")
    return f"{wanted}"


def ddl():
    schema = [(one["name"], one["type"]) for one in node.request(f"/api/v1/topics/{RAW}")["schema"]]
    check(schema == [("playerId", "string"), ("heartbeat", "double"), ("createdAt", "array<int>")], f"{schema}")
    kcat(node, "-P", "-t", RAW, "-p", "0", input='{"playerId":"x","heartbeat":"fast","createdAt":[2023,11,23,10,5]}\n')
    wait_for("the dead letter", lambda: node.end_offset("dead.stream.heartbeats") == 1, LIMIT_S)
    return "columns as declared; a beat that is no number is a dead letter"


def arrays():
    rows = [row for _, row in stream_values(node, "heartbeats", len(BEATS))]
    got = {}
    for row in rows:
        array = BEATS[row["o"] * 2 + row["p"]]["createdAt"]
        got.setdefault(tuple(array), set()).add(row["ts"])
    for array, wanted in TIMES:
        check(got[tuple(array)] == {wanted}, f"{array} became {got[tuple(array)]}, wanted {wanted}")
    return "seven, six and five elements"


def minutes():
    query = """SELECT player, CASE WHEN heartbeat < 90 THEN 'easy' WHEN heartbeat < 120 THEN 'middle' ELSE 'hard' END AS zone,
        count(*), sum(heartbeat), count(DISTINCT date_trunc('minute', ts)) FROM beats GROUP BY 1, 2"""
    wanted = {}
    for beat in BEATS:
        zone = "easy" if beat["heartbeat"] < 90 else "middle" if beat["heartbeat"] < 120 else "hard"
        group = wanted.setdefault((beat["playerId"], zone), [0, 0.0, set()])
        group[0] += 1
        group[1] += beat["heartbeat"]
        group[2].add(tuple(beat["createdAt"][:5]))
    got = {(player, zone): rest for player, zone, *rest in node.sql(query)}
    check(got == {key: [n, total, len(seen)] for key, (n, total, seen) in wanted.items()}, f"{got}")
    return f"{len(got)} groups"


def load():
    # 100 wearers with a value a second each: 360,000 in an hour.
    apply(node, LOAD, "load.yaml")
    wait_for("the first values", lambda: node.end_offset("watches") > 0, LIMIT_S)
    began, first = time.monotonic(), node.end_offset("watches")
    time.sleep(4)
    rate = (node.end_offset("watches") - first) / (time.monotonic() - began)
    check(80 <= rate <= 120, f"{rate:.0f} a second")
    value = json.loads(node.records("watches")[0]["value"])
    check(list(value) == ["playerId", "heartbeat", "createdAt"], f"{value}")
    check(value["createdAt"][0] >= datetime.date.today().year - 1, f"{value}")
    return f"{rate:.0f} a second, {rate * 3600:,.0f} an hour"


main(
    {
        "D3": one_binary, "D4": two_partitions, "D6": earliest, "D5": sql_in_file, "D7": typed, "D8": ddl,
        "D9": arrays, "D12": minutes, "D1": load,
    },
    [node],
)
