"""Two of the field's own data sets in tables, each question asked of DuckDB as well.

`ecobici`: nine days of a bike system, polled each hour; the event time is when a station last reported, so
rows come late and repeat a time. `flights`: delays with a date of slashes, 200,000 more with no time at all,
and airports whose codes look like numbers. Each goes into a topic as JSON and from there into a table;
DuckDB reads the files themselves.
"""
import csv
import datetime
import gzip
import json
import os
import subprocess

from yeoul_node import ROOT, Node, check, wait_for

DATA = ROOT.parent / "shared" / "data"
BIKES = DATA / "ecobici-gbfs" / "station_status_20240405-20240413.ndjson.gz"
STATIONS = DATA / "ecobici-gbfs" / "station_information_first.json.gz"
FLIGHTS = DATA / "flights" / "flights-20k.json.gz"
MANY = DATA / "flights" / "flights-200k.arrow"
AIRPORTS = DATA / "flights" / "airports.csv"

ECOBICI = """\
topics:
  station_status:
    partitions: 3
    schema: "station_id STRING, num_bikes_available INT, num_bikes_disabled INT, num_docks_available INT, num_docks_disabled INT, is_installed INT, is_renting INT, is_returning INT, last_reported BIGINT, eightd_has_available_keys BOOLEAN, is_charging BOOLEAN, polled BIGINT"
  station_information:
    schema: "station_id STRING, name STRING, short_name STRING, lat DOUBLE, lon DOUBLE, capacity INT"
tables:
  status: { from: station_status, time: { column: last_reported, format: s }, partition: day }
  stations: { from: station_information, partition: day }
"""
FLIGHT = """\
topics:
  flight_records: { schema: "date STRING, delay INT, distance INT, origin STRING, destination STRING" }
  many_records: { schema: "delay INT, distance INT, hour FLOAT" }
  airport_records: { schema: "iata STRING, name STRING, city STRING, state STRING, country STRING, latitude DOUBLE, longitude DOUBLE" }
tables:
  flights: { from: flight_records, time: { column: date, format: yyyy/MM/dd HH:mm }, partition: month }
  many: { from: many_records, partition: day }
  airports: { from: airport_records, partition: day }
"""


def produce(node, topic, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    words = [os.environ["YEOUL_BIN"], "produce", topic, "--bootstrap-server", node.kafka]
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, f"yeoul produce: {done.stderr}")


def filled(node, tables):
    for table, count in tables.items():
        wait_for(f"{count} rows in {table}", lambda t=table, c=count: node.sql(f"SELECT count(*) FROM {t}")[0][0] >= c, 240)
        got = node.sql(f"SELECT count(*) FROM {table}")[0][0]
        check(got == count, f"{table} has {got} rows, not {count}")


def instant(value):
    """Times as both say them, in one form; everything else as it is."""
    if isinstance(value, datetime.datetime):
        value = value.replace(tzinfo=datetime.timezone.utc) if value.tzinfo is None else value
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    if isinstance(value, str) and len(value) >= 20 and value[4] == "-" and value[10] in "T ":
        return value[:19].replace(" ", "T")
    return value


def compare(node, duck, questions):
    """Each question is (ours, theirs), or one text for both. Rows must be equal in their order."""
    for one in questions:
        ours, theirs = one if isinstance(one, tuple) else (one, one)
        got = [[instant(v) for v in row] for row in node.sql(ours)]
        wanted = [[instant(v) for v in row] for row in duck.execute(theirs).fetchall()]
        check(len(got) == len(wanted) and wanted, f"{ours}: {len(got)} rows, DuckDB has {len(wanted)}")
        for left, right in zip(got, wanted):
            same = all(
                a == b or (isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1))
                for a, b in zip(left, right, strict=True)
            )
            check(same, f"{ours}: {left}, DuckDB says {right}")
    return len(questions)


def start(folder, text):
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(text)
    return Node(folder, [pipeline]).start()


def ecobici(folder):
    import duckdb

    with gzip.open(BIKES, "rt", encoding="utf-8") as lines:
        polls = [json.loads(line) for line in lines]
    rows = [one | {"polled": poll["last_updated"]} for poll in polls for one in poll["data"]["stations"]]
    with gzip.open(STATIONS, "rt", encoding="utf-8") as file:
        stations = json.load(file)["data"]["stations"]
    keep = ("station_id", "name", "short_name", "lat", "lon", "capacity")
    node = start(folder, ECOBICI)
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    duck.execute(f"""CREATE TABLE status AS SELECT unnest(data.stations, recursive := true), last_updated AS polled
        FROM read_json('{BIKES}', format = 'newline_delimited', maximum_object_size = 10000000)""")
    duck.execute(f"""CREATE TABLE stations AS SELECT unnest(data.stations, recursive := true)
        FROM read_json('{STATIONS}', maximum_object_size = 10000000)""")
    duck.execute("ALTER TABLE status ADD COLUMN __time TIMESTAMPTZ")
    duck.execute("UPDATE status SET __time = to_timestamp(last_reported)")
    try:
        produce(node, "station_status", rows)
        produce(node, "station_information", [{key: one.get(key) for key in keep} for one in stations])
        filled(node, {"status": len(rows), "stations": len(stations)})
        hour = ("TIME_FLOOR(__time, 'PT1H')", "date_trunc('hour', __time)")
        day = ("TIME_FLOOR(__time, 'P1D')", "date_trunc('day', __time)")
        by = lambda text: tuple(text.format(hour=hour[n], day=day[n]) for n in (0, 1))  # noqa: E731
        totals = node.sql("SELECT sum(num_bikes_available), sum(num_docks_available), count(*) FILTER (WHERE num_bikes_available = 0) FROM status")
        # As the README of the files counts them.
        check(totals == [[1_036_072, 2_087_435, 35_414]], f"totals {totals}")
        asked = compare(node, duck, [
            "SELECT count(*), sum(num_bikes_available), sum(num_docks_available), min(__time), max(__time), count(DISTINCT station_id) FROM status",
            "SELECT is_renting, is_charging, count(*) AS n FROM status GROUP BY 1, 2 ORDER BY 1, 2",
            by("SELECT {hour} AS t, count(*) AS n, sum(num_bikes_available) AS s FROM status GROUP BY 1 ORDER BY 1"),
            by("SELECT {day} AS t, count(DISTINCT station_id) AS n, max(num_docks_disabled) AS m FROM status GROUP BY 1 ORDER BY 1"),
            "SELECT station_id, sum(num_bikes_available) AS s FROM status GROUP BY 1 ORDER BY s DESC, station_id LIMIT 20",
            "SELECT station_id, avg(CAST(num_bikes_available AS DOUBLE)) AS a FROM status GROUP BY 1 HAVING count(*) > 100 ORDER BY a DESC, station_id LIMIT 20",
            by("SELECT {hour} AS t, sum(num_bikes_available) AS s FROM status WHERE station_id = '5' GROUP BY 1 ORDER BY 1"),
            "SELECT count(*) FROM status WHERE polled - last_reported > 86400",
            "SELECT s.name, sum(t.num_bikes_available) AS n FROM status t JOIN stations s ON t.station_id = s.station_id GROUP BY 1 ORDER BY n DESC, s.name LIMIT 20",
            "SELECT sum(s.capacity) AS c, count(*) AS n FROM status t JOIN stations s ON t.station_id = s.station_id WHERE t.num_bikes_available = 0",
            "SELECT count(*) FROM stations WHERE name LIKE '%é%' OR name LIKE '%  %'",
            "SELECT num_bikes_available, __time, station_id, num_docks_available FROM status ORDER BY __time DESC, station_id, polled LIMIT 50",
        ])
    finally:
        node.stop()
    return f"{len(rows)} rows of {len(stations)} stations, {asked} answers equal to DuckDB's"


def flights(folder):
    import duckdb
    import pyarrow.ipc

    with gzip.open(FLIGHTS, "rt", encoding="utf-8") as file:
        rows = json.load(file)
    with open(AIRPORTS, encoding="utf-8", newline="") as file:
        airports = [row | {"latitude": float(row["latitude"]), "longitude": float(row["longitude"])} for row in csv.DictReader(file)]
    with pyarrow.ipc.open_file(MANY) as file:
        many = file.read_all().rename_columns({"time": "hour"})
    node = start(folder, FLIGHT)
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    duck.execute(f"""CREATE TABLE flights AS SELECT *, strptime(date, '%Y/%m/%d %H:%M') AT TIME ZONE 'UTC' AS __time
        FROM read_json('{FLIGHTS}', columns = {{date: 'VARCHAR', delay: 'INT', distance: 'INT', origin: 'VARCHAR', destination: 'VARCHAR'}})""")
    duck.execute(f"CREATE TABLE airports AS SELECT * FROM read_csv('{AIRPORTS}', all_varchar = true)")
    duck.register("many", many)
    try:
        produce(node, "flight_records", rows)
        produce(node, "airport_records", airports)
        produce(node, "many_records", many.to_pylist())
        filled(node, {"flights": len(rows), "airports": len(airports), "many": many.num_rows})
        month = ("TIME_FLOOR(__time, 'P1M')", "date_trunc('month', __time)")
        asked = compare(node, duck, [
            "SELECT count(*), sum(delay), min(delay), max(delay), sum(distance), min(__time), max(__time) FROM flights",
            tuple(f"SELECT {m} AS t, count(*) AS n, sum(delay) AS s FROM flights GROUP BY 1 ORDER BY 1" for m in month),
            "SELECT origin, count(*) AS n, avg(CAST(delay AS DOUBLE)) AS a FROM flights GROUP BY 1 ORDER BY n DESC, origin LIMIT 25",
            "SELECT origin, destination, max(delay) AS m FROM flights WHERE delay > 60 GROUP BY 1, 2 ORDER BY m DESC, 1, 2 LIMIT 25",
            "SELECT count(*) FROM flights WHERE delay < 0 AND distance BETWEEN 500 AND 1000",
            tuple(f"SELECT extract(hour FROM __time) AS h, count(*) AS n FROM flights{x} GROUP BY 1 ORDER BY 1" for x in ("", "")),
            "SELECT a.state, count(*) AS n FROM flights f JOIN airports a ON f.origin = a.iata GROUP BY 1 ORDER BY n DESC, 1 LIMIT 25",
            "SELECT iata, name FROM airports WHERE iata LIKE '0%' ORDER BY iata",
            "SELECT count(*), sum(delay), min(delay), max(delay), sum(distance) FROM many",
            "SELECT CASE WHEN delay > 15 THEN 'late' WHEN delay < 0 THEN 'early' ELSE 'in time' END AS k, count(*) AS n, sum(distance) AS s FROM many GROUP BY 1 ORDER BY 1",
            "SELECT CAST(floor(hour) AS BIGINT) AS h, count(*) AS n, sum(delay) AS s FROM many GROUP BY 1 ORDER BY 1",
            "SELECT count(DISTINCT distance), count(DISTINCT delay) FROM many",
        ])
    finally:
        node.stop()
    return f"{len(rows)} + {many.num_rows} flights, {len(airports)} airports, {asked} answers equal to DuckDB's"
