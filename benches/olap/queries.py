"""The seven questions of a dashboard, in each engine's own words, and how two answers are compared.

Times are compared as milliseconds since 1970, numbers with a relative difference of at most 1e-9 (a sum of
fractions depends on its order), the rest exactly. Every question has an order, so rows are compared in it.
"""
import datetime
import re

import data

HOUR = ("2026-11-20 12:00:00", "2026-11-20 13:00:00")
STATION = "ST-0042"
FIELDS = "id, station, region, kind, user_id, bikes, amount"


def of(engine, rows):
    """Name → SQL. `engine`: ours, duckdb, chdb."""
    a, b = HOUR
    wanted = data.event_id(rows // 3)
    if engine == "ours":
        floor, ms, time = (lambda p: f"TIME_FLOOR(__time, '{p}')"), "__time", "__time"
        within = f"__time >= TIMESTAMP '{a}' AND __time < TIMESTAMP '{b}'"
        distinct = "COUNT(DISTINCT user_id)"
    elif engine == "duckdb":
        unit = {"PT1M": "minute", "PT1H": "hour"}
        floor, ms, time = (lambda p: f"epoch_ms(date_trunc('{unit[p]}', ts))"), "epoch_ms(ts)", "ts"
        within = f"ts >= TIMESTAMPTZ '{a}+00' AND ts < TIMESTAMPTZ '{b}+00'"
        distinct = "COUNT(DISTINCT user_id)"
    else:
        unit = {"PT1M": "toStartOfMinute", "PT1H": "toStartOfHour"}
        floor = lambda p: f"toUnixTimestamp({unit[p]}(ts)) * 1000"  # noqa: E731
        ms, time = "toUnixTimestamp64Milli(ts)", "ts"
        within = f"ts >= toDateTime64('{a}', 3, 'UTC') AND ts < toDateTime64('{b}', 3, 'UTC')"
        distinct = "uniqExact(user_id)"
    minute, hour = floor("PT1M"), floor("PT1H")
    return {
        "one hour by minute": f"SELECT {minute} AS t, COUNT(*) AS n, SUM(bikes) AS s FROM events WHERE {within} GROUP BY 1 ORDER BY 1",
        "top stations of 24 h": "SELECT station, SUM(bikes) AS s FROM events GROUP BY 1 ORDER BY s DESC, station LIMIT 10",
        "one station by hour": f"SELECT {hour} AS t, COUNT(*) AS n, AVG(amount) AS a FROM events WHERE station = '{STATION}' GROUP BY 1 ORDER BY 1",
        "two splits": "SELECT region, kind, COUNT(*) AS n, SUM(amount) AS s, MAX(bikes) AS m FROM events GROUP BY 1, 2 ORDER BY 1, 2",
        "exact distinct users": f"SELECT region, {distinct} AS u FROM events GROUP BY 1 ORDER BY 1",
        "latest 20": f"SELECT {ms} AS t, {FIELDS} FROM events ORDER BY {time} DESC LIMIT 20",
        "one row by its id": f"SELECT {ms} AS t, {FIELDS} FROM events WHERE id = {wanted}",
    }


def rollup(engine, table):
    """What a rollup by minute, region and kind can answer: (its question, the same of the raw rows)."""
    floor = {"ours": "TIME_FLOOR(__time, 'PT1M')", "duckdb": "epoch_ms(date_trunc('minute', ts))",
             "chdb": "toUnixTimestamp(toStartOfMinute(ts)) * 1000"}[engine]
    hour = {"ours": "TIME_FLOOR(__time, 'PT1H')", "duckdb": "epoch_ms(date_trunc('hour', ts))",
            "chdb": "toUnixTimestamp(toStartOfHour(ts)) * 1000"}[engine]
    count, bikes, amount, most = ("SUM(n)", "SUM(bikes)", "SUM(amount)", "MAX(bikes_max)") if table != "events" else (
        "COUNT(*)", "SUM(bikes)", "SUM(amount)", "MAX(bikes)")
    return {
        "24 h by minute": f"SELECT {floor} AS t, {count} AS n, {bikes} AS s FROM {table} GROUP BY 1 ORDER BY 1",
        "two splits": f"SELECT region, kind, {count} AS n, {amount} AS s, {most} AS m FROM {table} GROUP BY 1, 2 ORDER BY 1, 2",
        "one region by hour": f"SELECT {hour} AS t, kind, {count} AS n, {bikes} AS s FROM {table} WHERE region = '마포' GROUP BY 1, 2 ORDER BY 1, 2",
        "top regions": f"SELECT region, {bikes} AS s FROM {table} GROUP BY 1 ORDER BY s DESC LIMIT 5",
    }


GROUPS = "SELECT user_id, COUNT(*) AS n, SUM(bikes) AS s FROM events GROUP BY 1 ORDER BY n DESC, user_id LIMIT 10"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def plain(value):
    if isinstance(value, str) and INSTANT.match(value):
        return round(datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)
    return value


def difference(one, other):
    """None when two answers are equal, else the first place where they are not."""
    if len(one) != len(other):
        return f"{len(one)} rows and {len(other)}"
    for at, (left, right) in enumerate(zip(one, other)):
        left, right = [plain(v) for v in left], [plain(v) for v in right]
        for a, b in zip(left, right, strict=True):
            numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
            if a != b and not (numbers and abs(a - b) <= 1e-9 * max(abs(a), abs(b))):
                return f"row {at}: {left} and {right}"
    return None
