"""Workers over librdkafka: an idempotent, a plain and a transactional producer, one that consumes,
transforms and produces, a consumer that places itself, and two members of a group.
"""
import time

from confluent_kafka import (
    Consumer, KafkaError, KafkaException, Producer, TopicPartition,
)
from history import Sender, now, payload
from plan import GROUPED, GROUPS, PLAIN, TOPICS, TRANSACTED, TXN_TIMEOUT_MS, Choice, Pace

QUICK = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0, "message.max.bytes": 1_040_000}


def start(run):
    threads = [
        run.spawn(produce, "cf-idem", 1, {"enable.idempotence": True, "compression.codec": "lz4", "linger.ms": 5}),
        run.spawn(produce, "cf-plain", 2, {
            "acks": "all", "message.send.max.retries": 0, "message.timeout.ms": 4_000,
            "compression.codec": "zstd", "linger.ms": 2}),
        run.spawn(consume_assigned, "cf-assign", "ru"),
        run.spawn(consume_group, "cf-group-1"),
        run.spawn(consume_group, "cf-group-2"),
    ]
    if run.txn:
        threads.append(run.spawn(transact, "cf-txn", 3))
        threads.append(run.spawn(transform, "cf-ctp", 4))
    return threads


def delivered(sender, value):
    def told(error, message):
        if error is None:
            sender.end(value, "ok", message.offset())
        else:
            sender.end(value, "info")

    return told


def send(run, producer, sender, choice, txn=None):
    topic, partition, size, key = choice.next()
    value = sender.begin(topic, partition, key, txn, size is None)
    body, headers = payload(run.run, topic, partition, value, size or 0)
    if size is None:
        body = None
    while True:
        try:
            producer.produce(topic, partition=partition, key=key, value=body, headers=headers,
                             on_delivery=delivered(sender, value))
            return
        except BufferError:
            producer.poll(0.1)


def produce(run, name, number, config):
    sender = Sender(run.history, name, number)
    choice, pace = Choice(run.run * 100 + number, PLAIN), Pace(run.rate)
    while not run.stopping.is_set():
        fatal = []
        producer = Producer({
            "bootstrap.servers": run.kafka, **QUICK, **config,
            "error_cb": lambda error: error.fatal() and fatal.append(error),
        })
        try:
            while not run.stopping.is_set() and not fatal:
                send(run, producer, sender, choice)
                producer.poll(pace.wait_s())
        except KafkaException as error:
            fatal.append(error)
        producer.flush(5 if fatal else 60)
        if fatal:
            run.note(f"{name} fatal: {str(fatal[0])[:200]}")
            producer.purge()
            producer.flush(1)
            sender.new_life()
    sender.give_up()
    run.note("sends", sender.sent)


class Fenced(Exception):
    """The producer cannot go on; a new life is needed."""


def patiently(run, call, *arguments):
    """Repeats a transactional call while the client says that this is safe."""
    end = time.monotonic() + 60
    while True:
        try:
            return call(*arguments)
        except KafkaException as failure:
            error = failure.args[0]
            if error.retriable() and time.monotonic() < end:
                time.sleep(0.05)
                continue
            if error.txn_requires_abort():
                raise
            raise Fenced(str(error)) from None


def transactional(run, name):
    producer = Producer({
        "bootstrap.servers": run.kafka, **QUICK, "transactional.id": name, "linger.ms": 1,
        "transaction.timeout.ms": TXN_TIMEOUT_MS, "compression.codec": "snappy", "message.timeout.ms": TXN_TIMEOUT_MS,
        # The default forgets its only broker when that restarts, and then waits for the forgotten one for ever in
        # send_offsets_to_transaction (librdkafka issues 5511 and 5456, seen here with 2.16.1).
        "metadata.recovery.strategy": "none",
    })
    patiently(run, producer.init_transactions, 10)
    return producer


def finish(run, sender, producer, number, commit, **more):
    """Ends a transaction and writes down how; False when the client wants a new life."""
    began = now()
    tried = "commit" if commit else "abort"
    outcome, alive = "info", True
    try:
        patiently(run, producer.commit_transaction if commit else producer.abort_transaction, 10)
        outcome = "ok"
    except (KafkaException, Fenced) as error:
        run.note(f"{sender.name} {tried} unknown")
        alive = not isinstance(error, Fenced)
        if alive:
            try:
                patiently(run, producer.abort_transaction, 10)
            except (KafkaException, Fenced):
                alive = False
    run.history.add("txn", proc=sender.name, gen=sender.gen, txn=number, tried=tried, outcome=outcome,
                    t_inv=began, t_ret=now(), **more)
    run.note(f"transactions {tried} {outcome}")
    return alive


def transact(run, name, number):
    sender = Sender(run.history, name, number)
    choice, producer, txn = Choice(run.run * 100 + number, TRANSACTED, large=False), None, 0
    while not run.stopping.is_set():
        try:
            producer = producer or transactional(run, name)
            txn += 1
            producer.begin_transaction()
            commit = choice.dice.random() < 0.7
            for _ in range(choice.dice.randrange(1, 20)):
                send(run, producer, sender, choice, txn)
                producer.poll(0)
            time.sleep(choice.dice.random() * 0.1)
            alive = finish(run, sender, producer, txn, commit)
        except (KafkaException, Fenced) as error:
            run.note(f"{name} new life: {str(error)[:60]}")
            alive = False
        if not alive:
            producer = None
            sender.new_life()
    if producer:
        producer.flush(10)
    sender.give_up()
    run.note("sends", sender.sent)


def placed_at_committed(run, consumer, group, gen):
    """Places the consumer where the group stands, which the judge hears too."""
    places = [TopicPartition("in", partition) for partition in range(TOPICS["in"][0])]
    while not run.stopping.is_set():
        began = now()
        try:
            told = consumer.committed(places, timeout=5)
        except KafkaException:
            time.sleep(0.1)
            continue
        if any(place.error for place in told):
            time.sleep(0.1)
            continue
        for place in told:
            run.history.add("committed", proc=group, gen=gen, group=group, topic="in", partition=place.partition,
                            offset=place.offset, t_inv=began, t_ret=now())
            place.offset = max(place.offset, 0)
        consumer.assign(told)
        return


def transform(run, name, number):
    """Every record of `in` makes one of `out`, with its offset in the same transaction."""
    sender, group = Sender(run.history, name, number), "g-ctp"
    consumer = Consumer({
        "bootstrap.servers": run.kafka, **QUICK, "group.id": group, "enable.auto.commit": False,
        "isolation.level": "read_committed", "fetch.wait.max.ms": 50,
    })
    choice, producer, txn, epoch = Choice(run.run * 100 + number, ["out"], large=False), None, 0, 0
    placed = False
    while not run.stopping.is_set():
        try:
            producer = producer or transactional(run, name)
            if not placed:
                placed_at_committed(run, consumer, group, sender.gen)
                placed, epoch = True, epoch + 1
            began = now()
            messages = [m for m in consumer.consume(50, 0.2) if m.error() is None]
            if not messages:
                continue
            log_polls(run, name, sender.gen, began, messages, "rc", "assign", epoch)
            txn += 1
            producer.begin_transaction()
            ends, consumed = {}, {}
            for message in messages:
                place = message.partition()
                ends[place] = message.offset() + 1
                consumed.setdefault(place, []).append(message.offset())
                send(run, producer, sender, choice, txn)
            offsets = [TopicPartition("in", place, end) for place, end in ends.items()]
            moved = [("in", place, all_) for place, all_ in consumed.items()]
            patiently(run, producer.send_offsets_to_transaction, offsets, consumer.consumer_group_metadata(), 10)
            commit = choice.dice.random() < 0.85
            alive = finish(run, sender, producer, txn, commit, group=group, consumed=moved)
            placed = commit and alive
        except (KafkaException, Fenced) as error:
            run.note(f"{name} new life: {str(error)[:60]}")
            alive, placed = False, False
        if not alive:
            producer, placed = None, False
            sender.new_life()
    sender.give_up()
    run.note("sends", sender.sent)
    consumer.close()


def log_polls(run, name, gen, began, messages, iso, mode, epoch):
    by_place = {}
    for message in messages:
        records = by_place.setdefault((message.topic(), message.partition()), [])
        records.append((message.offset(), message.value(), message.headers()))
    for (topic, partition), records in by_place.items():
        run.history.poll(name, gen, began, topic, partition, iso, mode, epoch, records)
    run.note("polled", len(messages))


def consume_assigned(run, name, iso):
    """Follows every partition from its start; placed anew only when its place was deleted."""
    resets = []
    consumer = Consumer({
        "bootstrap.servers": run.kafka, **QUICK, "group.id": name, "enable.auto.commit": False,
        "isolation.level": "read_committed" if iso == "rc" else "read_uncommitted",
        "auto.offset.reset": "error", "fetch.wait.max.ms": 50,
        "error_cb": lambda error: None,
    })
    everything = [TopicPartition(t, p, 0) for t, (count, *_) in TOPICS.items() for p in range(count)]
    consumer.assign(everything)
    epoch, at = 1, {(place.topic, place.partition): 0 for place in everything}
    while not run.stopping.is_set():
        began = now()
        messages = consumer.consume(500, 0.2)
        good = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
                at[message.topic(), message.partition()] = message.offset() + 1
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                resets.append((message.topic(), message.partition()))
        log_polls(run, name, 1, began, good, iso, "assign", epoch)
        if resets:
            epoch += 1
            for topic, partition in set(resets):
                where = start_of(consumer, topic, partition)
                if where is not None:
                    at[topic, partition] = max(where, at[topic, partition])
                    run.note(f"{name} placed anew in {topic}")
            resets.clear()
            consumer.assign([TopicPartition(t, p, offset) for (t, p), offset in at.items()])
    consumer.close()


def start_of(consumer, topic, partition):
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=5)[0]
    except KafkaException:
        return None


def consume_group(run, name):
    """A member that commits what it saw, and asks where the group stands."""
    group, epochs = GROUPS["confluent"], [0]

    def moved(_consumer, _places):
        epochs[0] += 1

    consumer = Consumer({
        "bootstrap.servers": run.kafka, **QUICK, "group.id": group, "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "session.timeout.ms": 6_000, "heartbeat.interval.ms": 300,
        "isolation.level": "read_committed", "fetch.wait.max.ms": 50,
    })
    consumer.subscribe(GROUPED, on_assign=moved, on_revoke=moved, on_lost=moved)
    pace = Pace(5)
    while not run.stopping.is_set():
        began, epoch = now(), epochs[0]
        messages = [m for m in consumer.consume(200, 0.2) if m.error() is None]
        log_polls(run, name, 1, began, messages, "rc", "subscribe", epoch)
        # What came from before a rebalance is no longer this member's to commit.
        if messages and epoch == epochs[0] and pace.due():
            commit(run, consumer, group, name, messages)
    consumer.close()


def commit(run, consumer, group, name, messages):
    ends = {(m.topic(), m.partition()): m.offset() + 1 for m in messages}
    began, outcome = now(), "ok"
    try:
        places = [TopicPartition(t, p, end) for (t, p), end in ends.items()]
        failed = [p for p in consumer.commit(offsets=places, asynchronous=False) if p.error]
        outcome = "info" if failed else "ok"
    except KafkaException:
        outcome = "info"
    for (topic, partition), end in ends.items():
        run.history.add("commit", proc=name, gen=1, group=group, topic=topic, partition=partition, offset=end,
                        outcome=outcome, t_inv=began, t_ret=now())
    run.note(f"commits {outcome}")
