"""pyspark 3.5.0 with its Kafka connector against the node: the write-ups' jobs, with counts that must be exact.

Run by the Python that has pyspark: `spark.py BOOTSTRAP FOLDER SPARK_HOME`. The heart-rate write-up gives its
address as `http://HOST:PORT`; Java's clients read host and port out of that, so it works there and here.
"""
import json
import os
import pathlib
import sys
import time

BOOTSTRAP, FOLDER, HOME = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
os.environ["SPARK_LOCAL_HOSTNAME"] = "localhost"

from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

ROWS = 2_000
FAILED = []


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def one(name, work):
    began = time.monotonic()
    try:
        print(f"ok      spark.{name}: {work()} ({time.monotonic() - began:.1f} s)", flush=True)
    except Exception as error:  # noqa: BLE001: whatever Spark throws is a failed check
        FAILED.append(name)
        print(f"FAILED  spark.{name}: {str(error)[:1500]}", flush=True)


def session():
    # The jars that pyspark has itself are left out: two of a kind would be found.
    jars = [str(jar) for jar in (HOME / "libs").glob("*.jar") if not jar.name.startswith(("hadoop", "scala-library", "spark-tags", "slf4j"))]
    return (
        SparkSession.builder.appName("yeoul").master("local[2]")
        .config("spark.jars", ",".join(jars)).config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2").config("spark.driver.memory", "1g")
        .config("spark.sql.warehouse.dir", str(FOLDER / "warehouse")).getOrCreate()
    )


spark = session()
spark.sparkContext.setLogLevel("ERROR")


def read(topic, bootstrap=BOOTSTRAP, **options):
    words = {"kafka.bootstrap.servers": bootstrap, "subscribe": topic, "startingOffsets": "earliest", **options}
    return spark.read.format("kafka").options(**words).load()


def heartbeats(start, count):
    rows = [
        (f"player{number % 3}", json.dumps({"playerId": f"player{number % 3}", "heartbeat": 60.0 + number % 40,
                                            "createdAt": [2023, 11, 23, 10, 5, number % 60, 0]}))
        for number in range(start, start + count)
    ]
    return spark.createDataFrame(rows, "key STRING, value STRING").repartition(2)


def sink():
    """A batch of rows written as Spark writes them: an idempotent producer per partition."""
    heartbeats(0, ROWS).write.format("kafka").options(**{"kafka.bootstrap.servers": BOOTSTRAP, "topic": "heartbeat-raw-topic"}).save()
    check(read("heartbeat-raw-topic").count() == ROWS, f"{read('heartbeat-raw-topic').count()} rows")
    return f"{ROWS} rows"


def batch():
    """All columns of the source, offset ranges, and by timestamp."""
    frame = read("heartbeat-raw-topic")
    check(frame.columns == ["key", "value", "topic", "partition", "offset", "timestamp", "timestampType"], str(frame.columns))
    offsets = sorted(row.offset for row in frame.select("offset").collect())
    check(offsets == list(range(ROWS)), "offsets")
    some = read("heartbeat-raw-topic", startingOffsets='{"heartbeat-raw-topic":{"0":100}}',
                endingOffsets='{"heartbeat-raw-topic":{"0":250}}')
    check(some.count() == 150, f"{some.count()} rows between two offsets")
    later = read("heartbeat-raw-topic", startingTimestamp="1000")
    check(later.count() == ROWS, "rows since a timestamp")
    headers = read("heartbeat-raw-topic", includeHeaders="true")
    check(headers.filter("headers is not null").count() == 0, "headers")
    return f"{ROWS} rows by offset, between offsets, since a time"


def heart_rate():
    """The second try of the heart-rate write-up: `http://` in the address, JSON into typed columns, Parquet."""
    params = {
        "kafka.bootstrap.servers": f"http://{BOOTSTRAP}",
        "subscribe": "heartbeat-raw-topic",
        "startingOffsets": "earliest",
    }
    path, checkpoint = str(FOLDER / "heartrate2"), str(FOLDER / "checkpoint4")

    def run():
        df = spark.readStream.format("kafka").options(**params).load()
        df = df.selectExpr("CAST(value AS STRING) as json")
        df = df.select(F.from_json(df.json, "playerId STRING, heartbeat DOUBLE, createdAt ARRAY<INT>").alias("data"))
        df = df.select("data.*")
        df = df.withColumn("createdAt", F.to_timestamp(F.concat(
            F.expr("createdAt[0]"), F.lit("-"), F.expr("createdAt[1]"), F.lit("-"), F.expr("createdAt[2]"), F.lit(" "),
            F.expr("createdAt[3]"), F.lit(":"), F.expr("createdAt[4]"), F.lit(":"), F.expr("createdAt[5]"), F.lit("."),
            F.expr("createdAt[6]"),
        )))
        query = (
            df.writeStream.format("parquet").option("path", path).option("checkpointLocation", checkpoint)
            .trigger(availableNow=True).start()
        )
        query.awaitTermination(120)
        check(query.exception() is None, str(query.exception()))

    run()
    check(spark.read.parquet(path).count() == ROWS, f"{spark.read.parquet(path).count()} rows")
    heartbeats(ROWS, 500).write.format("kafka").options(**{"kafka.bootstrap.servers": BOOTSTRAP, "topic": "heartbeat-raw-topic"}).save()
    run()
    seen = spark.read.parquet(path)
    check(seen.count() == ROWS + 500, f"{seen.count()} rows after the second run")
    check(seen.filter("createdAt is null or heartbeat is null").count() == 0, "nulls")
    return f"{ROWS} rows, then 500 more from the checkpoint, each once, in Parquet"


def korean_movies():
    """The course: a stream from topic to topic, stopped and started again."""
    source = spark.createDataFrame(
        [(json.dumps({"movie": str(number), "title": f"핑크 팬더 {number}"}, ensure_ascii=False),) for number in range(300)], "value STRING"
    )
    to = {"kafka.bootstrap.servers": BOOTSTRAP}
    source.write.format("kafka").options(**to, topic="movies-spark").save()
    for _ in range(2):
        reader = spark.readStream.format("kafka").options(**to, subscribe="movies-spark", startingOffsets="earliest").load()
        selected = (
            reader.select(F.from_json(F.col("value").cast("string"), "movie STRING, title STRING").alias("movies"))
            .selectExpr("movies.movie as key", "to_json(struct(movies.*)) as value")
        )
        query = (
            selected.writeStream.queryName("kafkaSink").format("kafka").options(**to, topic="korean_movies")
            .outputMode("append").option("checkpointLocation", str(FOLDER / "kafkaSink"))
            .trigger(processingTime="1 second").start()
        )
        query.processAllAvailable()
        query.stop()
    rows = read("korean_movies").selectExpr("CAST(key AS STRING) AS key", "CAST(value AS STRING) AS value").collect()
    check(len(rows) == 300 and len({row.key for row in rows}) == 300, f"{len(rows)} rows")
    check(all(json.loads(row.value)["title"] == f"핑크 팬더 {row.key}" for row in rows), "titles")
    return "300 rows from topic to topic, none again after a restart"


one("sink", sink)
one("batch", batch)
one("heart_rate", heart_rate)
one("korean_movies", korean_movies)
spark.stop()
sys.exit(1 if FAILED else 0)
