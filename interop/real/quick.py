"""The field's own files through the whole node, counted from outside. Of the films:

1. every row of `movies.tsv` is in the topic, in order; short rows keep their fields;
2. the stream's topic and the table agree, row by row, with a join made here;
3. kill -9 in the middle, twice: the same rows, nothing doubled;
4. with a header: the header row is a dead letter with its reason, not a film of 1970.

Of bikes and flights (`tables.py`): what tables answer is what DuckDB answers. Names as arguments run only those.

The files lie beside the repository and are never copied into it. Without them: `skipped`, exit 0;
with YEOUL_REQUIRE_REAL=1: exit 1.
"""
import collections
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time

VENV = pathlib.Path(os.environ.get("YEOUL_REAL") or pathlib.Path.home() / ".cache/yeoul/real") / "venv/bin/python"
if VENV.exists() and pathlib.Path(sys.prefix).resolve() != VENV.parents[1].resolve():
    os.execv(VENV, [str(VENV), *sys.argv])

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import movies  # noqa: E402
import tables  # noqa: E402
from yeoul_node import ROOT, Failed, Node, check, wait_for  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "psyoblade-movies"
FILMS = "SELECT movie, title, title_eng, year, grade, ts, country FROM films"


def multiset(rows):
    return collections.Counter(json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows)


def same(name, got, wanted):
    """Compares two multisets of rows and shows the first differences."""
    got, wanted = multiset(got), multiset(wanted)
    missing, extra = list((wanted - got).elements()), list((got - wanted).elements())
    check(
        not missing and not extra,
        f"{name}: {len(missing)} rows missing, {len(extra)} too many; first: {missing[:2]} / {extra[:2]}",
    )


def make_node(folder, source):
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(movies.PIPELINE.format(path=source, countries=DATA / "countries.csv"))
    return Node(folder, [pipeline])


def table_rows(node):
    rows = [dict(zip(movies.STREAM_COLUMNS, row)) for row in node.sql(FILMS)]
    for row in rows:
        # A query's answer may spell a time with fewer or more zeros than the topic.
        row["ts"] = row["ts"].replace(" ", "T").split(".")[0].rstrip("Z") + "Z"
    return rows


def whole(node, lines):
    """All that must be true once a node has seen `lines`."""
    count = len(lines)
    wait_for(f"{count} rows in films", lambda: node.sql("SELECT count(*) FROM films")[0][0] >= count, 120)
    source_rows = [movies.source_row(line) for line in lines]
    got = [movies.value(r, movies.COLUMNS) for r in node.records("movies")]
    check(len(got) == count, f"topic movies holds {len(got)} records, not {count}")
    for at, (one, wanted) in enumerate(zip(got, source_rows)):
        check(one == wanted, f"movies, offset {at}: {one}, wanted {wanted}")
    countries = movies.first_countries(DATA / "countries.csv")
    wanted = [movies.stream_row(row, countries) for row in source_rows]
    out = node.records("korean_movies")
    same("topic korean_movies", [movies.value(r, movies.STREAM_COLUMNS) for r in out], wanted)
    check(all(r["key"] == json.loads(r["value"])["movie"] for r in out), "a key differs from its movie")
    same("table films", table_rows(node), wanted)
    years = [row["year"] for row in wanted if row["year"] is not None]
    totals = node.sql("SELECT count(*), count(year), sum(year) FROM films")[0]
    check(totals == [count, len(years), sum(years)], f"totals {totals}, wanted {[count, len(years), sum(years)]}")
    by_grade = dict(node.sql("SELECT grade, count(*) FROM films GROUP BY grade"))
    check(by_grade == collections.Counter(r["grade"] for r in wanted), f"by grade: {by_grade}")


def plain(folder):
    lines = (DATA / "movies.tsv").read_text(encoding="utf-8").splitlines()
    node = make_node(folder, DATA / "movies.tsv").start()
    try:
        whole(node, lines)
        counted = node.cli("sql", "--url", node.http, "--output", "json", "SELECT count(*) AS n FROM films")
        check(str(len(lines)) in counted, f"yeoul sql said {counted.strip()}")
        read = node.cli("consume", "movies", "--bootstrap-server", node.kafka, "--from", "beginning",
                        "--max", str(len(lines)), "--format", "json")
        ids = [movies.source_row(line)["movie"] for line in lines]
        printed = read.splitlines()
        check(len(printed) == len(ids), f"yeoul consume printed {len(printed)} lines")
        check(all(i in line for i, line in zip(ids, printed)), "yeoul consume is out of order")
        audit = node.request("/api/v1/audit")
        check("false" not in json.dumps(audit), f"the audit does not balance: {audit}")
    finally:
        node.stop()
    again = node.start()
    try:
        whole(again, lines)
    finally:
        again.stop()
    return f"{len(lines)} rows, and again after a restart"


def killed(folder):
    """The file grows while the node is killed twice; whatever it was doing then, all must be there once."""
    lines = (DATA / "movies.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    growing = folder / "movies.tsv"
    growing.touch()
    written = [0]

    def feed():
        with open(growing, "a", encoding="utf-8") as file:
            for line in lines:
                file.write(line)
                file.flush()
                written[0] += 1
                time.sleep(0.004)

    node = make_node(folder, growing).start()
    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    seen = []
    for part in (len(lines) // 3, 2 * len(lines) // 3):
        wait_for(f"{part} rows in the topic", lambda part=part: node.end_offset("movies") >= part, every_s=0.005)
        node.kill()
        seen.append(written[0])
        node.start()
    try:
        feeder.join()
        whole(node, [line.rstrip("\n") for line in lines])
    finally:
        node.stop()
    return f"killed when {seen[0]} and {seen[1]} of {len(lines)} lines were written"


def header(folder):
    lines = (DATA / "movies_with_header.tsv").read_text(encoding="utf-8").splitlines()
    node = make_node(folder, DATA / "movies_with_header.tsv").start()
    try:
        whole(node, lines[1:])
        dead = node.records("dead.source.movies")
        check(len(dead) == 1, f"{len(dead)} dead letters, wanted the header alone")
        headers = dict(dead[0]["headers"])
        reason = headers.get("__connect.errors.exception.message", "")
        check(dead[0]["value"].rstrip("\n") == lines[0], f"the dead letter holds {dead[0]['value']!r}")
        check("time" in reason, f"the reason does not name the column: {headers}")
        early = node.sql("SELECT count(*) FROM films WHERE ts < TIMESTAMP '2000-01-01T00:00:00Z'")
        check(early == [[0]], f"films before 2000: {early}")
        check(len(node.request("/api/v1/dead")) >= 1, "/api/v1/dead names no topic")
    finally:
        node.stop()
    return f"reason: {reason}"


def main():
    if not DATA.is_dir():
        if os.environ.get("YEOUL_REQUIRE_REAL"):
            sys.exit(f"{DATA.relative_to(ROOT.parent)} is not beside the repository")
        print("skipped: the real files are not beside the repository")
        return
    passed, failed = 0, 0
    only = sys.argv[1:]
    parts = {"plain": plain, "killed": killed, "header": header, "ecobici": tables.ecobici, "flights": tables.flights}
    for name, part in parts.items():
        if only and name not in only:
            continue
        folder = pathlib.Path(tempfile.mkdtemp(prefix="yeoul-real-"))
        began = time.monotonic()
        try:
            said = part(folder)
            passed += 1
            print(f"ok   {name}: {said} ({time.monotonic() - began:.1f} s)")
            shutil.rmtree(folder)
        except Failed as failure:
            failed += 1
            print(f"FAIL {name}: {failure}\n     kept: {folder}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
