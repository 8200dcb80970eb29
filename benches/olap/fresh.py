"""From the acknowledgement of a record to the first answer of a query that has it.

A producer in a process of its own sends records at an even rate and notes when each was acknowledged; this
process asks again and again how many rows there are and notes when each answer was whole. The wait of a
record is the end of the first query that counted it, less its acknowledgement: the query's own time is in it.
Beside ours, chdb's Kafka engine reads the same topic, with the settings it comes with.

  fresh.py BROKER TOPIC RATE SECONDS      is that producer: prints "records, last acknowledged" as JSON lines
"""
import bisect
import json
import os
import subprocess
import sys
import time

SECONDS = float(os.environ.get("YEOUL_BENCH_SECONDS", "20"))
RATES = (10_000, 20_000)
FIRST_MS = 1_795_132_800_000


def produce(broker, topic, rate, seconds):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": broker, "linger.ms": 2, "acks": "all", "queue.buffering.max.messages": 500_000})
    acked = []

    def done(error, _message):
        if error:
            sys.exit(f"not acknowledged: {error}")
        acked.append(time.monotonic())

    sent, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate)
        for number in range(sent, due):
            producer.produce(topic, json.dumps({
                "ts": FIRST_MS + number // 20, "id": number, "station": f"ST-{number % 2_700:04}", "region": "마포",
                "kind": "rent", "user_id": number % 99_991, "bikes": number % 40, "amount": number % 50 / 2,
            }, ensure_ascii=False), on_delivery=done)
        sent = due
        producer.poll(0.002)
    producer.flush(60)
    # One partition and one connection: records are acknowledged in order. The CLOCK_MONOTONIC of both
    # processes is the same.
    print(json.dumps(acked))


class Watched:
    """What one engine said at which moment."""

    def __init__(self, count):
        self.count, self.seen, self.ends, self.asks = count, [], [], []

    def look(self):
        began = time.monotonic()
        self.seen.append(self.count())
        self.ends.append(time.monotonic())
        self.asks.append(self.ends[-1] - began)

    def waits(self, acked):
        """Seconds by record, sorted."""
        out = []
        for number, at in enumerate(acked, start=1):
            # Counts only grow, so the first look that has this record is found by halving.
            first = bisect.bisect_left(self.seen, number)
            if first == len(self.seen):
                raise AssertionError(f"record {number} was never seen")
            out.append(max(0.0, self.ends[first] - at))
        return sorted(out)


def of(waits, asks):
    at = lambda share: round(waits[min(len(waits) - 1, int(len(waits) * share))] * 1000, 1)  # noqa: E731
    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "most_ms": at(1.0), "query_ms": round(sorted(asks)[len(asks) // 2] * 1000, 1)}


def one(node, topic, rate, watched, limit_s):
    words = [sys.executable, __file__, node.kafka, topic, str(rate), str(SECONDS)]
    producer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    while producer.poll() is None:
        watched.look()
        time.sleep(0.005)
        # The answer is long; it must be read before the producer can end.
        if SECONDS and len(watched.seen) > 1 and time.monotonic() - watched.ends[0] > SECONDS:
            break
    acked = json.loads(producer.communicate()[0])
    end = time.monotonic() + limit_s
    while watched.seen[-1] < len(acked):
        if time.monotonic() > end:
            raise AssertionError(f"{watched.seen[-1]} of {len(acked)} rows after {limit_s} s")
        watched.look()
        time.sleep(0.005)
    return len(acked), watched.waits(acked)


def measure(folder, topic_yaml, table_yaml):
    from engines import Ours, Peer, remove, wait_for

    out = {}
    for rate in RATES:
        ours = Ours(folder / f"fresh-{rate}", topic_yaml + table_yaml).start()
        ours.settle()
        cpu = ours.node.cpu_s()
        watched = Watched(lambda o=ours: o.count("events"))
        count, waits = one(ours.node, "event_records", rate, watched, 60)
        cpu = ours.node.cpu_s() - cpu
        mine = of(waits, watched.asks) | {"records": count, "cpu_share": round(cpu / SECONDS, 2)}
        ours.stop()
        # The same topic on a node without the table, so that only one of the two reads it.
        bare = Ours(folder / f"fresh-{rate}-chdb", topic_yaml).start()
        peer = Peer("chdb", folder / f"chdb-{rate}")
        peer.ask("kafka", broker=bare.node.kafka, topic="event_records")
        watched = Watched(lambda p=peer: p.ask("rows", sql="SELECT count() FROM fresh")[0][0])
        wait_for("chdb's table", lambda w=watched: w.look() or True, 30)
        count, waits = one(bare.node, "event_records", rate, watched, 60)
        theirs = of(waits, watched.asks) | {"records": count}
        peer.close()
        bare.stop()
        for name in (f"fresh-{rate}", f"fresh-{rate}-chdb", f"chdb-{rate}"):
            remove(folder / name)
        out.setdefault("yeoul", {})[str(rate)] = mine
        out.setdefault("chdb kafka engine", {})[str(rate)] = theirs
    return out


if __name__ == "__main__":
    produce(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
