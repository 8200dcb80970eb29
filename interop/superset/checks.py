"""The checks, in the order of a person's first hour with Superset: database, data set, charts, dashboard,
SQL Lab. Each compares three things: what was produced, what our own SQL answers, what Superset shows.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import traceback
import urllib.parse

import rows as bikes
from server import HOME, USER, Failed, Superset, check, wait_for  # first: it finds the shared library
from yeoul_node import HttpFailure, Node

LOOK = pathlib.Path(__file__).with_name("look.mjs")
SUM = {"expressionType": "SIMPLE", "column": {"column_name": "bikes"}, "aggregate": "SUM", "label": "bikes_sum"}
COUNT = {"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}
DAYS = "2026-11-19T00:00:00 : 2026-11-21T00:00:00"
RANGE = {"expressionType": "SIMPLE", "clause": "WHERE", "subject": "__time", "operator": "TEMPORAL_RANGE", "comparator": DAYS}
WHERE = "__time >= TIMESTAMP '2026-11-19 00:00:00' AND __time < TIMESTAMP '2026-11-21 00:00:00'"
TABLE = '"bike-station-info"'
REFRESH_S = 10


class Browser:
    """`look.mjs`, asked line by line."""

    def __init__(self, base):
        self.process = subprocess.Popen(
            ["node", str(LOOK), base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask("login", **USER)

    def ask(self, do, **more):
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        check(line, f"the browser ended while asked to {do}")
        answer = json.loads(line)
        check("error" not in answer, f"browser, {do} {more}: {answer.get('error')}")
        return answer["value"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Session:
    """A node, a Superset of one version, a browser, and what the checks made in them."""

    def __init__(self, version):
        self.version = version
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"yeoul-superset-{version}-"))
        (self.folder / "node").mkdir()
        pipeline = self.folder / "node" / "pipeline.yaml"
        pipeline.write_text(bikes.PIPELINE, encoding="utf-8")
        self.node = Node(self.folder / "node", [pipeline])
        self.superset = Superset(version, self.folder / "superset")
        self.browser = None
        self.rows = []
        self.charts = {}

    def produce(self, more):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in more)
        words = [os.environ["YEOUL_BIN"], "produce", "bikes", "--bootstrap-server", self.node.kafka]
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=120)
        check(done.returncode == 0, f"yeoul produce: {done.stderr}")
        self.rows += more
        wait_for(f"{len(self.rows)} rows", lambda: self.sql(f"SELECT count(*) FROM {TABLE}") == [[len(self.rows)]])

    def sql(self, query):
        return self.node.sql(query)

    def close(self, keep):
        if self.browser:
            self.browser.close()
        self.superset.stop()
        self.node.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def same(what, seen, produced, ours):
    """What Superset shows, what was produced and what our SQL says are one."""
    check(ours == produced, f"{what}: our SQL says {short(ours)}, produced was {short(produced)}")
    check(seen == produced, f"{what}: Superset shows {short(seen)}, produced was {short(produced)}")


def short(value):
    text = repr(value)
    return text if len(text) < 400 else text[:400] + " …"


def start(s):
    s.node.start()
    s.produce(bikes.first_rows())
    s.superset.start()
    return f"{len(s.rows)} rows; Superset {s.version}"


def database(s):
    where = {"sqlalchemy_uri": f"druid://{s.node.http[7:]}/druid/v2/sql/", "database_name": "yeoul"}
    tested = s.superset.post("/api/v1/database/test_connection/", where)
    check(tested == {"message": "OK"}, f"test_connection said {tested}")
    s.database = s.superset.post("/api/v1/database/", where | {"expose_in_sqllab": True})["id"]
    schemas = s.superset.get(f"/api/v1/database/{s.database}/schemas/?q=(force:!t)")["result"]
    check("druid" in schemas, f"schemas {schemas}")
    tables = s.superset.get(f"/api/v1/database/{s.database}/tables/?q=(schema_name:druid,force:!t)")["result"]
    check([one["value"] for one in tables] == [bikes.TABLE], f"tables {tables}")
    return f"connection OK, schemas {len(schemas)}"


def dataset(s):
    made = s.superset.post("/api/v1/dataset/", {"database": s.database, "schema": "druid", "table_name": bikes.TABLE})
    s.dataset = made["id"]
    seen = s.superset.get(f"/api/v1/dataset/{s.dataset}")["result"]
    s.columns = {one["column_name"]: (one["type"], one["is_dttm"]) for one in seen["columns"]}
    wanted = {"__time": ("LONG", True), "stationId": ("STRING", False), "stationName": ("STRING", False),
              "district": ("STRING", False), "bikes": ("LONG", False), "racks": ("LONG", False)}
    for name, of in wanted.items():
        check(s.columns.get(name) == of, f"column {name} is {s.columns.get(name)}, not {of}: {s.columns}")
    values = s.superset.get(f"/api/v1/datasource/table/{s.dataset}/column/district/values/")["result"]
    same("values of district", set(values), {row["district"] for row in s.rows},
         {one for one, in s.sql(f"SELECT DISTINCT district FROM {TABLE}")})
    return f"{len(s.columns)} columns"


def ask(s, **query):
    """One query of a chart, over REST; its rows."""
    base = {"columns": [], "metrics": [], "filters": [], "orderby": [], "row_limit": 50_000, "time_range": DAYS,
            "granularity": "__time", "extras": {}, "is_timeseries": False}
    made = s.superset.post("/api/v1/chart/data", {
        "datasource": {"id": s.dataset, "type": "table"}, "force": True, "result_format": "json",
        "result_type": "full", "queries": [base | query],
    })["result"][0]
    check(made["status"] == "success", f"{made.get('error')} for {made.get('query')}")
    check(made["rowcount"] == len(made["data"]), f"{made['rowcount']} rows, {len(made['data'])} given")
    return made["data"]


def time_axis(grain):
    return {"timeGrain": grain, "columnType": "BASE_AXIS", "sqlExpression": "__time", "label": "__time", "expressionType": "SQL"}


def by_time(s, grain):
    """Milliseconds → sum, as our own SQL answers."""
    found = s.sql(f"SELECT TIME_FLOOR(__time, '{grain}') AS t, sum(bikes) FROM {TABLE} WHERE {WHERE} GROUP BY 1")
    return {bikes.time_ms({"ts": at}): of for at, of in found}


def line(s):
    for grain, step in (("PT1H", 3_600_000), ("PT15M", 900_000), ("P1D", 86_400_000)):
        seen = ask(s, columns=[time_axis(grain)], metrics=[SUM])
        produced = bikes.by(s.rows, lambda row: bikes.time_ms(row) // step * step)
        same(f"line by {grain}", {one["__time"]: one["bikes_sum"] for one in seen}, produced, by_time(s, grain))
    names = ["마포구", "O'Brien 구", "back\\slash\\"]
    seen = ask(s, columns=[time_axis("PT1H"), "district"], metrics=[SUM],
               filters=[{"col": "district", "op": "IN", "val": names}])
    produced = bikes.by([r for r in s.rows if r["district"] in names], lambda r: (bikes.hour_ms(r), r["district"]))
    got = {(one["__time"], one["district"]): one["bikes_sum"] for one in seen}
    check(got == produced, f"line by district: {short(got)}, produced {short(produced)}")
    return f"three grains, {len(produced)} points of three districts"


def all_grains(s):
    """Every grain that Superset offers for Druid."""
    for grain in bikes.GRAINS:
        seen = ask(s, columns=[time_axis(grain)], metrics=[SUM])
        produced = bikes.by(s.rows, lambda row: bikes.floor_ms(grain, row))
        got = {one["__time"]: one["bikes_sum"] for one in seen}
        check(got == produced, f"{grain}: Superset shows {short(got)}, produced was {short(produced)}")
    return f"{len(bikes.GRAINS)} grains"


def big_number(s):
    (seen,) = ask(s, metrics=[SUM])
    same("big number", seen["bikes_sum"], sum(row["bikes"] for row in s.rows),
         s.sql(f"SELECT sum(bikes) FROM {TABLE}")[0][0])
    return seen["bikes_sum"]


def table(s):
    metrics = [COUNT, SUM] + [
        {**SUM, "aggregate": kind, "label": kind.lower()} for kind in ("AVG", "MIN", "MAX", "COUNT_DISTINCT")
    ]
    seen = {one["district"]: [one[key] for key in ("n", "bikes_sum", "avg", "min", "max", "count_distinct")]
            for one in ask(s, columns=["district"], metrics=metrics, orderby=[[SUM, False]])}
    produced = {}
    for name in {row["district"] for row in s.rows}:
        of = [row["bikes"] for row in s.rows if row["district"] == name]
        produced[name] = [len(of), sum(of), sum(of) / len(of), min(of), max(of), len(set(of))]
    ours = s.sql(f"SELECT district, count(*), sum(bikes), avg(CAST(bikes AS DOUBLE)), min(bikes), max(bikes), "
                 f"count(DISTINCT bikes) FROM {TABLE} GROUP BY district")
    ours = {name: rest for name, *rest in ours}
    for name in produced:
        # Druid's AVG of whole numbers is a double; the last digit is the order's.
        for side in (seen, ours):
            check(name in side, f"{name!r} is missing in {short(side)}")
            check(abs(side[name][2] - produced[name][2]) < 1e-9, f"avg of {name}: {side[name][2]}, {produced[name][2]}")
            side[name][2] = produced[name][2]
    same("table", seen, produced, ours)
    raw = ask(s, columns=["__time", "stationId", "stationName", "bikes"], orderby=[["__time", False]], row_limit=50)
    latest = max(bikes.time_ms(row) for row in s.rows)
    check(len(raw) == 50 and raw[0]["__time"] == latest, f"raw rows: {short(raw[:1])}, the latest is {latest}")
    return f"{len(seen)} rows of six figures, 50 raw ones"


def pie(s):
    seen = {one["district"]: one["bikes_sum"] for one in ask(s, columns=["district"], metrics=[SUM], orderby=[[SUM, False]])}
    same("pie", seen, bikes.by(s.rows, lambda row: row["district"]),
         dict(s.sql(f"SELECT district, sum(bikes) FROM {TABLE} GROUP BY district")))
    return f"{len(seen)} parts"


def filters(s):
    """The conditions a person can click together."""
    each = [
        ({"col": "district", "op": "IN", "val": ["O'Brien 구", "마포구"]}, lambda r: r["district"] in ("O'Brien 구", "마포구")),
        ({"col": "district", "op": "NOT IN", "val": ["마포구"]}, lambda r: r["district"] not in ("마포구", None)),
        ({"col": "district", "op": "==", "val": '100% "quoted"'}, lambda r: r["district"] == '100% "quoted"'),
        ({"col": "district", "op": "==", "val": "back\\slash\\"}, lambda r: r["district"] == "back\\slash\\"),
        ({"col": "district", "op": "!=", "val": "마포구"}, lambda r: r["district"] not in ("마포구", None)),
        ({"col": "district", "op": "LIKE", "val": "%남%"}, lambda r: r["district"] and "남" in r["district"]),
        ({"col": "district", "op": "ILIKE", "val": "o'b%"}, lambda r: r["district"] and r["district"].startswith("O'B")),
        ({"col": "district", "op": "IS NULL"}, lambda r: r["district"] is None),
        ({"col": "district", "op": "IS NOT NULL"}, lambda r: r["district"] is not None),
        ({"col": "bikes", "op": ">", "val": 15}, lambda r: r["bikes"] > 15),
        ({"col": "bikes", "op": "<=", "val": 15}, lambda r: r["bikes"] <= 15),
        ({"col": "bikes", "op": "IN", "val": [1, 2, 3]}, lambda r: r["bikes"] in (1, 2, 3)),
    ]
    for one, holds in each:
        (seen,) = ask(s, metrics=[COUNT], filters=[one])
        produced = sum(bool(holds(row)) for row in s.rows)
        check(seen["n"] == produced, f"filter {one}: {seen['n']}, produced {produced}")
    (seen,) = ask(s, metrics=[{"expressionType": "SQL", "sqlExpression": 'SUM("bikes") / COUNT(*)', "label": "r"}],
                  extras={"where": '("bikes" > 0)', "having": "(COUNT(*) > 0)"})
    over = [row["bikes"] for row in s.rows if row["bikes"] > 0]
    check(seen["r"] == sum(over) // len(over), f"a ratio of whole numbers: {seen}, produced {sum(over) // len(over)}")
    return f"{len(each)} filters, a custom metric with WHERE and HAVING"


def make_chart(s, name, kind, **params):
    form = {"datasource": f"{s.dataset}__table", "viz_type": kind, "adhoc_filters": [RANGE], "row_limit": 50_000, **params}
    made = s.superset.post("/api/v1/chart/", {
        "slice_name": name, "viz_type": kind, "datasource_id": s.dataset, "datasource_type": "table",
        "params": json.dumps(form),
    })
    s.charts[name] = made["id"]


def make_charts(s):
    make_chart(s, "line", "echarts_timeseries_line", x_axis="__time", time_grain_sqla="PT1H", metrics=[SUM], groupby=[])
    make_chart(s, "number", "big_number_total", metric=SUM, y_axis_format=",d", header_font_size=0.4)
    make_chart(s, "table", "table", query_mode="aggregate", groupby=["district"], metrics=[SUM, COUNT], server_page_length=10,
               table_timestamp_format="smart_date", order_desc=True, all_columns=[], percent_metrics=[],
               column_config={"bikes_sum": {"d3NumberFormat": ",d"}, "n": {"d3NumberFormat": ",d"}})
    make_chart(s, "pie", "pie", groupby=["district"], metric=SUM, show_labels=True, label_type="key_value", number_format=",d")
    make_chart(s, "stations", "deck_scatter", mapbox_style="mapbox://styles/mapbox/light-v9", point_unit="square_m",
               spatial={"type": "latlong", "latCol": "stationLatitude", "lonCol": "stationLongitude"},
               point_radius_fixed={"type": "metric", "value": SUM}, viewport={"longitude": 126.9, "latitude": 37.5, "zoom": 9},
               min_radius=2, max_radius=20, multiplier=1)
    return f"{len(s.charts)} charts saved"


def dashboard(s):
    """All charts on one page that asks again by itself."""
    width = {"number": 4, "line": 8, "table": 6, "pie": 6, "stations": 12}
    lines = [["number", "line"], ["table", "pie"], ["stations"]]
    place = {"DASHBOARD_VERSION_KEY": "v2", "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
             "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": "bikes"}},
             "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]}}
    for at, names in enumerate(lines):
        row = f"ROW-{at}"
        place["GRID_ID"]["children"].append(row)
        place[row] = {"type": "ROW", "id": row, "parents": ["ROOT_ID", "GRID_ID"], "children": [f"CHART-{n}" for n in names],
                      "meta": {"background": "BACKGROUND_TRANSPARENT"}}
        for name in names:
            place[f"CHART-{name}"] = {
                "type": "CHART", "id": f"CHART-{name}", "children": [], "parents": ["ROOT_ID", "GRID_ID", row],
                "meta": {"chartId": s.charts[name], "width": width[name], "height": 50, "sliceName": name},
            }
    s.dashboard = s.superset.post("/api/v1/dashboard/", {
        "dashboard_title": "bikes", "slug": "bikes", "published": True, "position_json": json.dumps(place),
        "json_metadata": json.dumps({"refresh_frequency": REFRESH_S, "color_scheme": ""}),
    })["id"]
    for chart in s.charts.values():
        s.superset.put(f"/api/v1/chart/{chart}", {"dashboards": [s.dashboard]})
    s.browser = Browser(s.superset.base)
    answers = s.browser.ask("open", path=f"/superset/dashboard/{s.dashboard}/", data=len(s.charts))
    bad = [one for one in answers if one["status"] != 200]
    check(not bad, f"a chart got {short(bad)}")
    seen = screens(s, answers)
    check(set(seen) == set(s.charts), f"of {set(s.charts)} only {set(seen)} asked for data")
    on_screen(s)
    return f"{len(answers)} charts drawn in Chromium"


def screens(s, answers):
    """Compares what each chart of the dashboard was told, and returns them by name."""
    by_id = {number: name for name, number in s.charts.items()}
    told = {}
    for one in answers:
        asked = json.loads(one["body"])
        number = chart_of(one)
        if number in by_id:
            told[by_id[number]] = asked
    rows_of = {name: told[name]["result"][0]["data"] for name in ("line", "number", "table", "pie") if name in told}
    districts = bikes.by(s.rows, lambda row: row["district"])
    if "line" in rows_of:
        same("line on the dashboard", {one["__time"]: one["bikes_sum"] for one in rows_of["line"]}, bikes.by(s.rows, bikes.hour_ms),
             by_time(s, "PT1H"))
    if "number" in rows_of:
        check(rows_of["number"] == [{"bikes_sum": sum(districts.values())}], f"number: {rows_of['number']}")
    for name in ("table", "pie"):
        if name in rows_of:
            check({one["district"]: one["bikes_sum"] for one in rows_of[name]} == districts, f"{name}: {short(rows_of[name])}")
    if "stations" in told:
        scatter(s, told["stations"])
    return told


def chart_of(answer):
    """The number of the chart that an answer is for: in its address, or in the form it was asked with."""
    for text in (urllib.parse.unquote(answer["url"]), answer["asked"] or ""):
        found = re.search(r'"slice_id":\s*(\d+)', text)
        if found:
            return int(found[1])
    return None


def scatter(s, told):
    """The data of the map: every station, at its place, with its sum. What is drawn under it is not ours."""
    if "data" in told:
        points = {tuple(one["position"]): one.get("radius", one.get("metric")) for one in told["data"]["features"]}
    else:
        points = {(one["stationLongitude"], one["stationLatitude"]): one["bikes_sum"] for one in told["result"][0]["data"]}
    produced = bikes.by(s.rows, lambda row: (row["stationLongitude"], row["stationLatitude"]))
    check(len(produced) == bikes.STATIONS, f"{len(produced)} places")
    ours = s.sql(f'SELECT "stationLongitude", "stationLatitude", sum(bikes) FROM {TABLE} GROUP BY 1, 2')
    same("stations", points, produced, {(lon, lat): n for lon, lat, n in ours})


def on_screen(s):
    """What can be read off the page: the big number and the table's cells."""
    total = f"{sum(row['bikes'] for row in s.rows):,}"
    s.browser.ask("shows", selector=".superset-legacy-chart-big-number .header-line", text=total)
    count = bikes.by([dict(row, one=1) for row in s.rows], lambda row: row["district"], "one")
    wanted = {str(name if name is not None else "N/A"): [f"{of:,}", f"{count[name]:,}"]
              for name, of in bikes.by(s.rows, lambda row: row["district"]).items()}
    # Each chart asks for itself, so that one may be new before another.
    end = time.monotonic() + 2 * REFRESH_S
    while True:
        cells = {line[0]: line[1:] for line in s.browser.ask("table", selector="[data-test-viz-type=table], .superset-chart-table") if line}
        if cells == wanted:
            return
        check(time.monotonic() < end, f"the table shows {short(cells)}, wanted {short(wanted)}")
        time.sleep(0.2)


def refresh(s):
    """New records are on the open dashboard without a touch."""
    s.produce(bikes.poll(bikes.POLLS, 100))
    began = time.monotonic()
    on_screen(s)
    return f"new rows on the screen {time.monotonic() - began:.1f} s after their records (asks each {REFRESH_S} s)"


def run_sql(s, query):
    return s.superset.post("/api/v1/sqllab/execute/", {
        "database_id": s.database, "sql": query, "schema": "druid", "runAsync": False, "expand_data": True,
        "select_as_cta": False, "client_id": f"c{time.monotonic_ns() % 10**9}", "tab": "t", "queryLimit": 1000,
    })


def sql_lab(s):
    total, count = sum(row["bikes"] for row in s.rows), len(s.rows)
    seen = run_sql(s, f"SELECT COUNT(*) FROM {TABLE}")
    check([list(one.values()) for one in seen["data"]] == [[count]], f"{short(seen['data'])}")
    check([one["column_name"] for one in seen["columns"]] == ["EXPR$0"], f"{seen['columns']}")
    seen = run_sql(s, f"WITH t AS (SELECT district AS d, SUM(bikes) AS n FROM {TABLE} GROUP BY 1) SELECT * FROM t ORDER BY n DESC")
    got = {one["d"]: one["n"] for one in seen["data"]}
    check(got == bikes.by(s.rows, lambda row: row["district"]) and sum(got.values()) == total, f"{short(got)}")
    seen = run_sql(s, f"SELECT * FROM {TABLE}")
    check(len(seen["data"]) == 1000, f"{len(seen['data'])} rows of SELECT *, the limit is 1000")
    seen = run_sql(s, f'SELECT "stationName" FROM {TABLE} WHERE 1=0')
    check(seen["data"] == [], f"{seen['data']}")
    try:
        run_sql(s, f"SELECT nosuchcolumn FROM {TABLE}")
    except HttpFailure as error:
        check("nosuchcolumn" in str(error), f"an error that does not name the column: {error}")
    else:
        raise Failed("a column that is not there was answered")
    return "count, CTE, star, empty, an error that names its column"


def sql_lab_page(s):
    query = f"SELECT district, SUM(bikes) AS n FROM {TABLE} WHERE district IS NOT NULL GROUP BY 1 ORDER BY 2 DESC"
    answers = s.browser.ask("sqllab", path=f"/sqllab/?dbid={s.database}&schema=druid", sql=query)
    check(answers[0]["status"] == 200, short(answers))
    wanted = {k: v for k, v in bikes.by(s.rows, lambda row: row["district"]).items() if k is not None}
    got = {one["district"]: one["n"] for one in json.loads(answers[0]["body"])["data"]}
    check(got == wanted, f"SQL Lab was told {short(got)}, wanted {short(wanted)}")
    for name, of in wanted.items():
        wait_for(f"{name} and {of} in SQL Lab", lambda n=name, o=of: (lambda t: n in t and str(o) in t)(s.browser.ask("text")), 20)
    return f"{len(got)} rows on the page"


QUICK = [start, database, dataset, line, big_number, table, pie, filters, make_charts, dashboard, refresh, sql_lab]
FULL = QUICK[:4] + [all_grains] + QUICK[4:] + [sql_lab_page]


def run(version, checks, only=()):
    """Runs the checks; those that need an earlier one that failed fail as well. Returns (passed, failed)."""
    if not (HOME / version / "superset.db").exists():
        raise Failed(f"no Superset {version} in {HOME}: run install.sh")
    s = Session(version)
    passed, failed = 0, 0
    try:
        for one in checks:
            if only and one.__name__ not in only and one not in (start, database, dataset, make_charts):
                continue
            began = time.monotonic()
            try:
                said = one(s)
                passed += 1
                print(f"ok   {version} {one.__name__}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as error:  # noqa: BLE001: whatever goes wrong is a failed check
                failed += 1
                trace = "" if isinstance(error, (Failed, HttpFailure)) else traceback.format_exc()
                print(f"FAIL {version} {one.__name__}: {error}\n{trace}", flush=True)
                if one in (start, database, dataset):
                    break
    finally:
        s.close(keep=failed)
    if failed:
        print(f"     kept: {s.folder}")
    return passed, failed
