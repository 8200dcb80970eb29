"""What a client did, written down for the judge (`cargo xtask history`), and payloads that say themselves
where they belong. The lines are described in xtask/src/history/lines.rs.
"""
import json
import struct
import threading
import time
import zlib

MAGIC = b"YK1\n"
HEAD = struct.Struct(">4sIQHB")
ID_HEADER = "id"
SIZES = [0, 40, 40, 100, 100, 100, 100, 700, 3_000, 20_000]
LARGE = 1_000_000


def now():
    """One clock for all processes of the machine, in nanoseconds."""
    return time.monotonic_ns()


def describe(run, topic, partition, value):
    name = topic.encode()
    return HEAD.pack(MAGIC, run, value, partition, len(name)) + name


def payload(run, topic, partition, value, size):
    """(bytes, headers). What is too small to describe itself is described by a header."""
    head = describe(run, topic, partition, value)
    room = size - len(head) - 4
    if room < 0:
        return b"", [(ID_HEADER, head + struct.pack(">I", zlib.crc32(head)))]
    # Half repeats, half is noise, so that codecs have something to do and something they cannot.
    noise = zlib.crc32(head).to_bytes(4, "big") * (room // 8 + 1)
    body = head + (noise + bytes(room))[:room]
    return body + struct.pack(">I", zlib.crc32(body)), []


def value_of(run, value, headers):
    """The number in a payload, or None when it is not what was sent."""
    data = value
    if not data:
        data = next((bytes(h) for name, h in headers or [] if name == ID_HEADER), b"")
    if len(data) < HEAD.size + 4 or zlib.crc32(data[:-4]) != struct.unpack(">I", data[-4:])[0]:
        return None
    magic, its_run, number, _, _ = HEAD.unpack_from(data)
    return number if magic == MAGIC and its_run == run else None


class History:
    """A file of operations; many threads write it."""

    def __init__(self, path, run):
        self.run = run
        self.file = open(path, "w", buffering=1 << 16)
        self.lock = threading.Lock()

    def add(self, op, **fields):
        fields["op"] = op
        line = json.dumps(fields, separators=(",", ":"))
        with self.lock:
            self.file.write(line + "\n")

    def close(self):
        with self.lock:
            self.file.close()

    def poll(self, proc, gen, began, topic, partition, iso, mode, epoch, records):
        """`records`: (offset, value bytes, headers) of one partition from one poll."""
        recs = [(offset, value_of(self.run, value, headers)) for offset, value, headers in records]
        self.add("poll", proc=proc, gen=gen, t_inv=began, t_ret=now(), topic=topic, partition=partition,
                 iso=iso, mode=mode, epoch=epoch, recs=recs)


class Sender:
    """The numbers and open sends of one producer; a send is written down when it is known how it ended."""

    def __init__(self, history, name, number, retries=False):
        self.history = history
        self.name = name
        self.gen = 1
        self.retries = retries
        self.next = number << 40
        self.sent = 0
        self.open = {}
        self.lock = threading.Lock()

    def begin(self, topic, partition, key=None, txn=None, tombstone=False):
        with self.lock:
            self.next += 1
            self.sent += 1
            value = self.next
            line = dict(proc=self.name, gen=self.gen, t_inv=now(), topic=topic, partition=partition, value=value)
            if key is not None:
                line["key"] = key
            if txn is not None:
                line["txn"] = txn
            if tombstone:
                line["tombstone"] = True
            if self.retries:
                line["retries"] = True
            self.open[value] = line
        return value

    def end(self, value, outcome, offset=-1):
        with self.lock:
            line = self.open.pop(value, None)
        if line is not None:
            offset = -1 if offset is None else offset
            self.history.add("send", **line, t_ret=now(), outcome=outcome, offset=offset)

    def give_up(self):
        """What nobody answered is unknown, which is not the same as failed."""
        for value in list(self.open):
            self.end(value, "info")

    def new_life(self):
        self.give_up()
        self.gen += 1
