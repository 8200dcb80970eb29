"""Write-up B, the streaming course: a file of films through a topic, SQL and a second topic to a table."""
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

from steps import (
    LIMIT_S, ROOT, binary, check, component, count, http, kafka, kafka_python_reads, kcat, main,
    new_node, page_shows, partitions, same_bag, start_with_nothing, stream_values, wait_for,
)
import movies as films  # of interop/lib

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="yeoul-writeup-films-"))
TSV = FOLDER / "movies.tsv"
COUNTRIES = FOLDER / "countries.csv"
PIPELINE = films.PIPELINE.format(path=TSV, countries=COUNTRIES)
FILE = FOLDER / "pipeline.yaml"
LINES = (ROOT / "examples/movies/data/movies.tsv").read_text(encoding="utf-8").splitlines()
node = new_node(pipelines=[FILE])


def write(lines):
    with open(TSV, "a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    WRITTEN.extend(lines)


WRITTEN = []


def source_values():
    return [films.value(record, films.COLUMNS) for record in node.records("movies")]


def arrived(topic="movies"):
    wait_for(f"{len(WRITTEN)} records in {topic}", lambda: node.end_offset(topic) >= len(WRITTEN), LIMIT_S)


def exact(rows):
    """The topic holds every line written so far, once and in order."""
    arrived()
    got, wanted = rows(), [films.source_row(line) for line in WRITTEN]
    check(len(got) == len(wanted), f"{len(got)} records, wanted {len(wanted)}")
    for at, (one, other) in enumerate(zip(got, wanted)):
        check(one == other, f"offset {at}: {one}, wanted {other}")


def dumps(rows):
    return [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]


def one_command():
    shutil.copy(ROOT / "examples/movies/data/countries.csv", COUNTRIES)
    FILE.write_text(PIPELINE, encoding="utf-8")
    write(LINES[:200])
    start_with_nothing(node)
    wait_for("a table with rows", lambda: count(node, "films") >= 200, LIMIT_S)
    return "file, two topics, stream and table from one file"


def tail():
    tap = subprocess.Popen(
        [binary(), "tap", "movies", "--max", "3", "--output", "json", "--url", node.http],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    # Its greeting comes when it listens; only then the lines.
    greeting = tap.stderr.readline()
    check("movies" in greeting, greeting)
    write(LINES[200:203])
    try:
        out, _ = tap.communicate(timeout=LIMIT_S)
    finally:
        tap.kill()
    got = [films.value(json.loads(line), films.COLUMNS) for line in out.splitlines()]
    check(got == [films.source_row(line) for line in LINES[200:203]], f"tap showed {got}")
    exact(source_values)
    return "typed as declared; tap shows each"


def position():
    node.stop()
    write(LINES[203:240])
    node.start()
    exact(source_values)
    write(LINES[240:260])
    node.kill()
    node.start()
    exact(source_values)
    return "a stop and a kill -9, every line once"


def short():
    write(["1719600000\t30001", "1719600001\t30002\t짧은 줄"])
    bad = "when\t30003\t때를 모름\tNo Time\t2024\tG"
    with open(TSV, "a", encoding="utf-8") as file:
        file.write(bad + "\n")
    exact(source_values)
    wait_for("the dead letter", lambda: node.end_offset("dead.source.movies") == 1, LIMIT_S)
    said = http(node, "dead", "show", "source/movies")
    check("time" in said and "30003" in said, f"the reason is missing: {said}")
    (letter,) = node.records("dead.source.movies")
    check(letter["value"].rstrip("\n") == bad, f"{letter}")
    return dict(letter["headers"])["__connect.errors.exception.message"]


def gzip():
    from kafka import KafkaProducer

    producer = KafkaProducer(
        bootstrap_servers=node.kafka, compression_type="gzip", acks="all",
        value_serializer=lambda row: json.dumps(row, ensure_ascii=False).encode(),
    )
    rows = [films.source_row(line) for line in LINES[:50]]
    sent = [producer.send("from-outside", row) for row in rows]
    offsets = [one.get(timeout=LIMIT_S).offset for one in sent]
    producer.close()
    check(offsets == list(range(50)), f"offsets {offsets}")
    node.kill()
    node.start()
    got = [films.value(record, films.COLUMNS) for record in node.records("from-outside")]
    check(got == rows, "acknowledged records differ after kill -9")
    return "50 acknowledged, 50 after kill -9; the source's own as before"


def five():
    wanted = dumps(films.source_row(line) for line in LINES[:5])
    five = kafka(node, "consume", "movies", "--from", "beginning", "--max", "5").splitlines()
    readers = {"yeoul": five, "kafka-python": kafka_python_reads(node, "movies", 5)}
    readers["kcat"] = kcat(node, "-C", "-t", "movies", "-o", "beginning", "-c", "5", "-q").splitlines()
    for name, lines in readers.items():
        got = [json.loads(line) for line in lines]
        check(dumps({c: row.get(c) for c in films.COLUMNS} for row in got) == wanted, f"{name}: {got[:1]}")
    return ", ".join(readers)


def with_stream(name, body):
    """The pipeline with one more stream, applied to the running node."""
    stream = f"streams:\n  {name}:\n{body}"
    FILE.write_text(PIPELINE.replace("streams:\n", stream, 1), encoding="utf-8")
    return http(node, "apply", str(FILE))


def timezone():
    with_stream("clock", "    sql: SELECT movie, to_timestamp(time) AS ts, date_format(to_timestamp(time), 'yyyy-MM-dd HH:mm') AS local FROM movies\n")
    _, row = stream_values(node, "clock", len(WRITTEN))[0]
    # The first line is of 2024-03-01 00:00 in UTC: nine in the morning in Seoul.
    check(LINES[0].startswith("1709251200\t"), "another first line")
    check(row["local"] == "2024-03-01 09:00" and row["ts"] == "2024-03-01T00:00:00Z", f"{row}")
    return f"{row['local']} in Seoul"


def watch():
    try:
        done = subprocess.run(
            [binary(), "status", "--watch", "--url", node.http], capture_output=True, text=True, timeout=2.2
        )
        raise AssertionError(f"--watch ended: {done}")
    except subprocess.TimeoutExpired as stopped:
        out = (stopped.stdout or b"").decode()
    shown = out.count("stream/korean_movies")
    check(shown >= 3, f"shown {shown} times in 2.2 s")
    page_shows(node, ["flow", ["source/movies", "topic/movies", "stream/korean_movies", "table/films"]])
    return f"shown {shown} times in 2.2 s"


def earliest():
    # The topic had all its records before this stream was made.
    before = node.end_offset("movies")
    with_stream("late", "    sql: SELECT movie, _offset AS at FROM movies\n")
    rows = [row for _, row in stream_values(node, "late", before)]
    check([row["at"] for row in rows] == list(range(before)), f"{len(rows)} rows of {before}")
    check([row["movie"] for row in rows] == [films.source_row(line)["movie"] for line in WRITTEN], "other films")
    return f"{before} records from before the stream"


def columns():
    said = json.loads(node.cli("check", str(FILE), "--output", "json"))
    text = node.cli("check", str(FILE))
    check("time int, movie string, title string, title_eng string, year int, grade string" in text, text)
    check("year int, grade string, ts timestamp, country string" in text, f"{said}")
    with_stream("places", "    sql: SELECT _key AS k, _topic AS t, _partition AS p, _offset AS o, _timestamp AS at, _value AS v FROM movies\n")
    rows = stream_values(node, "places", len(WRITTEN))
    records = node.records("movies")
    for (_, row), record in zip(rows, records, strict=True):
        got = [row["k"], row["t"], row["p"], row["o"], row["v"]]
        check(got == [record["key"], "movies", 0, record["offset"], record["value"]], f"{got} for {record}")
        check(row["at"].startswith("20"), f"{row}")
    return "every edge's columns; key, topic, partition, offset, timestamp, value"


def from_json():
    body = "    sql: SELECT j.movie AS movie, j.year + 0 AS year FROM (SELECT from_json(_value, 'movie STRING, year INT') AS j FROM movies)\n"
    with_stream("parsed", body)
    got = [row for _, row in stream_values(node, "parsed", len(WRITTEN))]
    wanted = [films.source_row(line) for line in WRITTEN]
    check(got == [{"movie": one["movie"], "year": one["year"]} for one in wanted], f"{got[:2]}")
    return f"{len(got)} values parsed; without it the columns are the source's"


def keyed():
    with_stream("packed", "    sql: SELECT movie AS key, to_json(struct(title, year)) AS value FROM movies\n    key: key\n")
    got = stream_values(node, "packed", len(WRITTEN))
    for (key, row), line in zip(got, WRITTEN, strict=True):
        wanted = films.source_row(line)
        check(key == wanted["movie"] == row["key"], f"key {key}, wanted {wanted['movie']}")
        packed = row["value"] if isinstance(row["value"], dict) else json.loads(row["value"])
        check(packed == {"title": wanted["title"], "year": wanted["year"]}, f"{packed}, wanted {wanted}")
    return f"{len(got)} records with the film as key"


def dry_rows():
    folder = pathlib.Path(tempfile.mkdtemp(dir=FOLDER))
    before = [(one["name"], one["end_offsets"]) for one in node.request("/api/v1/topics")]
    said = subprocess.run(
        [binary(), "check", str(FILE), "--rows", "2"], capture_output=True, text=True, cwd=folder, timeout=LIMIT_S
    )
    check(said.returncode == 0, said.stderr)
    title = films.source_row(LINES[1])["title"]
    check(said.stdout.count(title) >= 2, f"the second film is not at every edge: {said.stdout}")
    check('"ts":"2024-03-01T00:00:00Z"' in said.stdout, said.stdout)
    after = [(one["name"], one["end_offsets"]) for one in node.request("/api/v1/topics")]
    check(before == after and not list(folder.iterdir()), "something was written")
    return "2 rows at every edge, nothing written"


def trigger():
    with_stream("slow", "    sql: SELECT movie FROM movies\n    trigger: 2s\n")
    stream_values(node, "slow", len(WRITTEN))
    said = json.loads(node.cli("apply", str(FILE), "--dry-run", "--output", "json", "--url", node.http))
    check(all(one["change"] == "keep" for one in said["changes"]), f"applied again it changes: {said}")
    first = component(node, "stream/slow")["detail"]["lastProgress"]["batchId"]
    began = time.monotonic()
    for line in LINES[260:275]:
        write([line])
        time.sleep(0.1)
    stream_values(node, "slow", len(WRITTEN))
    arrived("korean_movies")
    epochs = component(node, "stream/slow")["detail"]["lastProgress"]["batchId"] - first
    fast = component(node, "stream/korean_movies")["detail"]["lastProgress"]["batchId"]
    took = time.monotonic() - began
    check(1 <= epochs <= took / 2 + 2, f"{epochs} epochs in {took:.1f} s with a trigger of 2 s")
    check(fast > epochs, f"without a trigger {fast} epochs")
    FILE.write_text(PIPELINE, encoding="utf-8")
    said = json.loads(http(node, "apply", str(FILE), "--output", "json"))
    changes = {one["component"]: one["change"] for one in said["changes"]}
    check(changes["stream/slow"] == "remove" and changes["stream/korean_movies"] == "keep", f"{changes}")
    return f"{epochs} epochs in {took:.1f} s, removed by apply while the others stay"


def joined():
    arrived("korean_movies")
    countries = films.first_countries(COUNTRIES)
    wanted = [films.stream_row(films.source_row(line), countries) for line in WRITTEN]
    got = [films.value(record, films.STREAM_COLUMNS) for record in node.records("korean_movies")]
    same_bag(dumps(got), dumps(wanted), "korean_movies")
    check(any(row["country"] for row in got), "no film has a country")
    return f"{sum(row['country'] is not None for row in got)} of {len(got)} films have a country"


def once():
    for at in range(275, 300, 5):
        write(LINES[at:at + 5])
        wait_for("some of them", lambda: node.end_offset("movies") > len(WRITTEN) - 5, LIMIT_S, every_s=0.002)
        node.kill()
        node.start()
    exact(source_values)
    said = joined()
    records = node.records("korean_movies")
    check(all(r["key"] == json.loads(r["value"])["movie"] for r in records), "a key differs from its film")
    check(node.request("/api/v1/audit")["balanced"], "the audit does not balance")
    return f"5 kill -9; {said}"


def progress():
    # After a restart there is none until something came.
    write(["1719600009\t40001\t새 물결\tNew Ripples , 2023\t2023\tG"])
    wait_for("progress", lambda: component(node, "stream/korean_movies")["detail"]["lastProgress"], LIMIT_S)
    arrived("korean_movies")
    seen = component(node, "stream/korean_movies")["detail"]["lastProgress"]
    keys = {"batchId", "numInputRows", "inputRowsPerSecond", "processedRowsPerSecond", "durationMs", "sources", "sink"}
    check(keys <= set(seen), f"missing {keys - set(seen)}")
    check({"startOffset", "endOffset", "latestOffset"} <= set(seen["sources"][0]), f"{seen['sources']}")
    check(seen["sources"][0]["endOffset"] == len(WRITTEN), f"{seen['sources']}")
    check(seen["sink"]["numOutputRows"] >= 0 and seen["durationMs"]["triggerExecution"] > 0, f"{seen}")
    return ", ".join(sorted(keys))


def table():
    wait_for("every film", lambda: count(node, "films") >= len(WRITTEN), LIMIT_S)
    check(count(node, "films") == len(WRITTEN), f"{count(node, 'films')} rows, wanted {len(WRITTEN)}")
    check(node.request("/api/v1/tables/films")["topic"] == "korean_movies", "another topic")
    return f"{len(WRITTEN)} rows"


def preview():
    late = component(node, "table/films")["in_total"]
    check(late == len(WRITTEN), f"{late} records since the earliest, wanted {len(WRITTEN)}")
    page_shows(node, ["table", "films", "새 물결"])
    return "the newest film on the table's page"


def input_format():
    check("format" not in PIPELINE, "the file names a format")
    types = {one["name"]: one["type"] for one in node.request("/api/v1/tables/films")["columns"]}
    wanted = {"movie": "string", "title": "string", "year": "int", "grade": "string", "ts": "timestamp"}
    check({name: types.get(name) for name in wanted} == wanted, f"{types}")
    years = [row["year"] for row in map(films.source_row, WRITTEN) if row["year"] is not None]
    check(node.sql("SELECT count(year), sum(year) FROM films") == [[len(years), sum(years)]], "another sum")
    return "no format named, columns typed"


def time_column():
    check(node.sql("SELECT count(*) FROM films WHERE __time <> ts OR __time IS NULL") == [[0]], "__time is not ts")
    info = node.request("/api/v1/tables/films")
    seconds = [films.source_row(line)["time"] for line in WRITTEN]
    check([info["min_ms"], info["max_ms"]] == [min(seconds) * 1000, max(seconds) * 1000], f"{info}")
    return "the table's time is the film's"


def filtered():
    body = "    sql: SELECT movie, year, year - year % 10 AS decade, upper(title_eng) AS loud FROM movies WHERE year >= 1990\n"
    with_stream("nineties", body)
    wanted = [row for row in map(films.source_row, WRITTEN) if row["year"] is not None and row["year"] >= 1990]
    got = [row for _, row in stream_values(node, "nineties", len(wanted))]
    check([row["movie"] for row in got] == [row["movie"] for row in wanted], "other films")

    def counted():
        return component(node, "stream/nineties")["filtered_total"] == len(WRITTEN) - len(wanted)

    wait_for("the count of what was filtered", counted, LIMIT_S)
    return f"{len(wanted)} kept, {len(WRITTEN) - len(wanted)} filtered and counted"


def expressions():
    wanted = [row for row in map(films.source_row, WRITTEN) if row["year"] is not None and row["year"] >= 1990]
    got = [row for _, row in stream_values(node, "nineties", len(wanted))]
    for row, line in zip(got, wanted, strict=True):
        loud = line["title_eng"] and line["title_eng"].upper()
        check(row["decade"] == line["year"] // 10 * 10 and row["loud"] == loud, f"{row} of {line}")
    return "decade and capitals"


def bad_rows():
    with_stream("numbers", "    sql: SELECT movie, CAST(title AS INT) AS number FROM movies\n    key: movie\n")
    wanted = sum(row["title"] is not None for row in map(films.source_row, WRITTEN))
    wait_for("the dead letters", lambda: node.end_offset("dead.stream.numbers") >= wanted, LIMIT_S)
    listed = {one["component"]: one["records"] for one in node.request("/api/v1/dead")}
    check(listed.get("stream/numbers") == wanted, f"{listed}, wanted {wanted}")
    check("stream/numbers" in http(node, "dead", "list"), "not listed")
    check("movie" in http(node, "dead", "show", "stream/numbers", "--limit", "1"), "not shown")
    check("films" in [one["name"] for one in node.request("/api/v1/tables")], "no table films")
    return f"{wanted} rows kept with their reason, none asked for"


def applied():
    FILE.write_text(PIPELINE.replace("  films:", "  by_year: { from: korean_movies, partition: year }\n  films:"), encoding="utf-8")
    said = http(node, "apply", str(FILE), "--dry-run")
    check(re.search(r"add +table/by_year", said), said)
    check("by_year" not in [one["name"] for one in node.request("/api/v1/tables")], "a dry run made the table")
    http(node, "apply", str(FILE))
    wait_for("rows in by_year", lambda: count(node, "by_year") == len(WRITTEN), LIMIT_S)
    flow = node.request("/api/v1/flow")
    check(any(e["to"] == "table/by_year" for e in flow["edges"]), f"the flow does not show it: {flow['edges']}")
    return "shown first, then made; the flow has it"


def queries():
    query = "SELECT grade, COUNT(*) AS n FROM films GROUP BY grade ORDER BY n DESC, grade LIMIT 3"
    ours = node.sql(query)
    check(len(ours) == 3, f"{ours}")
    request = urllib.request.Request(
        node.http + "/druid/v2/sql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        druid = [[row["grade"], row["n"]] for row in json.loads(answer.read())]
    check(druid == ours, f"Druid's {druid}, ours {ours}")
    printed = http(node, "sql", query)
    check(all(str(n) in printed for _, n in ours), printed)
    grades = [films.source_row(line)["grade"] for line in WRITTEN]
    check(all(grades.count(grade) == n for grade, n in ours), f"{ours}")
    page_shows(node, ["sql", "SELECT count(*) AS n FROM films", str(len(WRITTEN))])
    return f"{ours}"


def again():
    records = kafka(node, "consume", "from-outside", "--from", "beginning").splitlines()
    kafka(node, "topics", "delete", "from-outside")
    listed = [one["name"] for one in json.loads(kafka(node, "topics", "list", "--output", "json"))]
    check("movies" in listed and "from-outside" not in listed, f"{listed}")
    kafka(node, "topics", "create", "from-outside", "--partitions", "3", "--config", "retention.ms=3600000")
    said = json.loads(kafka(node, "topics", "describe", "from-outside", "--output", "json"))
    check(said["config"]["retention.ms"] == "3600000" and partitions(node, "from-outside") == 3, f"{said}")
    check(node.end_offset("from-outside") == 0, "old records are still there")
    kcat(node, "-P", "-t", "from-outside", input="\n".join(records) + "\n")
    got = kafka(node, "consume", "from-outside", "--from", "beginning").splitlines()
    same_bag(got, records, "loaded again")
    return f"{len(records)} records loaded again into 3 partitions"


def crash():
    before = sorted(map(str, node.sql("SELECT movie, title, ts FROM films")))
    ends = {one["name"]: one["end_offsets"] for one in node.request("/api/v1/topics")}
    node.kill()
    node.start()
    wait_for("the table again", lambda: count(node, "films") >= len(before), LIMIT_S)
    after = sorted(map(str, node.sql("SELECT movie, title, ts FROM films")))
    check(before == after, "the table differs after kill -9")
    now = {one["name"]: one["end_offsets"] for one in node.request("/api/v1/topics")}
    check(ends == now, f"topics differ: {ends} and {now}")
    return f"{len(after)} rows and {len(ends)} topics as before, ready in {node.ready_s:.2f} s"


def one_folder():
    node.stop()
    check(node.process.returncode == 0, f"ended with {node.process.returncode}")
    found = {path.name for path in node.folder.iterdir() if not path.name.startswith("node-")}
    check(found <= {"data-dir", "ready.json"}, f"left beside the data directory: {found}")
    node.cli("doctor", "--data-dir", str(node.data_dir))
    shutil.rmtree(node.data_dir)
    node.pipelines = []
    node.start()
    check(node.request("/api/v1/topics") == [], "something outlived its folder")
    return "stopped; without the folder nothing is left"


CHECKS = {
    "B3": one_command, "B6": tail, "B7": position, "B8": short, "B9": gzip, "B11": five, "B13": timezone,
    "B14": watch, "B15": earliest, "B16": columns, "B17": from_json, "B18": keyed, "B19": dry_rows,
    "B20": trigger, "B21": joined, "B22": once, "B23": progress, "B24": table, "B25": preview, "B26": input_format,
    "B27": time_column, "B29": filtered, "B28": expressions, "B33": bad_rows, "B34": applied, "B35": queries,
    "B40": again, "B41": crash, "B2": one_folder,
}
try:
    main(CHECKS, [node])
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
