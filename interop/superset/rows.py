"""The rows of these checks and what must come of them, worked out without any engine.

A bike system of 2,700 stations, polled each hour: as many stations as Seoul has, and names with all that
hurts on the way through SQL text, JSON and a web page.
"""
import collections
import datetime

STATIONS = 2_700
FIRST = datetime.datetime(2026, 11, 19, 18, tzinfo=datetime.timezone.utc)
POLLS = 8
DISTRICTS = ["마포구", "강남구", "종로구", "은평구", "O'Brien 구", "100% \"quoted\"", "back\\slash\\"]
TABLE = "bike-station-info"
PIPELINE = """\
topics:
  bikes:
    schema: "ts STRING, stationId STRING, stationName STRING, district STRING, stationLatitude DOUBLE, stationLongitude DOUBLE, bikes BIGINT, racks BIGINT"
tables:
  bike-station-info: { from: bikes, time: { column: ts }, partition: day }
"""


def station(number):
    return {
        "stationId": f"ST-{number}",
        "stationName": f"{number}. 여울역 {number % 9 + 1}번출구 앞",
        # Now and then the district is not known.
        "district": None if number % 50 == 49 else DISTRICTS[number % 11 % len(DISTRICTS)],
        "stationLatitude": round(37.45 + number % 60 * 0.004, 6),
        "stationLongitude": round(126.8 + number // 60 * 0.006, 6),
        "racks": 10 + number % 15,
    }


def poll(hour, stations=STATIONS):
    at = FIRST + datetime.timedelta(hours=hour)
    rows = []
    for number in range(stations):
        when = at + datetime.timedelta(seconds=number % 3_600)
        rows.append({"ts": when.strftime("%Y-%m-%dT%H:%M:%SZ"), **station(number), "bikes": (number * 7 + hour * 13) % 31})
    return rows


def first_rows():
    return [row for hour in range(POLLS) for row in poll(hour)]


def by(rows, key, value="bikes"):
    """Sum of `value` by key(row)."""
    sums = collections.defaultdict(int)
    for row in rows:
        sums[key(row)] += row[value]
    return dict(sums)


def time_ms(row):
    return int(datetime.datetime.fromisoformat(row["ts"].replace("Z", "+00:00")).timestamp()) * 1000


def hour_ms(row):
    return time_ms(row) // 3_600_000 * 3_600_000


UNITS = {"S": 1, "M": 60, "H": 3_600}
GRAINS = ["PT1S", "PT5S", "PT30S", "PT1M", "PT5M", "PT10M", "PT15M", "PT30M", "PT1H", "PT6H", "P1D", "P1W", "P1M", "P3M", "P1Y",
          "1969-12-28T00:00:00Z/P1W", "P1W/1970-01-03T00:00:00Z"]


def floor_ms(grain, row):
    """The start (for a week ending on Saturday: that day) of the grain's interval in which a row lies."""
    at = time_ms(row)
    if grain.startswith("PT"):
        step = int(grain[2:-1]) * UNITS[grain[-1]] * 1000
        return at // step * step
    day = datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    from_sunday = (day.weekday() + 1) % 7
    start = {
        "P1D": day,
        "P1W": day - datetime.timedelta(days=day.weekday()),
        "P1M": day.replace(day=1),
        "P3M": day.replace(day=1, month=(day.month - 1) // 3 * 3 + 1),
        "P1Y": day.replace(day=1, month=1),
        "1969-12-28T00:00:00Z/P1W": day - datetime.timedelta(days=from_sunday),
        "P1W/1970-01-03T00:00:00Z": day + datetime.timedelta(days=6 - from_sunday),
    }[grain]
    return int(start.timestamp()) * 1000
