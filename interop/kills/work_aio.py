"""Workers over aiokafka. Its plain producer repeats requests of itself and has no sequence, so it may
write twice; its idempotent one may not."""
import asyncio
import logging

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from history import Sender, now, payload
from plan import GROUPED, GROUPS, PLAIN, TOPICS, TRANSACTED, TXN_TIMEOUT_MS, Choice, Pace

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def start(run):
    return [run.spawn(everything)]


def everything(run):
    asyncio.run(all_of(run))


async def all_of(run):
    work = [
        produce(run, "aio-idem", 21, {"enable_idempotence": True, "compression_type": "zstd"}, False),
        produce(run, "aio-plain", 22, {"acks": "all", "compression_type": "lz4"}, True),
        consume_assigned(run, "aio-assign"),
        consume_group(run, "aio-group"),
    ]
    if run.txn:
        work.append(transact(run, "aio-txn", 23))
        work.append(transform(run, "aio-ctp", 24))
    await asyncio.gather(*work)


async def started(run, make):
    """A client that is connected, however long the broker is away."""
    while not run.stopping.is_set():
        client = make()
        try:
            await client.start()
            return client
        except (KafkaError, OSError):
            await quietly(client.stop())
            await asyncio.sleep(0.05)
    return None


async def quietly(work, limit_s=10):
    try:
        await asyncio.wait_for(work, limit_s)
    except (Exception, asyncio.CancelledError):  # noqa: BLE001: a client that is being thrown away
        # Nobody cancels a worker: a consumer of aiokafka 0.14.0 that is stopped while a fetch waits before it tries
        # again cancels that fetch and lets its CancelledError out.
        pass


async def send(run, producer, sender, choice, txn=None):
    topic, partition, size, key = choice.next()
    value = sender.begin(topic, partition, key, txn, size is None)
    body, headers = payload(run.run, topic, partition, value, size or 0)
    future = await producer.send(topic, partition=partition, key=key.encode() if key else None,
                                 value=None if size is None else body, headers=headers)

    def told(done):
        if done.cancelled() or done.exception() is not None:
            sender.end(value, "info")
        else:
            sender.end(value, "ok", done.result().offset)

    future.add_done_callback(told)


async def produce(run, name, number, config, retries):
    sender = Sender(run.history, name, number, retries)
    choice, pace = Choice(run.run * 100 + number, PLAIN), Pace(run.rate / 2)
    while not run.stopping.is_set():
        producer = await started(run, lambda: AIOKafkaProducer(
            bootstrap_servers=run.kafka, max_request_size=2_000_000, retry_backoff_ms=50, request_timeout_ms=30_000,
            **config))
        if producer is None:
            break
        try:
            while not run.stopping.is_set():
                await send(run, producer, sender, choice)
                await asyncio.sleep(pace.wait_s())
            await asyncio.wait_for(producer.flush(), 60)
        except (KafkaError, TimeoutError) as error:
            run.note(f"{name} new life: {type(error).__name__}")
            await quietly(producer.stop())
            sender.new_life()
            continue
        await quietly(producer.stop())
    sender.give_up()
    run.note("sends", sender.sent)


async def transactional(run, name):
    return await started(run, lambda: AIOKafkaProducer(
        bootstrap_servers=run.kafka, transactional_id=name, transaction_timeout_ms=TXN_TIMEOUT_MS,
        retry_backoff_ms=50, request_timeout_ms=10_000))


async def finish(run, sender, producer, number, commit, **more):
    """Ends a transaction and writes down how; False when the client wants a new life."""
    began, outcome = now(), "info"
    try:
        await asyncio.wait_for(producer.commit_transaction() if commit else producer.abort_transaction(), 20)
        outcome = "ok"
    except (KafkaError, TimeoutError):
        pass
    tried = "commit" if commit else "abort"
    run.history.add("txn", proc=sender.name, gen=sender.gen, txn=number, tried=tried, outcome=outcome, t_inv=began,
                    t_ret=now(), **more)
    run.note(f"transactions {tried} {outcome}")
    return outcome == "ok"


async def transact(run, name, number):
    sender = Sender(run.history, name, number)
    choice, producer, txn = Choice(run.run * 100 + number, TRANSACTED, large=False), None, 0
    while not run.stopping.is_set():
        try:
            producer = producer or await transactional(run, name)
            if producer is None:
                break
            txn += 1
            await producer.begin_transaction()
            for _ in range(choice.dice.randrange(1, 20)):
                await asyncio.wait_for(send(run, producer, sender, choice, txn), 20)
            await asyncio.sleep(choice.dice.random() * 0.1)
            alive = await finish(run, sender, producer, txn, choice.dice.random() < 0.7)
        except (KafkaError, TimeoutError) as error:
            run.note(f"{name} new life: {type(error).__name__}")
            alive = False
        if not alive:
            if producer is not None:
                await quietly(producer.stop(), 2)
            producer = None
            sender.new_life()
    if producer is not None:
        await quietly(producer.stop(), 5)
    sender.give_up()
    run.note("sends", sender.sent)


async def transform(run, name, number):
    """As `transform` of the other library: it places itself, because this client cannot tell a transaction which
    member it is, nor ask for positions without those of open transactions."""
    sender, group = Sender(run.history, name, number), "g-aio-ctp"
    choice, txn, epoch = Choice(run.run * 100 + number, ["out"], large=False), 0, 0
    places = [TopicPartition("in", partition) for partition in range(TOPICS["in"][0])]
    while not run.stopping.is_set():
        # First the producer, which ends what an earlier life left open; then the positions.
        producer = await transactional(run, name)
        consumer = await started(run, lambda: AIOKafkaConsumer(
            bootstrap_servers=run.kafka, group_id=group, enable_auto_commit=False, fetch_max_wait_ms=50,
            auto_offset_reset="earliest", isolation_level="read_committed", retry_backoff_ms=50))
        epoch += 1
        try:
            if producer and consumer:
                await place(run, consumer, group, places, sender.gen)
            while producer and consumer and not run.stopping.is_set():
                began = now()
                batches = await consumer.getmany(timeout_ms=200, max_records=50)
                if not batches:
                    continue
                log_polls(run, name, sender.gen, began, batches, "rc", "assign", epoch)
                txn += 1
                await producer.begin_transaction()
                for records in batches.values():
                    for _ in records:
                        await asyncio.wait_for(send(run, producer, sender, choice, txn), 20)
                ends = {at: records[-1].offset + 1 for at, records in batches.items()}
                await asyncio.wait_for(producer.send_offsets_to_transaction(ends, group), 20)
                moved = [(p.topic, p.partition, [r.offset for r in records]) for p, records in batches.items()]
                commit = choice.dice.random() < 0.85
                alive = await finish(run, sender, producer, txn, commit, group=group, consumed=moved)
                if not (alive and commit):
                    break
        except (KafkaError, TimeoutError) as error:
            run.note(f"{name} new life: {type(error).__name__}")
        for client in (consumer, producer):
            if client is not None:
                await quietly(client.stop(), 5)
        sender.new_life()
    sender.give_up()
    run.note("sends", sender.sent)


async def place(run, consumer, group, places, gen):
    """Goes to where the group stands, which the judge hears too."""
    consumer.assign(places)
    for at in places:
        began = now()
        offset = await asyncio.wait_for(consumer.committed(at), 20) or 0
        run.history.add("committed", proc=group, gen=gen, group=group, topic=at.topic, partition=at.partition,
                        offset=offset, t_inv=began, t_ret=now())
        consumer.seek(at, offset)


def log_polls(run, name, gen, began, batches, iso, mode, epoch):
    for place, records in batches.items():
        rows = [(r.offset, r.value, r.headers) for r in records]
        run.history.poll(name, gen, began, place.topic, place.partition, iso, mode, epoch, rows)
        run.note("polled", len(rows))


async def consume_assigned(run, name):
    gen = 0
    places = [TopicPartition(t, p) for t, (count, *_) in TOPICS.items() for p in range(count)]
    while not run.stopping.is_set():
        gen += 1
        consumer = await started(run, lambda: AIOKafkaConsumer(
            bootstrap_servers=run.kafka, group_id=None, fetch_max_wait_ms=50, auto_offset_reset="earliest",
            isolation_level="read_committed", retry_backoff_ms=50))
        if consumer is None:
            return
        try:
            consumer.assign(places)
            await asyncio.wait_for(consumer.seek_to_beginning(), 20)
            while not run.stopping.is_set():
                began = now()
                batches = await consumer.getmany(timeout_ms=200, max_records=500)
                log_polls(run, name, gen, began, batches, "rc", "assign", 1)
        except (KafkaError, TimeoutError) as error:
            run.note(f"{name} new life: {type(error).__name__}")
        await quietly(consumer.stop())


async def consume_group(run, name):
    group, gen, pace = GROUPS["aio"], 0, Pace(5)
    while not run.stopping.is_set():
        gen += 1
        consumer = await started(run, lambda: AIOKafkaConsumer(
            *GROUPED, bootstrap_servers=run.kafka, group_id=group, enable_auto_commit=False, fetch_max_wait_ms=50,
            auto_offset_reset="earliest", isolation_level="read_committed", session_timeout_ms=6_000,
            heartbeat_interval_ms=500, retry_backoff_ms=50))
        if consumer is None:
            return
        try:
            while not run.stopping.is_set():
                began = now()
                batches = await consumer.getmany(timeout_ms=200, max_records=200)
                log_polls(run, name, gen, began, batches, "rc", "subscribe", 0)
                if batches and pace.due():
                    await commit(run, consumer, group, name, batches)
        except (KafkaError, TimeoutError) as error:
            run.note(f"{name} new life: {type(error).__name__}")
        await quietly(consumer.stop())


async def commit(run, consumer, group, name, batches):
    ends = {place: records[-1].offset + 1 for place, records in batches.items()}
    began, outcome = now(), "ok"
    try:
        await asyncio.wait_for(consumer.commit(ends), 20)
    except (KafkaError, TimeoutError):
        outcome = "info"
    for place, end in ends.items():
        run.history.add("commit", proc=name, gen=1, group=group, topic=place.topic, partition=place.partition,
                        offset=end, outcome=outcome, t_inv=began, t_ret=now())
    run.note(f"commits {outcome}")
