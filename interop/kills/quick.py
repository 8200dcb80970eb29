"""Kills under load with three client libraries and a judge of histories, and the proof by system calls that no
acknowledgement is sent before its bytes are synced: the short forms of `full.py`.
"""
import os
import pathlib
import sys

HOME = pathlib.Path(os.environ.get("YEOUL_CLIENTS") or pathlib.Path.home() / ".cache/yeoul/clients")
VENV = HOME / "venv/bin/python"
if VENV.exists() and pathlib.Path(sys.prefix).resolve() != VENV.parents[1].resolve():
    os.execv(VENV, [str(VENV), *sys.argv])

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import parts  # noqa: E402

parts.run({
    "storm": lambda folder: parts.storm_part(folder, cycles=8),
    "proof": lambda folder: parts.proof_part(folder, scale=1),
}, sys.argv[1:])
