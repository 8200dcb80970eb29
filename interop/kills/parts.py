"""Runs named parts, each in a folder of its own that is kept when it fails."""
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import broker  # noqa: F401: puts interop/lib on the path
import pressure
import syscalls
from storm import RandomKills, storm, told
from yeoul_node import Failed


class Skipped(Exception):
    """A tool or right is missing."""


def storm_part(folder, cycles, seed=1):
    return told(storm(folder, RandomKills(cycles, seed), seed=seed))


def proof_part(folder, scale):
    if not syscalls.have_strace():
        raise Skipped("strace is not installed")
    return syscalls.proof(folder, scale)


def syscall_kills_part(folder, up_to):
    if not syscalls.have_strace():
        raise Skipped("strace is not installed")
    deaths = syscalls.SyscallDeaths(up_to)
    result = storm(folder, deaths, syscalls.Traced(folder, syscalls.QUIET), rate=60)
    return f"{told(result)}; {deaths.told()}"


def disk_full_part(folder):
    if not pressure.may_mount():
        raise Skipped("no right to a user namespace with a small file system")
    return pressure.disk_full(folder)


def disk_full_of_records_part(folder):
    if not pressure.may_mount():
        raise Skipped("no right to a user namespace with a small file system")
    return pressure.disk_full_of_records(folder)


def files_part(folder):
    return pressure.few_files(folder)


def run(parts, only):
    passed, failed, skipped, said = 0, 0, 0, []
    for name, part in parts.items():
        if only and name not in only:
            continue
        folder, began = pathlib.Path(tempfile.mkdtemp(prefix=f"yeoul-kills-{name}-")), time.monotonic()
        try:
            what = part(folder)
            passed += 1
            said.append(f"{name}: {what}")
            print(f"ok      {name}: {what} ({time.monotonic() - began:.0f} s)", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        except Skipped as why:
            skipped += 1
            print(f"skipped {name}: {why}", flush=True)
        except Exception as error:  # noqa: BLE001: whatever goes wrong is a failed part
            failed += 1
            trace = "" if isinstance(error, Failed) else traceback.format_exc()
            print(f"FAILED  {name}: {error}\n{trace}        kept: {folder}", flush=True)
    under_test = "the small broker of yeoul-kafka" if os.environ.get("YEOUL_SERVE") else "the node"
    print(f"{passed} passed, {failed} failed, {skipped} skipped ({under_test}); {'; '.join(said)}")
    sys.exit(1 if failed or not passed else 0)
