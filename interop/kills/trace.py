"""Reads what strace saw of a broker and proves from it that nothing was told before it was synced.

Every record and every committed offset of the load carries a token. A token *went out* with a response to the
request that carried it in (an acknowledgement), or with a response that holds it (a fetch). For each token:

    a write of its bytes to a file of wal/ returned
    → after that an fdatasync of that file began, and returned 0
    → only after that the write of the response to the socket began.

The end of a transaction has no token of its own: its transactional id is one, used once, and the write must
have come after the request to end it was read.

The order is that of the trace: a call's line is where it began, its `resumed` line where it returned, and a
thread goes on only after strace has written that line. A response written in parts counts from its first byte.
"""
import collections
import re
import struct

TOKEN = re.compile(rb"YT[0-9a-f]{8}-[0-9]{7}-TY")
CALLS = "read,recvfrom,recvmsg,readv,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fdatasync,fsync,openat,rename,renameat,renameat2"
BEGIN = re.compile(r"^(\d+) +(\d+\.\d+) (\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>(.*)$")
RETURNED = re.compile(r"\) += (-?\d+)(<|\s|$)")
FD = re.compile(r"^(?:AT_FDCWD)?-?\d*<([^\"]*?)>(?:\(deleted\))?[,)]")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
PRODUCE, FETCH, OFFSET_COMMIT, END_TXN = 0, 1, 8, 26

WAL = "".join(f"\\x{byte:02x}" for byte in b"/wal/")

Call = collections.namedtuple("Call", "name file data cut begun returned result")


def calls(lines):
    """Calls in the order in which they began; `returned` is None for those cut off by the end."""
    open_, found = {}, []
    for at, line in enumerate(lines):
        match = BEGIN.match(line)
        if match:
            thread, _, name, rest = match.groups()
            entry = [name, rest.replace(" <unfinished ...>", ""), at, None, None]
            found.append(entry)
            if "<unfinished ...>" in rest:
                open_[thread] = entry
            else:
                entry[3] = at
            continue
        match = RESUMED.match(line)
        if match and match.group(1) in open_:
            entry = open_.pop(match.group(1))
            entry[1] += match.group(4)
            entry[3] = at
    for name, text, begun, returned, _ in found:
        result = None
        # Behind the last string: a payload never looks like a result, all of it is written in hex.
        tail = RETURNED.search(text[text.rfind('"') + 1:] if '"' in text else text)
        if tail:
            result = int(tail.group(1))
        parts = STRING.findall(text)
        data = b"".join(bytes.fromhex(part.replace("\\x", "")) for part, _ in parts)
        place = FD.match(text)
        file = re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m.group(1), 16)), place.group(1)) if place else ""
        yield Call(name, file, data, any(cut for _, cut in parts), begun, returned, result)


class Frames:
    """The frames of one direction of a connection, each with the line where its first byte was moved."""

    def __init__(self):
        self.data = bytearray()
        self.first = []

    def add(self, data, line):
        """Frames that are whole now."""
        self.first.append((len(self.data), line))
        self.data += data
        while len(self.data) >= 4:
            size = struct.unpack_from(">i", self.data)[0]
            if len(self.data) < 4 + size:
                return
            yield bytes(self.data[4:4 + size]), max(line for start, line in self.first if start <= 0)
            del self.data[:4 + size]
            self.first = [(start - 4 - size, line) for start, line in self.first]


class Proof:
    def __init__(self, lines):
        self.synced = {}
        # Of each token, where each of its writes had returned and the sync that covers it had.
        self.writes = collections.defaultdict(list)
        self.wrong = []
        self.counts = collections.Counter()
        self._wal(list_ := list(calls(lines)))
        self._sockets(list_)

    def _wal(self, all_calls):
        """For every token, the line at which the first sync that covers it had returned."""
        waiting = collections.defaultdict(list)
        events = []
        for call in all_calls:
            if "/wal/" not in call.file:
                continue
            if call.name.startswith("pwrite") or call.name in ("write", "writev"):
                if call.returned is not None and call.result is not None and call.result > 0:
                    # Only what the call really wrote, and only from where it had returned.
                    events.append((call.returned, 0, call, TOKEN.findall(call.data[:call.result])))
                    self.counts["writes of the commit log"] += 1
            elif call.name in ("fdatasync", "fsync"):
                events.append((call.begun, 1, call, None))
        covers = {}
        for line, kind, call, tokens in sorted(events, key=lambda event: event[:2]):
            if kind == 0:
                waiting[call.file] += [(token, line) for token in tokens]
            else:
                if call.returned is not None and call.result == 0:
                    self.counts["syncs of the commit log"] += 1
                    for token, written in waiting[call.file]:
                        self.writes[token].append((written, call.returned))
                        covers[token] = min(call.returned, covers.get(token, call.returned))
                    waiting[call.file] = []
        self.synced = covers

    def _sockets(self, all_calls):
        streams = collections.defaultdict(lambda: (Frames(), Frames(), {}))
        events = []
        for call in all_calls:
            if "TCP" not in call.file or call.result is None or call.result <= 0:
                continue
            if call.name in ("read", "recvfrom", "recvmsg", "readv"):
                events.append((call.returned, 0, call))
            elif call.name in ("write", "writev", "sendto", "sendmsg"):
                events.append((call.begun, 1, call))
        for _, kind, call in sorted(events, key=lambda event: event[0]):
            requests, responses, asked = streams[call.file]
            if kind == 0:
                for frame, _ in requests.add(call.data[:call.result], call.begun):
                    api, version, correlation = struct.unpack_from(">hhi", frame)
                    asked[correlation] = (api, TOKEN.findall(frame), version, call.returned)
            else:
                if call.cut:
                    self.wrong.append(f"line {call.begun + 1}: a response is cut in the trace")
                for frame, line in responses.add(call.data[:call.result], call.begun):
                    correlation = struct.unpack_from(">i", frame)[0]
                    api, tokens, version, read = asked.pop(correlation, (None, [], 0, 0))
                    # Correlation id and throttle time, and from version 3 on tags between them.
                    if api == END_TXN and struct.unpack_from(">h", frame, 9 if version >= 3 else 8)[0] == 0:
                        self._ended(tokens, read, line)
                    self._went_out(api, tokens, line, "acknowledged")
                    self._went_out(api, TOKEN.findall(frame), line, "shown")

    def _ended(self, tokens, read, line):
        for token in tokens:
            self.counts["transactions ended"] += 1
            if not any(read < written and synced <= line for written, synced in self.writes[token]):
                self.wrong.append(f"{token.decode()} ended at line {line + 1}, its end read at line {read + 1}, "
                                  f"written and synced at {self.writes[token]}")

    def _went_out(self, api, tokens, line, how):
        if how == "acknowledged" and api not in (PRODUCE, OFFSET_COMMIT):
            return
        for token in tokens:
            self.counts[f"{how} by {api}"] += 1
            synced = self.synced.get(token)
            if synced is None or synced > line:
                when = "never" if synced is None else f"at line {synced + 1}"
                self.wrong.append(f"{token.decode()} was {how} (API {api}) at line {line + 1}, synced {when}")


def unsynced(lines):
    """The same trace of a broker that never syncs its log: the proof must fail on it."""
    return [line for line in lines if not (WAL in line and re.search(r"\bf(data)?sync\(", line))]


def hasty(lines):
    """The same trace of a broker that answers before its syncs return: they return at the very end."""
    kept, late = [], []
    for line in lines:
        match = BEGIN.match(line)
        if match and match.group(3) == "fdatasync" and WAL in line and "unfinished" not in line:
            thread, time_, name, rest = match.groups()
            kept.append(f"{thread} {time_} {name}({rest.split(')')[0]} <unfinished ...>")
            late.append(f"{thread} {time_} <... {name} resumed>) = 0")
        elif RESUMED.match(line) and " fdatasync resumed" in line:
            late.append(line)
        else:
            kept.append(line)
    return kept + late[-1:]
