"""What a file of films must become, worked out without the engine: the other half of each comparison."""
import csv
import datetime
import json

COLUMNS = ["time", "movie", "title", "title_eng", "year", "grade"]
STREAM_COLUMNS = ["movie", "title", "title_eng", "year", "grade", "ts", "country"]

PIPELINE = """\
name: movies
timezone: Asia/Seoul
sources:
  movies:
    tail: {{ path: [{path}], read_from: beginning }}
    decode:
      tsv:
        columns: {{ time: int, movie: string, title: string, title_eng: string, year: int, grade: string }}
lookups:
  countries: {{ file: {{ path: {countries} }}, key: movie, keep: first }}
streams:
  korean_movies:
    sql: |
      SELECT m.movie, m.title, m.title_eng, m.year, m.grade, to_timestamp(m.time) AS ts, c.country
      FROM movies m LEFT JOIN countries c ON m.movie = c.movie
    key: movie
tables:
  films: {{ from: korean_movies, time: {{ column: ts }}, partition: day }}
"""


def source_row(line):
    """A line of the file as the topic must hold it. Cut and blank fields are null."""
    fields = line.rstrip("\n").split("\t")
    fields += [""] * (len(COLUMNS) - len(fields))
    row = {name: (text or None) for name, text in zip(COLUMNS, fields)}
    for number in ("time", "year"):
        row[number] = None if row[number] is None else int(row[number])
    return row


def first_countries(path):
    """movie → the first country of the file."""
    first = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            first.setdefault(row["movie"], row["country"])
    return first


def stream_row(row, countries):
    """A source row as the stream must write it."""
    at = datetime.datetime.fromtimestamp(row["time"], datetime.timezone.utc)
    out = {name: row[name] for name in ("movie", "title", "title_eng", "year", "grade")}
    out["ts"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    out["country"] = countries.get(row["movie"])
    return out


def value(record, columns):
    """A record's value as a row over `columns`: an absent field is null."""
    got = json.loads(record["value"])
    unknown = set(got) - set(columns) - {"_rest"}
    if unknown:
        raise ValueError(f"unexpected fields {sorted(unknown)} in {record['value']}")
    return {name: got.get(name) for name in columns}
