"""The long forms: 200 kills under load (YEOUL_KILLS), a kill at each of the first 50 syncs, injected errors, a full
disk and too few file descriptors, each judged by the history of what its clients saw; requests of transactional
clients that are lost at one exact moment.

YEOUL_KILLS_SEED (1); words on the command line name single parts.
"""
import os
import pathlib
import sys

HOME = pathlib.Path(os.environ.get("YEOUL_CLIENTS") or pathlib.Path.home() / ".cache/yeoul/clients")
VENV = HOME / "venv/bin/python"
if VENV.exists() and pathlib.Path(sys.prefix).resolve() != VENV.parents[1].resolve():
    os.execv(VENV, [str(VENV), *sys.argv])

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lost  # noqa: E402
import parts  # noqa: E402

SEED = int(os.environ.get("YEOUL_KILLS_SEED", "1"))
KILLS = int(os.environ.get("YEOUL_KILLS", "200"))

parts.run({
    "storm": lambda folder: parts.storm_part(folder, cycles=KILLS, seed=SEED),
    "proof": lambda folder: parts.proof_part(folder, scale=10),
    "lost-requests": lost.lost_part,
    "syscall-kills": lambda folder: parts.syscall_kills_part(folder, up_to=50),
    "disk-full": parts.disk_full_part,
    "disk-full-of-records": parts.disk_full_of_records_part,
    "few-files": parts.files_part,
}, sys.argv[1:])
