"""The events of these figures: one day of a bike system, the same bytes on every machine.

  data.py FOLDER ROWS [HOURS]     FOLDER/events/NN.parquet (one per hour) and FOLDER/events.json (one object a line)

Numbers come from splitmix64 of the row's number, so neither a library's version nor a seed can change them.
Times grow by an even step; stations are skewed (a few have most of the rows); every second user comes six
times. With HOURS the same number of rows is spread over so many hours from the same start.
"""
import pathlib
import sys

import numpy
import pyarrow
import pyarrow.parquet

FIRST_MS = 1_795_132_800_000  # 2026-11-20T00:00:00Z
STATIONS, REGIONS, USERS = 2_700, 25, 1_600_000
KINDS = ["rent", "return", "reserve", "repair", "move"]
NAMES = ["강남", "강동", "강북", "강서", "관악", "광진", "구로", "금천", "노원", "도봉", "동대문", "동작", "마포",
         "서대문", "서초", "성동", "성북", "송파", "양천", "영등포", "용산", "은평", "종로", "중구", "중랑"]
CHUNK = 500_000
GROUP_ROWS = 122_880  # the row group that both peers like best


def splitmix(numbers):
    z = numbers * numpy.uint64(0x9E3779B97F4A7C15) + numpy.uint64(0x1234567)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def unit(numbers, salt):
    """Even in [0, 1)."""
    return (splitmix(numbers * numpy.uint64(8) + numpy.uint64(salt)) >> numpy.uint64(11)) / float(1 << 53)


def event_id(number):
    """A number that says nothing about the time; no two rows have the same."""
    return number * 0x9E3779B97F4A7C15 % (1 << 53)


def chunk(first, count, rows, hours):
    numbers = numpy.arange(first, first + count, dtype=numpy.uint64)
    station = (unit(numbers, 1) ** 2 * STATIONS).astype(numpy.int64)
    names = numpy.array([f"ST-{number:04}" for number in range(STATIONS)])
    regions = numpy.array(NAMES)
    ids = numbers * numpy.uint64(0x9E3779B97F4A7C15) & numpy.uint64((1 << 53) - 1)
    span_ms = hours * 3_600_000
    return pyarrow.table({
        "ts": FIRST_MS + (numbers.astype(numpy.int64) * span_ms) // rows,
        "id": ids.astype(numpy.int64),
        "station": pyarrow.array(names[station]),
        "region": pyarrow.array(regions[station % REGIONS]),
        "kind": pyarrow.array(numpy.array(KINDS)[(unit(numbers, 2) ** 1.5 * len(KINDS)).astype(numpy.int64)]),
        "user_id": (unit(numbers, 3) * USERS).astype(numpy.int64),
        "bikes": (unit(numbers, 4) * 40).astype(numpy.int64),
        "amount": numpy.round(unit(numbers, 5) * 50, 2),
    })


def json_lines(table):
    """By hand: a library's own way to write numbers would be one more thing that can change."""
    columns = [table.column(name).to_pylist() for name in table.column_names]
    return "".join(
        f'{{"ts":{ts},"id":{key},"station":"{station}","region":"{region}","kind":"{kind}","user_id":{user},'
        f'"bikes":{bikes},"amount":{amount}}}\n'
        for ts, key, station, region, kind, user, bikes, amount in zip(*columns)
    )


def write(folder, rows, hours=24):
    folder = pathlib.Path(folder)
    parts = folder / "events"
    parts.mkdir(parents=True)
    writer, hour = None, -1
    with open(folder / "events.json", "w", encoding="utf-8") as lines:
        for first in range(0, rows, CHUNK):
            table = chunk(first, min(CHUNK, rows - first), rows, hours)
            lines.write(json_lines(table))
            typed = table.set_column(0, "ts", table.column("ts").cast(pyarrow.timestamp("ms", "UTC")))
            of_row = (table.column("ts").to_numpy() - FIRST_MS) // 3_600_000
            edges = [0, *(numpy.flatnonzero(numpy.diff(of_row)) + 1).tolist(), len(of_row)]
            for begin, end in zip(edges, edges[1:]):
                if of_row[begin] != hour:
                    hour = int(of_row[begin])
                    if writer:
                        writer.close()
                    writer = pyarrow.parquet.ParquetWriter(parts / f"{hour:04}.parquet", typed.schema, compression="zstd")
                writer.write_table(typed.slice(begin, end - begin), row_group_size=GROUP_ROWS)
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), *(int(word) for word in sys.argv[3:]))
