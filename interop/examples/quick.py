"""Every example as a reader would try it: `check`, `test`, then `run` and look.

movies: the topic and the table hold exactly the expected rows, in the file's order.
bikes: rows are in the table within 5 s of the start, every station has its district, numbers are numbers.
Each runs on a copy, so that nothing is written beside the committed files.
"""
import collections
import json
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import movies as films  # noqa: E402
from yeoul_node import ROOT, Failed, Node, check, wait_for  # noqa: E402

STATIONS, DISTRICTS = 2_700, 25


def tried(folder):
    """`check` and `test` of the example, then a started node on it."""
    pipeline = folder / "pipeline.yaml"
    node = Node(folder, [pipeline])
    node.cli("check", str(pipeline))
    node.cli("test", str(pipeline))
    return node.start()


def movies(folder):
    node = tried(folder)
    try:
        with open(folder / "expected" / "films.jsonl", encoding="utf-8") as file:
            expected = [json.loads(line) for line in file]
        wait_for("all films", lambda: node.sql("SELECT count(*) FROM films")[0][0] >= len(expected))
        got = [films.value(record, films.STREAM_COLUMNS) for record in node.records("korean_movies")]
        for line, (one, wanted) in enumerate(zip(got, expected, strict=True), 1):
            check(one == wanted, f"line {line}: {one}, wanted {wanted}")
        by_grade = dict(node.sql("SELECT grade, count(*) FROM films GROUP BY grade"))
        check(by_grade == collections.Counter(row["grade"] for row in expected), f"by grade: {by_grade}")
        with open(folder / "data" / "movies.tsv", "a", encoding="utf-8") as file:
            file.write("1709431200\t20301\t여울의 아침\tMorning Of The Riffle , 1990\t1991\tPG\n")
        wait_for("the added film", lambda: node.sql("SELECT title FROM films WHERE movie = '20301'") == [["여울의 아침"]])
    finally:
        node.stop()
    return f"{len(expected)} rows as expected, and one added"


def bikes(folder):
    node = tried(folder)
    try:
        began = time.monotonic()
        wait_for("rows within 5 s", lambda: node.sql("SELECT count(*) FROM stations")[0][0] > 0, 5)
        first = time.monotonic() - began + node.ready_s
        wait_for("every station", lambda: node.end_offset("bike_stations") >= STATIONS, 30)
        seen = "SELECT count(DISTINCT station_id), count(DISTINCT district), min(racks), max(bikes) FROM stations"
        totals = wait_for("every station in the table", lambda: (t := node.sql(seen)[0])[0] >= STATIONS and t, 30)
        check(totals[:2] == [STATIONS, DISTRICTS], f"stations and districts: {totals}")
        check(all(isinstance(n, int) for n in totals[2:]), f"racks and bikes are no numbers: {totals}")
        check(node.sql("SELECT count(*) FROM stations WHERE district IS NULL") == [[0]], "a station without district")
        dead = [topic for topic in node.request("/api/v1/dead") if topic["records"]]
        check(not dead, f"dead letters: {dead}")
    finally:
        node.stop()
    return f"{STATIONS} stations in {DISTRICTS} districts, first rows {first:.2f} s after the start"


def main():
    passed, failed = 0, 0
    for part in (movies, bikes):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"yeoul-{part.__name__}-"))
        shutil.copytree(ROOT / "examples" / part.__name__, folder, dirs_exist_ok=True)
        try:
            print(f"ok   {part.__name__}: {part(folder)}")
            passed += 1
            shutil.rmtree(folder)
        except Failed as failure:
            failed += 1
            print(f"FAIL {part.__name__}: {failure}\n     kept: {folder}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
