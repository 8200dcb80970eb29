"""Tables under a dashboard's questions, DuckDB and ClickHouse (chdb) beside them in the same run.

Everything is made here: the events (`data.py`), a topic of them as JSON, our table from that topic, the
others from Parquet. Every answer is compared with DuckDB's before anything is timed. Processor time is
user and system of the engine's whole process; rounds are interleaved; figures are medians of the rounds.

  seven      the dashboard's questions on raw rows (`queries.py`); geomean of (ours + 10 ms) / (better of
             DuckDB native and chdb + 10 ms)
  rollup     what a rollup by minute answers, against the best engine on raw rows
  repeated   the seven again with kept answers allowed
  segments   one hour out of 24 and out of 2,400 hours, the same rows in each hour
  groups     1.6 million groups with 512 MB for queries
  ingest     JSON in the topic → sealed table segments, MB of JSON per processor second, all that the node does
             in; beside it chdb's insert of the same lines from a file
  disk       bytes of the files, and of the columns that say where a row comes from
  fresh      acknowledged record → first answer that has it, at 10,000 and 20,000 records a second (`fresh.py`)

Names as arguments run only these. YEOUL_BENCH_ROWS (10,000,000), YEOUL_BENCH_ROUNDS (5), YEOUL_BENCH_DIR,
YEOUL_BENCH_SECONDS (20, of `fresh` at each rate), YEOUL_BENCH_FORCE=1 on a busy machine, YEOUL_BENCH_RECORD=1
adds a section to `benches/RESULTS.md`. Prints one JSON object, then one line of summary. Apache Druid is not beside them: Maven's central registry has neither its distribution nor `druid-services`.
"""
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HOME = pathlib.Path(os.environ.get("YEOUL_OLAP") or pathlib.Path.home() / ".cache/yeoul/olap")
VENV = HOME / "venv/bin/python"
if pathlib.Path(sys.prefix).resolve() != VENV.parents[1].resolve():
    subprocess.run(["bash", str(pathlib.Path(__file__).with_name("install.sh"))], check=True)
    os.execv(VENV, [str(VENV), *sys.argv])

import engines  # noqa: E402
import fresh  # noqa: E402
import queries  # noqa: E402
import report  # noqa: E402
from engines import Failed, Ours, Peer, check, wait_for  # noqa: E402

ROWS = int(os.environ.get("YEOUL_BENCH_ROWS", "10000000"))
ROUNDS = int(os.environ.get("YEOUL_BENCH_ROUNDS", "5"))
LOAD_MAX = 0.7
FEW_HOURS, MANY_HOURS = 24, 2_400
MINUTE = """\
  events_minute:
    from: event_records
    time: { column: ts, format: ms }
    partition: day
    rollup:
      by: minute
      dimensions: [region, kind]
      metrics: { n: count(*), bikes: sum(bikes), amount: sum(amount), bikes_max: max(bikes), users: approx_count_distinct(user_id) }
"""
TOPIC = engines.TOPIC.format(topic="event_records", columns=engines.COLUMNS)
EVENTS = engines.EVENTS.format(table="events", topic="event_records")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.out = {}
        self.peers = {}
        self.ours = None

    def load(self):
        say(f"{ROWS} events")
        began = time.monotonic()
        make_data(self.folder / "data", ROWS)
        say(f"  made in {time.monotonic() - began:.0f} s; into the topic")
        lines = self.folder / "data" / "events.json"
        self.json_mb = engines.mebibytes(lines)
        node = Ours(self.folder / "ours", TOPIC).start()
        engines.produce(node.node, "event_records", lines)
        check(node.node.end_offset("event_records") == ROWS, "the topic has not all events")
        node.stop()
        say("  from the topic into tables")
        raw = engines.ingest(self.folder / "ours", TOPIC + EVENTS, "events", ROWS)
        self.out["ingest"] = {"json_mb": round(self.json_mb, 1), "raw_mb_per_cpu_s": round(self.json_mb / raw["cpu_s"], 1),
                              "raw_rss_mb": round(raw["rss_mb"])}
        self.pipeline = TOPIC + EVENTS
        if {"rollup", "ingest"} & self.parts:
            self.load_rollup()
        self.ours = Ours(self.folder / "ours", self.pipeline).start()
        for name in ("duckdb-native", "duckdb-parquet", "chdb"):
            peer = Peer(name, self.folder / name)
            say(f"  into {name}")
            took = peer.ask("load", parts=str(self.folder / "data" / "events"), lines=str(lines))
            if name == "chdb":
                self.out["ingest"]["chdb_mb_per_cpu_s"] = round(self.json_mb / took["cpu_s"], 1)
            self.peers[name] = peer
        self.ours.settle()

    def load_rollup(self):
        self.pipeline = TOPIC + EVENTS + MINUTE
        made = engines.ingest(self.folder / "ours", self.pipeline, "events_minute", ROWS, "SUM(n)")
        self.out["ingest"] |= {"rollup_mb_per_cpu_s": round(self.json_mb / made["cpu_s"], 1), "rollup_rss_mb": round(made["rss_mb"])}

    def engines(self):
        return [self.ours, *self.peers.values()]

    def asked(self, engine, of):
        return of({"yeoul": "ours", "duckdb-native": "duckdb", "duckdb-parquet": "duckdb", "chdb": "chdb"}[engine.name])

    def same(self, name, sql_of):
        """Every engine's answer is DuckDB's."""
        wanted = self.peers["duckdb-native"].ask("rows", sql=sql_of(self.peers["duckdb-native"]))
        check(wanted, f"{name}: no rows")
        for engine in self.engines():
            if engine.name == "duckdb-native":
                continue
            got = engine.rows(sql_of(engine)) if engine is self.ours else engine.ask("rows", sql=sql_of(engine))
            other = queries.difference(got, wanted)
            check(other is None, f"{name}: {engine.name} and DuckDB differ: {other}")

    def rounds(self, names, ask):
        """Name → engine → medians. `ask(engine, name, repeats)` measures; repeats are what ~0.3 s hold."""
        took = {}
        for number in range(ROUNDS):
            for name in names:
                for engine in self.engines():
                    mine = took.setdefault(name, {}).setdefault(engine.name, [])
                    repeats = 2 if not mine else max(2, min(20, int(300 / max(mine[0]["cpu_ms"], 1))))
                    mine.append(ask(engine, name, repeats))
            say(f"  round {number + 1} of {ROUNDS}")
        return {name: {engine: {key: round(statistics.median(one[key] for one in each), 2) for key in ("cpu_ms", "wall_ms")}
                       for engine, each in of.items()} for name, of in took.items()}

    def seven(self):
        say("seven questions")
        names = list(queries.of("ours", ROWS))
        sql = lambda engine, name: self.asked(engine, lambda kind: queries.of(kind, ROWS))[name]  # noqa: E731
        for name in names:
            self.same(name, lambda engine, n=name: sql(engine, n))
        figures = self.rounds(names, lambda engine, name, repeats: engine.measure(sql(engine, name), repeats))
        ratios = {name: ratio(of) for name, of in figures.items()}
        self.out["seven"] = {"cpu": figures, "ratio": {name: round(one, 2) for name, one in ratios.items()},
                             "geomean": round(geomean(ratios.values()), 3), "worst": round(max(ratios.values()), 2)}
        rss = {name: round(peer.ask("about")["rss_mb"]) for name, peer in self.peers.items()}
        self.out["seven"]["rss_mb"] = rss | {"yeoul": round(self.ours.node.memory_mb("VmHWM"))}

    def repeated(self):
        say("the same again, kept answers allowed")
        cold = self.out.get("seven", {}).get("cpu", {})
        figures = {}
        for name, sql in queries.of("ours", ROWS).items():
            wanted = self.ours.rows(sql)
            kept = self.ours.measure(sql, 20, cache=True)
            other = queries.difference(kept["rows"], wanted)
            check(other is None, f"{name}: the kept answer differs: {other}")
            figures[name] = {"kept_cpu_ms": round(kept["cpu_ms"], 2)}
            if name in cold:
                figures[name]["times_less"] = round(cold[name]["yeoul"]["cpu_ms"] / max(kept["cpu_ms"], 0.5), 1)
        less = [one["times_less"] for one in figures.values() if "times_less" in one]
        self.out["repeated"] = {"of": figures, "geomean_times_less": round(geomean(less), 1) if less else None}

    def rollup(self):
        say("a rollup by minute")

        def sql(engine, name):
            kind = {"yeoul": "ours", "chdb": "chdb"}.get(engine.name, "duckdb")
            return queries.rollup(kind, "events_minute" if engine is self.ours else "events")[name]

        names = list(queries.rollup("ours", "events"))
        for name in names:
            self.same(name, lambda engine, n=name: sql(engine, n))
        figures = self.rounds(names, lambda engine, name, repeats: engine.measure(sql(engine, name), repeats))
        times = {name: min(one["cpu_ms"] for engine, one in of.items() if engine != "yeoul") / max(of["yeoul"]["cpu_ms"], 0.5)
                 for name, of in figures.items()}
        exact = dict(self.ours.rows(queries.of("ours", ROWS)["exact distinct users"]))
        about = "SELECT region, APPROX_COUNT_DISTINCT(users) AS u FROM events_minute GROUP BY 1"
        took = self.ours.measure(about, 5)
        errors = [abs(seen - exact[name]) / exact[name] for name, seen in took["rows"]]
        self.out["rollup"] = {"cpu": figures, "times_faster": {name: round(one, 1) for name, one in times.items()},
                              "geomean_times_faster": round(geomean(times.values()), 1),
                              "rows": self.ours.rows("SELECT COUNT(*) FROM events_minute")[0][0],
                              "approximate_users": {"cpu_ms": round(took["cpu_ms"], 1), "mean_error": round(statistics.fmean(errors), 4),
                                                    "most_error": round(max(errors), 4)}}

    def disk(self):
        ours = engines.disk_of(self.folder / "ours", "events")
        check(ours["rows"] == ROWS, f"the table's files hold {ours['rows']} rows")
        theirs = {name: peer.ask("about")["disk"] for name, peer in self.peers.items() if name != "duckdb-parquet"}
        parts = self.folder / "data" / "events"
        theirs["duckdb-parquet"] = sum(path.stat().st_size for path in parts.glob("*.parquet"))
        without = ours["bytes"] - ours["origin_bytes"]
        self.out["disk"] = {**ours, "without_origin": without, "origin_bytes_per_row": round(ours["origin_bytes"] / ROWS, 2),
                            **theirs, "ratio_to_chdb": round(without / theirs["chdb"], 2)}

    def groups(self):
        say("1.6 million groups within 512 MB")
        wanted = self.peers["duckdb-native"].measure(queries.GROUPS, 1)
        chdb = self.peers["chdb"].measure(queries.GROUPS, 1)
        self.ours.stop()
        small = Ours(self.folder / "ours", self.pipeline, ["--memory-limit", "512MB"]).start()
        small.settle()
        before = small.node.memory_mb()
        mine = small.measure(queries.GROUPS, 1)
        most = small.node.memory_mb("VmHWM")
        small.stop()
        self.ours.start()
        other = queries.difference(mine["rows"], wanted["rows"])
        check(other is None, f"1.6 million groups: {other}")
        self.out["groups"] = {"cpu_ms": {"yeoul": round(mine["cpu_ms"]), "duckdb-native": round(wanted["cpu_ms"]), "chdb": round(chdb["cpu_ms"])},
                              "rss_mb": {"yeoul before": round(before), "yeoul most": round(most)}}

    def segments(self):
        """The same rows in each hour; only how many hours there are differs."""
        say("24 and 2,400 hours")
        per_hour = max(100, ROWS // 10_000)
        found = {}
        for hours in (FEW_HOURS, MANY_HOURS):
            folder = self.folder / f"hours-{hours}"
            rows = per_hour * hours
            make_data(folder / "data", rows, hours)
            ours = Ours(folder / "ours", TOPIC + EVENTS).start()
            engines.produce(ours.node, "event_records", folder / "data" / "events.json")
            wait_for(f"{rows} rows", lambda o=ours, n=rows: o.count("events") == n, 1_800, 0.5)
            time.sleep(engines.SEAL_S)
            every = {"yeoul": ours}
            for name in ("duckdb-parquet", "chdb"):
                every[name] = Peer(name, folder / name)
                every[name].ask("load", parts=str(folder / "data" / "events"))
            name = "one hour by minute"
            found[hours] = {engine: [] for engine in every}
            for _ in range(ROUNDS):
                answers = []
                for engine in every.values():
                    made = engine.measure(self.asked(engine, lambda kind: queries.of(kind, rows))[name], 20)
                    found[hours][engine.name].append(made["cpu_ms"])
                    answers.append(made["rows"])
                for other in answers[1:]:
                    check(queries.difference(other, answers[0]) is None, f"one hour of {hours}: answers differ")
            found[hours] = {engine: round(statistics.median(each), 2) for engine, each in found[hours].items()}
            found[hours]["files of yeoul"] = engines.disk_of(folder / "ours", "events")["files"]
            ours.stop()
            for name in ("duckdb-parquet", "chdb"):
                every[name].close()
            engines.remove(folder)
        few, many = found[FEW_HOURS], found[MANY_HOURS]
        growth = {name: round(many[name] / max(few[name], 0.5), 2) for name in ("yeoul", "duckdb-parquet", "chdb")}
        self.out["segments"] = {"rows_per_hour": per_hour, "cpu_ms": {str(hours): one for hours, one in found.items()}, "growth": growth}

    def fresh(self):
        say("freshness")
        self.out["fresh"] = fresh.measure(self.folder, TOPIC, EVENTS)


def make_data(folder, rows, hours=24):
    words = [sys.executable, str(engines.HERE / "data.py"), str(folder), str(rows), str(hours)]
    subprocess.run(words, check=True)


def ratio(of):
    """Softened by 10 ms, so that nobody wins or loses by a millisecond."""
    better = min(of["duckdb-native"]["cpu_ms"], of["chdb"]["cpu_ms"])
    return (of["yeoul"]["cpu_ms"] + 10) / (better + 10)


def geomean(values):
    return math.exp(statistics.fmean(math.log(max(value, 1e-9)) for value in values))


LOADED = ("seven", "repeated", "rollup", "disk", "groups")
PARTS = (*LOADED, "segments", "fresh", "ingest")


def main():
    only = set(sys.argv[1:])
    unknown = only - set(PARTS)
    check(not unknown, f"no such part: {unknown}; there are {PARTS}")
    busy = os.getloadavg()[0]
    if busy > LOAD_MAX and os.environ.get("YEOUL_BENCH_FORCE") != "1":
        sys.exit(f"the machine is busy (load {busy:.2f}): figures would mean nothing. Wait, or YEOUL_BENCH_FORCE=1")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="yeoul-olap-", dir=os.environ.get("YEOUL_BENCH_DIR")))
    bench = Bench(folder)
    bench.parts = only or set(PARTS)
    bench.out |= {"rows": ROWS, "rounds": ROUNDS, "load_before": round(busy, 2)}
    failed = []
    try:
        if bench.parts & {*LOADED, "ingest"}:
            bench.load()
        for name in PARTS[:-1]:
            if name not in bench.parts:
                continue
            try:
                getattr(bench, name)()
            except Failed as failure:
                # One part that cannot be had must not cost the hour of the others; the run fails all the same.
                failed.append(f"{name}: {failure}")
                say(f"FAIL {name}: {failure}")
    finally:
        for peer in bench.peers.values():
            peer.close()
        if bench.ours:
            bench.ours.stop()
        if failed:
            say(f"kept: {folder}")
        else:
            engines.remove(folder)
    print(json.dumps(bench.out, ensure_ascii=False))
    if os.environ.get("YEOUL_BENCH_RECORD") == "1" and not failed:
        report.record(bench.out, engines.binary())
    seven = bench.out.get("seven", {})
    if failed:
        sys.exit("FAIL " + "; ".join(failed))
    print(f"seven questions: geomean {seven.get('geomean')}, worst {seven.get('worst')}; "
          f"fresh {bench.out.get('fresh', {}).get('yeoul')}; ingest {bench.out.get('ingest')}")


if __name__ == "__main__":
    main()
