"""What the run is made of: topics, and which partition, size and key the next record of a producer has.
Read by the controller and by every worker process, so that they agree.
"""
import random
import time

from history import LARGE, SIZES

# name: (partitions, configs, how the judge must read it)
TOPICS = {
    "plain": (3, {}, {}),
    "rolled": (2, {"segment.bytes": "65536"}, {}),
    "trimmed": (2, {"segment.bytes": "65536"}, {}),
    "kept": (1, {"segment.bytes": "131072", "retention.bytes": "1000000"}, {"retention": True}),
    "compact": (2, {"segment.bytes": "65536", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"},
                {"compact": True}),
    "in": (2, {}, {}),
    "out": (2, {}, {}),
    "mixed": (2, {}, {}),
}
# `mixed` and `rolled` hold transactions between plain records.
PLAIN = ["plain", "plain", "rolled", "trimmed", "kept", "compact", "in", "mixed"]
TRANSACTED = ["mixed", "mixed", "rolled", "plain", "compact"]
TXN_TIMEOUT_MS = 10_000
KEYS = 40
GROUPS = {"confluent": "g-confluent", "python": "g-python", "aio": "g-aio"}
GROUPED = ["plain", "mixed"]


class Choice:
    """The dice of one producer."""

    def __init__(self, seed, topics, large=True):
        self.dice = random.Random(seed)
        self.topics = topics
        self.large = large

    def next(self):
        """topic, partition, size or None for a tombstone, key."""
        dice = self.dice
        topic = dice.choice(self.topics)
        partition = dice.randrange(TOPICS[topic][0])
        size = dice.choice(SIZES)
        if self.large and dice.random() < 0.0005:
            size = LARGE
        key = f"k{dice.randrange(KEYS)}" if topic == "compact" or dice.random() < 0.3 else None
        if topic == "compact" and dice.random() < 0.05:
            size = None
        return topic, partition, size, key


class Pace:
    """So many per second, without catching up after an outage."""

    def __init__(self, per_s):
        self.gap = 1.0 / per_s
        self.at = time.monotonic()

    def wait_s(self):
        moment = time.monotonic()
        self.at = max(self.at + self.gap, moment - 0.05)
        return max(0.0, self.at - moment)

    def due(self):
        """Whether it is time again; asking too early changes nothing."""
        moment = time.monotonic()
        if moment < self.at:
            return False
        self.at = moment + self.gap
        return True
