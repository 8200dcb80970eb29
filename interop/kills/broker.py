"""The broker under test on one data folder and one port, started and killed again and again.

Either the binary (`YEOUL_BIN`) or, for a broker without pipelines, the small `serve` example of
yeoul-kafka (`YEOUL_SERVE`): it takes the log's sizes as words, so that slots, checkpoints and
rolls turn over within seconds.
"""
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import Failed, binary, wait_for  # noqa: E402

SMALL_LOG = ["slot_bytes=524288", "checkpoint_bytes=1048576", "wal_bytes_max=67108864", "hot_bytes=262144",
             "retention_every_ms=500"]
ADD_PARTITIONS_TO_TXN = 24


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, folder, data_dir=None, wrap=(), log=SMALL_LOG):
        self.folder = pathlib.Path(folder)
        self.data_dir = pathlib.Path(data_dir or self.folder / "data-dir")
        self.port = free_port()
        self.kafka = f"127.0.0.1:{self.port}"
        self.wrap = list(wrap)
        self.log = list(log)
        self.process = None
        self.starts = 0
        self.ready_max_s = 0.0

    def words(self, ready):
        serve = os.environ.get("YEOUL_SERVE")
        if serve:
            return [serve, str(self.data_dir), self.kafka, str(ready), *self.log]
        return [binary(), "run", "--data-dir", str(self.data_dir), "--http", "127.0.0.1:0", "--kafka", self.kafka,
                "--ready-file", str(ready)]

    def spawn(self):
        """Starts it and does not wait."""
        self.ready = self.folder / "ready.json"
        self.ready.unlink(missing_ok=True)
        self.starts += 1
        said = open(self.folder / f"broker-{self.starts % 20}.log", "wb")
        self.process = subprocess.Popen(
            self.wrap + self.words(self.ready), stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        said.close()
        return self

    def start(self, limit_s=60.0):
        began = time.monotonic()
        self.spawn()

        def serves():
            if self.process.poll() is not None:
                raise Failed(f"the broker ended with {self.process.returncode}: {self.said()}")
            return self.ready.exists() and json.loads(self.ready.read_text())

        wait_for("the ready file", serves, limit_s, every_s=0.005)
        self.ready_max_s = max(self.ready_max_s, time.monotonic() - began)
        return self

    def said(self):
        text = (self.folder / f"broker-{self.starts % 20}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, limit_s=30):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"the broker did not stop within {limit_s} s of Ctrl-C") from None

    def apis(self):
        """Which APIs it says it speaks: {key: highest version}."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
            frame = struct.pack(">hhih", 18, 0, 1, -1)
            peer.sendall(struct.pack(">i", len(frame)) + frame)
            peer.settimeout(10)
            size = struct.unpack(">i", exactly(peer, 4))[0]
            body = exactly(peer, size)
        count = struct.unpack_from(">i", body, 6)[0]
        rows = [struct.unpack_from(">hhh", body, 10 + 6 * n) for n in range(count)]
        return {key: highest for key, _, highest in rows}

    def has_transactions(self):
        return ADD_PARTITIONS_TO_TXN in self.apis()


def exactly(peer, size):
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise Failed("the broker closed the connection")
        data += more
    return data
