"""Requests of transactional clients that are lost at one exact moment, by a proxy in front of the broker: what the
broker answers afterwards, and what the client makes of it.

`lost.py PROXY_PORT BROKER_PORT` tells the same of any broker that advertises the proxy's port, such as Apache Kafka:
  ../jvm/broker.sh DIR 9101 4.3.0 advertised.listeners=PLAINTEXT://127.0.0.1:9100 &  python3 lost.py 9100 9101
"""
import pathlib
import socket
import struct
import sys
import threading
import time
import uuid

from broker import Broker, exactly, free_port
from yeoul_node import Failed, check, wait_for

PRODUCE, ADD_PARTITIONS_TO_TXN, END_TXN = 0, 24, 26
INVALID_TXN_STATE = 48
QUICK = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0,
         "metadata.recovery.strategy": "none"}


class Proxy:
    """Hands on frames both ways; loses one request or answer of an API when told to."""

    def __init__(self, port, broker_port):
        self.port, self.broker_port = port, broker_port
        self.lose, self.lost, self.away_until = None, threading.Event(), 0.0
        self.pairs, self.ends = set(), []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def lose_next(self, api, way):
        self.lost.clear()
        self.lose = (api, way)

    def go_away(self, for_s):
        """Ends every connection and refuses new ones for a while, as a broker that is killed and started."""
        self.away_until = time.monotonic() + for_s
        for pair in list(self.pairs):
            self.cut(pair)

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if time.monotonic() < self.away_until:
                client.close()
                continue
            try:
                broker = socket.create_connection(("127.0.0.1", self.broker_port))
            except OSError:
                client.close()
                continue
            pair, asked = (client, broker), {}
            self.pairs.add(pair)
            for way, source, target in (("request", client, broker), ("answer", broker, client)):
                threading.Thread(target=self.hand_on, args=(pair, asked, way, source, target), daemon=True).start()

    def hand_on(self, pair, asked, way, source, target):
        try:
            while True:
                length = exactly(source, 4)
                frame = exactly(source, struct.unpack(">i", length)[0])
                if way == "request":
                    api, version, number = struct.unpack_from(">hhi", frame)
                    asked[number] = api, version
                else:
                    api, version = asked.pop(struct.unpack_from(">i", frame)[0], (None, 0))
                if self.lose == (api, way):
                    self.lose = None
                    self.go_away(1.0)
                    self.lost.set()
                    return
                if api == END_TXN and way == "answer":
                    # Versions from 3 on have tags in their header.
                    self.ends.append(struct.unpack_from(">h", frame, 8 + (version >= 3))[0])
                target.sendall(length + frame)
        except (Failed, OSError):
            self.cut(pair)

    def cut(self, pair):
        self.pairs.discard(pair)
        for peer in pair:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def abort_of_a_lost_add(proxy, topic, before):
    """librdkafka cannot know whether its AddPartitionsToTxn arrived, and ends the transaction all the same."""
    from confluent_kafka import KafkaException, Producer

    producer = Producer({"bootstrap.servers": f"127.0.0.1:{proxy.port}", "transactional.id": str(uuid.uuid4()), **QUICK})
    producer.init_transactions(30)
    if before:
        producer.begin_transaction()
        producer.produce(topic, b"before", partition=0)
        producer.flush(20)
        getattr(producer, f"{before}_transaction")(30)
    proxy.ends.clear()
    proxy.lose_next(ADD_PARTITIONS_TO_TXN, "request")
    producer.begin_transaction()
    producer.produce(topic, b"never sent", partition=0)
    wait_for("the request to lose", lambda: producer.poll(0.01) or proxy.lost.is_set(), 20, every_s=0.01)
    try:
        producer.abort_transaction(30)
        outcome = "ok"
    except KafkaException as failure:
        outcome = "fatal" if failure.args[0].fatal() else "error"
    return proxy.ends[-1:], outcome


def record_after_an_abort(proxy, topic):
    """librdkafka gives the sequence of a batch whose answer was lost, and which an abort threw away, to the next
    record. Whoever takes that one for the batch of before loses it."""
    from confluent_kafka import KafkaException, Producer

    producer = Producer({"bootstrap.servers": f"127.0.0.1:{proxy.port}", "transactional.id": str(uuid.uuid4()), **QUICK})
    producer.init_transactions(30)
    value = str(uuid.uuid4()).encode()
    proxy.lose_next(PRODUCE, "answer")
    producer.begin_transaction()
    producer.produce(topic, b"aborted", partition=0)
    wait_for("the answer to lose", lambda: producer.poll(0.01) or proxy.lost.is_set(), 20, every_s=0.01)
    producer.abort_transaction(30)
    try:
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.commit_transaction(30)
        told = "committed"
    except KafkaException:
        told = "refused"
    return told, value in values(proxy, topic)


def values(proxy, topic):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{proxy.port}", "group.id": "values", "log_level": 0,
                         "isolation.level": "read_committed", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, ended = [], False
    while not ended:
        message = consumer.poll(20)
        check(message is not None, "the end of the topic was not reached")
        ended = bool(message.error())
        found += [] if ended else [message.value()]
    consumer.close()
    return found


def end_while_the_broker_is_away(proxy, topic):
    """kafka-python 3.0.12 forgets the request it was about to send when the coordinator refuses the connection."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=f"127.0.0.1:{proxy.port}", transactional_id=str(uuid.uuid4()),
                             reconnect_backoff_ms=20, reconnect_backoff_max_ms=200, retry_backoff_ms=50)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"a", partition=0).get(20)
    proxy.ends.clear()
    proxy.go_away(1.0)
    time.sleep(0.3)
    thread = threading.Thread(target=producer.abort_transaction, daemon=True)
    thread.start()
    thread.join(8)
    ended = not thread.is_alive()
    again = KafkaProducer(bootstrap_servers=f"127.0.0.1:{proxy.port}", transactional_id=producer.config["transactional_id"])
    again.init_transactions()
    return proxy.ends[:], ended


def lost(proxy, topic):
    found = {f"add lost after {before or 'nothing'}": abort_of_a_lost_add(proxy, topic, before)
             for before in (None, "commit", "abort")}
    found["record after an abort"] = record_after_an_abort(proxy, topic)
    found["end while away"] = end_while_the_broker_is_away(proxy, topic)
    return found


def make_topic(proxy):
    from confluent_kafka.admin import AdminClient, NewTopic

    topic = f"lost-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{proxy.port}", "log_level": 0})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    return topic


class Advertised(Broker):
    """Tells its clients the proxy's port."""

    def __init__(self, folder):
        super().__init__(folder)
        self.proxy_port = free_port()
        self.kafka = f"127.0.0.1:{self.port}=127.0.0.1:{self.proxy_port}"


def lost_part(folder):
    broker = Advertised(pathlib.Path(folder)).start()
    proxy = Proxy(broker.proxy_port, broker.port)
    found = lost(proxy, make_topic(proxy))
    broker.stop()
    # The broker's answers are those of Apache Kafka 4.3.0.
    refused = ([INVALID_TXN_STATE], "fatal")
    for before, expected in (("nothing", refused), ("commit", refused), ("abort", ([0], "ok"))):
        got = found[f"add lost after {before}"]
        check(got == expected, f"after {before}: EndTxn and the client say {got}, not {expected}")
    told, there = found["record after an abort"]
    check(there or told == "refused", "a record that was told to be committed is not there")
    ends, _ = found["end while away"]
    check(all(end == 0 for end in ends), f"an abort that arrived was answered {ends}")
    return "; ".join(f"{name}: {said}" for name, said in found.items())


if __name__ == "__main__":
    outside = Proxy(int(sys.argv[1]), int(sys.argv[2]))
    for name, said in lost(outside, make_topic(outside)).items():
        print(f"{name}: {said}", flush=True)
