#!/usr/bin/env bash
# Apache DataSketches for Python, by package name, in a venv outside the repository. Does nothing when it is there.
set -euo pipefail
home="${YEOUL_SKETCHES:-$HOME/.cache/yeoul/sketches}"
if ! "$home/venv/bin/python" -c 'import datasketches' 2>/dev/null; then
  mkdir -p "$home"
  python3 -m venv "$home/venv"
  "$home/venv/bin/pip" -q install datasketches
fi
