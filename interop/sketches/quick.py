"""Sketches beside Apache DataSketches (the PyPI package): each side reads what the other wrote.

HLL: the library reads our bytes and estimates what we do; we read its lists, sets and registers of 4, 6 and
8 bits, compact and not, and estimate what its union does (a single sketch of its own has a history, a union none).
Theta: the same values give the same bytes, once the library has trimmed its own.
Quantiles: both read both; below the size where values are left out the bytes are the same, above it each finds
in the other's bytes the values that the other finds.
Bytes that were cut or changed are an error of the query, and the node goes on.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from yeoul_node import Failed, HttpFailure, Node, check  # noqa: E402

HOME = pathlib.Path(os.environ.get("YEOUL_SKETCHES", pathlib.Path.home() / ".cache/yeoul/sketches"))
SIZES = [0, 1, 7, 8, 24, 25, 384, 385, 2_000]
LARGE = 30_000
# How SQL and Python make the value of a number.
TYPES = {
    "long": ("v - 3", lambda v: v - 3),
    "double": ("CAST(v AS DOUBLE) / 4 - 1", lambda v: v / 4 - 1),
    "text": ("concat('사용자', v)", lambda v: f"사용자{v}"),
}
RANKS = [0.01, 0.25, 0.5, 0.75, 0.99]


def close(ours, theirs):
    return abs(ours - theirs) <= 1e-9 * max(1.0, abs(theirs))


def made(node, call, size):
    """Our bytes of `size` values."""
    places = range(max(1, len(str(max(0, size - 1)))))
    number = " + ".join(f"d{place}.i * {10**place}" for place in places)
    tables = ", ".join(f"digits d{place}" for place in places)
    digits = ", ".join(f"({digit})" for digit in range(10))
    rows = node.sql(
        f"WITH digits(i) AS (VALUES {digits}), numbers AS (SELECT {number} AS v FROM {tables}) "
        f"SELECT encode({call}, 'hex') FROM (SELECT v FROM numbers WHERE v < {size} ORDER BY v)"
    )
    return bytes.fromhex(rows[0][0])


def asked(node, call, sketch):
    literal = f"decode('{sketch.hex()}', 'hex')"
    return node.sql(f"SELECT {call.format(literal)}")[0][0]


def hll(node, ds):
    pairs = 0
    for name, (sql, value) in TYPES.items():
        for lg_k in (4, 8, 12):
            for size in SIZES + [LARGE] * (name == "long"):
                where = f"hll {name} lg_k {lg_k} of {size}"
                kinds = {kind: ds.hll_sketch(lg_k, kind) for kind in (ds.HLL_4, ds.HLL_6, ds.HLL_8)}
                for number in range(size):
                    for sketch in kinds.values():
                        sketch.update(value(number))
                # Twice the same: registers of a union have no history.
                union = ds.hll_union(lg_k)
                union.update(kinds[ds.HLL_8])
                union.update(kinds[ds.HLL_8])
                expected = union.get_result(ds.HLL_8).get_estimate()
                ours = made(node, f"DS_HLL({sql}, {lg_k})", size)
                read = ds.hll_sketch.deserialize(ours)
                estimate = asked(node, "HLL_SKETCH_ESTIMATE({})", ours)
                check(close(estimate, expected), f"{where}: {estimate}, theirs {expected}")
                check(close(read.get_estimate(), expected), f"{where}: they read {read.get_estimate()} in ours")
                again = ds.hll_union(lg_k)
                again.update(read)
                again.update(kinds[ds.HLL_8])
                same = again.get_result(ds.HLL_8).get_estimate()
                check(close(same, expected), f"{where}: together {same}: other values were hashed")
                for kind, sketch in kinds.items():
                    for theirs in (sketch.serialize_compact(), sketch.serialize_updatable()):
                        estimate = asked(node, "HLL_SKETCH_ESTIMATE({})", theirs)
                        check(close(estimate, expected), f"{where}: {estimate} in their {kind}, {expected}")
                        pairs += 1
    return pairs


def theta(node, ds):
    pairs = 0
    for name, (sql, value) in TYPES.items():
        for lg_k in (5, 10):
            for size in SIZES + [LARGE] * (name == "long"):
                where = f"theta {name} lg_k {lg_k} of {size}"
                sketch = ds.update_theta_sketch(lg_k)
                for number in range(size):
                    sketch.update(value(number))
                untrimmed = sketch.compact()
                estimate = asked(node, "THETA_SKETCH_ESTIMATE({})", untrimmed.serialize())
                check(close(estimate, untrimmed.get_estimate()), f"{where}: we read {estimate} in theirs")
                sketch.trim()
                theirs = sketch.compact().serialize()
                ours = made(node, f"DS_THETA({sql}, {1 << lg_k})", size)
                check(ours == theirs, f"{where}: {ours[:40].hex()}, theirs {theirs[:40].hex()}")
                pairs += 1
    return pairs


def quantiles(node, ds):
    pairs = 0
    for k in (2, 16, 128):
        for size in [*SIZES, LARGE]:
            where = f"quantiles k {k} of {size}"
            sketch = ds.quantiles_doubles_sketch(k)
            for number in range(size):
                sketch.update(number / 4 - 1)
            theirs = sketch.serialize()
            ours = made(node, f"DS_QUANTILES_SKETCH(CAST(v AS DOUBLE) / 4 - 1, {k})", size)
            read = ds.quantiles_doubles_sketch.deserialize(ours)
            check(read.n == size, f"{where}: they count {read.n} in ours")
            if size < 2 * k:
                check(ours[8:] == theirs[8:], f"{where}: {ours[:48].hex()}, theirs {theirs[:48].hex()}")
            if size == 0:
                continue
            for bytes_, theirs_of in ((ours, read), (theirs, sketch)):
                wanted = [theirs_of.get_quantile(rank, True) for rank in RANKS]
                got = asked(node, f"DS_GET_QUANTILES({{}}, {', '.join(map(str, RANKS))})", bytes_)
                check(json.loads(got) == wanted, f"{where}: {got}, theirs {wanted}")
                pairs += 1
    return pairs


def hostile(node, ds):
    """Refused one by one; how many."""
    chance = random.Random(7)
    sketches = {
        "HLL_SKETCH_ESTIMATE({})": ds.hll_sketch(8, ds.HLL_4),
        "THETA_SKETCH_ESTIMATE({})": ds.update_theta_sketch(5),
        "DS_GET_QUANTILE({}, 0.5)": ds.quantiles_doubles_sketch(16),
    }
    refused = 0
    for call, sketch in sketches.items():
        for number in range(1_000):
            sketch.update(number)
        if hasattr(sketch, "compact"):
            sketch = sketch.compact()
        whole = sketch.serialize_compact() if hasattr(sketch, "serialize_compact") else sketch.serialize()
        for _ in range(40):
            changed = bytearray(whole[: chance.randrange(len(whole))])
            for _ in range(chance.randrange(4)):
                if changed:
                    changed[chance.randrange(min(len(changed), 40))] = chance.randrange(256)
            try:
                asked(node, call, bytes(changed))
            except HttpFailure as error:
                check(error.status == 400 and "DataSketches" in error.body, f"{call}: {error}")
                refused += 1
    check(refused > 100, f"only {refused} of 120 were refused")
    check(node.sql("SELECT 1") == [[1]], "the node does not answer any more")
    return refused


def main():
    import datasketches as ds

    with tempfile.TemporaryDirectory() as folder:
        node = Node(folder).start()
        try:
            pairs = [hll(node, ds), theta(node, ds), quantiles(node, ds)]
            refused = hostile(node, ds)
        finally:
            node.stop()
    print(f"sketches: {pairs[0]} HLL, {pairs[1]} theta, {pairs[2]} quantiles alike; {refused} hostile refused")


if __name__ == "__main__":
    python = HOME / "venv" / "bin" / "python"
    if python.exists() and pathlib.Path(sys.prefix) != python.parents[1]:
        sys.exit(subprocess.call([str(python), *sys.argv]))
    try:
        main()
    except Failed as error:
        sys.exit(f"sketches: {error}")
