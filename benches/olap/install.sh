#!/usr/bin/env bash
# The engines beside ours, by package name, in a venv outside the repository.
set -euo pipefail
home="${YEOUL_OLAP:-$HOME/.cache/yeoul/olap}"
if [ -f "$home/venv/complete" ]; then exit 0; fi
mkdir -p "$home"
rm -rf "$home/venv"
python3 -m venv "$home/venv"
"$home/venv/bin/pip" -q install --disable-pip-version-check duckdb chdb pyarrow numpy confluent-kafka
touch "$home/venv/complete"
