"""An engine beside ours, in a process of its own so that its time and memory are its own.

  peer.py duckdb-native|duckdb-parquet|chdb FOLDER     reads commands, answers each with a line of JSON

Two threads, as the machine has cores for both sides; everything else as the engine comes.
"""
import json
import pathlib
import resource
import sys
import time


class Duck:
    def __init__(self, folder, native):
        import duckdb

        self.folder, self.native = folder, native
        self.file = folder / "duck.db"
        self.db = duckdb.connect(str(self.file) if native else ":memory:")
        self.db.execute("SET threads = 2; SET TimeZone = 'UTC'")

    def load(self, parts, lines=None):
        source = f"read_parquet('{parts}/*.parquet')"
        if self.native:
            self.db.execute(f"CREATE TABLE events AS SELECT * FROM {source} ORDER BY ts")
            self.db.execute("CHECKPOINT")
        else:
            self.db.execute("SET parquet_metadata_cache = true")
            self.db.execute(f"CREATE VIEW events AS SELECT * FROM {source}")

    def merge(self):
        """Nothing to do."""

    def rows(self, sql):
        return [list(row) for row in self.db.execute(sql).fetchall()]

    def disk(self):
        return self.file.stat().st_size if self.native else None


class Click:
    # As its documentation has it for such a table: partition by the unit that is dropped and asked for, sort
    # by what is filtered, LowCardinality where few values are, a bloom filter for the random id.
    TABLE = """CREATE TABLE events (ts DateTime64(3, 'UTC'), id Int64, station LowCardinality(String),
        region LowCardinality(String), kind LowCardinality(String), user_id Int64, bikes Int64, amount Float64,
        INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1)
        ENGINE = MergeTree PARTITION BY toStartOfHour(ts) ORDER BY (station, ts)"""

    def __init__(self, folder):
        from chdb import session

        self.session = session.Session(str(folder / "chdb"))
        self.run("SET max_threads = 2")
        self.run("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
        self.run("USE bench")

    def run(self, sql, form="JSONCompact"):
        return self.session.query(sql, form)

    def load(self, parts, lines=None):
        """From the lines where they are given (what an insert costs), else from Parquet; the merges are after it."""
        self.run(self.TABLE)
        typed = "ts Int64, id Int64, station String, region String, kind String, user_id Int64, bikes Int64, amount Float64"
        source = (f"fromUnixTimestamp64Milli(ts, 'UTC'), * EXCEPT ts FROM file('{lines}', JSONEachRow, '{typed}')" if lines
                  else f"* FROM file('{parts}/*.parquet', Parquet)")
        self.run(f"INSERT INTO events SELECT {source} "
                 "SETTINGS max_partitions_per_insert_block = 0, throw_on_max_partitions_per_insert_block = 0")

    def merge(self):
        self.run("OPTIMIZE TABLE events FINAL")

    def rows(self, sql):
        text = self.run(sql + " SETTINGS output_format_json_quote_64bit_integers = 0, max_threads = 2").bytes()
        return json.loads(text)["data"]

    def disk(self):
        return self.rows("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'events'")[0][0]

    def kafka(self, broker, topic):
        """Its own consumer into its own table, with the settings it comes with."""
        columns = "ts Int64, id Int64, station String, region String, kind String, user_id Int64, bikes Int64, amount Float64"
        try:
            self.run(f"CREATE TABLE queue ({columns}) ENGINE = Kafka SETTINGS kafka_broker_list = '{broker}', "
                     f"kafka_topic_list = '{topic}', kafka_group_name = 'bench', kafka_format = 'JSONEachRow'")
        except Exception as error:  # noqa: BLE001
            # Embedded, it says this of its own background work, and has made the table all the same.
            if "Shutdown was called" not in str(error):
                raise
        self.run(f"CREATE TABLE fresh ({columns}) ENGINE = MergeTree ORDER BY ts")
        self.run("CREATE MATERIALIZED VIEW into_fresh TO fresh AS SELECT * FROM queue")


def used():
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def measured(engine, sql, repeats):
    engine.rows(sql)
    began, cpu = time.perf_counter(), used()
    for _ in range(repeats):
        rows = engine.rows(sql)
    return {"rows": rows, "cpu_ms": (used() - cpu) * 1000 / repeats, "wall_ms": (time.perf_counter() - began) * 1000 / repeats}


def main():
    kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    engine = Click(folder) if kind == "chdb" else Duck(folder, kind == "duckdb-native")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            what = asked["do"]
            if what == "measure":
                answer = measured(engine, asked["sql"], asked["repeats"])
            elif what == "load":
                cpu = used()
                engine.load(asked["parts"], asked.get("lines"))
                answer = {"cpu_s": used() - cpu}
                engine.merge()
            elif what == "kafka":
                answer = engine.kafka(asked["broker"], asked["topic"])
            elif what == "rows":
                answer = engine.rows(asked["sql"])
            else:
                answer = {"disk": engine.disk(), "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}
            said = {"value": answer}
        except Exception as error:  # noqa: BLE001: whatever the engine raises goes to who asked
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


main()
