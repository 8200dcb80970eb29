"""Workers over kafka-python, and the one that asks for watermarks and committed offsets all the time."""
import logging
import threading
import time

from history import Sender, now, payload
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from plan import GROUPED, GROUPS, PLAIN, TOPICS, TRANSACTED, TXN_TIMEOUT_MS, Choice, Pace

logging.getLogger("kafka").setLevel(logging.CRITICAL)
QUICK = {"reconnect_backoff_ms": 20, "reconnect_backoff_max_ms": 200, "retry_backoff_ms": 50}
READ = {**QUICK, "fetch_max_wait_ms": 50, "request_timeout_ms": 15_000, "auto_offset_reset": "earliest"}


def start(run):
    threads = [
        run.spawn(produce, "kp-idem", 11, {"enable_idempotence": True, "compression_type": "gzip", "linger_ms": 5}),
        run.spawn(produce, "kp-plain", 12, {
            "enable_idempotence": False, "retries": 0, "acks": "all", "compression_type": "snappy",
            "request_timeout_ms": 4_000, "delivery_timeout_ms": 5_000}),
        run.spawn(consume_assigned, "kp-assign", "rc"),
        run.spawn(consume_group, "kp-group"),
        run.spawn(ask_marks),
        run.spawn(ask_groups),
    ]
    if run.txn:
        threads.append(run.spawn(transact, "kp-txn", 13))
    return threads


def connected(run, make):
    """Clients of this library fail when the broker is away while they are made."""
    while not run.stopping.is_set():
        try:
            return make()
        except KafkaError:
            time.sleep(0.05)
    return None


def delivered(sender, value, future):
    future.add_callback(lambda told: sender.end(value, "ok", told.offset))
    future.add_errback(lambda _error: sender.end(value, "info"))


def send(run, producer, sender, choice, txn=None):
    topic, partition, size, key = choice.next()
    value = sender.begin(topic, partition, key, txn, size is None)
    body, headers = payload(run.run, topic, partition, value, size or 0)
    future = producer.send(topic, partition=partition, key=key.encode() if key else None,
                           value=None if size is None else body, headers=headers)
    delivered(sender, value, future)


def produce(run, name, number, config):
    sender = Sender(run.history, name, number)
    choice, pace = Choice(run.run * 100 + number, PLAIN), Pace(run.rate / 2)
    while not run.stopping.is_set():
        producer = connected(run, lambda: KafkaProducer(
            bootstrap_servers=run.kafka, max_block_ms=20_000, max_request_size=2_000_000, **{**QUICK, **config}))
        if producer is None:
            break
        try:
            while not run.stopping.is_set():
                send(run, producer, sender, choice)
                time.sleep(pace.wait_s())
            producer.flush(timeout=60)
            producer.close(timeout=5)
        except (KafkaError, AssertionError) as error:
            run.note(f"{name} new life: {type(error).__name__}")
            producer.close(timeout=0)
            sender.new_life()
    sender.give_up()
    run.note("sends", sender.sent)


def transact(run, name, number):
    sender = Sender(run.history, name, number)
    choice, producer, txn = Choice(run.run * 100 + number, TRANSACTED, large=False), None, 0
    while not run.stopping.is_set():
        tried, began, outcome = None, 0, "info"
        try:
            if producer is None:
                producer = connected(run, lambda: KafkaProducer(
                    bootstrap_servers=run.kafka, transactional_id=name, transaction_timeout_ms=TXN_TIMEOUT_MS,
                    max_block_ms=15_000, delivery_timeout_ms=12_000, request_timeout_ms=5_000, **QUICK))
                if producer is None:
                    break
                producer.init_transactions()
            txn += 1
            producer.begin_transaction()
            for _ in range(choice.dice.randrange(1, 20)):
                send(run, producer, sender, choice, txn)
            time.sleep(choice.dice.random() * 0.1)
            tried, began = ("commit" if choice.dice.random() < 0.7 else "abort"), now()
            at_most(15, producer.commit_transaction if tried == "commit" else producer.abort_transaction)
            outcome = "ok"
        except Exception as error:  # noqa: BLE001: this client raises its own bugs too; a new life mends them
            run.note(f"{name} new life: {type(error).__name__}")
            if producer is not None:
                quietly(lambda: producer.close(timeout=0))
            producer = None
        if tried:
            run.history.add("txn", proc=name, gen=sender.gen, txn=txn, tried=tried, outcome=outcome, t_inv=began,
                            t_ret=now())
            run.note(f"transactions {tried} {outcome}")
        if producer is None:
            sender.new_life()
    sender.give_up()
    run.note("sends", sender.sent)


def at_most(limit_s, call):
    """The ends of a transaction have no time limit in this client, and with 3.0.12 no end: when the coordinator
    refuses the connection, `Sender._maybe_send_pending_request` leaves its loop with the node still set, and so neither
    sends the EndTxn nor puts it back (`lost.py` shows it). Nothing more comes of that producer: a new one is made, and
    the outcome is unknown."""
    ended = []

    def work():
        try:
            ended.append(call())
        except Exception as error:  # noqa: BLE001: handed on below
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)
    if not ended:
        raise TimeoutError(f"{call.__name__} has not ended within {limit_s} s")
    if isinstance(ended[0], Exception):
        raise ended[0]


def quietly(call):
    try:
        call()
    except Exception:  # noqa: BLE001: a client that is being thrown away
        pass


def log_polls(run, name, gen, began, batches, iso, mode, epoch):
    for place, records in batches.items():
        rows = [(r.offset, r.value, r.headers) for r in records]
        run.history.poll(name, gen, began, place.topic, place.partition, iso, mode, epoch, rows)
        run.note("polled", len(rows))


def consume_assigned(run, name, iso):
    """Places itself once; a start of the log that moved past it places it anew (gen: the client's life)."""
    consumer, gen = None, 0
    places = [TopicPartition(t, p) for t, (count, *_) in TOPICS.items() for p in range(count)]
    while not run.stopping.is_set():
        try:
            if consumer is None:
                gen += 1
                consumer = connected(run, lambda: KafkaConsumer(
                    bootstrap_servers=run.kafka, group_id=None, isolation_level="read_committed", **READ))
                if consumer is None:
                    return
                consumer.assign(places)
                consumer.seek_to_beginning()
            began = now()
            log_polls(run, name, gen, began, consumer.poll(timeout_ms=200, max_records=500), iso, "assign", 1)
        except KafkaError as error:
            run.note(f"{name} new life: {type(error).__name__}")
            quietly(lambda: consumer.close())
            consumer = None
    quietly(lambda: consumer.close())


def consume_group(run, name):
    group, gen, consumer, pace = GROUPS["python"], 0, None, Pace(5)
    while not run.stopping.is_set():
        try:
            if consumer is None:
                gen += 1
                consumer = connected(run, lambda: KafkaConsumer(
                    *GROUPED, bootstrap_servers=run.kafka, group_id=group, enable_auto_commit=False,
                    session_timeout_ms=6_000, heartbeat_interval_ms=500, isolation_level="read_committed", **READ))
                if consumer is None:
                    return
            began = now()
            batches = consumer.poll(timeout_ms=200, max_records=200)
            log_polls(run, name, gen, began, batches, "rc", "subscribe", 0)
            if batches and pace.due():
                commit(run, consumer, group, name, batches)
        except (KafkaError, AssertionError) as error:
            run.note(f"{name} new life: {type(error).__name__}")
            quietly(lambda: consumer.close(autocommit=False))
            consumer = None
    quietly(lambda: consumer.close(autocommit=False))


def commit(run, consumer, group, name, batches):
    ends = {place: records[-1].offset + 1 for place, records in batches.items()}
    began, outcome = now(), "ok"
    try:
        consumer.commit({place: OffsetAndMetadata(end, "", -1) for place, end in ends.items()})
    except KafkaError:
        outcome = "info"
    for place, end in ends.items():
        run.history.add("commit", proc=name, gen=1, group=group, topic=place.topic, partition=place.partition,
                        offset=end, outcome=outcome, t_inv=began, t_ret=now())
    run.note(f"commits {outcome}")


def ask_marks(run):
    """High watermark, then stable offset, then log start: each asked alone, all within the line's times."""
    places = [TopicPartition(t, p) for t, (count, *_) in TOPICS.items() for p in range(count)]
    askers = None
    while not run.stopping.is_set():
        try:
            if askers is None:
                askers = [connected(run, lambda iso=iso: KafkaConsumer(
                    bootstrap_servers=run.kafka, group_id=None, isolation_level=iso, **READ))
                    for iso in ("read_uncommitted", "read_committed")]
                if None in askers:
                    return
            began = now()
            start = askers[0].beginning_offsets(places)
            stable = askers[1].end_offsets(places)
            high = askers[0].end_offsets(places)
            for place in places:
                run.history.add("marks", topic=place.topic, partition=place.partition, t_inv=began, t_ret=now(),
                                start=start[place], stable=stable[place], high=high[place])
            run.note("marks", len(places))
            run.stopping.wait(0.3)
        except KafkaError:
            for asker in askers or []:
                quietly(lambda asker=asker: asker.close())
            askers = None


def ask_groups(run):
    """Where the groups stand, as a stranger is told."""
    groups = {name: GROUPED for name in GROUPS.values()}
    while not run.stopping.is_set():
        for group, topics in groups.items():
            asker = connected(run, lambda group=group: KafkaConsumer(bootstrap_servers=run.kafka, group_id=group, **READ))
            if asker is None:
                return
            try:
                for topic in topics:
                    for partition in range(TOPICS[topic][0]):
                        began = now()
                        offset = asker.committed(TopicPartition(topic, partition), timeout_ms=5_000)
                        if offset is not None:
                            run.history.add("committed", proc="asker", group=group, topic=topic, partition=partition,
                                            offset=offset, t_inv=began, t_ret=now())
                            run.note("committed offsets asked")
            except KafkaError:
                pass
            quietly(lambda: asker.close(autocommit=False))
            run.stopping.wait(0.5)
