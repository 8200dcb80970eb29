#!/usr/bin/env bash
# The other engine, by package name, in a venv outside the repository. Only where the real files are.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
home="${YEOUL_REAL:-$HOME/.cache/yeoul/real}"
if [ ! -d "$here/../../../shared/data" ] || [ -f "$home/venv/complete" ]; then exit 0; fi
mkdir -p "$home"
rm -rf "$home/venv"
python3 -m venv "$home/venv"
"$home/venv/bin/pip" -q install --disable-pip-version-check duckdb pyarrow pytz
touch "$home/venv/complete"
