"""The final read: every partition from its start to its end, by two client libraries, once as a committed
reader and once as one of everything. What they saw goes into the history, and what they reached."""
import time

from history import now
from plan import TOPICS

LIMIT_S = 120


def partitions(topics):
    return [(topic, partition) for topic, (count, *_) in topics.items() for partition in range(count)]


def settle(kafka, limit_s, topics=TOPICS):
    """Waits until every stable offset has reached its high watermark; true when it did."""
    from kafka import KafkaConsumer, TopicPartition

    places = [TopicPartition(*place) for place in partitions(topics)]
    askers = [KafkaConsumer(bootstrap_servers=kafka, group_id=None, isolation_level=iso)
              for iso in ("read_committed", "read_uncommitted")]
    end, same = time.monotonic() + limit_s, False
    while not same and time.monotonic() < end:
        stable, high = (asker.end_offsets(places) for asker in askers)
        same = stable == high
        time.sleep(0.2)
    for asker in askers:
        asker.close()
    return same


def drain_confluent(history, kafka, iso, topics):
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    name = f"drain-cf-{iso}"
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": name, "enable.auto.commit": False, "enable.partition.eof": True,
        "isolation.level": "read_committed" if iso == "rc" else "read_uncommitted",
        "auto.offset.reset": "error", "fetch.wait.max.ms": 10, "log_level": 0,
    })
    for topic, partition in partitions(topics):
        start, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
        consumer.assign([TopicPartition(topic, partition, start)])
        reached, end = None, time.monotonic() + LIMIT_S
        while reached is None:
            began, rows = now(), []
            for message in consumer.consume(1000, 1.0):
                error = message.error()
                if error is None:
                    rows.append((message.offset(), message.value(), message.headers()))
                elif error.code() == KafkaError._PARTITION_EOF:
                    reached = message.offset()
                else:
                    raise RuntimeError(f"{topic}/{partition}: {error}")
            if rows:
                history.poll(name, 1, began, topic, partition, iso, "assign", 1, rows)
            if time.monotonic() > end:
                raise RuntimeError(f"{name}: {topic}/{partition} has no end within {LIMIT_S} s")
        history.add("drained", proc=name, topic=topic, partition=partition, iso=iso, start=start, end=reached)
    consumer.close()


def drain_python(history, kafka, iso, topics):
    from kafka import KafkaConsumer, TopicPartition

    name = f"drain-kp-{iso}"
    consumer = KafkaConsumer(
        bootstrap_servers=kafka, group_id=None, fetch_max_wait_ms=10, auto_offset_reset="none",
        isolation_level="read_committed" if iso == "rc" else "read_uncommitted")
    for topic, partition in partitions(topics):
        place = TopicPartition(topic, partition)
        start = consumer.beginning_offsets([place])[place]
        ends = consumer.end_offsets([place])[place]
        consumer.assign([place])
        consumer.seek(place, start)
        end = time.monotonic() + LIMIT_S
        while consumer.position(place) < ends:
            began = now()
            rows = [(r.offset, r.value, r.headers) for r in consumer.poll(timeout_ms=200).get(place, [])]
            if rows:
                history.poll(name, 1, began, topic, partition, iso, "assign", 1, rows)
            if time.monotonic() > end:
                raise RuntimeError(f"{name}: {topic}/{partition} stays at {consumer.position(place)} of {ends}")
        history.add("drained", proc=name, topic=topic, partition=partition, iso=iso, start=start, end=ends)
    consumer.close()


def drain_all(history, kafka, topics=TOPICS):
    for iso in ("ru", "rc"):
        drain_confluent(history, kafka, iso, topics)
        drain_python(history, kafka, iso, topics)
